"""The examples whose prices are invented, as tiny markets: their files are read whole, and the
chain ends with trades on a page and equal replays.
"""

import os
import re
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest

from assets.chain import run_stages
from harmony_pipeline.config import load_settings
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.stages import live, scanner
from harmony_pipeline.stages.backtests import latest_backtest
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.trade_pages import trade_page_of
from harmony_pipeline.testing.recompute_backtests import recompute
from harmony_pipeline.testing.vendor_files import MARKETS, bar_starts, generate, simulate_walk

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def tiny(name: str, folder: Path, symbols: list[str], first: date, end: date) -> PipelineContext:
    """The example over a few weeks and symbols, in a folder of its own; its last session has no
    bars, like a holiday that no calendar knows.
    """
    for path in generate(name, folder, first, end - timedelta(days=1)):
        if not any(symbol in path.name for symbol in symbols):
            path.unlink()
    changes = {
        "PATHS__LAKE": f'"{folder}/lake"',
        "PATHS__STATE": f'"{folder}/state"',
        "MARKET__FILES__PATHS": f'["{folder}/{name}"]',
        "MARKET__SYMBOLS": str(symbols).replace("'", '"'),
        "MARKET__START": first.isoformat(),
        "MARKET__END": end.isoformat(),
        "MARKET__PARTITIONS__TRADING_PERIOD": "month",
        "MARKET__PARTITIONS__RETRAINING_PERIOD": "month",
        "MODEL__MINIMUM_TRAIN_ROWS": "60",
        "MODEL__THRESHOLD": "0.0",
        "MONTE_CARLO__PATHS": "50",
        "OVERFITTING__BOOTSTRAP_REPS": "50",
        "STRATEGIES__RSI_MOMENTUM__ENABLED": "false",
        "STRATEGIES__MOVING_AVERAGE_CROSSOVER__ENABLED": "false",
        "SESSION__REPLAY_DAYS": "1",
    }
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("HARMONY")
    }
    return PipelineContext(
        load_settings(
            EXAMPLES / f"{name}.toml",
            environment | {f"HARMONY__{key}": value for key, value in changes.items()},
        )
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "symbols", "first", "end", "decimals", "zone"),
    [
        (
            "nse_half_hours",
            ["ANANTA", "CHANDRA"],
            date(2023, 10, 16),
            date(2023, 12, 16),
            2,
            "Asia/Kolkata",
        ),
        (
            "cme_evening_sessions",
            ["ES1!", "CL1!"],
            date(2023, 11, 6),
            date(2023, 12, 16),
            2,
            "America/Chicago",
        ),
        # Thanksgiving closes early, and the day after it too
        (
            "xauusd_hourly",
            ["XAUUSD"],
            date(2023, 11, 6),
            date(2023, 12, 16),
            2,
            "America/New_York",
        ),
        ("sub_cent_coin", ["SHIB_USDT", "BTC_USDT"], date(2023, 1, 1), date(2023, 2, 6), 8, "UTC"),
    ],
)
def test_the_chain_of_an_invented_market(name, symbols, first, end, decimals, zone, tmp_path):
    pipeline = tiny(name, tmp_path, symbols, first, end)
    run_stages(pipeline)
    bars, expected = (
        pipeline.lake.read("bars"),
        bar_starts(MARKETS[name], first, end - timedelta(days=1)),
    )
    assert pipeline.lake.read("quarantine").is_empty()
    assert bars.group_by("symbol").len().sort("symbol").rows() == [
        (symbol, expected.height) for symbol in sorted(symbols)
    ]
    assert (bars["session"] == "regular").all()
    assert pipeline.lake.read("gaps").height == len(symbols)  # the last session, and no other
    assert pipeline.lake.read("labels").height
    assert pipeline.lake.read("predictions").height
    assert pipeline.lake.read("trades").group_by("backtest_id").len().height == 2
    compared = pipeline.lake.read("divergence")
    assert compared.height
    assert compared["equal"].all()
    assert [one.differences for one in recompute(pipeline)] == [[], []]
    _prices_are_on_the_tick(pipeline, name)
    _a_day_without_bars_has_no_session(pipeline)
    _sessions_of_other_settings_are_not_shown(pipeline)
    book = latest_backtest(pipeline, "meta_labelled")["backtest_id"]
    page = trade_page_of(pipeline, "meta_labelled", book)
    assert f"clock of {zone}" in page
    assert re.search(rf'<td class="number">[\d,]+\.\d{{{decimals}}}</td>', page)


def _prices_are_on_the_tick(pipeline: PipelineContext, name: str) -> None:
    ticks = {
        re.sub(r"^CME_|, 60\.csv$|-1h\.csv$|\.csv$", "", MARKETS[name].file(walk.name)): walk.tick
        for walk in MARKETS[name].walks
    }
    fills = pipeline.lake.read("fills")
    assert fills.height
    for symbol, price in fills.select("symbol", "price").iter_rows():
        assert abs(price / ticks[symbol] - round(price / ticks[symbol])) < 1e-6
    legs = pipeline.lake.read("orders").filter(pl.col("parent_id").is_not_null())
    for symbol, level in (
        legs.select("symbol", level=pl.coalesce("stop_price", "limit_price"))
        .drop_nulls()
        .iter_rows()
    ):
        assert abs(level / ticks[symbol] - round(level / ticks[symbol])) < 1e-6


def _a_day_without_bars_has_no_session(pipeline: PipelineContext) -> None:
    day = pipeline.sessions()[-1]
    scanner.scan(pipeline, [day])
    assert pipeline.lake.read("scan_selections", [day.isoformat()]).height
    made = live.paper_session(pipeline, [day], require_promoted=False, own_process=False)
    assert "the lake has no bar of" in made.nothing
    assert live.divergence(pipeline, [day]).nothing


def _sessions_of_other_settings_are_not_shown(pipeline: PipelineContext) -> None:
    shown = live.replayed_days(pipeline)
    assert shown == sorted(set(pipeline.lake.read("divergence")["date"].to_list()))
    costs = pipeline.settings.costs.model_copy(update={"half_spread_bps": 7.0})
    assert (
        live.replayed_days(PipelineContext(pipeline.settings.model_copy(update={"costs": costs})))
        == []
    )


@pytest.mark.parametrize("name", sorted(MARKETS))
def test_files_are_the_same_for_the_same_seed_and_end_with_their_last_session(name, tmp_path):
    market = MARKETS[name]
    first = market.first
    ends = [first + timedelta(days=8), first + timedelta(days=8)]
    texts = [
        [path.read_bytes() for path in generate(name, tmp_path / str(number), first, end)]
        for number, end in enumerate(ends)
    ]
    assert texts[0] == texts[1]
    assert len(set(texts[0])) == len(market.walks)


@pytest.mark.parametrize("name", sorted(MARKETS))
def test_a_walk_stays_on_its_tick_inside_its_bar_and_above_zero(name):
    market = MARKETS[name]
    starts = bar_starts(market, market.first, market.first + timedelta(days=20))
    for walk in market.walks:
        bars = simulate_walk(walk, starts, 5)
        assert (
            bars["high"] >= pl.Series(bars.select(pl.max_horizontal("open", "close")).to_series())
        ).all()
        assert (
            bars["low"] <= pl.Series(bars.select(pl.min_horizontal("open", "close")).to_series())
        ).all()
        ticks = bars["low"] / walk.tick
        assert ((ticks - ticks.round()).abs() < 1e-5).all()
        assert (bars["low"] >= walk.tick * 0.999).all()
        assert (bars["volume"] > 0.0).all()


def test_bars_begin_where_each_session_begins():
    evening = bar_starts(MARKETS["cme_evening_sessions"], date(2023, 7, 3), date(2023, 7, 7))[
        "timestamp"
    ].dt.convert_time_zone("America/Chicago")
    assert evening[0].isoformat() == "2023-07-02T17:00:00-05:00"
    assert 16 not in evening.dt.hour().to_list()
    # early close at noon
    assert evening.filter(evening.dt.date() == date(2023, 7, 4)).dt.hour().to_list() == [
        *range(12),
        *range(17, 24),
    ]
    mumbai = bar_starts(MARKETS["nse_half_hours"], date(2023, 11, 10), date(2023, 11, 14))[
        "timestamp"
    ].dt.convert_time_zone("Asia/Kolkata")
    assert [stamp.strftime("%d %H:%M") for stamp in mumbai][:2] == ["10 09:15", "10 09:45"]
    # the hour of Diwali
    assert [stamp.strftime("%H:%M") for stamp in mumbai if stamp.day == 12] == ["18:15", "18:45"]
    assert max(stamp.strftime("%H:%M") for stamp in mumbai if stamp.day == 10) == "15:15"
    assert Calendar.of("XBOM").session_close(date(2023, 11, 10)).strftime("%H:%M") == "10:00"
