"""Interactive pages hold what was put in, need nothing but themselves, and escape what is data."""

import base64
import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from backtest.random_markets import CALENDAR, TIMEFRAME, random_market, rules, run
from hypothesis import given
from hypothesis import strategies as st
from reports.test_pages import read, words_of

from harmony_pipeline.analytics import BacktestTables, analyse
from harmony_pipeline.analytics.benchmark import buy_and_hold
from harmony_pipeline.market.instruments import Instruments
from harmony_pipeline.reports.interactive.candles import packed_candles
from harmony_pipeline.reports.interactive.comparison import comparison_page
from harmony_pipeline.reports.interactive.figure_style import rows_shown
from harmony_pipeline.reports.interactive.sheet import InteractiveSheet, interactive_sheet
from harmony_pipeline.schemas import EQUITY, FILLS, ORDERS, TRADES

EVIL = '</script><script>alert("x")</script>&'
CASH = 100_000.0
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def sheet_of(market, name="crossover", **chosen) -> InteractiveSheet:
    result = run(market, rules(**chosen))
    bars = market.bars.sort("symbol", "timestamp")
    tables = BacktestTables(name, CASH, result.equity, result.trades, result.orders, result.fills)
    found = analyse(
        tables, CALENDAR, TIMEFRAME, bars, benchmark=buy_and_hold(bars, CALENDAR, TIMEFRAME)
    )
    return InteractiveSheet(
        found, result.row.row(0, named=True), result.equity, result.trades, result.orders, bars,
        Instruments.of([]), CALENDAR, TIMEFRAME, (("tear sheet", f"{name}.html"),),
    )  # fmt: skip


@pytest.fixture(scope="module")
def sheet():
    return sheet_of(random_market(3, days=30))


@pytest.fixture(scope="module")
def page(sheet):
    return interactive_sheet(sheet)


def figures_of(page: str) -> dict[str, dict]:
    pattern = r'<script type="application/json" class="figure" data-place="([\w-]+)">(.*?)</script>'
    return {name: json.loads(text) for name, text in re.findall(pattern, page)}


def data_of(page: str, name: str) -> dict:
    pattern = rf'<script type="application/json" id="{name}">(.*?)</script>'
    return json.loads(re.search(pattern, page).group(1))


def numbers(packed) -> list[float]:
    """An array as plotly packs it."""
    return np.frombuffer(base64.b64decode(packed["bdata"]), packed["dtype"]).tolist()


def test_a_page_needs_nothing_but_itself(page):
    reader = read(page)
    assert set(reader.sources) == {"data:,", "crossover.html"}
    assert not reader.tags & {"iframe", "img"}
    assert page.count("plotly.js v") == 1
    assert not re.findall(r"<(?:script|link)[^>]+(?:src|href)=\"(?!data:)", page)


def test_every_figure_has_its_place_and_holds_the_numbers(sheet, page):
    found = figures_of(page)
    assert set(found) == {"equity", "months", "rolling", "days", "causes", "by-symbol", "by-trade"}
    for name in found:
        assert f'<div id="{name}" class="chart"></div>' in page
    assert numbers(found["equity"]["data"][0]["y"]) == sheet.equity["equity"].to_list()
    assert numbers(found["days"]["data"][0]["x"]) == sheet.found.daily["return"].to_list()
    waterfall = found["causes"]["data"][0]
    assert waterfall["y"][-1] == pytest.approx(sheet.equity["equity"][-1] - CASH)
    assert sum(waterfall["y"][:-1]) == pytest.approx(waterfall["y"][-1], abs=0.05)


def test_the_page_says_what_the_analysis_says(sheet, page):
    said = words_of(page)
    assert f"{sheet.found.figures['total_return']:+.1%}" in said
    assert f"{sheet.found.figures['omega']:.2f}" in said
    assert said.count("Information ratio") == 1
    listed = data_of(page, "trades")
    latest = sheet.trades.sort("entry_timestamp", "trade_id", descending=True)
    assert listed["symbol"] == latest["symbol"].to_list()
    assert listed["pnl"] == pytest.approx(latest["pnl"].round(2).to_list())
    assert listed["return"] == pytest.approx(latest["return"].to_list(), abs=1e-6)
    closed = latest["pnl"].is_not_null().to_list()
    parts = [listed[name] for name in ("pnl", "signal", "timing", "cost")]
    assert all(
        abs(pnl - sum(rest)) < 0.03 or latest["symbol"][at] in moved_by_actions(sheet)
        for at, (pnl, *rest) in enumerate(zip(*parts, strict=True))
        if closed[at]
    )


def moved_by_actions(sheet) -> set[str]:
    """Symbols whose prices were split or paid a dividend."""
    factors = sheet.bars.group_by("symbol").agg(pl.col("adjustment_factor").n_unique())
    return set(factors.filter(pl.col("adjustment_factor") > 1)["symbol"])


def test_the_same_input_gives_the_same_page(sheet, page):
    assert interactive_sheet(sheet) == page


def test_what_comes_from_data_cannot_become_markup(sheet):
    trades = sheet.trades.with_columns(symbol=pl.lit(EVIL), exit_reason=pl.lit(EVIL))
    found = replace(
        sheet.found,
        strategy=EVIL,
        trades=sheet.found.trades.with_columns(symbol=pl.lit(EVIL), exit_reason=pl.lit(EVIL)),
        by_symbol=sheet.found.by_symbol.with_columns(symbol=pl.lit(EVIL)),
    )
    bars = (
        sheet.bars.with_columns(symbol=pl.lit(EVIL))
        .unique("timestamp", keep="first")
        .sort("timestamp")
    )
    text = interactive_sheet(replace(sheet, found=found, trades=trades, bars=bars))
    assert EVIL not in text
    assert "alert(" in text
    read(text)
    assert figures_of(text)["by-symbol"]["data"][0]["x"][0] == EVIL
    assert EVIL not in comparison_page({EVIL: found})


def test_each_trade_lies_on_its_own_bars(sheet, page):
    packed = data_of(page, "candles")
    trades = sheet.trades.sort("entry_timestamp", "trade_id", descending=True)
    levels = sheet.orders.drop_nulls("parent_id")
    assert len(packed["places"]) == trades.height
    zone = CALENDAR.zone
    for place, trade in zip(packed["places"], trades.iter_rows(named=True), strict=True):
        first, last, entry, leave, stop, take, late = place
        mine = sheet.bars.filter(pl.col("symbol") == trade["symbol"])
        moments = mine["timestamp"].dt.convert_time_zone(zone).dt.replace_time_zone(None)
        bars = packed["bars"][trade["symbol"]]
        walls = [
            (EPOCH + timedelta(seconds=one)).replace(tzinfo=None)
            for one in np.cumsum(bars["time"]).tolist()
        ]
        start = moments.to_list().index(walls[first])
        shown = mine[start : start + last + 1 - first]
        assert walls[first : last + 1] == moments[start : start + last + 1 - first].to_list()
        for name in ("open", "high", "low", "close"):
            assert bars[name][first : last + 1] == shown[name].to_list()
        assert shown["timestamp"][entry - first] == trade["entry_timestamp"]
        if leave is not None:
            assert shown["timestamp"][leave - first] == trade["exit_timestamp"]
        legs = levels.filter(pl.col("parent_id") == f"{trade['trade_id']}-entry")
        assert stop in (None, *legs["stop_price"])
        assert take in (None, *legs["limit_price"])
        assert late == 0
    assert any(place[4] is not None for place in packed["places"])


def test_of_entries_at_closes_the_levels_begin_a_bar_later():
    late = sheet_of(random_market(3, days=5), labels={"entry": "close"})
    places = data_of(interactive_sheet(late), "candles")["places"]
    assert {place[6] for place in places if place[4] is not None} == {1}


def test_every_entry_and_exit_lies_on_its_day(sheet, page):
    trades = sheet.trades.sort("entry_timestamp", "trade_id", descending=True)
    for symbol, days in data_of(page, "candles")["days"].items():
        mine = sheet.bars.filter(pl.col("symbol") == symbol)
        by_day = mine.group_by(pl.col("timestamp").dt.date()).agg(
            pl.col("high").max(), pl.col("low").min()
        )
        assert dict(
            zip(days["date"], zip(days["high"], days["low"], strict=True), strict=True)
        ) == {f"{day:%Y-%m-%d}": (high, low) for day, high, low in by_day.iter_rows()}
        for number, entry, leave in zip(
            days["trades"], days["entries"], days["exits"], strict=True
        ):
            trade = trades.row(number, named=True)
            assert days["date"][entry] == f"{trade['entry_timestamp']:%Y-%m-%d}"
            out = trade["exit_timestamp"]
            assert leave is None if out is None else days["date"][leave] == f"{out:%Y-%m-%d}"


def test_of_many_trades_the_best_the_worst_and_the_latest_have_candles(sheet):
    many = pl.concat(
        [
            sheet.trades.with_columns(
                pl.col("trade_id") + f"-{copy}", pl.col("return") * (copy + 1)
            )
            for copy in range(8)
        ]
    ).sort("entry_timestamp", "trade_id", descending=True)
    assert many.height > 300
    dates = CALENDAR.with_session(sheet.bars.select("timestamp"), TIMEFRAME)["session_date"]
    packed = packed_candles(many, sheet.orders, sheet.bars, dates, CALENDAR.zone)
    drawn = [at for at, place in enumerate(packed.places) if place is not None]
    assert 100 <= len(drawn) <= 300
    by_return = many.with_row_index("at").drop_nulls("return").sort("return", "trade_id")["at"]
    assert {0, int(by_return[0]), int(by_return[-1])} <= set(drawn)


def test_a_run_without_a_trade_and_one_without_a_bar_have_pages():
    market = random_market(3)
    idle = sheet_of(replace(market, signals=market.signals.clear()))
    assert "trade-list" not in re.sub(
        r"<script>.*?</script>", "", interactive_sheet(idle), flags=re.DOTALL
    )
    tables = BacktestTables(
        "none", CASH, EQUITY.empty(), TRADES.empty(), ORDERS.empty(), FILLS.empty()
    )
    nothing = replace(
        idle,
        found=analyse(tables, CALENDAR, TIMEFRAME, market.bars.clear()),
        equity=EQUITY.empty(),
        bars=market.bars.clear(),
    )
    assert "nothing to show" in words_of(interactive_sheet(nothing))
    assert "Strategies compared" in words_of(comparison_page({"none": nothing.found}))


def test_a_comparison_shows_every_strategy_in_its_place(sheet):
    other = sheet_of(random_market(3, days=30), "reversion", exits="signal")
    analyses = {"crossover": sheet.found, "reversion": other.found}
    text = comparison_page(analyses, {"crossover": "crossover-interactive.html"})
    reader, found = read(text), figures_of(text)
    assert set(reader.sources) == {"data:,", "crossover-interactive.html"}
    assert set(found) == {"growth", "periods", "rolling", "risk", "correlation", "causes"}
    matrix = found["correlation"]["data"][0]["z"]
    both = np.corrcoef(sheet.found.daily["return"], other.found.daily["return"])
    assert np.array(matrix) == pytest.approx(both)
    said = words_of(text)
    for one in analyses.values():
        assert f"{one.figures['sharpe']:.2f}" in said
        assert f"{one.figures['profit_factor']:.2f}" in said
    assert comparison_page(analyses) == comparison_page(analyses)


def test_a_comparison_of_nothing_is_refused():
    with pytest.raises(ValueError, match="needs a strategy"):
        comparison_page({})


@given(values=st.lists(st.floats(-1e6, 1e6), max_size=400), most=st.integers(6, 60))
def test_a_thinned_curve_keeps_its_extremes_and_its_end(values, most):
    column = pl.Series(values, dtype=pl.Float64)
    kept = rows_shown(column, most)
    assert kept.to_list() == sorted(set(kept.to_list()))
    assert len(kept) <= max(most, 3)
    if values:
        shown = column[kept]
        assert (shown.min(), shown.max()) == (column.min(), column.max())
        assert kept[-1] == len(values) - 1
