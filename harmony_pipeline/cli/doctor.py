"""`harmony doctor`: is this machine, this lake and this state folder fit to run, and if not, what
to mend.
"""

import importlib.metadata
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date

import polars as pl
from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable

from harmony_pipeline.cli.argument_checks import date_of
from harmony_pipeline.cli.invocation import as_typed, command_line
from harmony_pipeline.config import ENVIRONMENT_VARIABLES, Settings, described
from harmony_pipeline.error_messages import is_failure, sentence, without_secrets
from harmony_pipeline.errors import ConfigError
from harmony_pipeline.lake.sql import named_query, query
from harmony_pipeline.market.gap_kinds import KINDS as GAP_KINDS
from harmony_pipeline.risk.strategy_terms import SIZING_KEYS
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.market import latest_period_with_bars
from harmony_pipeline.stages.market_warnings import market_warnings
from harmony_pipeline.text import clock_time

_GIB = 2**30
_WORST_SYMBOLS, _RUNS_SHOWN, _STRANGERS_SHOWN = 5, 3, 10


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at; `cure` is empty when it is well."""

    what: str
    found: str
    cure: str = ""


def examine(settings: Settings) -> bool:
    """Print every finding; True when nothing needs mending."""
    findings = list(_findings(settings))
    table = RichTable("", "what", "found", "what to do")
    for finding in findings:
        mark = "[red]x[/red]" if finding.cure else "[green]ok[/green]"
        table.add_row(
            mark, *(escape(as_typed(text)) for text in (finding.what, finding.found, finding.cure))
        )
    Console().print(table)
    return not any(finding.cure for finding in findings)


def _findings(settings: Settings) -> Iterator[Finding]:
    yield _python()
    yield from (_package(name) for name in ("dagster", "polars", "duckdb", "lightgbm", "numba"))
    yield _attempt(
        "LightGBM loads",
        _load_lightgbm,
        "install the OpenMP runtime of your system (Debian: libgomp1)",
    )
    yield _attempt("settings", lambda: str(settings.file), "")
    yield _folder("state folder", settings.state_root.as_posix())
    pipeline = PipelineContext(settings)
    lake = _place(pipeline)
    yield lake
    yield _attempt("source", lambda: _source(pipeline), "see [market] in the settings file")
    opened = _attempt("views over the lake", lambda: f"{len(pipeline.lake.tables)} tables", "")
    if not opened.cure:
        yield from _lake(pipeline)
    elif not lake.cure:
        yield opened


def _source(pipeline: PipelineContext) -> str:
    """Its name, and what a source over a network found when it looked at itself."""
    found = f": {pipeline.source.self_check()}" if pipeline.source.capabilities.self_check else ""
    return f"{pipeline.settings.market.source} ({pipeline.source.name}){found}"


def _place(pipeline: PipelineContext) -> Finding:
    """The lake's folder or object store: whether it is there and takes what is written."""
    root = pipeline.settings.lake_root
    if isinstance(root, str):
        return _attempt(
            "lake",
            lambda: f"{pipeline.lake.root} (object store, answers)",
            "see [lake] in the settings file and the AWS_* variables",
        )
    return _folder("lake", root.as_posix())


def _python() -> Finding:
    version = ".".join(str(part) for part in sys.version_info[:3])
    fit = (3, 11) <= sys.version_info[:2] < (3, 14)
    return Finding(
        "Python",
        version,
        "" if fit else "use Python 3.11, 3.12 or 3.13: make clean; make PYTHON=python3.12 setup",
    )


def _package(name: str) -> Finding:
    try:
        return Finding(name, importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return Finding(name, "missing", "make setup")


def _load_lightgbm() -> str:
    from harmony_pipeline.models.openmp import lightgbm

    lightgbm()
    return f"yes ({importlib.metadata.version('lightgbm')})"


def _attempt(what: str, look: Callable[[], str], cure: str) -> Finding:
    try:
        return Finding(what, look())
    except BaseException as error:
        if not is_failure(error):
            raise
        return Finding(what, sentence(error), cure or "mend what the message names")


def _folder(name: str, path: str) -> Finding:
    key = f"paths.{name.split(maxsplit=1)[0]}"
    probe = path
    while not os.path.lexists(probe) and os.path.dirname(probe) != probe:
        probe = os.path.dirname(probe)
    if not os.path.isdir(probe):
        return Finding(
            name, f"{probe} is no folder", f"move it away, or set {key} to another place"
        )
    if not os.access(probe, os.W_OK):
        return Finding(name, f"{path} cannot be written", f"make {probe} writable, or set {key}")
    free = shutil.disk_usage(probe).free / _GIB
    return Finding(
        name, f"{path} ({free:.0f} GiB free)", "" if free > 1 else "free some disk space"
    )


def _lake(pipeline: PipelineContext) -> Iterator[Finding]:
    tables = [name for name in pipeline.lake.tables if pipeline.lake.partitions(name)]
    yield Finding(
        "tables with rows",
        f"{len(tables)} of {len(pipeline.lake.tables)}",
        "" if tables else "make some: harmony run",
    )
    yield from _foreign_files(pipeline)
    if latest_period_with_bars(pipeline) is None:
        yield Finding(
            "bars",
            "none",
            "bring some: harmony ingest says what was received and why none of it is a bar",
        )
        return
    yield from _gaps(pipeline)
    yield from _verdicts(pipeline)
    for rule, rows, *_rest, example in query(
        pipeline.lake, named_query("quarantine_by_rule")
    ).iter_rows():
        yield Finding(f"quarantine: {rule}", f"{rows} rows, e.g. {example}")
    serious = market_warnings(pipeline)
    yield from (Finding(f"warning: {one.rule}", one.text, one.cure) for one in serious)
    for rule, rows, *_rest, example in query(
        pipeline.lake, named_query("warnings_by_rule")
    ).iter_rows():
        if rule not in [one.rule for one in serious]:
            yield Finding(f"odd, and kept: {rule}", f"{rows} bars, e.g. {example}")


def _foreign_files(pipeline: PipelineContext) -> Iterator[Finding]:
    """Files in the lake's folders that are no part of a table."""
    from harmony_pipeline.lake.foreign_files import foreign_files

    found = foreign_files(pipeline.lake)
    for one in found[:_STRANGERS_SHOWN]:
        yield Finding(
            "a file that is not the lake's", pipeline.lake.store.address(one.name), one.what
        )
    if len(found) > _STRANGERS_SHOWN:
        more = len(found) - _STRANGERS_SHOWN
        yield Finding("files that are not the lake's", f"{more} more", "move them out of the lake")


def _verdicts(pipeline: PipelineContext) -> Iterator[Finding]:
    """Partitions that failed a blocking check and have not passed since."""
    for row in pipeline.lake.read("verdicts").iter_rows(named=True):
        what = f"{row['asset']} {row['period']} failed {row['check_name']}"
        if row["waived_at"] is not None:
            yield Finding(
                what,
                f"{row['finding']}; waived on {row['waived_at']:%Y-%m-%d}: {row['waived_why']}",
            )
        else:
            cure = (
                f"repair and ingest again, or: harmony doctor --waive {row['check_name']}"
                f" --partition {row['period']} --why TEXT"
            )
            yield Finding(what, f"{row['offending_rows']} rows, e.g. {row['finding']}", cure)


def _gaps(pipeline: PipelineContext) -> Iterator[Finding]:
    """Absent regular bars in all, then the symbols that miss most, each with its longest runs."""
    by_symbol = query(pipeline.lake, named_query("gaps_by_symbol"))
    sums = {name: int(by_symbol[name].sum()) for name in ("expected", *GAP_KINDS)}
    kinds = ", ".join(f"{kind} {sums[kind]}" for kind in GAP_KINDS)
    absent = sum(sums[kind] for kind in GAP_KINDS)
    yield Finding(
        "regular bars absent by the calendar",
        f"{absent} of {sums['expected']}"
        + (
            f" ({kinds}); fetch again what is not no_trade: harmony doctor --repair"
            if absent
            else ""
        ),
    )
    suspect = (
        pipeline.lake.scan("gaps")
        .filter(pl.col("kind").is_in(["missing", "halt"]))
        .collect(engine="in-memory")
    )
    for row in (
        by_symbol.filter(pl.col("missing") + pl.col("halt") > 0)
        .head(_WORST_SYMBOLS)
        .iter_rows(named=True)
    ):
        runs = (
            suspect.filter(pl.col("symbol") == row["symbol"])
            .sort("bars", "first_missing", descending=[True, False])
            .head(_RUNS_SHOWN)
        )
        shown = "; ".join(
            f"{clock_time(first)} to {clock_time(last)[11:]} ({bars} bars, {kind})"
            for first, last, bars, kind in runs.select(
                "first_missing", "last_missing", "bars", "kind"
            ).iter_rows()
        )
        yield Finding(
            f"gaps: {row['symbol']}",
            f"{row['missing']} missing, {row['halt']} in halts of {row['expected']}; longest:"
            f" {shown}",
        )


def mend(settings: Settings, first: str | None, last: str | None) -> None:
    """Fetch absent bars of sessions first..last again and print what came of it. Raises ConfigError
    for what is no date.
    """
    from harmony_pipeline.cli.progress import Progress
    from harmony_pipeline.run_lock import run_lock
    from harmony_pipeline.stages.repair import repair

    begin, end = _date("--from", first), _date("--to", last)
    if begin is not None and end is not None and begin > end:
        raise ConfigError(f"--from {begin} is after --to {end}: swap them")
    with run_lock(settings, "doctor --repair"), Progress() as progress:
        done = repair(PipelineContext(settings, progress), begin, end)
    for told in done.sentences():
        Console().print(as_typed(told), soft_wrap=True, highlight=False, markup=False)
    if done.periods:
        Console().print(
            f"next: {command_line('backfill')} research --from {done.periods[0]} --to"
            f" {done.periods[-1]}",
            style="cyan",
            soft_wrap=True,
        )


def _date(option: str, text: str | None) -> date | None:
    return None if text is None else date_of(option, text)


def _shown(value: object) -> str:
    """A value on the terminal: without secrets, and with brackets that are no markup."""
    return escape(without_secrets(str(value)))


def _beside_all(part: str, key: str) -> str:
    """What becomes of the setting that all strategies share."""
    if part == "bracket":
        return f"in place of labels.{key}"
    return f"{'in place of' if key in SIZING_KEYS else 'beside'} risk.{key}"


def print_settings(settings: Settings) -> None:
    """Every setting, its value and what it means; then the variables of the environment."""
    table = RichTable("setting", "value", "meaning")
    for key, value, meaning in described(settings):
        if key not in ("strategies", "portfolios"):
            table.add_row(key, _shown(value), escape(meaning))
    for name, strategy in settings.strategies.items():
        table.add_row(
            f"strategies.{name}",
            strategy.use,
            _shown(
                f"parameters {strategy.parameters}, exits"
                f" {strategy.exits}{'' if strategy.enabled else ', off'}"
            ),
        )
        for part, own in (("bracket", strategy.bracket), ("risk", strategy.risk)):
            for key, value in own.model_dump(exclude_none=True).items():
                table.add_row(
                    f"strategies.{name}.{part}.{key}",
                    _shown(value),
                    f"of this strategy alone, {_beside_all(part, key)}",
                )
    for name, account in settings.portfolios.items():
        table.add_row(
            f"portfolios.{name}",
            ", ".join(account.strategies),
            _shown(f"{account.allocation}{'' if account.enabled else ', off'}"),
        )
    Console(width=180).print(table)
    variables = RichTable("environment variable", "value", "meaning")
    for name, meaning in ENVIRONMENT_VARIABLES.items():
        variables.add_row(name, _shown(os.environ.get(name, "")), escape(meaning))
    variables.add_row(
        "HARMONY__SECTION__KEY",
        "",
        "any setting above: HARMONY__MARKET__TIMEFRAME=1Hour is market.timeframe; it wins over the"
        " file",
    )
    Console(width=180).print(variables)
