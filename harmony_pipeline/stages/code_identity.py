"""What the results of this process depend on beside tables and settings: code.

The version of this library stands in every manifest. Added here are the versions of the libraries
under it, and the source of the user's own modules that the settings name.
"""

import importlib.metadata
import importlib.util
import inspect
import sys
from functools import cache
from pathlib import Path

from harmony_pipeline.hashing import hash_of_parts, short_hash

_OWN_PACKAGE = "harmony_pipeline"
_LIBRARIES = (
    "exchange-calendars",
    "lightgbm",
    "numba",
    "numpy",
    "polars",
    "scikit-learn",
    "scipy",
)


@cache
def library_versions() -> str:
    """A hash of the versions of the libraries whose numbers reach the tables."""
    return short_hash("\n".join(map(library_version, _LIBRARIES)), 8)


def library_version(name: str) -> str:
    """`NAME VERSION`, or `NAME missing`; of a library that only some settings need."""
    try:
        return f"{name} {importlib.metadata.version(name)}"
    except importlib.metadata.PackageNotFoundError:
        return f"{name} missing"


def source_of(*import_paths: str | None) -> str:
    """A hash of the source behind import paths like `my_rules:Breakout`, as far as it is the user's
    own.

    A module counts with all modules of its package, or of its folder when it has no package: a
    strategy may import its neighbours. Of what a script or notebook defines itself the definition
    counts. Empty for what this library brings itself.
    """
    files = sorted({file for path in import_paths if path for file in _files_behind(path)})
    contents = [part for file in files for part in (file.name, file.read_bytes())]
    contents += sorted(_definition(path) for path in import_paths if path and _in_main(path))
    return hash_of_parts(contents, 8) if contents else ""


def _in_main(import_path: str) -> bool:
    return import_path.partition(":")[0] == "__main__"


def _definition(import_path: str) -> str:
    """The lines that define a class of the script or notebook that runs; empty where they cannot
    be found.
    """
    found: object = sys.modules["__main__"]
    for name in import_path.partition(":")[2].split("."):
        found = getattr(found, name, None)
    try:
        return inspect.getsource(found)  # type: ignore[arg-type]
    except (OSError, TypeError):
        return ""


def _files_behind(import_path: str) -> list[Path]:
    module = import_path.partition(":")[0]
    root = module.partition(".")[0]
    if (":" not in import_path and "." not in import_path) or root in (_OWN_PACKAGE, "builtins"):
        return []
    try:
        found = (
            sys.modules[root].__spec__ if root in sys.modules else importlib.util.find_spec(root)
        )
    except (ImportError, ValueError):
        return []
    if found is None:
        return []
    if found.submodule_search_locations:
        folders = [Path(folder) for folder in found.submodule_search_locations]
        return sorted(file for folder in folders for file in folder.rglob("*.py"))
    return sorted(Path(found.origin).parent.glob("*.py")) if found.origin else []
