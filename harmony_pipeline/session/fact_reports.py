"""A fact of an order as the REPORT record that the portfolio's kernels take."""

from collections.abc import Mapping

import numpy as np

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.execution import events as ev
from harmony_pipeline.execution.events import AnyOrderFact, micros
from harmony_pipeline.execution.lifecycle import Order, Status
from harmony_pipeline.portfolio.kernel_types import (
    CANCEL,
    EXPIRE,
    FILL,
    REJECT,
    REPORT,
    ROLE_NAMES,
    Records,
)
from harmony_pipeline.session.ledger_rows import money

_KINDS = {
    ev.OrderCanceled: CANCEL,
    ev.OrderReplaced: CANCEL,
    ev.OrderExpired: EXPIRE,
    ev.OrderRejected: REJECT,
    ev.OrderRefused: REJECT,
}


def put_report(
    into: Records,
    fact: AnyOrderFact,
    before: Order,
    after: Order,
    rows: Mapping[str, int],
    factors: FloatArray,
) -> bool:
    """Write the report of a fact into the one REPORT of `into`; False, and nothing is written,
    where the fact does not concern the portfolio. rows: of each slot, its position; factors: of
    each position, the newest adjustment factor of its prices.

    An order that ended is closed once everything that it executed was seen; an execution that
    comes after that closes it again, which is harmless.
    """
    kind = FILL if isinstance(fact, ev.OrderPartiallyFilled) else _KINDS.get(type(fact))
    if kind is None or (kind != FILL and not before.is_open):
        return False
    terms, report = after.terms, into[0]
    row = rows[terms.slot]
    into[:] = np.zeros(1, REPORT)
    report["kind"], report["symbol"], report["role"] = kind, row, ROLE_NAMES.index(terms.role)
    report["side"] = 1 if terms.side == "buy" else -1
    report["at"], report["decided_at"], report["number"] = (
        micros(fact.happened_at),
        micros(terms.decided_at),
        len(after.executions),
    )
    complete = after.seen_quantity >= after.filled_quantity - 1e-9
    report["closed"] = int(not after.is_open and complete and after.status is not Status.REPLACED)
    if isinstance(fact, ev.OrderPartiallyFilled):
        report["quantity"], report["price"], report["factor"] = (
            fact.received,
            fact.price,
            factors[row],
        )
        report["reference"] = fact.price if fact.reference_price is None else fact.reference_price
        report["fee"], report["slippage"], report["maker"] = (
            money(fact.fee),
            fact.slippage,
            int(fact.liquidity == "maker"),
        )
    return True
