"""The `harmony` command and what talks to a terminal. Rules, tables and assets do not belong here.

`app` holds the verbs, `boundary` turns every failure into one line, `options` checks what was
typed.
"""

from harmony_pipeline.cli.app import app
from harmony_pipeline.cli.boundary import main

__all__ = ["app", "main"]
