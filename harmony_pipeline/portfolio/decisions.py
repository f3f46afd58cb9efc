"""Every decision of the portfolio: which positions are closed and which are entered, and the
intents that say so. The backtest loops over these kernels; the live session calls them once an
event.

What a fill, a split or a dividend does to the books is in position_accounting.py, what happens to
all positions at a timestamp in moments.py. The exchange half is execution/exchange.py and knows
nothing of this one. A decision made at the end of a bar uses nothing later than that bar.

The protocol. At one timestamp, for all symbols with a regular bar there, in symbol order (`account`
and `bar` are single records, `rules` the record of the symbol at hand; `decide` takes those of all
symbols):

    begin_moment(positions, accounts, rules, date)                portfolio/moments.py; once
    when a session begins with it: what is held in securities that ended since the last one
    portfolio/corporate_actions.py; then margin_call(...)         portfolio/margin_calls.py
    for each bar:
      for each corporate action with position["last_date"] < ex-date <= bar["date"], oldest first,
      dividends before splits:
        exchange.split_orders(...) or dividend_orders(...), reports applied; then apply_action(...)
      match_open  -> apply_report for each report -> each intent to submit
      match_range -> apply_report for each report -> each intent to submit
      mark(...)                                                   portfolio/moments.py
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
from harmony_pipeline.portfolio.exit_rules import (
    NOTHING,
    exit_at_close,
    level_now,
)
from harmony_pipeline.portfolio.exit_rules import STOP as STOP_TOUCHED
from harmony_pipeline.portfolio.intents import blank_order, cancel_order
from harmony_pipeline.portfolio.kernel_types import (
    ACTIVE,
    BY_DRAWDOWN,
    BY_SIGNAL,
    BY_STOP,
    BY_TAKE,
    BY_VERTICAL,
    ENTRY,
    EXIT,
    HALTED,
    NO_REASON,
    NO_SIGNAL,
    ORDER_OPEN,
    REFUSE,
    REFUSED,
    STOP,
    TAKE,
    Record,
    Records,
)
from harmony_pipeline.portfolio.position_accounting import (
    restate,
)
from harmony_pipeline.risk.data_state import judge_data
from harmony_pipeline.risk.limits import Verdict, judge_entry
from harmony_pipeline.risk.strategy_limits import judge_strategies

INTENTS_A_DECISION = 6  # per symbol: cancel entry, cancel two legs, exit, entry; with one to spare


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
def decide_moment(
    positions: Records, accounts: Records, rules: Records, bars: Records, intents: Records
) -> int:
    """`decide` at the end of these bars; the number of intents."""
    return decide(positions, accounts[0], rules, bars, 0, len(bars), intents, 0)


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
def close_position(
    position: Record,
    account: Record,
    symbol: int,
    reason: int,
    signal_at: int,
    end: int,
    intents: Records,
    n: int,
) -> int:
    """Intents that close a position at the next open: cancel the legs, then a market exit of all of
    it.
    """
    if position["legs_working"] == 1:
        n = cancel_order(symbol, STOP, NO_REASON, end, intents, n)
        n = cancel_order(symbol, TAKE, NO_REASON, end, intents, n)
    position["exit_reason"] = reason
    position["exit_working"] = 1
    position["exit_at"] = end
    intent = intents[n]
    blank_order(intent, symbol, EXIT, -position["side"], ORDER_OPEN, end)
    intent["quantity"] = math.fabs(position["quantity"])
    intent["remaining"] = intent["quantity"]
    intent["volatility"] = position["volatility"]
    intent["signal_at"] = signal_at
    intent["entry_at"] = position["entry_at"]
    intent["entry_symbol"] = position["entry_symbol"]
    intent["model"] = position["model"]
    intent["reason"] = reason
    restate(position, account)
    return n + 1


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


@inlined_kernel
def write_entry(
    intent: Record, rules: Record, bar: Record, verdict: Verdict, after_exit: int
) -> None:
    """The intent to enter on the side of the bar's signal, as the risk engine answered: refused, or
    to be sent.
    """
    enters = verdict.quantity > 0.0
    status = ORDER_OPEN if enters else REFUSED
    blank_order(intent, bar["symbol"], ENTRY, bar["signal"], status, bar["end"])
    intent["quantity"] = intent["remaining"] = verdict.quantity
    intent["volatility"] = bar["volatility"]
    intent["signal_at"] = bar["at"]
    intent["entry_at"] = bar["end"]
    intent["after_exit"] = after_exit
    intent["at_close"] = rules["entry_at_close"]
    intent["model"] = bar["model"]
    intent["reason"] = BY_SIGNAL if enters else verdict.reason
    intent["verdict"] = verdict.answer
    intent["limit"] = verdict.reason
    intent["release_at"] = verdict.release_at
    intent["wanted"] = verdict.wanted


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
