"""Classes and functions by import path: settings name them as `package.module:Name`, shipped and
your own alike.
"""

import importlib.util
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pkgutil import resolve_name
from typing import Any

from harmony_pipeline.errors import ConfigError
from harmony_pipeline.text import printable


def import_object(path: str, setting: str, known: Sequence[str] = ()) -> Any:
    """What `path`, the value of `setting`, names. Raises ConfigError that says what is wrong and
    offers the `known` paths.
    """
    module, _, name = path.partition(":")
    wrong = "is no import path: write package.module:Name"
    try:
        if module and name:
            return resolve_name(path)
    except ModuleNotFoundError as error:
        absent = error.name or module
        inside = not f"{module}.".startswith(f"{absent}.")
        wrong = (
            f"{module} itself imports {absent}, which is not installed"
            if inside
            else f"there is no module {module}"
        )
    except ImportError as error:
        wrong = f"{module} cannot be imported ({error})"
    except AttributeError:
        wrong = f"{module} has no {name}"
    except ValueError:
        pass  # no names between the dots
    raise ConfigError(f"{setting} = '{printable(path)}': {printable(wrong)}{_offer(path, known)}")


@contextmanager
def executed_anew(module: str) -> Iterator[None]:
    """Within the block an imported `module` is a copy of it that was executed just now, so that its
    classes and globals hold nothing of earlier calls. Others keep the one that they have.
    """
    kept = sys.modules[module]
    if kept.__spec__ is None or kept.__spec__.loader is None:  # typed at a prompt
        yield
        return
    copy = importlib.util.module_from_spec(kept.__spec__)
    sys.modules[module] = copy
    try:
        kept.__spec__.loader.exec_module(copy)
        yield
    finally:
        sys.modules[module] = kept


def _offer(path: str, known: Sequence[str]) -> str:
    near = get_close_matches(path, known, n=1, cutoff=0.8)
    if near:
        return f"; did you mean {near[0]}?"
    return f"; known are {', '.join(known)}" if known else ""
