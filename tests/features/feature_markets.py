"""Bars to test features on: gaps, halts without movement, bars without volume, extended hours,
splits and dividends.
"""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl

from harmony_pipeline.features.catalog import FeatureSet
from harmony_pipeline.features.live import LiveFeatures
from harmony_pipeline.features.settings import STANDARD_FEATURES
from harmony_pipeline.market.calendars import Calendar

XNYS = Calendar.of("XNYS")
ARRAYS = ("open", "high", "low", "close", "volume", "day", "regular", "start")
DAY = 86_400_000_000  # microseconds
EVERY_KIND = (
    "log_return", "volatility_5", "momentum_3", "lagged_return_2", "roc_1", "sma_4", "ema_6", "sma_ratio_3_8",
    "ema_ratio_9_4", "macd_line_3_7", "macd_signal_3_7_4", "macd_3_7_4", "bollinger_z_6",
    "rsi_5", "atr_4", "natr_3", "adx_4", "range_position_5", "volume_z_4", "volume_ratio_3",
    "signed_volume_6", "vwap_distance", "gap", "cusum_event",
    "trix_4", "dpo_5", "efficiency_ratio_5", "kama_ratio_5", "aroon_6", "regression_slope_5", "regression_fit_5",
    "vortex_4", "plus_di_4", "minus_di_4", "donchian_5", "keltner_4",
    "stochastic_k_5_3", "stochastic_d_5_3_4", "williams_r_5", "cci_5", "ultimate_3_5_9", "stochastic_rsi_5",
    "parkinson_4", "garman_klass_5", "rogers_satchell_4", "yang_zhang_5", "ewma_volatility_5", "downside_volatility_4",
    "ulcer_index_5", "volatility_ratio_4_9",
    "skewness_8", "kurtosis_8", "autocorrelation_8", "variance_ratio_12_3", "hurst_12_3", "sign_entropy_7",
    "fractional_40_9",
    "mfi_4", "cmf_5", "vwma_ratio_5", "volume_correlation_7",
    "amihud_5", "kyle_lambda_7", "roll_spread_6", "corwin_schultz_4",
    "minute_of_session", "day_of_week", "session_return", "first_hour_return", "overnight_return",
    "session_range_position", "prior_range_position",
    "larger_sma_ratio_60_3", "larger_momentum_60_3", "larger_volatility_45_4",
)  # fmt: skip
SMALL = FeatureSet.of(EVERY_KIND, cusum_threshold=1.0)
STANDARD = FeatureSet.of((*STANDARD_FEATURES, "cusum_event"))


def random_arrays(seed, n=240, per_day=26, halts=True):
    """Adjusted bars of one symbol by name, in the order of ARRAYS."""
    rng = np.random.default_rng(seed)
    step = rng.normal(0.0, 0.004, n)
    step[::per_day] += rng.normal(0.0, 0.02, step[::per_day].size)
    if halts and n > 60:
        step[30:60] = 0.0
    close = float(rng.choice([0.003, 1.7, 62.5, 4000.0])) * np.exp(np.cumsum(step))
    opening = np.concatenate([close[:1], close[:-1]]) * np.exp(
        np.where(step == 0.0, 0.0, rng.normal(0.0, 0.001, n))
    )
    width = np.where(step == 0.0, 0.0, np.abs(rng.normal(0.0, 0.002, n)))
    high, low = np.maximum(opening, close) * (1 + width), np.minimum(opening, close) * (1 - width)
    if halts and n > 60:
        opening[30:60] = high[30:60] = low[30:60] = close[30:60]
    volume = rng.integers(0, 5_000, n).astype(float) * (rng.random(n) > 0.2)
    place = np.arange(n)
    regular = (place % per_day >= 3) & (place % per_day < per_day - 2)
    return {
        "open": opening,
        "high": high,
        "low": low,
        "close": close,
        "volume": volume,
        "day": 19_000 + place // per_day,
        "start": (19_000 + place // per_day) * DAY + (56 + place % per_day) * (DAY // 96),
        "regular": regular.astype(np.int8),
    }


def in_order(arrays, start=0, end=None):
    return tuple(arrays[name][start:end] for name in ARRAYS)


def folded(feature_set, arrays):
    """Values by column name in one go."""
    _, values = feature_set.fold(feature_set.initial_state(), in_order(arrays))
    return dict(zip(feature_set.names, values.T, strict=True))


def random_bars(
    seed,
    symbols=("AA", "BRK", "C"),
    first=date(2024, 2, 26),
    last=date(2024, 3, 16),
    missing=0.15,
    actions=True,
):
    """A frame like `bars`: 15Min bars of XNYS with extended hours, over the change of clocks on 10
    March.
    """
    rng = np.random.default_rng(seed)
    frames = []
    for number, symbol in enumerate(symbols):
        stamps, sessions = [], []
        for _, _, opens, closes, _ in XNYS.schedule(first, last).iter_rows():
            for quarter in range(-4, 30):
                stamps.append(opens + quarter * timedelta(minutes=15))
                sessions.append(
                    "pre" if quarter < 0 else "regular" if stamps[-1] < closes else "post"
                )
        kept = np.flatnonzero(rng.random(len(stamps)) >= missing)
        arrays = random_arrays(seed * 31 + number, len(kept))
        factor = np.ones(len(kept))
        if actions:
            factor[len(kept) // 3 :] *= 4.0
            factor[len(kept) // 2 :] *= 1.0123
        prices = {name: np.round(arrays[name] / factor, 6) + 0.01 for name in ("open", "close")}
        frames.append(
            pl.DataFrame(
                {
                    "symbol": [symbol] * len(kept),
                    "timeframe": ["15Min"] * len(kept),
                    "timestamp": [stamps[i] for i in kept],
                    "session": [sessions[i] for i in kept],
                    "open": prices["open"],
                    "high": np.maximum(prices["open"], prices["close"]) * 1.001,
                    "low": np.minimum(prices["open"], prices["close"]) * 0.999,
                    "close": prices["close"],
                    "volume": arrays["volume"] * factor,
                    "trade_count": [None] * len(kept),
                    "vwap": [None] * len(kept),
                    "adjustment_factor": factor,
                },
                schema_overrides={
                    "timestamp": pl.Datetime("us", "UTC"),
                    "trade_count": pl.Float64,
                    "vwap": pl.Float64,
                },
            )
        )
    return pl.concat(frames)


def at(day, clock="00:00"):
    return datetime.fromisoformat(f"{day}T{clock}").replace(tzinfo=UTC)


def heard(live: LiveFeatures, bars: pl.DataFrame) -> pl.DataFrame:
    """Features of 15-minute bars as a session hears them, moment by moment and the symbols of each
    in any order; sorted by symbol and time.
    """
    rows = []
    dated = XNYS.with_session(bars.with_columns(kept=pl.col("session")), "15Min")
    for _, moment in dated.sort("timestamp").group_by("timestamp", maintain_order=True):
        shuffled = moment.sample(fraction=1.0, shuffle=True, seed=1)
        values = live.update_moment(
            shuffled.select(
                "symbol", "timestamp", "open", "high", "low", "close", "volume", "session_date",
                pl.col("kept") == "regular", "adjustment_factor",
            ).rows()
        )  # fmt: skip
        frame = pl.DataFrame(values, schema=list(live.names), orient="row")
        rows.append(shuffled.select("symbol", "timestamp").hstack(frame))
    return pl.concat(rows).sort("symbol", "timestamp")
