"""Labelled events with what was known at them: the rows that models are fitted to and predict.

An input of an event is known at the end of the event's bar. Features are stamped with that bar. A
regime counts from its own `known_at`, and only when that lies at or before the *start* of the bar
(at most one bar late, never early).

Long and short share a meaning: a momentum of +1 % before a long and of -1 % before a short are the
same situation. So inputs whose sign depends on direction are multiplied by the event's side
(`SIDED`, after subtraction of the neutral value) and are named `NAME_sided`. Inputs without a
direction (volatility, ADX, volume) stay as they are. `side` itself is an input too, since markets
are not symmetric.

All symbols share one model, so inputs must have the same meaning at every price. MACD is in
currency and is divided by the average true range if the feature set has one. Prices and price
ranges (`PRICE_LEVELS`) are left out, since they would only identify the symbol, and so are
comparisons of them. A comparison among symbols is multiplied by the side where the column that it
compares is.

Live trading builds its single row with the same `InputMap.matrix`, so research and live inputs are
equal.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import Self

import numpy as np
import polars as pl

from harmony_pipeline.arrays import BoolArray, FloatArray, IntArray
from harmony_pipeline.errors import DataError, NotReady
from harmony_pipeline.frames import join_rows
from harmony_pipeline.models.bins import BinnedRows, BinWindow

# family of the feature's name (without its window lengths) -> its neutral value
SIDED: dict[str, float] = {
    "log_return": 0.0,
    "lagged_return": 0.0,
    "momentum": 0.0,
    "roc": 0.0,
    "sma_ratio": 0.0,
    "ema_ratio": 0.0,
    "macd": 0.0,
    "macd_line": 0.0,
    "macd_signal": 0.0,
    "bollinger_z": 0.0,
    "signed_volume": 0.0,
    "vwap_distance": 0.0,
    "gap": 0.0,
    "cusum_event": 0.0,
    "rsi": 50.0,
    "range_position": 0.5,
    "trix": 0.0,
    "dpo": 0.0,
    "kama_ratio": 0.0,
    "aroon": 0.0,
    "regression_slope": 0.0,
    "vortex": 0.0,
    "donchian": 0.5,
    "keltner": 0.0,
    "stochastic_k": 50.0,
    "stochastic_d": 50.0,
    "williams_r": -50.0,
    "cci": 0.0,
    "ultimate": 50.0,
    "stochastic_rsi": 0.5,
    "skewness": 0.0,
    "mfi": 50.0,
    "cmf": 0.0,
    "vwma_ratio": 0.0,
    "volume_correlation": 0.0,
    "session_return": 0.0,
    "first_hour_return": 0.0,
    "overnight_return": 0.0,
    "session_range_position": 0.5,
    "prior_range_position": 0.5,
    "larger_sma_ratio": 0.0,
    "larger_momentum": 0.0,
    "market_return": 0.0,
    "residual_return": 0.0,
    "news_sentiment": 0.0,
}
# kind of a comparison -> the neutral value of one whose compared column is sided
_COMPARED = {"cross_rank": 0.5, "cross_z": 0.0, "market_relative": 0.0, "sector_relative": 0.0}
# what would only tell symbols apart: prices, their logarithm, ranges, impact by amount traded, and
# how much was ever written of them
PRICE_LEVELS = frozenset(
    {"sma", "ema", "atr", "fractional", "amihud", "news_total", "news_score_total"}
)
PER_RANGE = frozenset({"macd", "macd_line", "macd_signal"})
REGIME_NAMES = (
    "regime_trend_sided",
    "regime_trend_distance_sided",
    "regime_volatility_high",
    "regime_volatility_ratio",
)
HIDDEN_REGIME = "regime_turbulent_probability"
_REGIME_SIDED = np.array([True, True, False, False, False])
_LARGEST_RETURN = 4.0  # root mean squares; one wild outcome cannot decide a fit alone
_WINDOWS = re.compile(r"(_\d+)+$")


def family(feature: str) -> str:
    """`rsi_14` -> `rsi`, `macd_12_26_9` -> `macd`."""
    return _WINDOWS.sub("", feature)


def neutral_value(feature: str) -> float | None:
    """The value of the feature that says neither long nor short; None for one without direction. A
    comparison has the direction of the column that it compares.
    """
    compared, kind = _compared(family(feature))
    known = SIDED.get(compared)
    return known if kind is None or known is None else _COMPARED[kind]


def is_price_level(feature: str) -> bool:
    """Whether it would only tell symbols apart. Among symbols, so do amounts of currency."""
    compared, kind = _compared(family(feature))
    return compared in PRICE_LEVELS or (kind is not None and compared in PER_RANGE)


def _compared(name: str) -> tuple[str, str | None]:
    """`cross_rank_momentum` -> (momentum, cross_rank), `momentum` -> (momentum, None)."""
    for kind in _COMPARED:
        if name.startswith(f"{kind}_"):
            return name.removeprefix(f"{kind}_"), kind
    return name, None


@dataclass(frozen=True)
class InputMap:
    """The map from feature columns, side and regime to the inputs of a model. hidden: whether the
    probability of the turbulent state is one of the regime's inputs.
    """

    feature_columns: tuple[str, ...]
    regimes: bool = False
    hidden: bool = False

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the inputs: those of the feature columns, then `side`, then the regime's."""
        features = []
        for name in self._input_columns:
            scaled = (
                f"{name}_per_{self._range_column}"
                if family(name) in PER_RANGE and self._range_column
                else name
            )
            features.append(scaled if neutral_value(name) is None else f"{scaled}_sided")
        return (*features, "side", *self._regime_names)

    @property
    def _regime_names(self) -> tuple[str, ...]:
        if not self.regimes:
            return ()
        return (*REGIME_NAMES, HIDDEN_REGIME) if self.hidden else REGIME_NAMES

    @cached_property
    def _input_columns(self) -> tuple[str, ...]:
        return tuple(name for name in self.feature_columns if not is_price_level(name))

    @cached_property
    def _range_column(self) -> str | None:
        """The average true range by which currency amounts are divided."""
        return next((name for name in self.feature_columns if family(name) == "atr"), None)

    @cached_property
    def _column_arrays(self) -> tuple[IntArray, BoolArray, FloatArray, BoolArray]:
        """For each used column: its position, whether it is sided, its neutral value, whether it is
        divided by the range.
        """
        neutral = [neutral_value(name) for name in self._input_columns]
        per_range = [family(name) in PER_RANGE for name in self._input_columns]
        place = np.array(
            [self.feature_columns.index(name) for name in self._input_columns], dtype=np.int64
        )
        sided = np.array([value is not None for value in neutral], dtype=bool)
        levels = np.array([value or 0.0 for value in neutral], dtype=np.float64)
        return place, sided, levels, np.array(per_range, dtype=bool)

    def matrix(
        self, features: FloatArray, side: FloatArray, regime: FloatArray | None = None
    ) -> FloatArray:
        """float64 [rows, inputs] from features [rows, feature_columns], side [rows] and regime
        [rows, 5].

        `RegimeHistory.at` returns regimes. Values that are not finite become NaN: not known.
        """
        place, sided, neutral, per_range = self._column_arrays
        direction = side[:, None]
        values = features[:, place]
        if self._range_column is not None:
            unit = features[:, self.feature_columns.index(self._range_column)][:, None]
            # a range of 0 gives what is not finite
            with np.errstate(divide="ignore", invalid="ignore"):
                values = np.where(per_range, values / unit, values)
        parts = [np.where(sided, (values - neutral) * direction, values), direction]
        if self.regimes:
            width = len(self._regime_names)
            known = np.full((side.size, width), np.nan) if regime is None else regime[:, :width]
            parts.append(np.where(_REGIME_SIDED[:width], known * direction, known))
        inputs = np.concatenate(parts, axis=1)
        return np.ascontiguousarray(np.where(np.isfinite(inputs), inputs, np.nan), dtype=np.float64)

    def row(self, features: FloatArray, side: int, regime: FloatArray | None = None) -> FloatArray:
        """The inputs [inputs] of one event, from its features [feature_columns] and regime [5], for
        the live session.
        """
        row: FloatArray = self.matrix(
            features[None, :],
            np.array([side], dtype=np.float64),
            None if regime is None else regime[None, :],
        )[0]
        return row


@dataclass(frozen=True)
class Samples:
    """Events in order of (timestamp, symbol) with their inputs.

    frame: symbol, timestamp, side, end_timestamp, return, label, weight; the outcome columns are
    null for an unresolved event. X: float64 [rows, inputs], NaN where an input is not known. names:
    of the inputs. inputs: the map from feature columns to X, if there is one. bins: the rows in the
    bins of the first training window; None: a fit makes its own.
    """

    frame: pl.DataFrame
    X: FloatArray
    names: tuple[str, ...]
    inputs: InputMap | None = None
    bins: BinnedRows | None = None

    def __post_init__(self) -> None:
        if self.X.shape != (self.frame.height, len(self.names)):
            raise DataError(
                f"samples: X has shape {self.X.shape}, but there are {self.frame.height} rows and"
                f" {len(self.names)} names"
            )
        if not self.frame["timestamp"].is_sorted():
            raise DataError(
                "samples: events must be in order of timestamp, so that the latest ones are the"
                " calibration part; sort them by (timestamp, symbol)"
            )

    @property
    def height(self) -> int:
        """Number of events."""
        return self.frame.height

    def where(self, mask: BoolArray) -> Self:
        """The events where `mask` [rows] is true, in the same order."""
        return type(self)(
            self.frame.filter(pl.Series(mask)),
            np.ascontiguousarray(self.X[mask]),
            self.names,
            self.inputs,
            None if self.bins is None else self.bins.where(mask),
        )

    def events_with_weight(self) -> Self:
        """The events whose weight is not 0; the same object where that is all of them.

        A forecaster fits these alone: LightGBM counts a row of weight 0 in its leaves and cuts bins
        from it, and so does every median, draw and batch that is taken of rows.
        """
        heavy = self.weights() != 0.0  # an unknown weight stays, and is refused
        return self if heavy.all() else self.where(heavy)

    def binned(self, window: BinWindow | None) -> Self:
        """The same events in the bins of `window`; None: a fit makes its own."""
        return replace(self, bins=None if window is None else BinnedRows.all(window, self.X))

    @property
    def bin_window(self) -> BinWindow | None:
        """The window whose bins the events have."""
        return None if self.bins is None else self.bins.events.window

    def labels(self) -> FloatArray:
        """0.0 or 1.0 by row, read-only; NaN while unresolved."""
        return self._labels

    def weights(self) -> FloatArray:
        """By row, read-only: average uniqueness, in (0, 1], or what else the labels' method weighs
        by. NaN while unresolved.
        """
        return self._weights

    @cached_property
    def _labels(self) -> FloatArray:
        return _numbers(self.frame["label"])

    @cached_property
    def _weights(self) -> FloatArray:
        return _numbers(self.frame["weight"])


def _numbers(column: pl.Series) -> FloatArray:
    values = column.cast(pl.Float64)
    numbers = (values.fill_null(np.nan) if values.has_nulls() else values).to_numpy()
    numbers.flags.writeable = False
    return np.asarray(numbers, dtype=np.float64)


def event_days(samples: Samples) -> IntArray:
    """The UTC day of each event, in days since 1970, int64 [rows]."""
    days = samples.frame["timestamp"].dt.date().to_physical().cast(pl.Int64)
    return np.asarray(days.to_numpy(), dtype=np.int64)


def training_targets(samples: Samples) -> tuple[FloatArray, FloatArray]:
    """(labels, weights) of resolved samples.

    Raises DataError when one is missing or unusable, or when only one label occurs.
    """
    labels, weights = samples.labels(), samples.weights()
    bad = np.flatnonzero(
        ~(np.isfinite(labels) & np.isfinite(weights) & (np.nan_to_num(weights) >= 0.0))
    )
    if bad.size:
        row = samples.frame.row(int(bad[0]), named=True)
        what = (
            f"{row['symbol']} at {row['timestamp']}: label {row['label']}, weight {row['weight']}"
        )
        raise DataError(f"cannot train on {what}; only resolved events with a weight teach")
    if np.unique(labels).size < 2:
        raise DataError(
            f"cannot train on {samples.height} events that all have the same outcome; use a longer"
            " history"
        )
    return labels, weights


def training_returns(samples: Samples) -> tuple[FloatArray, FloatArray, float]:
    """(returns, weights, deviation) of resolved samples: each label's `return` over the weighted
    root mean square of all, cut at +-4 of it, and that root itself.

    Raises DataError as `training_targets`, and when a return is missing or none differs from 0.
    """
    _, weights = training_targets(samples)
    returns = _numbers(samples.frame["return"])
    bad = np.flatnonzero(~np.isfinite(returns))
    if bad.size:
        row = samples.frame.row(int(bad[0]), named=True)
        raise DataError(
            f"cannot train on {row['symbol']} at {row['timestamp']}: return {row['return']}; only"
            " resolved events with a return teach a regression"
        )
    deviation = float(np.sqrt((returns**2 * weights).sum() / weights.sum()))
    if deviation == 0.0:
        raise DataError(
            f"cannot train on {samples.height} events that all have the return 0; use a longer"
            " history"
        )
    return np.clip(returns / deviation, -_LARGEST_RETURN, _LARGEST_RETURN), weights, deviation


def build_samples(
    features: pl.DataFrame,
    labels: pl.DataFrame,
    regimes: pl.DataFrame | None,
    feature_columns: Sequence[str],
    horizon: int,
    *,
    hidden_regime: bool = False,
) -> Samples:
    """The events of one horizon, resolved or not, each with the features of its own bar and the
    regime known by then, with the probability of its turbulent state if `hidden_regime`.

    Without `regimes` (None) there are no regime inputs. An empty frame gives unknown ones. Raises
    DataError for a missing feature column and NotReady for an event whose bar has no features,
    since a prediction without inputs would go unnoticed.
    """
    inputs = InputMap(tuple(feature_columns), regimes is not None, hidden_regime)
    missing = [name for name in inputs.feature_columns if name not in features.columns]
    if missing:
        raise DataError(
            f"features lack the column(s) {', '.join(missing)}; materialise features again with"
            " this feature set"
        )
    events = labels.filter(pl.col("horizon") == horizon).select(
        "symbol", "timestamp", "side", "end_timestamp", "return", "label", "weight"
    )
    known = features.select(
        "symbol", "timestamp", *inputs.feature_columns, __known=pl.lit(value=True)
    )
    joined = join_rows(events, known, ["symbol", "timestamp"], "left").sort("timestamp", "symbol")
    _require_features(joined)
    frame = joined.select(events.columns)
    matrix = joined.select(
        pl.col(name).cast(pl.Float64).fill_null(np.nan) for name in inputs.feature_columns
    ).to_numpy()
    matrix = matrix.reshape(frame.height, len(inputs.feature_columns))
    regime = None if regimes is None else RegimeHistory.of(regimes).at(frame["timestamp"])
    return Samples(
        frame,
        inputs.matrix(matrix, frame["side"].cast(pl.Float64).to_numpy(), regime),
        inputs.names,
        inputs,
    )


def _require_features(joined: pl.DataFrame) -> None:
    orphans = joined.filter(pl.col("__known").is_null())
    if orphans.height:
        symbol, stamp = orphans.row(0)[:2]
        raise NotReady(
            f"{orphans.height} labelled events have no row in features, first {symbol} at {stamp};"
            " make them with: harmony backfill features"
        )


@dataclass(frozen=True)
class RegimeHistory:
    """Regimes as inputs of a model: a row for each, float64 [rows + 1, 5], after one of NaN from
    the time when none was known.

    Columns: trend (+1 bull, -1 bear); index level over its average, less 1; volatility (1 high, 0
    low); realised over median volatility; probability of the turbulent state.
    """

    known_at: IntArray
    rows: FloatArray

    @staticmethod
    def of(regimes: pl.DataFrame) -> "RegimeHistory":
        """The history of schemas.REGIMES."""
        ordered = regimes.sort("known_at", "timestamp")
        values = ordered.select(
            pl.when(pl.col("trend") == "bull")
            .then(1.0)
            .when(pl.col("trend") == "bear")
            .then(-1.0)
            .alias("trend"),
            (pl.col("index_level") / pl.col("trend_average") - 1.0).alias("distance"),
            pl.when(pl.col("volatility") == "high")
            .then(1.0)
            .when(pl.col("volatility") == "low")
            .then(0.0)
            .alias("high"),
            (pl.col("realised_volatility") / pl.col("volatility_median")).alias("ratio"),
            "turbulent_probability",
        )
        rows = np.full((values.height + 1, values.width), np.nan)
        rows[1:] = values.select(pl.all().fill_null(np.nan)).to_numpy()
        return RegimeHistory(ordered["known_at"].cast(pl.Int64).to_numpy(), rows)

    def at(self, timestamps: pl.Series | Sequence[datetime]) -> FloatArray:
        """The latest regime known at or before each timestamp, float64 [timestamps, 5]."""
        stamps = pl.Series("timestamp", timestamps, dtype=pl.Datetime("us", "UTC")).cast(pl.Int64)
        return self.at_micros(stamps.to_numpy())

    def at_micros(self, stamps: IntArray) -> FloatArray:
        """`at` of microseconds since 1970 UTC, int64 [timestamps]."""
        position = np.searchsorted(self.known_at, stamps, side="right")
        return np.asarray(self.rows[position], dtype=np.float64)
