"""Variables of this process's environment that are changed for a while."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


@contextmanager
def variables_restored(names: Iterable[str]) -> Iterator[None]:
    """Whatever happens to these variables inside the block is undone at its end."""
    before = {name: os.environ.get(name) for name in names}
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
