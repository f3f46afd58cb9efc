"""Where the parts beside the library are: `sql/`, `workspace.yaml`, and the packages `assets` and
`resources`.

In the repository they are its top-level folders. An installed package carries them in
`harmony_pipeline/bundled`, so that nothing of ours lies beside everybody's packages. The command
line calls `make_graph_importable` before it imports `assets`, and `let_children_import_graph`
before it starts Dagster.
"""

import os
import sys
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_BUNDLED = _PACKAGE / "bundled"
HOUSE = _BUNDLED if _BUNDLED.is_dir() else _PACKAGE.parent
SQL_FOLDER = HOUSE / "sql"
WORKSPACE_FILE = HOUSE / "workspace.yaml"
"""What the Dagster UI loads, unless `HARMONY_WORKSPACE` names another file."""


def workspace_file() -> Path:
    """The workspace file of Dagster's services."""
    return Path(os.environ.get("HARMONY_WORKSPACE") or WORKSPACE_FILE)


def make_graph_importable() -> None:
    """Put the folder of `assets` and `resources` in front of what this process imports; once."""
    if str(HOUSE) not in sys.path:
        sys.path.insert(0, str(HOUSE))


def let_children_import_graph() -> None:
    """The same for processes that are started from now on: Dagster's server and its workers load
    `assets.definitions`.
    """
    os.environ["PYTHONPATH"] = os.pathsep.join(
        filter(None, (str(HOUSE), os.environ.get("PYTHONPATH")))
    )
