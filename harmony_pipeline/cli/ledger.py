"""`harmony ledger`: the books held against the events that they follow from, and made again."""

import typer

from harmony_pipeline.config import Settings
from harmony_pipeline.errors import NotReady
from harmony_pipeline.session.ledger import Ledger
from harmony_pipeline.session.ledger_rebuild import books_from_events, differing_rows, rebuild
from harmony_pipeline.session.process_control import is_running
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.session_plans import existing_ledger


def check_books(settings: Settings) -> bool:
    """Print how many rows of each book are not what the events say; whether all are."""
    with Ledger(existing_ledger(PipelineContext(settings))) as ledger:
        counts = differing_rows(ledger, books_from_events(ledger))
        sessions = len(ledger.session_ids())
        typer.echo(f"{ledger.place}: {sessions} sessions")
    _tell(counts, "differ from the events")
    if any(counts.values()):
        typer.echo("write them anew from the events: harmony ledger rebuild")
        return False
    typer.echo("every book follows from the events")
    return True


def rebuild_books(settings: Settings) -> None:
    """Write every book anew from the events, all or nothing. Raises NotReady while a session
    runs.
    """
    place = existing_ledger(PipelineContext(settings))
    if is_running(settings.state_root):
        raise NotReady("a session runs: its books are written anew when it has ended")
    with Ledger(place) as ledger:
        typer.echo(f"{ledger.place}:")
        _tell(rebuild(ledger), "were not what the events say, and are now")


def _tell(counts: dict[str, int], what: str) -> None:
    for book, count in counts.items():
        typer.echo(f"  {book:<10} {count:6d} rows {what}")
