"""What must hold of every input, and how it is tried: through the stages of `harmony ingest`, over
a lake of its own.

- An input is read, or refused by a HarmonyError whose line is short, printable and names a file or
  a setting. Nothing else is raised, warned of or printed.
- Every row of every file is a bar, in quarantine, merged, or outside the range; and the number of
  rows is that which a simple count finds.
- Every view can be read. The same files again change nothing. The sound files afterwards give the
  bars that they give alone.
- Memory stays below a factor of the files' size.
"""

import re
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import polars as pl

from harmony_pipeline.config import load_settings
from harmony_pipeline.error_messages import is_failure
from harmony_pipeline.errors import HarmonyError
from harmony_pipeline.lake import sql
from harmony_pipeline.project_paths import SQL_FOLDER, make_graph_importable
from harmony_pipeline.stages import ticks
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.result import StageResult
from harmony_pipeline.testing.fuzzing.memory import forget_peak, memory_limit, peak_above
from harmony_pipeline.testing.fuzzing.rows import countable_rows
from harmony_pipeline.testing.fuzzing.sample import Sample
from harmony_pipeline.text import CONTROL

Answer = TypeVar("Answer")
READ, REFUSED = "read", "refused"
_LONGEST = 1500  # characters of a refusal
_VIEWS = (
    "raw_bars", "bars", "quarantine", "quality_warnings", "daily_summary", "corporate_actions",
    "universe", "listings", "instruments", "gaps",
    "file_accounts", "bar_state", "tick_counts", "quote_ticks", "trade_ticks",
)  # fmt: skip
_CHECKS = (
    "accounting_closes",
    "files_are_accounted_for",
    "bars_are_unique",
    "quote_accounting_closes",
    "trade_accounting_closes",
)


@dataclass
class Outcome:
    """The outcome of one input. `faults` has the properties that did not hold."""

    kind: str = READ
    message: str = ""
    rows: int = 0
    bars: int = 0
    peak: int = 0
    faults: list[str] = field(default_factory=list)

    def fault(self, text: str) -> None:
        """Add a property that did not hold."""
        self.faults.append(text)


class Broken(Exception):
    """An input that ended neither in success nor in a refusal."""


def judge(sample: Sample, sound: Sample, folder: Path, *, whole: bool) -> Outcome:
    """Try one input in an empty folder: through every stage when `whole`, else by reading alone."""
    outcome = Outcome()
    before = forget_peak()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            # files of a lake are closed with the frame that reads them
            warnings.simplefilter("ignore", ResourceWarning)
            (_through_the_lake if whole else _by_reading)(sample, sound, folder, outcome)
    except Broken as error:
        outcome.fault(str(error))
    outcome.peak = peak_above(before)
    if outcome.peak > memory_limit(sample):
        outcome.fault(
            f"memory: {outcome.peak >> 20} MB over {memory_limit(sample) >> 20} MB allowed for"
            f" {sample.size:,} bytes"
        )
    return outcome


# --- reading alone --------------------------------------------------------------------------------


def _by_reading(sample: Sample, _sound: Sample, folder: Path, outcome: Outcome) -> None:
    settings = sample.write(folder)

    def read() -> tuple[list[pl.DataFrame], list[Any]]:
        pipeline = PipelineContext(load_settings(settings, {}))
        source = pipeline.source
        periods = pipeline.trading_periods()
        span = periods[0].start, periods[-1].end
        if sample.ticks:
            answers = [source.read_quotes(None, *span), source.read_trades(None, *span)]
        else:
            answers = [source.read_bars(None, *span, pipeline.timeframe)]
        return [answer.rows for answer in answers], [
            account for answer in answers for account in answer.accounts
        ]

    answer = _try(read, sample, outcome)
    if answer is None:
        return
    frames, accounts = answer
    outcome.rows = sum(frame.height for frame in frames)
    inside = sum(each.inside for each in accounts)
    if inside != outcome.rows:
        outcome.fault(f"account: the files count {inside} rows and {outcome.rows} were given")
    _check_counts(sample, {each.origin: each.rows for each in accounts}, outcome)


def _try(act: Callable[[], Answer], sample: Sample, outcome: Outcome) -> Answer | None:
    """The result, or None if the input was refused."""
    answer, refusal = attempt(act)
    if refusal is not None:
        outcome.kind, outcome.message = REFUSED, refusal
        for text in wrong_message(refusal, sample):
            outcome.fault(text)
    return answer


def _check_counts(sample: Sample, results: dict[str, int], outcome: Outcome) -> None:
    """Compare the rows that the source counts with a simple count."""
    if outcome.kind == REFUSED:
        return
    for name, rows in countable_rows(sample).items():
        mine = [count for origin, count in results.items() if origin.rpartition("/")[2] == name]
        if mine and sum(mine) != rows:
            outcome.fault(f"rows: {name} has {rows} rows and {sum(mine)} were read")


# --- the whole way --------------------------------------------------------------------------------


def _through_the_lake(sample: Sample, sound: Sample, folder: Path, outcome: Outcome) -> None:
    settings = sample.write(folder)
    results = _try(lambda: run_ingest(settings, sample), sample, outcome)
    if results is not None:
        outcome.rows, outcome.bars = (
            _count_received(results),
            (results["bars"].rows["bars"] if "bars" in results else 0),
        )
        _check_accounts(settings, sample, results, outcome)
    _check_repetition(settings, sample, outcome)
    _check_correction(sample, sound, folder, outcome)


def run_ingest(settings: Path, sample: Sample) -> dict[str, StageResult]:
    """Run every stage of an ingest over the files beside a settings file."""
    pipeline = PipelineContext(load_settings(settings, {}))
    if sample.ticks:
        days = [sample.day] if sample.day else []
        return {
            "quotes": ticks.quote_ticks(pipeline, days),
            "trades": ticks.trade_ticks(pipeline, days),
        }
    make_graph_importable()
    from assets.chain import run_stages
    from assets.groups import INGEST

    return run_stages(pipeline, INGEST)


def _count_received(results: dict[str, StageResult]) -> int:
    names = {"raw_bars": "rows received", "quotes": "received", "trades": "received"}
    return sum(
        int(str(results[stage].facts[fact])) for stage, fact in names.items() if stage in results
    )


def _check_accounts(
    settings: Path, sample: Sample, results: dict[str, StageResult], outcome: Outcome
) -> None:
    """Check that every row is accounted for and that the views can be read."""
    pipeline = PipelineContext(load_settings(settings, {}))

    def count_view_rows() -> dict[str, int]:
        with sql.connect(pipeline.lake, names=_VIEWS) as connection:  # the checks read no other
            offending = {
                check: _rows_of(connection, (SQL_FOLDER / "checks" / f"{check}.sql").read_text())
                for check in _CHECKS
            }
            for view in _VIEWS:
                connection.execute(f"select * from {view} limit 3").fetchall()
        return {check: rows for check, rows in offending.items() if rows}

    offending, refusal = attempt(count_view_rows)
    if refusal is not None or offending:
        outcome.fault(f"account: {refusal or ', '.join(offending or {})}")
    if sample.ticks:
        return
    facts: dict[str, Any] = dict(results["raw_bars"].facts)
    if (
        facts["rows received"]
        != facts["new rows"] + facts["rows given twice"] + facts["rows known before"]
    ):
        outcome.fault(f"account: {facts}")
    accounts = (
        pipeline.lake.read("file_accounts")
        .group_by("origin")
        .agg(pl.col("rows").max(), pl.col("received").sum())
    )
    outside = facts["rows outside the range"]
    if (
        outside is None
        or accounts["rows"].sum() != accounts["received"].sum() + outside
        or accounts["received"].sum() != facts["rows received"]
    ):
        outcome.fault(
            f"account: files hold {accounts['rows'].sum()}, received {facts['rows received']},"
            f" outside {outside}"
        )
    for note in results["raw_bars"].notes:
        if "please report" in note:
            outcome.fault(f"account: {note}")
    _check_counts(sample, dict(accounts.select("origin", "rows").iter_rows()), outcome)


def _rows_of(connection: Any, text: str) -> int:
    return len(connection.execute(text).fetchall())


def _check_repetition(settings: Path, sample: Sample, outcome: Outcome) -> None:
    """Check that a second ingest of the same files gives the same refusal, or changes nothing."""
    pipeline = PipelineContext(load_settings(settings, {})) if outcome.kind == READ else None
    before = (
        {}
        if pipeline is None
        else {
            name: pipeline.lake.content_hashes(name)
            for name in ("raw_bars", "bars", "quarantine", "quote_ticks", "trade_ticks")
        }
    )
    _, refusal = attempt(lambda: run_ingest(settings, sample))
    if refusal != (outcome.message or None):
        outcome.fault(f"again: '{refusal}' after '{outcome.message}'")
    elif pipeline is not None:
        for name, hashes in before.items():
            if PipelineContext(load_settings(settings, {})).lake.content_hashes(name) != hashes:
                outcome.fault(f"again: the same files changed {name}")


def _check_correction(sample: Sample, sound: Sample, folder: Path, outcome: Outcome) -> None:
    """Check that the sound files in place of the mutated ones give the same result as alone."""
    (folder / "alone").mkdir()
    alone, first = attempt(lambda: _lake_rows(sound.write(folder / "alone"), sound))
    after, second = attempt(lambda: _lake_rows(sound.write(folder, later=10.0), sound))
    if first is None and second is not None:
        outcome.fault(f"poisoned: the sound files are refused afterwards: {second}")
    elif alone is not None and after is not None:
        for name, rows in alone.items():
            if not rows.equals(after[name]):
                outcome.fault(
                    f"poisoned: {name} has {after[name].height} rows after the correction,"
                    f" {rows.height} alone"
                )


def _lake_rows(settings: Path, sample: Sample) -> dict[str, pl.DataFrame]:
    """The rows of an ingest, without the time and place of learning."""
    run_ingest(settings, sample)
    lake = PipelineContext(load_settings(settings, {})).lake
    names = ("quote_ticks", "trade_ticks") if sample.ticks else ("bars",)
    found = {}
    for name in names:
        rows = lake.read(name)
        found[name] = rows.drop("ingested_at", "origin", "row", strict=False).sort(
            "symbol", "timestamp", maintain_order=True
        )
    return found


# --- refusals -------------------------------------------------------------------------------------


def attempt(act: Callable[[], Answer]) -> tuple[Answer | None, str | None]:
    """(answer, None), or (None, the line of a refusal). Raises Broken for anything else that went
    wrong.
    """
    try:
        return act(), None
    except HarmonyError as error:
        return None, str(error)
    except BaseException as error:
        if not is_failure(error):
            raise
        raise Broken(
            f"crash: {_where(error)}\n{''.join(traceback.format_exception(error))}"
        ) from None


def _where(error: BaseException) -> str:
    """The kind of an error and the last place in Harmony's code that raised it."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [
        frame
        for frame in frames
        if "harmony_pipeline" in frame.filename and "fuzzing" not in frame.filename
    ] or frames
    first = re.sub(r"\d+", "N", (str(error).splitlines() or [""])[0])[:120]
    return f"{type(error).__name__} in {Path(own[-1].filename).name} {own[-1].name}: {first}"


def wrong_message(text: str, sample: Sample) -> list[str]:
    """What is wrong with the line of a refusal."""
    found = []
    if len(text) > _LONGEST or text.count("\n") > 3:
        found.append(
            f"message: {len(text)} characters, {text.count(chr(10)) + 1} lines: {text[:200]}"
        )
    if re.search(CONTROL, text.replace("\n", "")):
        found.append(f"message: control characters in {text[:200]!r}")
    names = [Path(name).stem.split(".")[0][:16] for name in sample.files]
    ascii_names = [re.sub(r"[^\x20-\x7e].*", "", name) for name in names]
    if (
        not any(name and name in text for name in ascii_names)
        and "market" not in text
        and all(ascii_names)
    ):
        found.append(f"message: names no file and no setting: {text[:300]}")
    return found
