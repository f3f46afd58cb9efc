"""Gaps are asked for again in few questions, mended by what comes, and filled only for studies."""

import ast
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from market.raw_rows import utc
from typer.testing import CliRunner

from harmony_pipeline.cli import app
from harmony_pipeline.config import load_settings
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.expected_bars import Slots, find_slots
from harmony_pipeline.market.forward_fill import fill_forward
from harmony_pipeline.market.gap_requests import BLOCK_BARS, repair_requests
from harmony_pipeline.market.gaps import find_gaps
from harmony_pipeline.market.settings import GapSettings
from harmony_pipeline.schemas import BARS, GAPS, TIME
from harmony_pipeline.stages import gaps as stage
from harmony_pipeline.stages import ingest, market
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.repair import repair

NYSE = Calendar.of("XNYS")
MINUTE = timedelta(minutes=1)
SESSIONS = NYSE.sessions(date(2024, 7, 1), date(2024, 7, 13))
LIBRARY = Path(__file__).resolve().parents[2] / "harmony_pipeline"


def found(slots: Slots, masks: dict[str, np.ndarray]) -> pl.DataFrame:
    bars = pl.concat([market_bars(slots, name, mask) for name, mask in sorted(masks.items())])
    lives = pl.DataFrame(
        [(name, date.min, None) for name in masks],
        schema={"symbol": pl.String(), "first": pl.Date(), "end": pl.Date()},
        orient="row",
    )
    return find_gaps(
        [bars.select("symbol", "timestamp", "volume", "trade_count")], slots, lives, GapSettings()
    )


def market_bars(slots: Slots, symbol: str, mask: np.ndarray) -> pl.DataFrame:
    """Bars with a price that tells their place."""
    price = 100.0 + np.flatnonzero(mask)
    frame = pl.DataFrame(
        {
            "timestamp": pl.Series(slots.stamp[mask]).cast(TIME),
            "open": price + 0.1,
            "high": price + 1.0,
            "low": price - 1.0,
            "close": price,
        }
    )
    return BARS.conform(
        frame.with_columns(
            symbol=pl.lit(symbol),
            timeframe=pl.lit(slots.timeframe),
            session=pl.lit("regular"),
            volume=pl.lit(5e4),
            adjustment_factor=2.0 + pl.col("close"),
        )
    )


@st.composite
def absences(draw: st.DrawFn) -> tuple[Slots, dict[str, np.ndarray]]:
    """Minutes of eight sessions with a half-day, of which stretches and single minutes are gone."""
    slots = find_slots(NYSE, "1Min", date(2024, 7, 1), date(2024, 7, 12))
    masks = {}
    for name in ("A", "B", "C"):
        mask = np.ones(len(slots.stamp), np.bool_)
        for _ in range(draw(st.integers(0, 4))):
            start = draw(st.integers(0, len(mask) - 1))
            mask[start : start + draw(st.sampled_from([1, 2, 30, 390, 800]))] = False
        masks[name] = mask
    return slots, masks


@given(absences())
def test_requests_cover_every_absent_bar_and_ask_nobody_without_a_gap(
    case: tuple[Slots, dict[str, np.ndarray]],
) -> None:
    slots, masks = case
    gaps = found(slots, masks)
    requests = repair_requests(gaps, MINUTE, SESSIONS)
    for name, mask in masks.items():
        missing = pl.Series(slots.stamp[~mask]).cast(TIME)
        covered = [request for request in requests if name in (request.symbols or ())]
        assert all(
            any(request.start <= stamp < request.end for request in covered) for stamp in missing
        )
        for request in covered:
            assert missing.is_between(request.start, request.end, closed="left").any()
    assert len(requests) <= gaps.height
    for request in requests:
        own = gaps.filter(
            pl.col("symbol").is_in(list(request.symbols or ())),
            pl.col("last_missing") >= request.start,
            pl.col("first_missing") < request.end,
        )
        assert request.start == own["first_missing"].min()
        assert request.end == own["last_missing"].max() + MINUTE


def runs(*rows: tuple[str, date, object, object, int, int]) -> pl.DataFrame:
    names = ["symbol", "date", "first_missing", "last_missing", "bars", "session_bars"]
    frame = pl.DataFrame(rows, schema=names, orient="row").with_columns(
        timeframe=pl.lit("1Min"), kind=pl.lit("missing"), past_sessions=0, evidence=pl.lit("")
    )
    return GAPS.conform(frame)


def test_whole_sessions_in_a_row_are_one_request_and_so_are_symbols_that_lack_the_same() -> None:
    rows = [
        (name, day, utc(2024, 7, day.day, 13, 30), utc(2024, 7, day.day, 19, 59), 390, 390)
        for name in ("A", "B")
        # the 3rd is there; between the 5th and the 8th lies a weekend
        for day in (date(2024, 7, 1), date(2024, 7, 2), date(2024, 7, 5), date(2024, 7, 8))
    ]
    asked = repair_requests(runs(*rows), MINUTE, SESSIONS)
    assert [(each.symbols, each.start, each.end) for each in asked] == [
        (("A", "B"), utc(2024, 7, 1, 13, 30), utc(2024, 7, 2, 20)),
        (("A", "B"), utc(2024, 7, 5, 13, 30), utc(2024, 7, 8, 20)),
    ]  # fmt: skip


def test_minutes_near_each_other_are_one_request_and_far_ones_are_not() -> None:
    def minute(symbol: str, hour: int, minute: int) -> tuple[object, ...]:
        at = utc(2024, 7, 2, hour, minute)
        return symbol, date(2024, 7, 2), at, at, 1, 390

    asked = repair_requests(
        runs(minute("A", 14, 1), minute("A", 14, 40), minute("A", 18, 0), minute("B", 14, 59)),
        MINUTE,
        SESSIONS,
    )
    assert [(each.symbols, each.start, each.end) for each in asked] == [
        (("A", "B"), utc(2024, 7, 2, 14, 1), utc(2024, 7, 2, 15)),
        (("A",), utc(2024, 7, 2, 18), utc(2024, 7, 2, 18, 1)),
    ]  # fmt: skip
    assert BLOCK_BARS == 60
    assert repair_requests(GAPS.empty(), MINUTE, SESSIONS) == []


# --- a folder of files that lost rows and gets them back ------------------------------------------

_TOML = """
[paths]
lake = "lake"
state = "state"
[market]
source = "files"
timeframe = "15Min"
start = 2024-02-01
end = 2024-04-01
[market.files]
paths = ["bars"]
"""


def files_of(folder: Path, without: frozenset[object] = frozenset()) -> None:
    """Bars of two symbols over two months, except at the instants `without` for AAA."""
    (folder / "bars").mkdir(exist_ok=True)
    slots = find_slots(NYSE, "15Min", date(2024, 2, 1), date(2024, 4, 1))
    for symbol in ("AAA", "BBB"):
        bars = market_bars(slots, symbol, np.ones(len(slots.stamp), np.bool_))
        if symbol == "AAA":
            bars = bars.filter(~pl.col("timestamp").is_in(list(without)))
        bars.select("timestamp", "open", "high", "low", "close", "volume").write_csv(
            folder / "bars" / f"{symbol}.csv"
        )


LOST = frozenset(
    {
        utc(2024, 2, 29, 20, 45),
        utc(2024, 3, 1, 14, 30),
        *(utc(2024, 3, 20, 13, 30) + timedelta(minutes=15 * at) for at in range(26)),
    }
)


@pytest.fixture
def damaged(tmp_path: Path) -> PipelineContext:
    (tmp_path / "harmony.toml").write_text(_TOML)
    files_of(tmp_path, LOST)
    return ingested(tmp_path)


def ingested(folder: Path) -> PipelineContext:
    pipeline = PipelineContext(load_settings(folder / "harmony.toml", {}))
    periods = pipeline.trading_periods()
    market.corporate_actions(pipeline)
    market.universe(pipeline)
    market.listings(pipeline)
    ingest.raw_bars(pipeline, periods)
    market.bars(pipeline, periods)
    market.daily_summary(pipeline, periods)
    stage.gaps(pipeline, periods)
    return pipeline


def test_a_repair_makes_the_lake_that_whole_files_would_have_made(
    damaged: PipelineContext, tmp_path: Path
) -> None:
    files_of(tmp_path)
    done = repair(damaged)
    assert done.mended == done.before["bars"].sum() == len(LOST)
    assert done.after.is_empty()
    assert done.added == len(LOST)
    assert done.periods == ["2024-02", "2024-03"]
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    (fresh / "harmony.toml").write_text(_TOML)
    files_of(fresh)
    whole = ingested(fresh)
    for table in ("bars", "daily_summary", "gaps", "quarantine"):
        assert damaged.lake.read(table).equals(whole.lake.read(table)), table
    assert repair(damaged).sentences() == [
        "nothing to repair: no bar is missing, halted or in doubt"
    ]


def test_what_the_source_does_not_have_either_is_said_and_nothing_is_rebuilt(
    damaged: PipelineContext,
) -> None:
    hashes = damaged.lake.content_hashes("raw_bars")
    done = repair(damaged)
    assert (done.mended, done.added, done.periods) == (0, 0, [])
    assert damaged.lake.content_hashes("raw_bars") == hashes
    assert done.sentences()[-1] == "the source does not have 28 bars of AAA either (3 runs)"


def test_a_repair_of_some_sessions_leaves_the_others_alone(
    damaged: PipelineContext, tmp_path: Path
) -> None:
    files_of(tmp_path)
    done = repair(damaged, date(2024, 3, 1), date(2024, 3, 10))
    assert (done.mended, done.periods) == (1, ["2024-03"])
    left = damaged.lake.read("gaps").select("date", "bars").rows()
    assert left == [(date(2024, 2, 29), 1), (date(2024, 3, 20), 26)]


def test_the_command_repairs_and_refuses_what_is_no_date(
    damaged: PipelineContext, tmp_path: Path
) -> None:
    files_of(tmp_path)
    config = str(tmp_path / "harmony.toml")
    refused = CliRunner().invoke(app, ["--config", config, "doctor", "--repair", "--from", "soon"])
    assert "not a date" in str(refused.exception)
    alone = CliRunner().invoke(app, ["--config", config, "doctor", "--to", "2024-03-01"])
    assert "add --repair" in str(alone.exception)
    shown = CliRunner().invoke(app, ["--config", config, "doctor", "--repair"]).output
    assert "mended 28 of 28 bars" in shown
    assert f"harmony --config {config} backfill research --from 2024-02 --to 2024-03" in "".join(
        shown.splitlines()
    )


# --- filled bars ----------------------------------------------------------------------------------


@given(absences(), st.integers(0, 3000))
def test_filled_bars_repeat_the_last_close_without_volume_and_know_nothing_later(
    case: tuple[Slots, dict[str, np.ndarray]], cut: int
) -> None:
    slots, masks = case
    bars = pl.concat([market_bars(slots, name, mask) for name, mask in masks.items()])
    filled = fill_forward(bars, found(slots, masks), slots, "previous_close")
    for name, mask in masks.items():
        own = filled.filter(pl.col("symbol") == name)
        begun = int(np.argmax(mask)) if mask.any() else len(mask)
        # every slot from the first bar on
        assert own["timestamp"].dt.epoch("us").to_list() == slots.stamp[begun:].tolist()
        assert (~own["filled"].to_numpy()).tolist() == mask[begun:].tolist()
        last = np.maximum.accumulate(np.where(mask, np.arange(len(mask)), -1))[begun:]
        assert own["close"].to_list() == (100.0 + last).tolist()
    made = filled.filter("filled")
    assert made["volume"].sum() == 0.0
    assert made.filter(
        (pl.col("open") != pl.col("close"))
        | (pl.col("high") != pl.col("close"))
        | (pl.col("low") != pl.col("close"))
    ).is_empty()
    moment = pl.Series([slots.stamp[min(cut, len(slots.stamp) - 1)]]).cast(TIME)[0]
    past = pl.col("timestamp") < moment
    other = bars.with_columns(close=pl.when(past).then("close").otherwise(pl.col("close") * 7.0))
    assert (
        fill_forward(other, found(slots, masks), slots, "previous_close")
        .filter(past)
        .equals(filled.filter(past))
    )


def test_nothing_is_filled_unless_it_is_asked_for_and_the_lake_never_holds_it(
    damaged: PipelineContext,
) -> None:
    periods = damaged.trading_periods()
    off = stage.filled_bars(damaged, periods)
    assert off.drop("filled").equals(damaged.lake.read("bars"))
    assert not off["filled"].any()
    chosen = damaged.settings.market.gaps.model_copy(update={"fill": "previous_close"})
    settings = damaged.settings.model_copy(
        update={"market": damaged.settings.market.model_copy(update={"gaps": chosen})}
    )
    on = stage.filled_bars(PipelineContext(settings), periods)
    assert on["filled"].sum() == len(LOST)
    march = stage.filled_bars(PipelineContext(settings), periods[1:])
    # the close before the month is known
    assert march.equals(on.filter(pl.col("timestamp") >= periods[1].start))
    assert "filled" not in damaged.lake.read("bars").columns


def test_nobody_who_trades_can_reach_filled_bars() -> None:
    for room in ("backtest", "session", "execution", "features", "labels", "strategies", "stages"):
        for path in (LIBRARY / room).rglob("*.py"):
            if path == LIBRARY / "stages" / "gaps.py":
                continue
            imported = {
                name.name
                for node in ast.walk(ast.parse(path.read_text()))
                if isinstance(node, ast.Import | ast.ImportFrom)
                for name in node.names
            }
            modules = {
                node.module
                for node in ast.walk(ast.parse(path.read_text()))
                if isinstance(node, ast.ImportFrom)
            }
            assert not imported & {"filled_bars", "fill_forward"}, path
            assert "harmony_pipeline.market.forward_fill" not in modules, path
