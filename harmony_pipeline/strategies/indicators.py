"""Indicators that a state machine can hold: one value in, one value out, nothing looked up.

All have one interface. `update(value)` returns the indicator after that value, NaN until `warm_up`
values have been given; `ready` says whether that is so. Indicators over bars take a Bar, the others
a number. They follow the definitions of features/catalog.py in the same order of operations, so for
the same prices they are the same numbers.

>>> mean = Mean(3)
>>> print(*(mean.update(price) for price in (1.0, 2.0, 3.0, 4.0)))
nan nan 2.0 3.0
"""

import math
from collections import deque
from collections.abc import Callable
from typing import Protocol, TypeVar

from harmony_pipeline.strategies.events import Bar

Value_contra = TypeVar("Value_contra", contravariant=True)
State = TypeVar("State")


class Indicator(Protocol[Value_contra]):
    """A number that follows a series of values."""

    @property
    def warm_up(self) -> int:
        """Values that it needs before it is known."""
        ...

    @property
    def ready(self) -> bool:
        """Whether it is known."""
        ...

    @property
    def value(self) -> float:
        """What `update` returned last; NaN before it is known."""
        ...

    def update(self, value: Value_contra) -> float:
        """The indicator after one more value; NaN until it is known."""
        ...


class _Counted:
    """Warm-up and last value, which all indicators keep alike."""

    def __init__(self, length: int, warm_up: int, smallest: int = 1) -> None:
        if length < smallest:
            raise ValueError(f"{type(self).__name__}({length}): the length is {smallest} or more")
        self.length = length
        self._warm_up = warm_up
        self._seen = 0
        self._value = math.nan

    @property
    def warm_up(self) -> int:
        """Values that it needs before it is known."""
        return self._warm_up

    @property
    def ready(self) -> bool:
        """Whether it is known."""
        return self._seen >= self._warm_up

    @property
    def value(self) -> float:
        """What `update` returned last; NaN before it is known."""
        return self._value

    def _keep(self, value: float) -> float:
        self._seen = seen = self._seen + 1
        if seen < self._warm_up:
            value = math.nan
        self._value = value
        return value


class _Windowed(_Counted):
    """An indicator over the last N values, computed from these alone."""

    def __init__(self, length: int) -> None:
        super().__init__(length, length)
        self._window: deque[float] = deque(maxlen=length)

    def update(self, value: float) -> float:
        """The indicator after one more value; NaN until it is known."""
        self._window.append(value)
        return self._keep(self._compute() if len(self._window) == self.length else math.nan)

    def _compute(self) -> float:
        raise NotImplementedError


class _Summed(_Counted):
    """An indicator over the sums of the last N values and of their squares.

    The sums are those of features/rolling_window.py, step by step: a window is the end of one block
    of N values and the beginning of the next, and differences are taken from the last value of the
    block before. A flat window has a deviation of exactly 0.
    """

    def __init__(self, length: int, smallest: int = 1) -> None:
        super().__init__(length, length, smallest)
        self._block: list[float] = []
        self._ends = [(0.0, 0.0)] * length  # sums of the end of the block before
        self._reference = self._total = self._squares = 0.0

    def update(self, value: float) -> float:
        """The indicator after one more value; NaN until it is known."""
        block = self._block
        if not self._seen:
            self._reference = value
        block.append(value)
        if len(block) < self.length:
            difference = value - self._reference
            self._total += difference
            self._squares += difference * difference
            end = self._ends[len(block)]
        else:
            end = self._begin_block(value)
        if self._seen + 1 < self.length:
            return self._keep(math.nan)
        return self._keep(self._statistic(value, end[0] + self._total, end[1] + self._squares))

    def _begin_block(self, value: float) -> tuple[float, float]:
        total = squares = 0.0
        for place in range(self.length - 1, -1, -1):
            difference = self._block[place] - value
            total += difference
            squares += difference * difference
            self._ends[place] = total, squares
        self._block.clear()
        self._reference, self._total, self._squares = value, 0.0, 0.0
        return self._ends[0]

    def _deviation(self, total: float, squares: float) -> float:
        spread = squares - total * (total * (1.0 / self.length))
        return math.sqrt(max(spread, 0.0) * (1.0 / (self.length - 1)))

    def _statistic(self, value: float, total: float, squares: float) -> float:
        """From the last value and the sums of differences from the reference."""
        raise NotImplementedError


class Mean(_Summed):
    """Mean of the last N values (the feature `sma_N`)."""

    def _statistic(self, value: float, total: float, squares: float) -> float:
        return self._reference + total * (1.0 / self.length)


class Deviation(_Summed):
    """Sample standard deviation of the last N values."""

    def __init__(self, length: int) -> None:
        super().__init__(length, smallest=2)

    def _statistic(self, value: float, total: float, squares: float) -> float:
        return self._deviation(total, squares)


class ZScore(_Summed):
    """(value - mean) / sample deviation of the last N values, its own included; 0 in a flat window
    (the feature `bollinger_z_N`).
    """

    def __init__(self, length: int) -> None:
        super().__init__(length, smallest=2)

    def _statistic(self, value: float, total: float, squares: float) -> float:
        spread = self._deviation(total, squares)
        distance = (value - self._reference) - total * (1.0 / self.length)
        return distance / spread if spread > 0.0 else 0.0


class Highest(_Windowed):
    """The largest of the last N values."""

    def _compute(self) -> float:
        return max(self._window)


class Lowest(_Windowed):
    """The smallest of the last N values."""

    def _compute(self) -> float:
        return min(self._window)


class Smoothing(_Counted):
    """Exponential average, seeded with the mean of the first N values; alpha is 2 / (N + 1) (the
    feature `ema_N`), or 1 / N with `wilder`.
    """

    def __init__(self, length: int, *, wilder: bool = False) -> None:
        super().__init__(length, length)
        self._alpha = 1.0 / length if wilder else 2.0 / (length + 1.0)
        self._level = 0.0

    def update(self, value: float) -> float:
        """The indicator after one more value; NaN until it is known."""
        if self._seen >= self.length:  # known for good, so nothing is counted any more
            level = self._level
            self._level = self._value = level = level + self._alpha * (value - level)
            return level
        self._level += value
        if self._seen + 1 == self.length:
            self._level /= self.length
        return self._keep(self._level)


class RelativeStrength(_Counted):
    """Wilder's relative strength index, 0 to 100; 50 while nothing moved (the feature `rsi_N`)."""

    def __init__(self, length: int) -> None:
        super().__init__(length, length + 1)
        self._gain, self._loss = Smoothing(length, wilder=True), Smoothing(length, wilder=True)
        self._previous = math.nan

    def update(self, value: float) -> float:
        """The indicator after one more close; NaN until it is known."""
        change = value - self._previous
        self._previous = value
        if math.isnan(change):
            return self._keep(math.nan)
        gain, loss = self._gain.update(max(change, 0.0)), self._loss.update(max(-change, 0.0))
        moved = gain + loss
        return self._keep(100.0 * (gain / moved) if moved > 0.0 else 50.0)


class AverageTrueRange(_Counted):
    """Wilder's average true range on adjusted prices (the feature `atr_N`)."""

    def __init__(self, length: int) -> None:
        super().__init__(length, length + 1)
        self._average = Smoothing(length, wilder=True)
        self._previous = math.nan

    def update(self, value: Bar) -> float:
        """The indicator after one more bar; NaN until it is known."""
        factor, previous = value.adjustment_factor, self._previous
        self._previous = value.close * factor
        if math.isnan(previous):
            return self._keep(math.nan)
        high, low = max(value.high * factor, previous), min(value.low * factor, previous)
        return self._keep(self._average.update(high - low))


class VarianceRate(_Counted):
    """Variance of a price per second, from irregular observations: squared changes and seconds,
    both smoothed with alpha 2 / (N + 1), the one over the other. For quotes.

    `update` takes (seconds, price).
    """

    def __init__(self, length: int) -> None:
        super().__init__(length, length + 1)
        self._squares, self._seconds = Smoothing(length), Smoothing(length)
        self._previous: tuple[float, float] | None = None

    def update(self, value: tuple[float, float]) -> float:
        """The indicator after one more (seconds, price); NaN until it is known."""
        before, self._previous = self._previous, value
        if before is None:
            return self._keep(math.nan)
        seconds, change = value[0] - before[0], value[1] - before[1]
        squares, elapsed = self._squares.update(change * change), self._seconds.update(seconds)
        return self._keep(squares / elapsed if elapsed > 0.0 else math.nan)


class PerSymbol(dict[str, State]):
    """One indicator, or any state, for each symbol, made when the symbol is first asked for."""

    def __init__(self, make: Callable[[], State]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, symbol: str) -> State:
        made = self[symbol] = self._make()
        return made
