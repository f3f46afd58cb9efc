"""Markets of a few bars, read from files: what every stage must be able to say something about."""

from datetime import UTC, date, datetime, timedelta
from math import sin
from pathlib import Path

from harmony_pipeline.config import load_settings
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.stages.context import PipelineContext

START = date(2024, 1, 2)


def daily_rows(count: int, calendar: str = "XNYS", first: date = START) -> list[str]:
    """`count` sound daily bars on sessions of a calendar."""
    days = Calendar.of(calendar).sessions(first, first + timedelta(days=2 * count + 30))[:count]
    return [_row(day.isoformat(), place) for place, day in enumerate(days)]


def hourly_rows(count: int) -> list[str]:
    """`count` bars, an hour each, around the clock."""
    begin = datetime(START.year, START.month, START.day, tzinfo=UTC)
    return [
        _row(f"{begin + timedelta(hours=place):%Y-%m-%dT%H:%M:%SZ}", place)
        for place in range(count)
    ]


def _row(stamp: str, place: int) -> str:
    middle = 80.0 + 6.0 * sin(place / 3.0) + 0.05 * place
    return f"{stamp},{middle:.2f},{middle + 1.1:.2f},{middle - 1.2:.2f},{middle + 0.4:.2f},{1_000_000 + 1000 * place}"


def short_market(
    folder: Path,
    rows: list[str],
    *,
    symbol: str = "LIVE",
    calendar: str = "XNYS",
    timeframe: str = "1Day",
    trading: str = "year",
    retraining: str = "year",
    start: date = START,
    end: date = date(2024, 7, 1),
    more: str = "",
) -> PipelineContext:
    """A pipeline context over one file of `rows`; `more` is further TOML."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{symbol}.csv").write_text(
        "\n".join(["timestamp,open,high,low,close,volume", *rows]) + "\n"
    )
    (folder / "harmony.toml").write_text(f"""
[paths]
lake = "lake"
state = "state"
[market]
source = "files"
calendar = "{calendar}"
timeframe = "{timeframe}"
start = {start}
end = {end}
benchmark = "{symbol}"
[market.files]
paths = ["{symbol}.csv"]
[market.partitions]
trading_period = "{trading}"
retraining_period = "{retraining}"
[monte_carlo]
paths = 50
[overfitting]
bootstrap_reps = 50
{more}
""")
    return PipelineContext(load_settings(folder / "harmony.toml", {}))
