"""One backtest on one interactive page.

Pure: an `Analysis`, frames and bars in, an HTML document out; the same input gives the same bytes.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from harmony_pipeline.analytics import Analysis
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.instruments import Instruments
from harmony_pipeline.market.timeframes import LONG_TIMEFRAMES
from harmony_pipeline.reports.interactive import charts
from harmony_pipeline.reports.interactive.candles import packed_candles
from harmony_pipeline.reports.interactive.document import figure_groups, interactive_page, rows_of
from harmony_pipeline.reports.number_format import with_texts
from harmony_pipeline.reports.page import fixed, fraction, humanize, share
from harmony_pipeline.reports.tear_sheet import interval_text
from harmony_pipeline.reports.trade_views import exchange_time

_MOST_TRADES = 3_000  # rows of the trade list, the latest


@dataclass(frozen=True)
class InteractiveSheet:
    """What the page is made of. backtest: one row of BACKTESTS. orders and trades: of it, whole,
    open trades too. bars: the regular bars it traded, sorted by symbol and time. pages: heading and
    address of pages beside this one.
    """

    found: Analysis
    backtest: Mapping[str, Any]
    equity: pl.DataFrame
    trades: pl.DataFrame
    orders: pl.DataFrame
    bars: pl.DataFrame
    instruments: Instruments
    calendar: Calendar
    timeframe: str
    pages: tuple[tuple[str, str], ...] = ()


def interactive_sheet(inputs: InteractiveSheet) -> str:
    """The page as one string, to be written as UTF-8."""
    found = inputs.found
    listed = _listed(inputs)
    return interactive_page(
        "interactive_sheet.html.j2",
        strategy=found.strategy,
        run=inputs.backtest,
        pages=inputs.pages,
        headline=_headline(inputs),
        zone=inputs.calendar.zone,
        window=found.window,
        figures=_figures(inputs, listed) if inputs.equity.height else {},
        groups=figure_groups(found.figures),
        drawdowns=rows_of(found.drawdowns.head(10)),
        symbols=rows_of(found.by_symbol),
        members=rows_of(found.by_strategy) if found.by_strategy.height > 1 else [],
        sides=rows_of(found.by_side),
        exits=rows_of(found.by_exit),
        regimes=[] if found.regimes is None else rows_of(found.regimes),
        names=sorted(set(listed["symbol"])),
        left_out=inputs.trades.height - listed.height,
        trade_list=script_json(_columns(inputs, listed)) if listed.height else None,
        candles=_candles(inputs, listed) if listed.height else None,
    )


def _figures(inputs: InteractiveSheet, listed: pl.DataFrame) -> dict[str, str]:
    """Figures by the id of their place on the page."""
    found = inputs.found
    drawn = {
        "equity": charts.equity_figure(found, inputs.equity, inputs.backtest["initial_cash"]),
        "months": charts.monthly_figure(found),
        "rolling": charts.rolling_figure(found),
        "days": charts.daily_return_figure(found),
    }
    if found.trades.height:
        numbers = {name: number for number, name in enumerate(listed["trade_id"])}
        drawn |= {
            "causes": charts.cause_figure(found),
            "by-symbol": charts.symbol_figure(found),
            "by-trade": charts.trade_figure(found, numbers),
        }
    return drawn


def _headline(inputs: InteractiveSheet) -> list[tuple[str, str, str]]:
    figures = inputs.found.figures
    interval = interval_text(inputs.found.sharpe_interval)
    return [
        (
            "Total return",
            fraction(1)(figures["total_return"]),
            f"{inputs.found.benchmark_name} {fraction(1)(figures['benchmark_return'])}",
        ),
        ("Sharpe ratio", fixed(2)(figures["sharpe"]), interval or "annualised"),
        (
            "Deepest drawdown",
            fraction(1)(figures["max_drawdown"]),
            f"{share(0)(figures['time_under_water'])} of the days under water",
        ),
        (
            "Trades",
            fixed(0)(figures["trades"]),
            f"{share(0)(figures['win_rate'])} won, {fixed(2)(figures['expectancy'])} each",
        ),
    ]


def _listed(inputs: InteractiveSheet) -> pl.DataFrame:
    """The trades of the list, the latest first, with their causes (null while open)."""
    causes = inputs.found.trades.select("trade_id", "signal", "timing", "cost")
    latest = inputs.trades.sort("entry_timestamp", "trade_id", descending=True).head(_MOST_TRADES)
    return latest.join(causes, on="trade_id", how="left", maintain_order="left")


def _columns(inputs: InteractiveSheet, listed: pl.DataFrame) -> dict[str, list[Any]]:
    """The list by column: prices, quantities and times as text, the rest as numbers."""
    texts = with_texts(
        listed.select("symbol", "entry_price", "exit_price", "quantity"),
        inputs.instruments,
        prices=("entry_price", "exit_price"),
        quantities=("quantity",),
    )
    zone, timeframe = inputs.calendar.zone, inputs.timeframe
    clocks = {
        name: [
            None if moment is None else exchange_time(moment, zone, timeframe)
            for moment in listed[name]
        ]
        for name in ("entry_timestamp", "exit_timestamp")
    }
    return {
        **{name: listed[name].to_list() for name in ("symbol", "side")},
        **{name: texts[name].to_list() for name in ("quantity", "entry_price", "exit_price")},
        **clocks,
        "exit_reason": [None if one is None else humanize(one) for one in listed["exit_reason"]],
        **{name: listed[name].round(2).to_list() for name in ("pnl", "signal", "timing", "cost")},
        "return": listed["return"].round(6).to_list(),
    }


def _candles(inputs: InteractiveSheet, listed: pl.DataFrame) -> str:
    dated = inputs.calendar.with_session(inputs.bars.select("timestamp"), inputs.timeframe)
    zone = "UTC" if inputs.timeframe in LONG_TIMEFRAMES else inputs.calendar.zone
    packed = packed_candles(listed, inputs.orders, inputs.bars, dated["session_date"], zone)
    dated_only = inputs.timeframe in LONG_TIMEFRAMES
    return script_json({**vars(packed), "dates": dated_only})


def script_json(value: object) -> str:
    """JSON that nothing in it can turn into markup."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
