"""A handful of trades of one strategy on their candles, chosen by a stated rule: one self-contained
page.
"""

from collections.abc import Sequence
from typing import Any

from harmony_pipeline.market.instruments import Instrument
from harmony_pipeline.market.steps import decimals_of
from harmony_pipeline.reports.page import fraction, humanize, render
from harmony_pipeline.reports.trade_figures import clock_of, headline, trade_on_candles
from harmony_pipeline.reports.trade_views import CHOICE, TradeView

_NAMES = {
    "signal": "signal",
    "entry": "entry filled",
    "exit": "exit filled",
    "payment": "paid out",
    "factor": "price factor",
}


def trade_page(
    strategy: str, backtest_id: str, views: Sequence[TradeView], tear_sheet: str | None = None
) -> str:
    """The page as one string; `tear_sheet` is the address of the strategy's tear sheet relative to
    it.
    """
    return render(
        "trade_page.html.j2",
        strategy=strategy,
        backtest_id=backtest_id,
        choice=CHOICE,
        clocks=list(dict.fromkeys(clock_of(view) for view in views)),
        tear_sheet=tear_sheet,
        trades=[
            {
                "title": _title(view),
                "picture": trade_on_candles(view),
                "headline": headline(view),
                "rows": _rows(view),
                "result": _result(view),
            }
            for view in views
        ],
    )


def _title(view: TradeView) -> str:
    why = ", ".join(view.why)
    return why[:1].upper() + why[1:]


def _rows(view: TradeView) -> list[dict[str, Any]]:
    """What happened, in order of time; the barriers stand behind the entry that set them."""
    rows: list[dict[str, Any]] = []
    barriers = [
        {
            "time": "",
            "what": f"{name} barrier",
            "price": view.price(course[0][1]),
            "quantity": None,
            "fee": None,
            "note": "profit" if (name == "upper") == (view.trade["side"] == "long") else "stop",
        }
        for name, course in (("upper", view.upper), ("lower", view.lower))
        if course
    ]
    entries = view.of_kind("entry")
    for step in view.steps:
        rows.append(
            {
                "time": view.moment(step.timestamp),
                "what": _NAMES[step.kind],
                "price": view.price(step.price),
                "quantity": view.quantity(step.quantity),
                "fee": view.money(step.fee),
                "note": _note(step.kind, step.note),
            }
        )
        if entries and step is entries[-1]:
            rows += barriers
    return rows


def _note(kind: str, note: str) -> str:
    return "close of the signal's bar" if kind == "signal" else humanize(note)


def _result(view: TradeView) -> str:
    trade, currency = view.trade, view.instrument.currency or "currency"
    if trade["exit_timestamp"] is None:
        return f"Still open. Fees so far {view.money(trade['fees'])} {currency}."
    terms = (
        ""
        if view.instrument.multiplier == 1.0
        else f" One contract is worth {view.instrument.multiplier:g} times its price."
    )
    return (
        f"Result {view.money(trade['pnl'])} {currency} after fees of {view.money(trade['fees'])}"
        f" and {view.money(trade['slippage'])} of slippage within the prices;"
        f" {fraction(2)(trade['return'])} of the entry's value.{terms} {_tick(view.instrument)}"
        f" ({view.instrument.origin})."
    )


def _tick(of: Instrument) -> str:
    """`Tick 0.01, 0.0001 below 1.00`."""
    small = (
        ""
        if of.small_tick_size is None
        else f", {_decimal(of.small_tick_size)} below {of.small_tick_below:.2f}"
    )
    return f"Tick {_decimal(of.tick_size)}{small}"


def _decimal(step: float) -> str:
    return f"{step:.{decimals_of(step)}f}"
