"""The obligations of every strategy. Subclass it in a test file and make the strategy.

>>> class TestMine(StrategyContract):
...     def strategy(self):
...         return build_strategy(StrategySettings(use="my.module:Mine"))

The rows are invented: every required feature in its usual range after a warm-up of nulls, bars with
extended hours and missing quarters. A strategy that reads other features overrides `feature`.
"""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.strategies.base import (
    BAR_COLUMNS,
    SIGNAL_COLUMNS,
    Strategy,
    remembers_the_market,
    signals_of,
)

DAYS = tuple(datetime(2024, 3, day, tzinfo=UTC) for day in (4, 5, 6, 7, 8))
_SYMBOLS = ("AAA", "BB", "C")
_WARM_UP = 5  # rows


class StrategyContract:
    """Properties of `signals`; each test name states one."""

    def strategy(self) -> Strategy:
        """A fresh strategy with the parameters under test."""
        raise NotImplementedError

    def feature(self, name: str, generator: np.random.Generator, rows: int) -> FloatArray:
        """Plausible values of one feature."""
        if name == "cusum_event":
            return generator.choice([-1.0, 0.0, 1.0], rows, p=[0.1, 0.8, 0.1])
        if name.startswith(("rsi", "adx")):
            return generator.uniform(0.0, 100.0, rows)
        if name.startswith(("volatility", "natr", "atr")):
            return generator.uniform(0.001, 0.02, rows)
        return generator.normal(0.0, 2.0, rows)

    # --- made-up rows -----------------------------------------------------------------------------

    def bars(self, seed: int = 1) -> pl.DataFrame:
        """Five New York days of quarter-hours from 08:00 to 17:00, some missing."""
        generator = np.random.default_rng(seed)
        frames = []
        for symbol in _SYMBOLS:
            stamps = [
                day + timedelta(hours=13, minutes=15 * quarter)
                for day in DAYS
                for quarter in range(36)
            ]
            hours = np.array([stamp.hour + stamp.minute / 60 for stamp in stamps])
            session = np.where(hours < 14.5, "pre", np.where(hours < 21.0, "regular", "post"))
            close = 50.0 * np.exp(np.cumsum(generator.normal(0.0, 0.004, len(stamps))))
            opened = np.r_[50.0, close[:-1]]
            wick = generator.uniform(0.0, 0.05, len(stamps))
            frame = pl.DataFrame(
                {
                    "symbol": symbol,
                    "timeframe": "15Min",
                    "timestamp": stamps,
                    "session": session,
                    "open": opened,
                    "high": np.maximum(opened, close) + wick,
                    "low": np.minimum(opened, close) - wick,
                    "close": close,
                    "volume": 1000.0,
                    "adjustment_factor": 1.0,
                },
                schema_overrides={"timestamp": SIGNAL_COLUMNS["timestamp"]},
            )
            frames.append(frame.filter(pl.Series(generator.random(len(stamps)) < 0.95)))
        return pl.concat(frames)

    def features(self, seed: int = 1) -> pl.DataFrame:
        """The required features on the rows of `bars(seed)`, and one further column."""
        bars, generator = self.bars(seed), np.random.default_rng(seed + 1000)
        values = {
            name: self.feature(name, generator, bars.height)
            for name in self.strategy().required_features()
        }
        warm = pl.int_range(pl.len()).over("symbol") >= _WARM_UP
        columns = [
            pl.when(warm).then(pl.Series(name, column)).alias(name)
            for name, column in values.items()
        ]
        return bars.select("symbol", "timestamp").with_columns(*columns, unused=pl.lit(1.0))

    def signals(
        self, features: pl.DataFrame | None = None, bars: pl.DataFrame | None = None
    ) -> pl.DataFrame:
        """Signals of a fresh strategy."""
        return signals_of(
            self.strategy(),
            self.features() if features is None else features,
            lambda: self.bars() if bars is None else bars,
        )

    # --- properties -------------------------------------------------------------------------------

    def test_signals_have_the_columns_and_the_order_of_the_table(self) -> None:
        found = self.signals()
        assert found.schema == pl.Schema(SIGNAL_COLUMNS)
        assert found.equals(found.sort("symbol", "timestamp"))
        assert not found.select("symbol", "timestamp").is_duplicated().any()
        assert found.null_count().sum_horizontal().item() == 0

    def test_sides_and_strengths_are_in_range_and_some_side_is_taken(self) -> None:
        found = self.signals()
        assert set(found["side"].unique().to_list()) <= {-1, 0, 1}
        assert found["strength"].is_between(0.0, 1.0).all()
        assert (found["side"] != 0).any(), (
            "these rows were made to move it; override `feature` when they cannot"
        )

    def test_there_is_one_signal_where_all_features_are_known_and_none_elsewhere(self) -> None:
        features = self.features()
        needed = self.strategy().required_features()
        known = features.drop_nulls(needed) if needed else features
        assert (
            self.signals(features)
            .select("symbol", "timestamp")
            .equals(known.select("symbol", "timestamp"))
        )

    def test_the_same_rows_give_the_same_signals(self) -> None:
        strategy, features, bars = self.strategy(), self.features(), self.bars()
        once = signals_of(strategy, features, lambda: bars)
        assert once.equals(signals_of(strategy, features, lambda: bars)), (
            "a strategy kept state of its last call"
        )
        assert once.equals(self.signals())

    def test_the_order_of_the_rows_does_not_matter(self) -> None:
        shuffled = self.features().sample(fraction=1.0, shuffle=True, seed=3)
        assert self.signals(
            shuffled, self.bars().sample(fraction=1.0, shuffle=True, seed=4)
        ).equals(self.signals())

    def test_what_comes_later_moves_no_earlier_signal(self) -> None:
        features, bars, before = self.features(), self.bars(), self.signals()
        numbers = self.strategy().required_features()
        prices = [name for name in BAR_COLUMNS if name != "session"]
        for moment in bars["timestamp"].unique().sort().gather_every(29, offset=7):
            past = pl.col("timestamp") < moment
            other = features.with_columns(
                pl.when(past).then(name).otherwise(-3.0 * pl.col(name)).alias(name)
                for name in numbers
            )
            moved = bars.with_columns(
                pl.when(past).then(name).otherwise(3.0 * pl.col(name)).alias(name)
                for name in prices
            )
            assert self.signals(other, moved).filter(past).equals(before.filter(past)), (
                f"later rows moved signals before {moment}"
            )
            assert self.signals(features.filter(past), bars.filter(past)).equals(
                before.filter(past)
            ), "the future may also be absent"

    def test_a_day_with_what_the_strategy_remembers_gives_the_signals_of_the_whole(self) -> None:
        features, bars, whole = self.features(), self.bars(), self.signals()
        begin = bars["timestamp"].min()
        for day in bars["timestamp"].dt.truncate("1d").unique().sort():
            today = (pl.col("timestamp") >= day) & (pl.col("timestamp") < day + timedelta(days=1))
            since = begin if remembers_the_market(self.strategy()) else day
            given = (pl.col("timestamp") >= since) & (pl.col("timestamp") < day + timedelta(days=1))
            assert (
                self.signals(features.filter(given), bars.filter(given))
                .filter(today)
                .equals(whole.filter(today))
            )

    def test_the_required_features_suffice_and_each_is_needed_by_name(self) -> None:
        needed = self.strategy().required_features()
        features = self.features()
        only = features.select("symbol", "timestamp", *needed)
        assert self.signals(only).equals(self.signals(features))
        assert len(set(needed)) == len(needed)

    def test_no_rows_give_no_signals(self) -> None:
        found = self.signals(self.features().clear(), self.bars().clear())
        assert (found.height, found.schema) == (0, pl.Schema(SIGNAL_COLUMNS))

    def test_the_rows_it_was_given_are_left_alone(self) -> None:
        features, bars = self.features(), self.bars()
        self.signals(features, bars)
        assert features.equals(self.features())
        assert bars.equals(self.bars())
