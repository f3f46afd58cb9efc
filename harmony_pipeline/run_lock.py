"""One command at a time writes a market: `run.lock` in the state folder and in a lake that is a
folder.

A second one is refused at once, with the process, host, start and command of the first. Commands
that read take no lock.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from harmony_pipeline.config import Settings
from harmony_pipeline.errors import HarmonyError
from harmony_pipeline.locks import file_lock


class AlreadyRunning(HarmonyError):
    """Another process writes this lake or this state folder."""


@contextmanager
def run_lock(settings: Settings, verb: str) -> Iterator[None]:
    """Hold the locks of a market while the command `verb` works. Raises AlreadyRunning, naming who
    has one of them.
    """
    places = [(f"state folder {settings.state_root}", settings.state_root / "run.lock")]
    root = settings.lake_root
    # what a look into the past makes lies in a state folder of its own
    if isinstance(root, Path) and settings.as_of is None:
        places.append((f"lake {root}", root / "_locks" / "run.lock"))
    with ExitStack() as held:
        for place, path in places:
            held.enter_context(file_lock(path, partial(_refusal, place), verb=verb))
        yield


def _refusal(place: str, holder: str) -> AlreadyRunning:
    return AlreadyRunning(f"the {place} is in use by {holder}: wait for it, or stop that process")
