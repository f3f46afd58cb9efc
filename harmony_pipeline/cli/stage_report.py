"""What stages had nothing to make and why, what they left as it was, and the market's warnings."""

from collections.abc import Mapping, Sequence

import typer
from rich.console import Console

from harmony_pipeline.cli.invocation import as_typed, command_line
from harmony_pipeline.cli.scan_report import report_console
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.market_warnings import market_warnings
from harmony_pipeline.stages.result import StageResult

_KEYS_SHOWN = 3
# their empty parts are told even when others had something
_TOLD_BY_PART = ("backtest", "monte_carlo", "paper_session")


def print_stages(results: Mapping[str, StageResult], console: Console | None = None) -> None:
    """One line a reason for which stages had nothing to make, and one for what was left as it
    was.
    """
    console = console or report_console()
    for why, makers in _reasons(results).items():
        console.print(
            as_typed(f"nothing made: {', '.join(makers)}: {why}"), soft_wrap=True, markup=False
        )
    print_unchanged(results, console)


def print_unchanged(results: Mapping[str, StageResult], console: Console | None = None) -> None:
    """One line for all that was left as it was; none where nothing was."""
    unchanged = [
        asset
        for asset, result in results.items()
        if result.unchanged_since is not None and not result.nothing
    ]
    if unchanged:
        (console or report_console()).print(
            f"unchanged since the last run, so not made again: {', '.join(unchanged)}",
            style="dim",
            soft_wrap=True,
            markup=False,
        )


def tell_made(
    results: Mapping[str, StageResult], assets: Sequence[str], keys: Sequence[str], look: str
) -> None:
    """Say which of `assets` were made of which partitions, and with what to look at them. `keys`
    are those that were asked for; what was left as it was is not among them.
    """
    made: dict[tuple[str, ...], list[str]] = {}
    for asset in assets:
        result = results.get(asset, StageResult())
        if result.unchanged_since is None:
            left = {key for key, one in result.parts.items() if one.unchanged_since is not None}
            made.setdefault(tuple(key for key in keys if key not in left), []).append(asset)
    for own, names in made.items():
        typer.echo(f"made {', '.join(names)}{_span(own, keys)}")
    typer.echo(f"look: {command_line()} {look}")


def _span(made: Sequence[str], asked: Sequence[str]) -> str:
    """Which partitions were made, of those that were asked for."""
    if not made:
        return ""
    if len(made) < len(asked):
        ends = made[0] if len(made) == 1 else f"{made[0]} to {made[-1]}"
        return f" for {ends} ({len(made)} of {len(asked)} partitions: the others are unchanged)"
    counted = "1 partition" if len(made) == 1 else f"{len(made)} partitions"
    return f" for {made[0]} to {made[-1]} ({counted}, one run)"


def _reasons(results: Mapping[str, StageResult]) -> dict[str, list[str]]:
    """Each reason with the assets that had nothing to make by it; of some, also single strategies
    and days.
    """
    reasons: dict[str, list[str]] = {}
    for asset, result in results.items():
        if result.nothing and result.nothing not in (
            part.nothing for part in result.parts.values()
        ):
            reasons.setdefault(result.nothing, []).append(asset)
            continue
        by_part: dict[str, list[str]] = {}
        for key, part in result.parts.items():
            if part.nothing and (result.nothing or asset in _TOLD_BY_PART):
                by_part.setdefault(part.nothing, []).append(key)
        for why, keys in by_part.items():
            named = (
                ", ".join(keys)
                if len(keys) <= _KEYS_SHOWN
                else f"{keys[0]} to {keys[-1]} ({len(keys)})"
            )
            reasons.setdefault(why, []).append(
                asset if len(keys) == len(result.parts) else f"{asset} of {named}"
            )
    return reasons


def print_market_warnings(
    pipeline: PipelineContext,
    console: Console | None = None,
    partitions: Sequence[str] | None = None,
) -> None:
    """Warnings about whole series, in words: at the end of an ingest and of a run."""
    for warning in market_warnings(pipeline, partitions):
        (console or report_console()).print(
            as_typed(warning.sentence()), style="yellow", soft_wrap=True, markup=False
        )
