"""The portfolio: cash, positions, open round trips, and every decision. The backtest loops over
these kernels; the live session calls them once an event.

The exchange half is execution/exchange.py and knows nothing of this one.

Money and shares are conserved (`equity == cash + sum of values`, every change is a fill, a
dividend, cash in lieu or what a delisting paid), and a decision made at the end of a bar uses
nothing later than that bar.

The protocol. At one timestamp, for all symbols with a regular bar there, in symbol order (`account`
and `bar` are single records, `rules` the record of the symbol at hand; `decide` takes those of all
symbols):

    begin_strategies(positions, account, rules[0], date)          risk/strategy_limits.py; once
    begin_account_session(account, rules[0], date)                risk/account_rules.py; once
    open_session(account, date)                                   risk/breakers.py; once
    when a session begins with it: what is held in securities that ended since the last one
    portfolio/corporate_actions.py; then margin_call(...)         portfolio/margin_calls.py
    for each bar:
      for each corporate action with position["last_date"] < ex-date <= bar["date"], oldest first,
      dividends before splits:
        exchange.split_orders(...) or dividend_orders(...), reports applied; then apply_action(...)
      match_open  -> apply_report for each report -> each intent to submit
      match_range -> apply_report for each report -> each intent to submit
      mark(...)
    for each bar whose symbol has an entry that waits for a close:
      match_close -> apply_report for each report -> each intent to submit; then mark_entry(...)
    check_breakers(rules[0], account)                             risk/breakers.py; once; then the
    equity row decide(...) -> each intent, in order, to submit -> apply_report for each report

An entry that is filled makes the two legs of its bracket as intents at once, so that they meet the
same bar's range; of one filled at a close they meet the next bar's. `apply_report` writes at most 2
intents and closes at most one trade. Driving a real broker: put its fills into REPORT records
(price, fee and reference from the broker; kind EXPIRE or CANCEL with closed = 1 ends an order that
was not filled whole) and keep a reversing entry (`after_exit`) back until the exit is done.
"""

import math

from harmony_pipeline.execution.costs import notional
from harmony_pipeline.kernel import inlined_kernel, kernel_without_allocation
from harmony_pipeline.market.price_grid import floor_to_lot, whole_unit
from harmony_pipeline.portfolio.exit_rules import (
    NOTHING,
    barrier_levels,
    exit_at_close,
    level_now,
)
from harmony_pipeline.portfolio.exit_rules import STOP as STOP_TOUCHED
from harmony_pipeline.portfolio.intents import cancel_order, close_position, place_legs, write_entry
from harmony_pipeline.portfolio.kernel_types import (
    ACTIVE,
    BY_CASH_IN_LIEU,
    BY_DRAWDOWN,
    BY_SIGNAL,
    BY_STOP,
    BY_TAKE,
    BY_UNPROTECTED,
    BY_VERTICAL,
    ENTRY,
    EXIT,
    EXPIRE,
    FILL,
    HALTED,
    NO_MODEL,
    NO_REASON,
    NO_SIGNAL,
    REFUSE,
    REJECT,
    STOP,
    TAKE,
    UNRESTRICTED,
    Record,
    Records,
)
from harmony_pipeline.portfolio.position_accounting import (
    average_exit,
    close_trade,
    enter,
    leave,
    remember_trade,
    restate,
    revalue,
)
from harmony_pipeline.risk.account_rules import note_fill
from harmony_pipeline.risk.data_state import judge_data, track_bar
from harmony_pipeline.risk.limits import Verdict, judge_entry
from harmony_pipeline.risk.strategy_limits import judge_strategies

INTENTS_A_REPORT = 2
INTENTS_A_DECISION = 6  # per symbol: cancel entry, cancel two legs, exit, entry; with one to spare


@kernel_without_allocation
def apply_dividend(position: Record, account: Record, rules: Record, value: float) -> None:
    """Cash of `value` a share held before the ex-date's open; a short position pays it."""
    if position["quantity"] == 0.0:
        return
    amount = notional(value * rules["multiplier"], position["quantity"])
    account["cash"] += amount
    position["cash_flow"] += amount
    # carried over a change of symbol: no bar has told the factor that would do this
    if position["entry_factor"] == 0.0:
        position["stop_level"] *= 1.0 - dividend_share(position, value)
        position["take_level"] *= 1.0 - dividend_share(position, value)


@kernel_without_allocation
def dividend_share(position: Record, value: float) -> float:
    """A dividend as a part of the last price; 0 where it is no less than that, as the adjustment
    factor has it.
    """
    return value / position["last_price"] if value < position["last_price"] else 0.0


@kernel_without_allocation
def apply_split(
    position: Record,
    account: Record,
    rules: Record,
    ratio: float,
    price: float,
    symbol: int,
    at: int,
    trades: Records,
    n_trades: int,
) -> int:
    """`ratio` new shares for each old one; less than a share is paid in cash at `price`, the open
    in new shares.

    Returns the new number of trades: a position may vanish by this.
    """
    if position["quantity"] == 0.0:
        return n_trades
    exact = math.fabs(position["quantity"]) * ratio
    whole = floor_to_lot(exact, whole_unit(rules["lot_size"]))
    fraction = max(0.0, exact - whole)
    amount = position["side"] * notional(price * rules["multiplier"], fraction)
    account["cash"] += amount
    position["cash_flow"] += amount
    position["quantity"] = position["side"] * whole
    if position["entry_factor"] == 0.0:
        position["stop_level"] /= ratio
        position["take_level"] /= ratio
    revalue(position, account, rules, price)
    if whole > 0.0:
        restate(position, account)
        return n_trades
    position["exit_reason"] = BY_CASH_IN_LIEU
    average_exit(position, price, fraction)
    n_trades = close_trade(position, account, symbol, at, trades, n_trades)
    remember_trade(position, rules, trades[n_trades - 1])
    return n_trades


@kernel_without_allocation
def apply_report(
    positions: Records,
    account: Record,
    rules: Record,
    report: Record,
    intents: Records,
    n: int,
    trades: Records,
    n_trades: int,
) -> tuple[int, int]:
    """Take in what the exchange or the broker says about one order. Returns (intents, trades)
    written so far: bracket legs, a closed round trip.
    """
    position = positions[report["symbol"]]
    role = report["role"]
    if report["kind"] == FILL:
        if rules["account_kind"] != UNRESTRICTED:
            note_fill(position, account, rules, report)
        if role == ENTRY:
            enter(position, account, rules, report)
        else:
            if role != EXIT and position["exit_reason"] == NO_REASON:
                position["exit_reason"] = BY_STOP if role == STOP else BY_TAKE
            leave(position, account, rules, report)
    elif role in (STOP, TAKE):
        _leg_ended(position, report)
    if report["closed"] == 1:
        if role == ENTRY:
            position["entry_working"] = 0
            position["pending_side"] = position["pending_value"] = 0
            position["pending_model"] = NO_MODEL
            n = _bracket(position, rules, report, intents, n)
        elif role == EXIT:
            position["exit_working"] = 0
        else:
            position["legs_working"] = 0
    if position["side"] != 0 and position["quantity"] == 0.0:
        n_trades = close_trade(position, account, report["symbol"], report["at"], trades, n_trades)
        remember_trade(position, rules, trades[n_trades - 1])
    restate(position, account)
    return n, n_trades


@kernel_without_allocation
def mark(position: Record, account: Record, rules: Record, bar: Record) -> None:
    """Value the position at the bar's close and count the bar. Exactly once for each regular bar of
    the symbol.
    """
    mark_flat(position, rules, bar)
    if position["quantity"] != 0.0:
        hold(position, account, rules, bar["close"], bar["date"], bar["factor"])
    account["equity"] = account["cash"] + account["net_value"]


@inlined_kernel
def mark_flat(position: Record, rules: Record, bar: Record) -> None:
    """The part of `mark` that is of the symbol's prices alone."""
    if rules["tracks_prices"] == 1:
        track_bar(position, bar)
    position["last_price"] = bar["close"]
    position["last_date"] = bar["date"]
    if position["entry_working"] == 1:  # it waits for a later bar: the symbol is not silent
        position["silent"] = 0


@kernel_without_allocation
def mark_entry(position: Record, account: Record, rules: Record, bar: Record) -> None:
    """Value what was entered at the bar's close, if anything was, after `mark`. The session of the
    bar counts as held, the bar does not.
    """
    if position["quantity"] != 0.0 and position["entry_bar"] == bar["at"]:
        begin_holding(position, account, rules, bar)


@inlined_kernel
def begin_holding(position: Record, account: Record, rules: Record, bar: Record) -> None:
    """The first mark of what was entered at the bar's close."""
    position["held_on"] = bar["date"]
    position["sessions_held"] = 1
    position["last_factor"] = bar["factor"]
    revalue(position, account, rules, bar["close"])
    restate(position, account)
    account["equity"] = account["cash"] + account["net_value"]


@inlined_kernel
def hold(
    position: Record, account: Record, rules: Record, close: float, date: int, factor: float
) -> None:
    """`mark` of a symbol with a position, where no limit watches its prices."""
    position["last_price"] = close
    position["last_date"] = date
    position["bars_held"] += 1
    if position["held_on"] != date:
        position["sessions_held"] += 1
        position["held_on"] = date
    position["silent"] = 0
    position["last_factor"] = factor
    if position["entry_factor"] == 0.0:
        position["entry_factor"] = factor
    revalue(position, account, rules, close)
    restate(position, account)
    account["equity"] = account["cash"] + account["net_value"]


@kernel_without_allocation
def decide(
    positions: Records,
    account: Record,
    rules: Records,
    bars: Records,
    start: int,
    stop: int,
    intents: Records,
    n: int,
) -> int:
    """Everything decided at the end of the bars `bars[start:stop]` of one timestamp: breakers, then
    exits, then entries in symbol order. Returns the new n.

    `rules` has one record a symbol. Intents come in the order in which they must be submitted.
    Every refused entry is an intent too, with the limit's name as its reason.
    """
    end = bars[start]["end"]
    if rules[0]["stale_after"] > 0:
        judge_data(positions, account, rules[0], bars[start]["at"], end)
    elif account["data_state"] != ACTIVE:
        account["data_state"] = ACTIVE
    stopped = rules[0]["trading_state"] == HALTED or account["data_state"] == HALTED
    stopped |= account["tripped"] == 1
    lost = rules[0]["watches_strategies"] == 1 and judge_strategies(positions, account, rules)
    if stopped or lost:
        account["tripped"] = 0
        for symbol in range(len(positions)):
            position = positions[symbol]
            if position["entry_working"] == 1 and (stopped or position["strategy_stopped"] == 1):
                n = cancel_order(symbol, ENTRY, NO_REASON, end, intents, n)
    # symbols without a bar now are closed at their next one
    if account["halted"] == 1 and account["counted"] > 0:
        for symbol in range(len(positions)):
            n = _decide_exit(
                positions[symbol], account, rules[symbol], symbol, end, NO_SIGNAL, end, intents, n
            )
    else:
        for i in range(start, stop):
            bar = bars[i]
            position = positions[bar["symbol"]]
            if position["quantity"] != 0.0 and position["exit_working"] == 0:
                n = _decide_exit(
                    position,
                    account,
                    rules[bar["symbol"]],
                    bar["symbol"],
                    bar["at"],
                    bar["signal"],
                    bar["end"],
                    intents,
                    n,
                )
    for i in range(start, stop):
        if (bars[i]["signal"] == 1 or bars[i]["signal"] == -1) and positions[bars[i]["symbol"]][
            "entry_working"
        ] == 0:
            n = _decide_entry(positions, account, rules, bars[i], intents, n)
    return n


@kernel_without_allocation
def watches_every_bar(rules: Record) -> bool:
    """Whether a limit must see each bar and each moment, also where nothing is held or signalled:
    then `mark` and `decide` may not be left out.
    """
    return bool(
        rules["tracks_prices"] == 1
        or rules["trading_state"] == HALTED
        or rules["watches_strategies"] == 1
    )


@kernel_without_allocation
def may_decide(position: Record, rules: Record, signal: int) -> bool:
    """Whether `decide` could write an intent for the symbol, after `mark`, where no breaker has
    tripped, the account is not halted and no limit watches every bar. Where it could not, it need
    not be called.
    """
    if position["quantity"] == 0.0:
        return signal in (-1, 1)
    if position["exit_reason"] != NO_REASON or position["exit_working"] == 1:
        return True
    if rules["barriers"] == 1:
        return barrier_reached(position, rules) != NO_REASON
    return signal not in (NO_SIGNAL, position["side"])


@inlined_kernel
def barrier_reached(position: Record, rules: Record) -> int:
    """The barrier that a position has reached at the close of its last bar, after `mark`: BY_STOP
    or BY_TAKE where closes touch, BY_VERTICAL, or NO_REASON. The legs of a bracket are not asked.
    """
    if rules["close_touch"] == 1 and (
        position["stop_level"] != 0.0 or position["take_level"] != 0.0
    ):
        touched = exit_at_close(
            position["side"],
            position["last_price"],
            level_now(position["stop_level"], position["entry_factor"], position["last_factor"]),
            level_now(position["take_level"], position["entry_factor"], position["last_factor"]),
        )
        if touched != NOTHING:
            return BY_STOP if touched == STOP_TOUCHED else BY_TAKE
    if rules["vertical_sessions"] > 0:
        ended = position["sessions_held"] > rules["vertical_sessions"]
    else:
        ended = position["bars_held"] >= rules["horizon"]
    return BY_VERTICAL if ended else NO_REASON


@kernel_without_allocation
def _decide_exit(
    position: Record,
    account: Record,
    rules: Record,
    symbol: int,
    at: int,
    signal: int,
    end: int,
    intents: Records,
    n: int,
) -> int:
    if position["quantity"] == 0.0 or position["exit_working"] == 1:
        return n
    signal_at = position["entry_signal_at"]
    if position["exit_reason"] == NO_REASON:  # else a rest, or an exit that was rejected: try again
        if account["halted"] == 1:
            position["exit_reason"] = BY_DRAWDOWN
        elif rules["barriers"] == 1:
            position["exit_reason"] = barrier_reached(position, rules)
        elif signal not in (NO_SIGNAL, position["side"]):
            position["exit_reason"] = BY_SIGNAL
            signal_at = at
    if position["exit_reason"] == NO_REASON:
        return n
    return close_position(
        position, account, symbol, position["exit_reason"], signal_at, end, intents, n
    )


@kernel_without_allocation
def _decide_entry(
    positions: Records, account: Record, rules: Records, bar: Record, intents: Records, n: int
) -> int:
    symbol = bar["symbol"]
    position = positions[symbol]
    reversal = (
        position["exit_working"] == 1
        and position["exit_at"] == bar["end"]
        and position["exit_reason"] == BY_SIGNAL
    )
    if position["quantity"] != 0.0 and not reversal:
        return n
    verdict = Verdict(REFUSE, 0.0, position["gone"], 0, 0.0)
    if position["gone"] == NO_REASON:
        verdict = judge_entry(positions, account, rules, bar, bar["end"])
    write_entry(intents[n], rules[symbol], bar, verdict, 1 if reversal else 0)
    if verdict.quantity > 0.0:
        _await_entry(position, account, rules[symbol], bar, verdict.quantity)
    return n + 1


@kernel_without_allocation
def _await_entry(
    position: Record, account: Record, rules: Record, bar: Record, quantity: float
) -> None:
    """Count an entry that leaves, until it is done, as if it were filled at the bar's close."""
    position["entry_working"] = 1
    position["silent"] = 0
    position["pending_side"] = bar["signal"]
    position["pending_value"] = bar["signal"] * notional(
        bar["close"] * rules["multiplier"], quantity
    )
    position["pending_at"] = bar["end"]
    position["pending_signal_at"] = bar["at"]
    position["pending_volatility"] = bar["volatility"]
    position["pending_model"] = bar["model"]
    if rules["duplicate_window"] > 0:
        position["intent_side"] = bar["signal"]
        position["intent_until"] = bar["end"] + rules["duplicate_window"]
    restate(position, account)


@kernel_without_allocation
def _leg_ended(position: Record, report: Record) -> None:
    """A leg stopped working without a fill: touched but out of volume, refused by the broker, or
    canceled (by its twin or by us: nothing to do).
    """
    if report["kind"] == REJECT:
        position["exit_reason"] = BY_UNPROTECTED  # a position whose bracket was refused is closed
    elif report["kind"] == EXPIRE and position["exit_reason"] == NO_REASON:
        position["exit_reason"] = BY_STOP if report["role"] == STOP else BY_TAKE


@kernel_without_allocation
def _bracket(position: Record, rules: Record, report: Record, intents: Records, n: int) -> int:
    """The two legs of an entry that is done, for as much as was filled; where only closes touch,
    their levels alone.
    """
    if (
        rules["barriers"] == 0
        or position["quantity"] == 0.0
        or position["legs_working"] == 1
        or position["entry_at"] != report["decided_at"]
    ):
        return n
    side = position["side"]
    upper, lower = barrier_levels(
        rules, side, position["entry_reference"], position["volatility"], rules["horizon"],
        rules["profit_take"], rules["stop_loss"],
        rules["minimum_barrier_bps"],
    )  # fmt: skip
    position["take_level"] = upper if side > 0 else lower
    position["stop_level"] = lower if side > 0 else upper
    if rules["close_touch"] == 1:
        return n
    first, n = n, place_legs(position, report["symbol"], position["entry_at"], intents, n)
    intents[first]["at_close"] = intents[first + 1]["at_close"] = rules["entry_at_close"]
    return n
