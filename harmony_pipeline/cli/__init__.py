"""The `harmony` command and what talks to a terminal. Rules, tables and assets do not belong here.

`app` lists the verbs of `commands/`, `boundary` turns every failure into one line,
`argument_checks` checks what was typed.
"""

from harmony_pipeline.cli.app import app
from harmony_pipeline.cli.boundary import main

__all__ = ["app", "main"]
