"""Pictures that are drawn when somebody looks at them.

Drawing takes most of the time of a small stage, and most pictures are never seen. So a stage hands
out a `Drawing`: the function that draws, and what it draws. Kept, it is one file named by its
content, so that a picture is that of its own run, whatever becomes of the lake; its PNG is made
beside it at the first look.
"""

import hashlib
import pickle
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harmony_pipeline.files import write_bytes
from harmony_pipeline.text import one_line, printable

_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class Drawing:
    """A picture as the function that draws it, importable by name, and what is given to it; `given`
    is asked when the drawing is kept or drawn.
    """

    function: Callable[..., bytes]
    given: Callable[[], tuple[Any, ...]]

    @classmethod
    def of(cls, function: Callable[..., bytes], *arguments: object) -> "Drawing":
        """The drawing by `function` of `arguments`."""
        return cls(function, lambda: arguments)

    def __reduce__(self) -> tuple[Any, ...]:
        return (Drawing.of, (self.function, *self.given()))

    def __call__(self) -> bytes:
        """The picture."""
        return self.function(*self.given())


def keep(drawing: Drawing, folder: Path) -> str:
    """Write the drawing to `folder`; returns its id, which is the same for the same content."""
    content = pickle.dumps((drawing.function, drawing.given()), protocol=5)
    name = hashlib.sha256(content).hexdigest()[:32]
    file = _kept(folder, name)
    if not file.exists():
        write_bytes(file, content, durable=False)
    return name


def drawn_file(name: str, folder: Path) -> Path | None:
    """The PNG of a kept drawing, drawn now where nobody looked before; None for a name that was not
    kept. What cannot be drawn any more is a picture that says why, and is tried again next time.
    """
    if not _ID.fullmatch(name) or not _kept(folder, name).is_file():
        return None
    picture = folder / f"{name}.png"
    if picture.is_file():
        return picture
    from harmony_pipeline.reports.style import empty_figure, small_pictures

    with small_pictures():
        try:
            # ours alone: who can write to the state folder can replace models as well
            function, arguments = pickle.loads(_kept(folder, name).read_bytes())  # noqa: S301  # nosec B301
            content: bytes = function(*arguments)
        except Exception as error:
            picture = folder / f"{name}.failed.png"
            content = empty_figure(
                "A picture that cannot be drawn any more",
                printable(one_line(f"{type(error).__name__}: {error}"), 90),
            )
    write_bytes(picture, content, durable=False)
    return picture


def _kept(folder: Path, name: str) -> Path:
    return folder / f"{name}.drawing"
