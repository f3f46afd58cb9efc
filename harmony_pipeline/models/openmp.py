"""LightGBM without what it imports for others, and its OpenMP runtime, from scikit-learn's wheel
where the system has none.

`import lightgbm` imports scikit-learn and pandas too, for classes and frames that are not used
here. They take 0.9 of its 1.3 seconds of the processor, in each process that fits a model.

`python:3.x-slim` has no libgomp.so.1, and `import lightgbm` fails with an OSError. scikit-learn's
wheel contains the library under another name. A copy with its inner name set to `libgomp.so.1`
satisfies the loader, so no system package is needed.
"""

import builtins
import ctypes
import importlib
import importlib.util
import re
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from harmony_pipeline.files import cache_root, write_bytes

SONAME = b"libgomp.so.1"


_PACKAGE = "harmony_lightgbm"  # the name of our copy of LightGBM's Python modules in sys.modules
_NOT_FOR_US = ("sklearn", "pandas")
_loading = threading.Lock()


def lightgbm() -> Any:
    """LightGBM's `Booster`, `Dataset`, `train` and `cv`, imported on first use.

    They come from its own files, read under a name of ours, in which scikit-learn and pandas count
    as not installed. LightGBM goes without them then, as on a machine that has neither. `import
    lightgbm` stays whole for whoever wants its classes for scikit-learn; its `train` takes no
    `Dataset` of this one.
    """
    with _loading:
        return sys.modules.get(f"{_PACKAGE}.engine") or _load()


def _load() -> ModuleType:
    ensure_openmp()
    found = importlib.util.find_spec("lightgbm")
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError("No module named 'lightgbm'", name="lightgbm")
    package = ModuleType(_PACKAGE)
    package.__path__ = list(found.submodule_search_locations)
    sys.modules[_PACKAGE] = package
    compatibility = importlib.util.find_spec(f"{_PACKAGE}.compat")
    assert compatibility is not None
    assert compatibility.loader is not None
    module = importlib.util.module_from_spec(compatibility)
    # an import statement asks the builtins of its own module
    vars(module)["__builtins__"] = {**vars(builtins), "__import__": _import_without(_NOT_FOR_US)}
    sys.modules[compatibility.name] = module
    compatibility.loader.exec_module(module)
    return importlib.import_module(f"{_PACKAGE}.engine")


def _import_without(packages: tuple[str, ...]) -> Callable[..., Any]:
    """`__import__` that finds none of these packages."""

    def find(name: str, *of: Any, **named: Any) -> Any:
        if name.partition(".")[0] in packages:
            raise ImportError(f"LightGBM is used without {name} here", name=name)
        return builtins.__import__(name, *of, **named)

    return find


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
