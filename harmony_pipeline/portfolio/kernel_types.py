"""The records that the compiled halves pass to each other: rules, bars, orders, reports, positions,
trades.

Structured NumPy arrays, so that one row is one thing (`order["quantity"]`), a kernel call costs
well under a microsecond, and state is plain bytes. Symbols and models are indices; times are int64
microseconds UTC; dates are days since 1970-01-01; money is int64 in 1/10000 of the currency
(`MONEY`), so sums are exact and do not depend on order. Quantities are shares in whole lots, prices
are raw.

An *order* travels from the portfolio to the exchange as an intent: its `status` is the wish. OPEN:
submit it. CANCELED: cancel the working order of that symbol and role. REFUSED: only to be recorded.
A *report* travels back.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harmony_pipeline.market.price_grid import TICK_FIELDS
from harmony_pipeline.risk.bandit import POLICY_ARMS, POLICY_SIGNALS

Records = NDArray[np.void]
Record = Any  # one element of a Records array: a view that kernels read and write by field name

MONEY = 10_000.0  # money units in one unit of currency

# Roles: at most one working order of each per symbol. ENTRY and EXIT are market orders; STOP and
# TAKE are the legs of a bracket, one cancels the other.
ENTRY, EXIT, STOP, TAKE = 0, 1, 2, 3
ROLE_NAMES = ("entry", "exit", "stop", "take")
ROLES = len(ROLE_NAMES)
ORDER_KINDS = ("market", "market", "stop", "limit")  # by role
# an entry lives for one open or, the last, one close; what closes a position lives until it has
TIMES_IN_FORCE = ("ioc", "gtc", "gtc", "gtc", "cls")
AT_CLOSE = ROLES

# Status of an order. In an intent it is the wish (see above); 0 marks an empty slot.
NONE, ORDER_OPEN, FILLED, PARTIALLY_FILLED, CANCELED, REJECTED, REFUSED = 0, 1, 2, 3, 4, 5, 6
STATUS_NAMES = ("none", "open", "filled", "partially_filled", "canceled", "rejected", "refused")

# Kinds of report. EXPIRED: the part that could not be filled is given up (an entry's rest, the rest
# of a leg that was touched).
FILL, CANCEL, EXPIRE, REJECT = 0, 1, 2, 3

# Why an order was placed, a position closed, or an entry refused (the limit's own name). Index 0
# means "no reason".
REASON_NAMES = (
    "", "signal", "stop", "take", "vertical", "drawdown_breaker", "unprotected", "cash_in_lieu",
    "flatten",
    "bad_input", "allow_short", "max_drawdown", "max_daily_loss", "max_open_positions", "no_edge",
    "max_position",
    "max_gross_exposure", "max_net_exposure", "lot_size", "minimum_order_value",
    "no_volume", "max_participation", "shortable", "minimum_quantity", "minimum_notional",
    "tick_size",
    "delisting", "presumed_delisted", "delisted", "renamed",
    "max_weekly_loss", "kill_switch", "stale_data", "symbol_cooldown", "consecutive_losses",
    "duplicate_intent", "price_collar", "cash_buffer", "max_sector_exposure", "order_rate",
    "target_reached",
    "buying_power", "unsettled_cash", "cash_account", "pattern_day_trading", "margin_call",
    "opposite_position", "max_strategy_share",
    "strategy_max_position", "strategy_max_gross_exposure", "strategy_max_net_exposure",
    "strategy_max_open_positions", "strategy_max_daily_loss",
)  # fmt: skip
(
    NO_REASON,
    BY_SIGNAL,
    BY_STOP,
    BY_TAKE,
    BY_VERTICAL,
    BY_DRAWDOWN,
    BY_UNPROTECTED,
    BY_CASH_IN_LIEU,
    BY_FLATTEN,
) = range(9)
BAD_INPUT, ALLOW_SHORT, MAX_DRAWDOWN, MAX_DAILY_LOSS, MAX_OPEN_POSITIONS, NO_EDGE, MAX_POSITION = (
    range(9, 16)
)
MAX_GROSS_EXPOSURE, MAX_NET_EXPOSURE, LOT_SIZE, MINIMUM_ORDER_VALUE = range(16, 20)
NO_VOLUME, MAX_PARTICIPATION, SHORTABLE, MINIMUM_QUANTITY, MINIMUM_NOTIONAL, TICK_SIZE = range(
    20, 26
)
# why a position was paid out; why an order of a dead symbol was canceled or refused
BY_DELISTING, BY_PRESUMED, DELISTED, RENAMED = range(26, 30)
(
    MAX_WEEKLY_LOSS,
    KILL_SWITCH,
    STALE_DATA,
    SYMBOL_COOLDOWN,
    CONSECUTIVE_LOSSES,
    DUPLICATE_INTENT,
    PRICE_COLLAR,
    CASH_BUFFER,
    MAX_SECTOR_EXPOSURE,
    ORDER_RATE,
    TARGET_REACHED,
) = range(30, 41)
BUYING_POWER, UNSETTLED_CASH, CASH_ACCOUNT, PATTERN_DAY_TRADING, MARGIN_CALL = range(41, 46)
# limits of an account that several strategies share (portfolio/sleeves.py)
OPPOSITE_POSITION, MAX_STRATEGY_SHARE = range(46, 48)
# limits of a strategy's own (risk/strategy_limits.py)
(
    STRATEGY_MAX_POSITION,
    STRATEGY_MAX_GROSS_EXPOSURE,
    STRATEGY_MAX_NET_EXPOSURE,
    STRATEGY_MAX_OPEN_POSITIONS,
    STRATEGY_MAX_DAILY_LOSS,
) = range(48, 53)

# What the risk engine answers to an intent to enter. RESIZE: smaller than wanted. QUEUE: it leaves
# later. HALT: refused, and so is every entry until what stopped trading is over.
APPROVE, RESIZE, QUEUE, REFUSE, HALT = 1, 2, 3, 4, 5
VERDICT_NAMES = ("", "approve", "resize", "queue", "refuse", "halt")

# States of trading, the operator's and that of the data: what may still leave.
ACTIVE, REDUCING, HALTED = 0, 1, 2

# Kinds of account (risk/account_settings.py); sessions that the queue of settlement and the counts
# of trades go over.
UNRESTRICTED, CASH, MARGIN = 0, 1, 2
SETTLEMENT_SLOTS, TRADE_DAYS = 5, 5

NO_SIGNAL = 2  # bar["signal"] when no signal row exists for that bar; -1, 0, 1 otherwise
NO_MODEL = -1
SPLIT, DIVIDEND = 0, 1
DELISTING, CHANGE, LISTING = 2, 3, 4  # what happens to a symbol: market/lives.py
PRESUMED = 5  # given up after too many sessions without a bar
APPLIED_NAMES = ("split", "dividend", "delisting", "symbol_change", "listing", "presumed_delisted")
BEFORE_EVERYTHING = -(2**31)  # a date before any

RULES = np.dtype(
    [
        # costs
        ("half_spread_bps", "f8"), ("impact_coefficient", "f8"), ("fee_bps", "f8"),
        ("fee_per_share", "f8"), ("sell_fee_bps", "f8"),
        ("max_participation", "f8"),
        ("maker_fee_bps", "f8"), ("half_spread_price", "f8"),
        # taf_cap is in money units
        ("sec_fee_per_million", "f8"), ("taf_per_share", "f8"), ("taf_cap", "i8"),
        ("cat_per_share", "f8"),
        ("borrow_rate", "f8"), ("interest_rate", "f8"), ("debit_rate", "f8"),
        # the symbol's instrument (market/instruments.py); fee_unit is in money units
        *TICK_FIELDS,
        ("lot_size", "f8"), ("minimum_quantity", "f8"), ("minimum_notional", "f8"),
        ("multiplier", "f8"), ("fee_unit", "i8"), ("shortable", "i8"),
        ("volume_binds", "i8"), ("zero_volume_fills", "i8"),
        # execution noise
        ("seed", "u8"), ("reject_probability", "f8"), ("partial_fill_probability", "f8"),
        ("latency_us", "i8"), ("latency_bars", "i8"), ("late_bar_probability", "f8"),
        ("late_bars", "i8"),
        # risk
        ("allow_short", "i8"), ("target_trade_volatility", "f8"), ("kelly_fraction", "f8"),
        ("max_position", "f8"), ("max_gross_exposure", "f8"),
        ("max_net_exposure", "f8"), ("max_open_positions", "i8"), ("max_daily_loss", "f8"),
        ("max_drawdown", "f8"), ("minimum_order_value", "f8"),
        # exits
        ("barriers", "i8"), ("horizon", "i8"), ("profit_take", "f8"), ("stop_loss", "f8"),
        ("minimum_barrier_bps", "f8"), ("vertical_sessions", "i8"), ("close_touch", "i4"),
        ("entry_at_close", "i4"),
        # lives of securities
        ("delisting_recovery", "f8"), ("presume_delisted_after_sessions", "i8"),
        # sizing (risk/sizing.py); an index of SIZINGS
        ("sizing", "i8"), ("size_fraction", "f8"), ("size_shares", "f8"), ("size_value", "f8"),
        ("risk_per_trade", "f8"), ("assumed_probability", "f8"), ("risk_aversion", "f8"),
        ("ruin_wealth", "f8"), ("ruin_probability", "f8"), ("target_wealth", "f8"),
        ("target_trades", "i8"), ("assumed_sharpe", "f8"), ("trades_per_year", "f8"),
        ("target_session_volatility", "f8"),
        # limits that are off where they are 0; times in microseconds
        ("refuse_over_limit", "i8"), ("usable_cash", "f8"), ("max_sector_exposure", "f8"),
        ("sector", "i8"), ("max_weekly_loss", "f8"), ("drawdown_cooldown_sessions", "i8"),
        ("rearm_on", "i8"), ("max_consecutive_losses", "i8"), ("loss_pause", "i8"),
        ("symbol_pause", "i8"), ("trading_state", "i8"), ("price_collar", "f8"),
        ("duplicate_window", "i8"), ("max_orders_per_minute", "i8"), ("queue_orders", "i8"),
        ("longest_queue", "i8"), ("stale_after", "i8"), ("tracks_prices", "i8"),
        # the account (risk/account_rules.py)
        ("account_kind", "i8"), ("settlement_days", "i8"), ("price_reserve", "f8"),
        ("initial_margin", "f8"), ("maintenance_long", "f8"), ("maintenance_short", "f8"),
        ("intraday_multiplier", "f8"), ("counts_day_trades", "i8"), ("day_trader_equity", "f8"),
        # an account that several strategies share (portfolio/sleeves.py)
        ("sleeve_symbols", "i8"), ("share", "f8"),
        # the strategy's own limits (risk/strategy_limits.py), off where they are 0
        ("own_limits", "i8"), ("own_max_position", "f8"), ("own_max_gross_exposure", "f8"),
        ("own_max_net_exposure", "f8"), ("own_max_open_positions", "i8"),
        ("own_max_daily_loss", "f8"), ("own_symbol_pause", "i8"), ("watches_strategies", "i8"),
        # the learned policy of size (risk/policy_kernels.py); last: the others stay together
        ("policy_arms", "i8"), ("policy_multipliers", "f8", (POLICY_ARMS,)),
        ("policy_weights", "f8", (POLICY_ARMS * POLICY_SIGNALS,)),
    ],
    align=True,
)  # fmt: skip
"""Every number of the trading rule for one symbol: those of the account, the same in every record,
and those of the symbol's instrument. An array of them has one a symbol (`rules[symbol]`); what is
judged for the account as a whole reads the first. `barriers` is 1 for exits by triple barriers, 0
for exits by signal. `vertical_sessions` 0: `horizon` bars end a trade, else so many sessions do;
`close_touch` 1: closes touch the barriers, and no legs are placed. `entry_at_close` 1: entries fill
at the close of the next bar. `volume_binds` 1: participation and impact go by the bar's volume;
`zero_volume_fills` 1: a bar without volume fills an order whole.
`presume_delisted_after_sessions` 0: never. `sector` numbers the symbol's sector, 0 where it is
unknown. `usable_cash` is the fraction of equity that purchases may use; `rearm_on` a date.
`tracks_prices` 1: a rule needs the price or the moment of the bar before. `account_kind` is
UNRESTRICTED, CASH or MARGIN; `settlement_days` counts sessions, `day_trader_equity` is in the
currency. `sleeve_symbols` 0: one strategy has the account. Else it is the number of symbols of each
strategy's sleeve: row r is symbol r % sleeve_symbols of the strategy r // sleeve_symbols, whose
part of the equity is `share`. `own_limits` 1: the strategy has a limit of exposure of its own;
`watches_strategies` 1: a strategy of the account has a daily loss of its own. `policy_arms` 0: no
policy of size was learned yet.
"""

BAR = np.dtype(
    [
        ("at", "i8"), ("end", "i8"), ("open", "f8"), ("high", "f8"), ("low", "f8"), ("close", "f8"),
        ("volume", "f8"), ("factor", "f8"),
        ("strength", "f8"), ("volatility", "f8"), ("probability", "f8"), ("symbol", "i8"),
        ("date", "i8"), ("signal", "i8"), ("model", "i8"), ("half_spread_bps", "f8"),
        ("bought", "f8"), ("sold", "f8"), ("left", "f8"),
    ],
    align=True,
)  # fmt: skip
"""One regular bar of one symbol with the signal known at its end. `date` is the session;
`probability` NaN: no model; `model` -1: none. `half_spread_bps` is the estimate of this bar, as
known before it (execution/spread_models.py); 0: that of the rules. `bought`, `sold`: shares that
other strategies of the account have taken from this bar already. `left`: shares that the symbol's
own exit took from it at the open; known where an entry waits for its close.
"""

ORDER = np.dtype(
    [
        ("symbol", "i8"), ("role", "i8"), ("side", "i8"), ("status", "i8"), ("quantity", "f8"),
        ("remaining", "f8"), ("level", "f8"), ("factor", "f8"),
        ("volatility", "f8"), ("signal_at", "i8"), ("decided_at", "i8"), ("entry_at", "i8"),
        ("since", "i8"), ("after_exit", "i8"), ("model", "i8"),
        ("reason", "i8"), ("fills", "i8"), ("ticket", "i8"), ("entry_symbol", "i8"),
        ("waited", "i8"),
        # what the risk engine answered (entries only)
        ("verdict", "i4"), ("limit", "i4"), ("release_at", "i8"), ("wanted", "f8"),
        ("at_close", "i8"),
    ],
    align=True,
)  # fmt: skip
"""An order, as an intent and as it works. `side` +1 buys, -1 sells. `level` is the raw stop or take
price at the entry, `factor` the entry's adjustment factor. `entry_at` is the decision time of the
entry that opened the position (its own for an entry): (symbol, entry_at) is the parent. `since` is
the start of the entry bar (legs only). `after_exit` 1: only once the symbol's exit is done (a
reversal). `ticket` is the driver's own number. `entry_symbol` is the symbol that the parent bore:
another one after a change of symbol. A leg whose `factor` is 0 was carried over such a change: its
level is in the prices of the next bar that it meets, whose factor it takes. The `reason` of an
intent to cancel, where it has one, becomes the order's. `waited` counts the bars that a market
order has missed on its way to the exchange. `verdict` is an index of VERDICT_NAMES, `limit` (an
index of REASON_NAMES) the limit that made the order smaller or refused it, `wanted` the quantity
before that; 0 where no size was asked for, or less than a lot. An order that was queued does not
leave before `release_at`; 0: it leaves at once. `at_close` 1: an entry that fills at a bar's close,
or a leg that follows such a fill.
"""

ORDER_ADDED: Mapping[str, float] = {
    "waited": 0,
    "verdict": 0,
    "limit": 0,
    "release_at": 0,
    "wanted": 0.0,
    "at_close": 0,
}
"""Fields that an earlier version did not save, and what they were."""

REPORT = np.dtype(
    [
        ("kind", "i8"), ("symbol", "i8"), ("role", "i8"), ("side", "i8"), ("at", "i8"),
        ("decided_at", "i8"), ("quantity", "f8"), ("price", "f8"),
        ("reference", "f8"), ("factor", "f8"), ("slippage", "f8"), ("fee", "i8"), ("maker", "i8"),
        ("number", "i8"), ("closed", "i8"), ("ticket", "i8"),
        ("reason", "i8"),
    ],
    align=True,
)  # fmt: skip
"""What the exchange says about one order. `closed` 1: it no longer works after this. For a FILL:
`number` counts the order's fills from 1, `slippage` is currency per share, `fee` money units,
`factor` the bar's adjustment factor, `at` the start of the bar it happened in. `reason` not 0: why
the order ended without any fill, or why it was canceled; it takes the place of the order's own
reason.
"""

ADJUST = 4  # of an ORDER_EVENT: a split changed what remains of the order
ORDER_EVENT = np.dtype(
    [
        ("ticket", "i8"), ("kind", "i8"), ("at", "i8"), ("known_at", "i8"), ("remaining", "f8"),
        ("reason", "i8"),
    ],
    align=True,
)  # fmt: skip
"""What befell a working order beside its fills: `kind` CANCEL, EXPIRE or REJECT (it ended so), or
ADJUST, with the shares that `remaining` then. `at` is the start of the bar or the moment itself,
`known_at` when it could be known.
"""

POSITION = np.dtype(
    [
        ("quantity", "f8"), ("last_price", "f8"), ("value", "i8"), ("last_date", "i8"),
        ("bars_held", "i8"),
        # the open round trip
        ("side", "i8"), ("entry_at", "i8"), ("entry_bar", "i8"), ("entry_signal_at", "i8"),
        ("entry_price", "f8"), ("entry_reference", "f8"),
        ("entry_factor", "f8"), ("entry_quantity", "f8"), ("entry_value", "i8"),
        ("stop_level", "f8"), ("take_level", "f8"), ("volatility", "f8"),
        ("model", "i8"), ("exit_reason", "i8"), ("exit_quantity", "f8"), ("exit_price", "f8"),
        ("cash_flow", "i8"), ("fees", "i8"), ("slippage", "f8"),
        # what works at the exchange
        ("exit_working", "i8"), ("exit_at", "i8"), ("legs_working", "i8"), ("entry_working", "i8"),
        ("pending_side", "i8"), ("pending_value", "i8"),
        ("pending_at", "i8"), ("pending_signal_at", "i8"), ("pending_volatility", "f8"),
        ("pending_model", "i8"),
        # this symbol's part of the account's exposure sums
        ("gross", "i8"), ("lowest", "i8"), ("highest", "i8"), ("counted", "i8"),
        # the life of its security
        ("entry_symbol", "i8"), ("last_factor", "f8"), ("silent", "i8"), ("gone", "i8"),
        # what limits remember of the symbol
        ("seen_factor", "f8"), ("seen_end", "i8"), ("prior_price", "f8"),
        ("paused_until", "i8"), ("intent_until", "i8"), ("intent_side", "i8"),
        # the day of the first fill, and whether a day trade of it was counted
        ("opened_on", "i8"), ("day_traded", "i8"),
        # sessions of the open round trip, its first included, and the last of them
        ("sessions_held", "i8"), ("held_on", "i8"),
        # what its strategy's own limits remember
        ("own_paused_until", "i8"), ("day_made", "i8"), ("strategy_stopped", "i8"),
    ],
    align=True,
)  # fmt: skip
"""One symbol of the portfolio; see portfolio/decisions.py. `quantity` is signed. `exit_reason` not
0: this position must be closed, for that reason. `entry_symbol` is the symbol under which it was
opened; `last_factor` the adjustment factor of its last bar while held; `entry_factor` 0: the levels
were carried over a change of symbol and are in the prices of the next bar. `silent` counts sessions
begun since its last bar; `gone` is DELISTED or RENAMED once nothing trades under the symbol, else
0. `seen_factor` and `seen_end` are the adjustment factor and the end of its last bar, `prior_price`
the close of the bar before that one in the same session, in the prices of that one, 0 where there
is none; kept where `rules["tracks_prices"]` is 1. No entry before `paused_until` (after a loss),
nor one of the side `intent_side` before `intent_until` (after an entry of that side). `opened_on`
and `day_traded` are kept where the account has rules (risk/account_rules.py). `sessions_held`
counts the sessions of the open round trip, its first included; `held_on` is the last of them.
`own_paused_until` is `paused_until` by the strategy's own rule, for that strategy alone. `day_made`
+ `cash_flow` + `value` is what the symbol made for its strategy since the previous session ended,
and `strategy_stopped` 1: the strategy lost more in this session than its own limit; both are kept
where `rules["watches_strategies"]` is 1.
"""

OWN_LIMITS_REMEMBER = ("own_paused_until", "day_made", "strategy_stopped")
"""Fields of POSITION that are 0 where no strategy has such limits of its own."""

POSITION_ADDED: Mapping[str, float] = {
    "seen_factor": 0.0,
    "seen_end": 0,
    "prior_price": 0.0,
    "paused_until": 0,
    "intent_until": 0,
    "intent_side": 0,
    "opened_on": 0,
    "day_traded": 0,
    "sessions_held": 0,
    "held_on": 0,
    **dict.fromkeys(OWN_LIMITS_REMEMBER, 0),
}
"""Fields that an earlier version did not save, and what they were."""

ACCOUNT = np.dtype(
    [
        ("cash", "i8"), ("equity", "i8"), ("peak", "i8"), ("day_equity", "i8"), ("date", "i8"),
        ("entries_stopped", "i8"), ("halted", "i8"), ("tripped", "i8"),
        ("gross_value", "i8"), ("net_value", "i8"), ("gross", "i8"), ("lowest", "i8"),
        ("highest", "i8"), ("counted", "i8"),
        ("borrow", "i8"), ("interest", "i8"),
        # the week, the drawdown breaker, results of trades
        ("week", "i8"), ("week_equity", "i8"), ("week_stopped", "i8"),
        ("halted_on", "i8"), ("halted_sessions", "i8"), ("rearmed_peak", "i8"),
        ("losses", "i8"), ("lost_at", "i8"), ("closed_trades", "i8"), ("variance", "f8"),
        # the state of the data
        ("session_from", "i8"), ("session_date", "i8"), ("data_state", "i8"),
        # the rate of orders
        ("rate_from", "i8"), ("rate_last", "i8"), ("rate_count", "i8"), ("rate_before", "i8"),
        # the rules of the account
        ("unsettled", "i8", (SETTLEMENT_SLOTS,)), ("day_trades", "i8", (TRADE_DAYS,)),
        ("trades", "i8", (TRADE_DAYS,)), ("pattern_day_trader", "i8"), ("day_power", "i8"),
    ],
    align=True,
)  # fmt: skip
"""The account, shape (1,). `day_equity`: equity at the end of the previous session.
`entries_stopped`: the daily-loss breaker of `date`; `halted`: the drawdown breaker; `tripped`: one
of them tripped since the last decision. `gross_value`, `net_value`: positions at their last price.
`gross`, `lowest`, `highest`: the largest gross and the net range over everything that working
orders may lead to; `counted`: symbols with a position or a pending entry. `week` counts ISO weeks,
`week_equity` is the equity at the end of the previous one, `week_stopped` its breaker. `halted_on`:
the session date on which the drawdown breaker tripped; `halted_sessions`: those begun since;
`rearmed_peak`: the peak since it was last re-armed, 0 where it never was. `losses`: losing trades
in a row, the last at `lost_at`. `variance`: of session returns, smoothed (risk/breakers.py).
`data_state`: ACTIVE, REDUCING or HALTED by the age of held prices (risk/data_state.py), counted
from `session_from`, the first bar of the session `session_date`. `rate_*`: risk/order_rate.py. The
rest is of risk/account_rules.py. `unsettled`: proceeds by the sessions that are left until they
settle, from one on. `day_trades`, `trades`: those of this session, of the one before, and so on.
`pattern_day_trader` 1: such a pattern was seen. `day_power` 1: since the session began an entry
went beyond what may be held over night.
"""

ACCOUNT_ADDED: tuple[str, ...] = (
    "borrow", "interest",
    "week", "week_equity", "week_stopped", "halted_on", "halted_sessions", "rearmed_peak",
    "losses", "lost_at", "closed_trades", "variance", "session_from", "session_date", "data_state",
    "rate_from", "rate_last", "rate_count", "rate_before",
    "unsettled", "day_trades", "trades", "pattern_day_trader", "day_power",
)  # fmt: skip
"""Fields that an earlier version did not save; all were 0."""

TRADE = np.dtype(
    [
        ("symbol", "i8"), ("side", "i8"), ("quantity", "f8"), ("entry_at", "i8"),
        ("entry_bar", "i8"), ("entry_price", "f8"), ("exit_bar", "i8"),
        ("exit_price", "f8"), ("exit_reason", "i8"), ("fees", "i8"), ("slippage", "f8"),
        ("pnl", "i8"), ("entry_value", "i8"), ("model", "i8"),
        ("entry_symbol", "i8"),
    ],
    align=True,
)  # fmt: skip
"""A closed round trip: quantity as of entry, average prices, pnl = every cash flow from entry to
exit (dividends, cash in lieu and what a delisting paid too).
"""

LIFE = np.dtype(
    [("symbol", "i8"), ("date", "i8"), ("kind", "i8"), ("successor", "i8"), ("value", "f8")],
    align=True,
)
"""An event of market/lives.py: kind DELISTING (`value`: cash per share, NaN where not stated),
CHANGE (to `successor`) or LISTING; an array is in order.
"""

ACTION = np.dtype([("symbol", "i8"), ("date", "i8"), ("kind", "i8"), ("value", "f8")], align=True)
"""A split or a dividend; an array of them is sorted by symbol, date, and dividends (per old share)
before splits.
"""

ENDING = np.dtype(
    [
        ("symbol", "i8"),
        ("successor", "i8"),
        ("kind", "i8"),
        ("reason", "i8"),
        ("canceled", "i8"),
        ("until", "i8"),
        ("date", "i8"),
        ("value", "f8"),
    ],
    align=True,
)
"""The end of what is held under one symbol. `kind` CHANGE: it is held under `successor` from `date`
on. Else it is paid out, `value` a share (NaN: not stated), for `reason`. `canceled` is the reason
of the orders that end with it; actions up to the date `until` come first.
"""

APPLIED = np.dtype(
    [
        ("at", "i8"),
        ("date", "i8"),
        ("symbol", "i8"),
        ("kind", "i8"),
        ("successor", "i8"),
        ("value", "f8"),
        ("before", "f8"),
        ("after", "f8"),
        ("cash", "i8"),
    ],
    align=True,
)
"""What an action or the end of a listing did to one position: signed shares before and after, cash
in money units. `kind` is an index of APPLIED_NAMES.
"""


def records(count: int, dtype: np.dtype[np.void]) -> Records:
    """`count` records of zeros: room for messages or state."""
    # of records NumPy writes every zero; of bytes the system hands out pages when they are used
    return np.zeros(count * dtype.itemsize, np.uint8).view(dtype)


def copy_records(table: Records) -> Records:
    """A copy, as bytes: NumPy copies records field by field."""
    copied: Records = table.view(np.uint8).copy().view(table.dtype)
    return copied


def records_to_lists(table: Records) -> dict[str, list[Any]]:
    """Field name -> values: plain numbers that JSON carries exactly (floats by their shortest exact
    text).
    """
    return {name: table[name].tolist() for name in table.dtype.names or ()}


def records_from_lists(
    lists: dict[str, list[Any]],
    dtype: np.dtype[np.void],
    shape: tuple[int, ...],
    added: Mapping[str, Any] | None = None,
) -> Records:
    """The inverse of `records_to_lists`. A field of `added` may be missing, in what an earlier
    version saved: it has the value given there.

    Raises KeyError when another field is missing.
    """
    table, later = np.zeros(shape, dtype), added or {}
    for name in dtype.names or ():
        table[name] = (
            later[name]
            if name in later and name not in lists
            else np.asarray(lists[name], dtype=dtype[name].base).reshape(shape + dtype[name].shape)
        )
    return table
