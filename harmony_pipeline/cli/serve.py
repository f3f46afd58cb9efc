"""The Dagster UI over one market: this process becomes the server."""

import os

import typer

from assets.instance import open_instance
from harmony_pipeline.cli.program import Program
from harmony_pipeline.config import Settings
from harmony_pipeline.project_paths import WORKSPACE_FILE, let_children_import_graph


def serve(settings: Settings, port: int) -> Program:
    """The server, which this process becomes. Its processes read the same settings file, and none
    where there is none.
    """
    open_instance(settings).dispose()
    let_children_import_graph()
    if settings.file.exists():
        os.environ["HARMONY_CONFIG"] = str(settings.file.resolve())
    else:
        os.environ.pop("HARMONY_CONFIG", None)
    typer.echo(f"Dagster UI: http://127.0.0.1:{port} (some ten seconds to start; Ctrl-C stops it)")
    # without a file, paths count from here
    os.chdir(WORKSPACE_FILE.parent if settings.file.exists() else settings.folder)
    place = ("-h", "127.0.0.1", "-p", str(port))
    return Program("dagster", ("dev", "-w", str(WORKSPACE_FILE), *place))
