"""The Dagster UI over one market: this process becomes the server."""

import os
import sys

import typer

from assets.instance import open_instance
from harmony_pipeline.config import Settings
from harmony_pipeline.project_paths import WORKSPACE_FILE, let_children_import_graph


def serve(settings: Settings, port: int) -> None:
    """Serve until it is stopped. Processes of the server read the same settings file, and none
    where there is none.
    """
    open_instance(settings)
    let_children_import_graph()
    if settings.file.exists():
        os.environ["HARMONY_CONFIG"] = str(settings.file.resolve())
    else:
        os.environ.pop("HARMONY_CONFIG", None)
    typer.echo(f"Dagster UI: http://127.0.0.1:{port} (some ten seconds to start; Ctrl-C stops it)")
    sys.stdout.flush()
    # without a file, paths count from here
    os.chdir(WORKSPACE_FILE.parent if settings.file.exists() else settings.folder)
    server = ["-m", "dagster", "dev", "-w", str(WORKSPACE_FILE), "-h", "127.0.0.1", "-p", str(port)]
    os.execv(sys.executable, [sys.executable, *server])
