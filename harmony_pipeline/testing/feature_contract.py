"""The obligations of an indicator's kernel. Subclass it in a test file and name the column.

>>> class TestMine(FeatureContract):
...     name = "close_location_10"
...     own = ("my_feature:INDICATOR",)

The bars are invented: three seeded walks with sessions, extended hours, a halt, and a price of
fractions of a cent.
"""

from typing import ClassVar

import numpy as np

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.features.catalog import FeatureSet, parse_name, register_own

_BARS = 400


def made_up_bars(seed: int = 1, scale: float = 50.0) -> FloatArray:
    """(open, high, low, close, volume, session_day, regular, start) x bars of a quarter of an
    hour.
    """
    generator = np.random.default_rng(seed)
    close = scale * np.exp(np.cumsum(generator.normal(0.0, 0.004, _BARS)))
    close[150:170] = close[150]  # a halt
    opened = np.r_[scale, close[:-1]]
    wick = scale * generator.uniform(0.0, 0.003, _BARS)
    volume = np.round(generator.lognormal(8.0, 1.0, _BARS))
    volume[150:170] = 0.0
    place = np.arange(_BARS)
    return np.array(
        [
            opened,
            np.maximum(opened, close) + wick,
            np.maximum(np.minimum(opened, close) - wick, 0.5 * np.minimum(opened, close)),
            close,
            volume,
            19_800.0 + place // 26,
            (place % 26 >= 6).astype(np.float64),
            (19_800.0 + place // 26) * 86.4e9 + (50.0 + place % 26) * 900e6,
        ]
    )


class FeatureContract:
    """Properties of one column; each test name states one."""

    name: ClassVar[str]
    own: ClassVar[tuple[str, ...]] = ()

    def features(self) -> FeatureSet:
        """A set of the column under test."""
        for path in self.own:
            register_own(path)
        return FeatureSet.of([self.name])

    def values(self, bars: FloatArray) -> FloatArray:
        """The column over `bars`, from nothing seen."""
        features = self.features()
        found: FloatArray = features.fold(features.initial_state(), list(bars))[1][:, 0]
        return found

    def test_it_becomes_known_and_stays_known(self) -> None:
        for seed, scale in ((1, 50.0), (2, 3000.0), (3, 1e-5)):
            values = self.values(made_up_bars(seed, scale))
            known = np.isfinite(values)
            assert known.any(), "it is known nowhere in 400 bars"
            assert known[np.argmax(known) :].all(), "it is forgotten again, or not finite"

    def test_the_same_bars_give_the_same_bits(self) -> None:
        bars = made_up_bars()
        assert self.values(bars).tobytes() == self.values(bars).tobytes()

    def test_what_comes_later_moves_no_earlier_value(self) -> None:
        bars = made_up_bars()
        whole = self.values(bars)
        for cut in (1, 37, 160, _BARS - 1):
            assert self.values(bars[:, :cut]).tobytes() == whole[:cut].tobytes()

    def test_any_cut_of_the_bars_gives_the_bits_of_the_whole(self) -> None:
        bars, features = made_up_bars(), self.features()
        whole = features.fold(features.initial_state(), list(bars))[1]
        for cuts in ((1, 2, 3), (90,), (150, 160, 170, 399)):
            state, parts = features.initial_state(), []
            for start, end in zip((0, *cuts), (*cuts, _BARS), strict=True):
                state, part = features.fold(state, list(bars[:, start:end]))
                parts.append(part)
            assert np.concatenate(parts).tobytes() == np.ascontiguousarray(whole).tobytes()
            assert np.isfinite(state).all(), "a state holds numbers only: Parquet keeps it"

    def test_its_parameters_are_part_of_its_name(self) -> None:
        self.features()  # an indicator of one's own is known from then on
        indicator, numbers = parse_name(self.name)
        assert "_".join((indicator.kind, *map(str, numbers))) == self.name
