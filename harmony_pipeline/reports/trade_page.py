"""A handful of trades of one strategy on their candles, chosen by a stated rule: one self-contained page."""

from collections.abc import Sequence
from typing import Any

from harmony_pipeline.market.instruments import Instrument
from harmony_pipeline.market.steps import decimals_of
from harmony_pipeline.reports.page import Html, fraction, page, section, table, text
from harmony_pipeline.reports.style import as_img
from harmony_pipeline.reports.trade_figures import clock_of, headline, trade_on_candles
from harmony_pipeline.reports.trade_views import CHOICE, TradeView

_NAMES = {"signal": "signal", "entry": "entry filled", "exit": "exit filled", "payment": "paid out", "factor": "price factor"}


def trade_page(strategy: str, backtest_id: str, views: Sequence[TradeView], tear_sheet: str | None = None) -> str:
    """The page as one string; `tear_sheet` is the address of the strategy's tear sheet relative to it."""
    header: list[object] = [CHOICE]
    if views:
        header.append(f"Prices are raw, with the decimals of each instrument; times: {', '.join(dict.fromkeys(clock_of(view) for view in views))}.")
    if tear_sheet:
        header.append(Html(f'<a href="{text(tear_sheet)}">the tear sheet of {text(strategy)}</a>'))
    parts = [_trade(view) for view in views] or [section("No trades", "<p>This backtest has no trade, so there is nothing to show.</p>")]
    return page(f"{strategy}: trades on their candles", header, parts, footer=f"Backtest {backtest_id}.")


def _trade(view: TradeView) -> str:
    rows = table(
        {"time": "time", "what": "what", "price": "price", "quantity": "quantity", "fee": "fee", "note": "why"},
        _rows(view),
        words=("time", "what", "note"),
    )
    return section(_title(view), as_img(trade_on_candles(view), headline(view)), rows, f'<p class="note">{text(_result(view))}</p>')


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
            "note": "profit" if (name == "upper") == (view.trade["side"] == "long") else "stop",
        }
        for name, course in (("upper", view.upper), ("lower", view.lower))
        if course
    ]
    entries = view.of_kind("entry")
    for step in view.steps:
        rows.append(
            {
                "time": Html(f'<span class="moment">{text(view.moment(step.timestamp))}</span>'),
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
    return "close of the signal's bar" if kind == "signal" else note.replace("_", " ")


def _result(view: TradeView) -> str:
    trade, currency = view.trade, view.instrument.currency or "currency"
    if trade["exit_timestamp"] is None:
        return f"Still open. Fees so far {view.money(trade['fees'])} {currency}."
    terms = "" if view.instrument.multiplier == 1.0 else f" One contract is worth {view.instrument.multiplier:g} times its price."
    return (
        f"Result {view.money(trade['pnl'])} {currency} after fees of {view.money(trade['fees'])} and {view.money(trade['slippage'])} of slippage within "
        f"the prices; {fraction(2)(trade['return'])} of the entry's value.{terms} {_tick(view.instrument)} ({view.instrument.origin})."
    )


def _tick(of: Instrument) -> str:
    """`Tick 0.01, 0.0001 below 1.00`."""
    small = "" if of.small_tick_size is None else f", {_decimal(of.small_tick_size)} below {of.small_tick_below:.2f}"
    return f"Tick {_decimal(of.tick_size)}{small}"


def _decimal(step: float) -> str:
    return f"{step:.{decimals_of(step)}f}"
