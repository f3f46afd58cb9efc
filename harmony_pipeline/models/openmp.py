"""LightGBM, and its OpenMP runtime, from scikit-learn's wheel where the system has none.

`python:3.x-slim` has no libgomp.so.1, and `import lightgbm` fails with an OSError. scikit-learn's
wheel contains the library under another name. A copy with its inner name set to `libgomp.so.1`
satisfies the loader, so no system package is needed.
"""

import ctypes
import importlib.util
import re
from pathlib import Path
from typing import Any

from harmony_pipeline.files import cache_root, write_bytes

SONAME = b"libgomp.so.1"


def lightgbm() -> Any:
    """The LightGBM module, imported on first use, since the import takes more than a second."""
    ensure_openmp()
    import lightgbm as module

    return module


def ensure_openmp() -> str:
    """Make `import lightgbm` possible; return the source of the runtime: `system`, or the path of
    the copy.
    """
    try:
        ctypes.CDLL(SONAME.decode())
    except OSError:
        bundled = _find_bundled_library()
        if bundled is None:
            return "missing"
        copy = _copy_with_soname(bundled)
        ctypes.CDLL(str(copy), mode=ctypes.RTLD_GLOBAL)
        return str(copy)
    return "system"


def _find_bundled_library() -> Path | None:
    """scikit-learn's libgomp, if this platform's wheel has one."""
    found = importlib.util.find_spec("sklearn")
    if found is None or found.origin is None:
        return None
    return next(
        iter(
            sorted((Path(found.origin).parent.parent / "scikit_learn.libs").glob("libgomp-*.so*"))
        ),
        None,
    )


def _copy_with_soname(library: Path) -> Path:
    """A cached copy of `library` with the inner name libgomp.so.1.

    The name in its string table is overwritten, zero-padded.
    """
    target = cache_root("openmp") / f"{library.stem}-as-libgomp.so.1"
    if target.exists():
        return target
    content = library.read_bytes()
    name = library.name.encode()
    places = [match.start() for match in re.finditer(re.escape(name) + rb"\0", content)]
    for place in places:
        content = content[:place] + SONAME.ljust(len(name), b"\0") + content[place + len(name) :]
    write_bytes(target, content)
    return target
