"""The library for scripts and notebooks: open a lake, read a table, backtest a strategy, show a
report.

Nothing heavy is imported before it is used, so that `import harmony_pipeline` stays cheap. A
backtest made here runs the code of `harmony backtest`, writes no table of results, and counts as a
trial: whoever tries many configurations must say so (docs/gate.md). One by `backtest_quotes` counts
as none.

>>> import harmony_pipeline as h
>>> lake = h.open_lake("harmony.toml")
>>> lake.read("bars", symbols=["AAPL"])
>>> lake.sql("select symbol, count(*) from bars group by symbol")
>>> lake.backtest("rsi_momentum", window=7).figures["sharpe"]
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from datetime import date, datetime

    import polars as pl

    from harmony_pipeline.analytics import Analysis
    from harmony_pipeline.backtest.quote_driver import QuoteBacktest
    from harmony_pipeline.backtest.simulator import BacktestResult
    from harmony_pipeline.config import Settings
    from harmony_pipeline.execution.matching_engine import EngineSettings
    from harmony_pipeline.stages.context import PipelineContext

_FILE = "harmony.toml"
_SHOWN = (
    "total_return", "annual_return", "annual_volatility", "sharpe", "sortino", "max_drawdown",
    "trades", "win_rate", "profit_factor", "expectancy", "turnover", "alpha", "beta",
)  # fmt: skip


def settings(file: str | Path | None = None, **changes: Any) -> Settings:
    """The settings of a file, or the defaults; `changes` are its tables with the keys to change.

    Relative paths count from the folder of the file, else from the working directory. Raises
    ConfigError as the command does.

    >>> h.settings(market={"start": "2024-01-02", "simulated": {"symbols": 6}})
    """
    from pydantic import ValidationError

    from harmony_pipeline.config import NOT_IN_FILES, Settings, load_settings
    from harmony_pipeline.errors import ConfigError
    from harmony_pipeline.settings_errors import Origin, error_line

    base = Settings() if file is None else load_settings(file)
    values = _changed(base.model_dump(exclude_unset=True), changes)
    try:
        return Settings.model_validate({**values, "file": base.file, "as_of": base.as_of})
    except ValidationError as error:
        raise ConfigError(error_line(error, Origin(Settings, NOT_IN_FILES))) from None


def open_lake(
    where: str | Path | Settings | None = None, *, as_of: datetime | None = None
) -> OpenLake:
    """The lake of a settings file, of a folder that holds `harmony.toml`, of a lake's own folder
    (with the default settings), or of settings; by default the one that the command would take.

    as_of: an instant with a zone; every table as it was known then. Raises ConfigError for a place
    that is none of these.
    """
    from harmony_pipeline.config import Settings, load_settings
    from harmony_pipeline.errors import ConfigError
    from harmony_pipeline.schemas import TABLES
    from harmony_pipeline.stages.context import PipelineContext

    # sums of float columns are the same at each run; who set another engine keeps it
    os.environ.setdefault("POLARS_ENGINE_AFFINITY", "in-memory")
    if isinstance(where, Settings):
        chosen = where if as_of is None else where.model_copy(update={"as_of": as_of})
        return OpenLake(PipelineContext(chosen))
    place = None if where is None else Path(where)
    if place is not None and place.is_dir():
        if (place / _FILE).exists():
            place = place / _FILE
        elif any((place / table).is_dir() for table in TABLES):
            root = place.resolve()
            paths = {"lake": str(root), "state": str(root.parent / f"{root.name}-state")}
            return open_lake(settings(paths=paths), as_of=as_of)
        else:
            raise ConfigError(f"{place} holds neither {_FILE} nor a table of a lake")
    return OpenLake(PipelineContext(load_settings(place, as_of=as_of)))


def show(page: str | Path) -> None:
    """Open a page in the browser of this machine."""
    import webbrowser

    webbrowser.open(Path(page).resolve().as_uri())


@dataclass(frozen=True, repr=False)
class OpenLake:
    """A lake with the settings of its market. `open_lake` makes one."""

    pipeline: PipelineContext

    def __repr__(self) -> str:
        return f"OpenLake({str(self.pipeline.settings.lake_root)!r})"

    @property
    def settings(self) -> Settings:
        """Everything that can be chosen."""
        return self.pipeline.settings

    @property
    def strategies(self) -> list[str]:
        """Names of the active strategies."""
        return list(self.settings.active_strategies)

    @property
    def tables(self) -> list[str]:
        """Names of the tables that have rows in some partition."""
        lake = self.pipeline.lake
        return [name for name in lake.tables if lake.partitions(name)]

    def read(
        self,
        table: str,
        symbols: str | list[str] | None = None,
        start: date | datetime | None = None,
        end: date | datetime | None = None,
    ) -> pl.DataFrame:
        """The rows of a table, of some symbols, with `start <= timestamp < end`; dates are midnight
        UTC. Of bars and what stands beside each bar only the partitions that can hold such rows
        are read. Raises ConfigError for a table, or a column to choose by, that is not there,
        DataError for a file that cannot be read.
        """
        import polars as pl

        from harmony_pipeline.errors import ConfigError
        from harmony_pipeline.lake.bar_reader import is_cut_by_time, overlapping_keys
        from harmony_pipeline.suggestions import unknown_name

        lake = self.pipeline.lake
        if table not in lake.tables:
            raise ConfigError(unknown_name("table", table, lake.tables))
        schema = lake.tables[table]
        for column, wanted in (("symbol", symbols), ("timestamp", start), ("timestamp", end)):
            if wanted is not None and column not in schema.columns:
                raise ConfigError(f"table {table} has no column {column} to choose rows by")
        names = [symbols] if isinstance(symbols, str) else symbols
        first = None if start is None else _instant(start)
        after = None if end is None else _instant(end)
        keys = lake.partitions(table)
        if is_cut_by_time(schema):
            keys = overlapping_keys(keys, first, after)
        rows = lake.scan(table, keys)
        if names is not None:
            rows = rows.filter(pl.col("symbol").is_in(names))
        if first is not None:
            rows = rows.filter(pl.col("timestamp") >= first)
        if after is not None:
            rows = rows.filter(pl.col("timestamp") < after)
        with lake.reading(table, keys):
            return rows.collect(engine="in-memory")

    def sql(self, query: str, **variables: object) -> pl.DataFrame:
        """The rows of a query over the views of all tables; `variables` are read by
        getvariable('name').
        """
        from harmony_pipeline.lake import sql

        return sql.query(self.pipeline.lake, query, variables=variables)

    def prepare(self, *, models: bool = False) -> OpenLake:
        """Make what a backtest reads, as `harmony run` does, where it is missing or out of date:
        bars, features, regimes and signals; with `models` also the walk-forward models and their
        predictions. Returns itself.
        """
        from harmony_pipeline.run_lock import run_lock
        from harmony_pipeline.stages.preparation import prepare

        with run_lock(self.settings, "prepare"):
            prepare(self.pipeline, models_too=models)
        return self

    def backtest(
        self,
        strategy: str | type,
        /,
        *,
        exits: Literal["signal", "barriers"] | None = None,
        horizon_bars: int | None = None,
        bracket: Mapping[str, Any] | None = None,
        risk: Mapping[str, Any] | None = None,
        **parameters: Any,
    ) -> Backtest:
        """Run a strategy over the lake, with costs, limits and execution of the settings.

        strategy: the name of an active one or of a portfolio, or a class of your own with
        `required_features` and either `signals` or `on_bar`. parameters: those that differ from the
        settings, or those of the class. exits, horizon_bars, bracket and risk: as in
        `[strategies.NAME]`, `bracket={"stop_loss": 2.0}`; keys that are left out are those of the
        settings, and None takes one out. Raises ConfigError for a name, parameter
        or value that is none or a limit that is looser than the account's, and NotReady while the
        lake lacks what it reads.
        """
        from harmony_pipeline.stages.preparation import backtested_now

        pipeline, name, result = backtested_now(
            self.pipeline, strategy, parameters, exits=exits, horizon_bars=horizon_bars,
            bracket=bracket, risk=risk,
        )  # fmt: skip
        return Backtest(name, result, pipeline)

    def tick_columns(
        self,
        symbols: str | list[str] | None = None,
        start: date | datetime | None = None,
        end: date | datetime | None = None,
        *,
        kyle_bars: int = 20,
        at_same_time: bool = False,
    ) -> pl.DataFrame:
        """Spread, imbalances of quotes and trades, and Kyle's lambda of every bar, from the quotes
        and trades within it, which `harmony ticks` brings; arguments as in `read`, columns as in
        `features/tick_columns.py`. Raises NotReady while the lake has neither of these bars.
        """
        from harmony_pipeline.features.tick_columns import tick_columns

        bars, quotes, trades = (
            self.read(table, symbols, start, end)
            for table in ("bars", "quote_ticks", "trade_ticks")
        )
        return tick_columns(
            bars.sort("symbol", "timestamp"),
            quotes,
            trades,
            self.pipeline.calendar,
            self.pipeline.timeframe,
            kyle_bars=kyle_bars,
            at_same_time=at_same_time,
        )

    def backtest_quotes(
        self,
        strategy: str | type,
        /,
        *,
        symbols: str | list[str] | None = None,
        start: date | datetime | None = None,
        end: date | datetime | None = None,
        venue: EngineSettings | None = None,
        **parameters: Any,
    ) -> QuoteBacktest:
        """Run a machine on quotes over the lake's quotes and trades, which `harmony ticks` brings.

        strategy: a name of `[strategies]`, or a class with `on_quote`, such as the shipped
        MarketMaker. symbols, start, end: as in `read`. venue: latency and what else the exchange
        does (`execution.matching_engine.EngineSettings`). parameters: those that differ from the
        settings or the class. Costs, limits and cash are those of the settings. Raises ConfigError
        for what is no such machine, and NotReady while the lake has no quotes.
        """
        from harmony_pipeline.stages.quote_backtests import quote_backtest

        return quote_backtest(
            self.pipeline,
            strategy,
            parameters,
            symbols=[symbols] if isinstance(symbols, str) else symbols,
            start=None if start is None else _instant(start),
            end=None if end is None else _instant(end),
            venue=venue,
        )

    def compare(self, *backtests: str | type | Backtest) -> Comparison:
        """Backtests beside each other: of strategies, or such as are already made; by default of
        all active strategies and portfolios that the lake has what they read.
        """
        from harmony_pipeline.stages.backtest_readiness import nothing_to_trade

        chosen = backtests or [
            name
            for name in self.settings.backtest_names
            if not nothing_to_trade(self.pipeline, name)
        ]
        made = [one if isinstance(one, Backtest) else self.backtest(one) for one in chosen]
        return Comparison({_label(one, made): one for one in made})


@dataclass(frozen=True, repr=False)
class Backtest:
    """A backtest in memory: its tables, its figures and its page."""

    strategy: str
    result: BacktestResult
    pipeline: PipelineContext = field(repr=False)

    def __repr__(self) -> str:
        return f"Backtest({self.strategy!r}, {self.parameters!r})"

    def _repr_html_(self) -> str:
        return Comparison({self.strategy: self})._repr_html_()

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters that it ran with."""
        import json

        return dict(json.loads(self.result.row["parameters"][0]))

    @property
    def orders(self) -> pl.DataFrame:
        """Every order, refused ones with the reason."""
        return self.result.orders

    @property
    def fills(self) -> pl.DataFrame:
        """Every execution."""
        return self.result.fills

    @property
    def trades(self) -> pl.DataFrame:
        """Round trips; open ones have a null exit."""
        return self.result.trades

    @property
    def equity(self) -> pl.DataFrame:
        """The portfolio at each bar's close."""
        return self.result.equity

    @property
    def notes(self) -> list[str]:
        """What is to be said of it: that nothing was traded, and why; prices that are old."""
        return self.result.notes

    @cached_property
    def analysis(self) -> Analysis:
        """Every figure and table of it (docs/analytics.md), beside the market of equal weights."""
        from harmony_pipeline.stages.interactive_reports import analysed, tables_of_result

        run = tables_of_result(self.strategy, self.result)
        return analysed(self.pipeline, run, self._bars)

    @property
    def figures(self) -> dict[str, float | None]:
        """Every figure by name; None where it cannot be measured."""
        return self.analysis.figures

    def report(self, path: str | Path) -> Path:
        """Write its interactive page, which needs no network; returns the path."""
        from harmony_pipeline.reports.page import write_page
        from harmony_pipeline.stages.interactive_reports import (
            interactive_page_of,
            tables_of_result,
        )

        page = interactive_page_of(
            self.pipeline,
            tables_of_result(self.strategy, self.result),
            self.result.row.row(0, named=True),
            self._bars,
            found=self.analysis,
        )
        return write_page(Path(path), page)

    @cached_property
    def _bars(self) -> pl.DataFrame:
        from harmony_pipeline.stages.backtest_runs import regular_bars

        return regular_bars(self.pipeline)


@dataclass(frozen=True, repr=False)
class Comparison:
    """Backtests beside each other."""

    backtests: Mapping[str, Backtest]

    def __repr__(self) -> str:
        return f"Comparison({', '.join(self.backtests)})"

    def _repr_html_(self) -> str:
        """A table for notebooks."""
        from html import escape

        from harmony_pipeline.analytics.definitions import BY_NAME
        from harmony_pipeline.reports.interactive.document import figure_text

        head = "".join(f"<th>{escape(name)}</th>" for name in self.backtests)
        rows = "".join(
            f"<tr><td>{escape(BY_NAME[name].heading)}</td>"
            + "".join(
                f"<td>{figure_text(BY_NAME[name], one.figures[name])}</td>"
                for one in self.backtests.values()
            )
            + "</tr>"
            for name in _SHOWN
        )
        return f"<table><thead><tr><th></th>{head}</tr></thead><tbody>{rows}</tbody></table>"

    @property
    def figures(self) -> pl.DataFrame:
        """One row a figure, one column a backtest."""
        import polars as pl

        from harmony_pipeline.analytics import DEFINITIONS

        return pl.DataFrame(
            {
                "figure": [one.name for one in DEFINITIONS],
                **{
                    name: pl.Series(
                        [one.figures[each.name] for each in DEFINITIONS], dtype=pl.Float64
                    )
                    for name, one in self.backtests.items()
                },
            }
        )

    def report(self, path: str | Path) -> Path:
        """Write the comparison as one interactive page; returns the path."""
        from harmony_pipeline.reports.interactive.comparison import comparison_page
        from harmony_pipeline.reports.page import write_page

        found = {name: one.analysis for name, one in self.backtests.items()}
        return write_page(Path(path), comparison_page(found))


def _changed(values: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`values` with `changes` put in, table by table."""
    merged = dict(values)
    for key, change in changes.items():
        before = merged.get(key)
        both = isinstance(before, dict) and isinstance(change, Mapping)
        merged[key] = _changed(before or {}, change) if both else change
    return merged


def _instant(moment: object) -> datetime:
    """In UTC, which is what a column of UTC can be compared with. Raises ConfigError for what is
    neither.
    """
    from datetime import UTC, date, datetime, time

    from harmony_pipeline.errors import ConfigError

    if isinstance(moment, datetime):
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    if isinstance(moment, date):
        return datetime.combine(moment, time(), UTC)
    raise ConfigError(
        f"start and end are dates or moments, and {moment!r} is none: give date(2024, 3, 4), or"
        " datetime(2024, 3, 4, 14, 30, tzinfo=UTC)"
    )


def _label(one: Backtest, among: list[Backtest]) -> str:
    """The strategy's name; with its parameters where the name does not tell two apart."""
    if sum(other.strategy == one.strategy for other in among) == 1:
        return one.strategy
    return f"{one.strategy} {', '.join(f'{key}={value}' for key, value in one.parameters.items())}"
