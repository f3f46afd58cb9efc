"""What an indicator is: a kind of column, with its kernel, formula, source, warm-up and unit.

The indicators are in `kinds/`, a file a subject, and all together in `indicators.py`.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from harmony_pipeline.features.kernel_inputs import sums_state_size

_ARITHMETIC = re.compile(r"(max|[A-Z]|\d|[-+*/ (),])+")
Kernel = Callable[..., None]
"""`(bars, state, parameters, values)`, with a row of values for each column that it reads between
`bars` and `state`."""


@dataclass(frozen=True)
class Indicator:
    """One kind of column.

    `kernel` is `module:function` in this package, or the compiled function itself (an indicator of
    the user). `state_size` gives the length of its state for its parameters, `reads` the names of
    the columns whose values it needs on the same bar. `warm_up` is the number of bars of a symbol
    with which it is first known, as arithmetic of the parameters, or words where it depends on the
    bars. Raise `version` when the values or the state change.
    """

    kind: str
    parameters: tuple[str, ...]
    kernel: str | Kernel
    state_size: Callable[..., int]
    note: str
    source: str = ""
    warm_up: str = ""
    unit: str = ""
    reads: Callable[..., tuple[str, ...]] = lambda *_: ()
    smallest: int = 2
    version: int = 1
    across: bool = False
    """Whether it compares the symbols of one moment: its kernel is one of `cross_section.py`."""
    given: bool = False
    """Whether no kernel computes it: its values come with the bars (`news_columns.py`)."""

    @property
    def pattern(self) -> str:
        """The form of its column names: `rsi_N`."""
        return "_".join((self.kind, *self.parameters))

    @property
    def stays_known(self) -> bool:
        """Whether it is known on every bar from its warm-up on. An indicator of the user, or one
        that waits for a trade or a session, may be forgotten again.
        """
        return _ARITHMETIC.fullmatch(self.warm_up) is not None


N, FS, FSG, MN = ("N",), ("F", "S"), ("F", "S", "G"), ("M", "N")


def numbers(count: int) -> Callable[..., int]:
    """A state of `count` numbers for any parameters."""
    return lambda *_: count


def two_sums(length: int) -> int:
    """A state of two windows of N, of sums or of maxima."""
    return sums_state_size(length, length)
