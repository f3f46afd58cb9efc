"""How the user called the command, so that the commands in messages can be typed as they stand.

Messages of the library name a command as `harmony scan --date 2024-06-28`. Whatever shows a message
passes it through `as_typed`, which adds `--config FILE` and `--as-of MOMENT` where the user gave
them.
"""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

VERBS = (
    "run", "ingest", "ticks", "backfill", "scan", "backtest", "trade", "replay", "models",
    "sql", "exchange", "demo", "monitor", "alerts", "ledger", "lineage", "report", "ui",
    "service", "doctor", "init", "new",
)  # fmt: skip
_PRESENT_ONLY = {"run", "ingest", "ticks", "trade", "init"}  # these refuse --as-of
_ADVICE = re.compile(rf"(?<![\w/.-])harmony (?=({'|'.join(VERBS)})\b)")


@dataclass
class _Invocation:
    config: str | None = None
    as_of: str | None = None
    state: Path | None = None


_invocation = _Invocation()


def remember_options(config: str | None, as_of: str | None) -> None:
    """Keep the options in front of the verb, as they were typed; None where one was not given."""
    _invocation.config, _invocation.as_of, _invocation.state = config, as_of, None


def remember_state(folder: Path) -> None:
    """Keep the state folder of the settings that were read: the log of failures lies there."""
    _invocation.state = folder


def state_folder() -> Path | None:
    """The state folder; None before the settings were read."""
    return _invocation.state


def command_line(verb: str = "") -> str:
    """`harmony` with the user's options, then `verb`."""
    words = ["harmony"]
    if _invocation.config is not None and verb != "init":
        words += ["--config", shlex.quote(_invocation.config)]
    if _invocation.as_of is not None and verb not in _PRESENT_ONLY:
        words += ["--as-of", shlex.quote(_invocation.as_of)]
    return " ".join([*words, verb]).strip()


def as_typed(text: str) -> str:
    """`text` with the user's options in every command that it names."""
    return _ADVICE.sub(lambda found: command_line(found[1]).removesuffix(found[1]), text)
