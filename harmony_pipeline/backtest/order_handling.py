"""How the loop hands intents to the exchange and its reports to the portfolio; and both logs."""

from typing import Any

import numpy as np

from harmony_pipeline.backtest.books import Books
from harmony_pipeline.backtest.logs import (
    EVENTS,
    FILLS,
    LAST_END,
    ORDERS,
    TRADES,
)
from harmony_pipeline.execution.exchange import (
    status_after,
    submit,
)
from harmony_pipeline.kernel import inlined_kernel, kernel_without_allocation
from harmony_pipeline.portfolio.kernel_types import (
    EXPIRE,
    FILL,
    NO_REASON,
    ORDER_OPEN,
    REFUSED,
    STOP,
    TAKE,
    Record,
)
from harmony_pipeline.portfolio.position_accounting import apply_report


@kernel_without_allocation
def handle_reports(books: Books, count: int) -> None:
    """Log each report, give it to the portfolio, and submit what it answers (the legs of a filled
    entry, which are accepted in silence).
    """
    first: Any = np.int64(0)
    at, intents = books.at, books.intents
    for k in range(count):
        report = books.reports[k]
        if books.keeps_logs:
            _log_report(books, report)
        answers, at[TRADES] = apply_report(
            books.positions,
            books.account[0],
            books.rules[report["symbol"]],
            report,
            intents,
            first,
            books.trade_log,
            at[TRADES],
        )
        for j in range(answers):
            intent, rules = intents[j], books.rules[intents[j]["symbol"]]
            _log_order(books, intent)
            submit(books.orders, books.keys, rules, intent, books.reports, count)


@kernel_without_allocation
def send_intents(books: Books, count: int) -> None:
    """Log and submit each intent of a decision in order; what the exchange answers is heard at
    once.
    """
    first: Any = np.int64(0)
    for k in range(count):
        intent = books.intents[k]
        if intent["status"] == ORDER_OPEN or intent["status"] == REFUSED:
            _log_order(books, intent)
        books.busy[intent["symbol"]] |= intent["status"] == ORDER_OPEN
        rules = books.rules[intent["symbol"]]
        answers = submit(books.orders, books.keys, rules, intent, books.reports, first)
        # An answer to a submission is a rejection or a cancellation: it never calls for a new
        # intent, so `intents` may be shared.
        if answers > 0:
            handle_reports(books, answers)


@inlined_kernel
def log_event(
    books: Books, ticket: int, kind: int, at: int, known_at: int, remaining: float, reason: int
) -> None:
    """The next row of the log of events, an ORDER_EVENT."""
    event = books.event_log[books.at[EVENTS]]
    event["ticket"], event["kind"], event["at"], event["known_at"] = ticket, kind, at, known_at
    event["remaining"], event["reason"] = remaining, reason
    books.at[EVENTS] += 1


@inlined_kernel
def _log_order(books: Books, intent: Record) -> None:
    intent["ticket"] = books.at[ORDERS]
    if books.keeps_logs:
        books.order_log[books.at[ORDERS]] = intent
    books.at[ORDERS] += 1


@inlined_kernel
def _log_report(books: Books, report: Record) -> None:
    at, order = books.at, books.order_log[report["ticket"]]
    order["fills"] = report["number"]
    order["status"] = status_after(report["number"], report["kind"], report["closed"])
    if report["reason"] != NO_REASON:
        order["reason"] = report["reason"]
    if report["kind"] == FILL:
        books.fill_log[at[FILLS]] = report
        at[FILLS] += 1
    else:
        # what the range of a bar and its close did is known at its end; an order for the close that
        # is canceled before it, as that is done
        is_late = report["role"] == STOP or report["role"] == TAKE
        is_late |= order["at_close"] == 1 and report["kind"] == EXPIRE
        known_at = max(report["at"], at[LAST_END]) if is_late else report["at"]
        kind, reason = report["kind"], report["reason"]
        log_event(books, report["ticket"], kind, report["at"], known_at, 0.0, reason)
