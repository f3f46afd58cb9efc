"""One question three ways: the ten largest premarket gaps of every morning of the year, under the
scanner's own filters.

Price at least 2, a gap of at least half a percent, a thousand shares, an earlier close; known by
09:25. The scanner answers from `daily_summary`, and so does SQL; the third is DuckDB on the minute
bars. All give date, rank, symbol and gap, equal bit for bit.
"""

from datetime import date

import duckdb
import polars as pl

from harmony_pipeline.lake import sql
from harmony_pipeline.lake.lake import Lake
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.scanner.registry import build_scanner
from harmony_pipeline.scanner.settings import ScannerSettings
from harmony_pipeline.stages.context import PipelineContext

# From one row a symbol and day (date, symbol, close, premarket_volume, premarket_last) to the
# selections.
_SELECT = """
, measured as (
    select *, last_value(close ignore nulls) over (partition by symbol order by date rows between unbounded preceding and 1 preceding) as previous_close
    from days
), candidates as (
    select date, symbol, abs(premarket_last / previous_close - 1) as score
    from measured
    where premarket_last >= 2 and premarket_volume >= 1000 and previous_close is not null
)
select date, row_number() over (partition by date order by score desc, symbol) as rank, symbol, score
from candidates
where score >= 0.005
qualify rank <= 10
order by date, rank
"""
_FROM_SUMMARY = (
    "with days as (select date, symbol, close, premarket_volume, premarket_last from"
    f" daily_summary) {_SELECT}"
)
# Sessions of this year do not cross midnight UTC before they close, so DuckDB is spared time zones.
_FROM_MINUTES = f"""
with days as (
    select b.timestamp::date as date, symbol,
        arg_max(close, b.timestamp) filter (session = 'regular') as close,
        sum(volume) filter (session = 'pre' and b.timestamp < scan_time) as premarket_volume,
        arg_max(close, b.timestamp) filter (session = 'pre' and b.timestamp < scan_time) as premarket_last
    from read_parquet(?) b join clock on clock.date = b.timestamp::date
    where session in ('pre', 'regular')
    group by all
) {_SELECT}
"""


def by_scanner(pipeline: PipelineContext) -> pl.DataFrame:
    """The library's scan of every session at once."""
    lake = pipeline.lake
    summary, actions, universe = (
        lake.read("daily_summary"),
        lake.read("corporate_actions"),
        lake.read("universe"),
    )
    days = summary["date"].unique().sort().to_list()
    scanner = build_scanner(ScannerSettings())
    found = scanner.scan(summary, universe, actions, days, pipeline.calendar).selections
    return found.select("date", "rank", "symbol", "score")


def by_daily_summary(lake: Lake) -> pl.DataFrame:
    """SQL on the view, the connection included, as `harmony sql` does it."""
    return sql.query(lake, _FROM_SUMMARY)


def by_minute_bars(lake: Lake, calendar: Calendar) -> pl.DataFrame:
    """SQL on the Parquet files of `bars`; nothing is ordered that need not be."""
    schedule = calendar.schedule(date(2024, 1, 1), date(2025, 1, 1))
    wall = (
        pl.col("date")
        .dt.combine(pl.time(9, 25))
        .dt.replace_time_zone(calendar.zone)
        .dt.convert_time_zone("UTC")
    )
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        connection.register("clock", schedule.select("date", scan_time=wall).to_arrow())
        files = [str(lake.path("bars", key)) for key in lake.partitions("bars")]
        return connection.sql(_FROM_MINUTES, params=[files]).pl()
