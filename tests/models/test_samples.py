"""Events meet the features of their own bar and the regime known by then; long and short share what
they teach.
"""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from harmony_pipeline.errors import DataError, NotReady
from harmony_pipeline.models.samples import (
    PRICE_LEVELS,
    SIDED,
    InputMap,
    RegimeHistory,
    Samples,
    build_samples,
    family,
)
from harmony_pipeline.schemas import LABELS, REGIMES

T0 = datetime(2024, 3, 4, 14, 30, tzinfo=UTC)
BAR = timedelta(minutes=15)
TIME = pl.Datetime("us", "UTC")


def labels_frame(rows):
    """rows: (symbol, bar, horizon, side, label or None)."""
    return pl.DataFrame(
        [
            {
                "symbol": symbol, "timestamp": T0 + bar * BAR, "horizon": horizon, "side": side,
                "label": label,
                "end_timestamp": None if label is None else T0 + (bar + horizon + 1) * BAR,
                "return": None if label is None else 0.01 * (2 * label - 1),
                "weight": None if label is None else 0.5,
            }
            for symbol, bar, horizon, side, label in rows
        ],
        schema={name: LABELS.dtypes[name] for name in ("symbol", "timestamp", "horizon", "side", "label", "end_timestamp", "return", "weight")},
    )  # fmt: skip


def features_frame():
    stamps = [T0 + bar * BAR for bar in range(4)]
    return pl.DataFrame(
        {
            "symbol": ["AAA"] * 4 + ["BBB"] * 4,
            "timestamp": stamps * 2,
            "rsi_14": [70.0, 30.0, None, 50.0, 60.0, 40.0, 55.0, 45.0],
            "momentum_5": [0.1, -0.1, 0.2, float("inf"), 0.3, -0.3, 0.4, -0.4],
            "volatility_20": [0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08],
        },
        schema_overrides={"timestamp": TIME},
    )


COLUMNS = ("rsi_14", "momentum_5", "volatility_20")


def test_events_of_one_horizon_are_joined_in_order_of_time_and_symbol():
    labels = labels_frame(
        [("BBB", 1, 8, 1, 1), ("AAA", 2, 8, 1, None), ("AAA", 1, 8, -1, 0), ("AAA", 0, 32, 1, 1)]
    )
    samples = build_samples(features_frame(), labels, None, COLUMNS, 8)
    assert samples.frame.select("symbol", "timestamp").rows() == [
        ("AAA", T0 + BAR),
        ("BBB", T0 + BAR),
        ("AAA", T0 + 2 * BAR),
    ]
    assert samples.frame.columns == [
        "symbol",
        "timestamp",
        "side",
        "end_timestamp",
        "return",
        "label",
        "weight",
    ]
    assert samples.names == ("rsi_14_sided", "momentum_5_sided", "volatility_20", "side")
    # by hand: the short at RSI 30 is a signed +20, its momentum of -0.1 is a signed +0.1
    expected = [[20.0, 0.1, 0.02, -1.0], [-10.0, -0.3, 0.06, 1.0], [np.nan, 0.2, 0.03, 1.0]]
    assert np.array_equal(samples.X, np.array(expected), equal_nan=True)
    assert np.array_equal(samples.labels(), [0.0, 1.0, np.nan], equal_nan=True)
    assert samples.X.flags.c_contiguous


def test_the_order_of_the_inputs_does_not_matter():
    labels = labels_frame(
        [(symbol, bar, 8, 1, bar % 2) for symbol in ("AAA", "BBB") for bar in range(4)]
    )
    straight = build_samples(features_frame(), labels, None, COLUMNS, 8)
    shuffled = build_samples(
        features_frame().sample(fraction=1.0, shuffle=True, seed=1),
        labels.reverse(),
        None,
        COLUMNS,
        8,
    )
    assert straight.frame.equals(shuffled.frame)
    assert np.array_equal(straight.X, shuffled.X, equal_nan=True)


def test_what_is_not_finite_is_not_known():
    samples = build_samples(features_frame(), labels_frame([("AAA", 3, 8, 1, 1)]), None, COLUMNS, 8)
    assert np.isnan(samples.X[0, 1])


def test_a_long_and_its_mirror_image_short_differ_only_in_side():
    inputs = InputMap(("log_return", "rsi_14", "macd_12_26_9", "volatility_20", "adx_14"))
    up = np.array([0.01, 65.0, 0.3, 0.02, 25.0])
    down = np.array([-0.01, 35.0, -0.3, 0.02, 25.0])
    long, short = inputs.row(up, 1), inputs.row(down, -1)
    assert np.array_equal(long[:-1], short[:-1])
    assert (long[-1], short[-1]) == (1.0, -1.0)


def test_the_family_is_the_name_without_its_windows():
    assert [
        family(name) for name in ("rsi_14", "macd_12_26_9", "log_return", "bollinger_z_20")
    ] == ["rsi", "macd", "log_return", "bollinger_z"]


def test_every_indicator_of_the_catalog_is_sided_or_known_to_have_no_direction():
    from harmony_pipeline.features.catalog import INDICATORS

    without_direction = {
        "volatility", "natr", "adx", "volume_z", "volume_ratio", "efficiency_ratio", "regression_fit",
        "plus_di", "minus_di", "parkinson", "garman_klass", "rogers_satchell", "yang_zhang",
        "ewma_volatility", "downside_volatility", "ulcer_index", "volatility_ratio", "kurtosis",
        "autocorrelation", "variance_ratio", "hurst", "sign_entropy", "kyle_lambda", "roll_spread",
        "corwin_schultz", "minute_of_session", "day_of_week", "larger_volatility",
        "news_count", "bars_since_news",
    }  # fmt: skip
    from harmony_pipeline.features.comparisons import MARKET
    from harmony_pipeline.features.news_columns import NEWS

    kinds = {indicator.kind for indicator in (*INDICATORS, *MARKET, *NEWS)}
    assert kinds == without_direction | {"beta"} | set(SIDED) | PRICE_LEVELS


def test_a_comparison_has_the_direction_of_what_it_compares_and_prices_are_not_compared():
    inputs = InputMap(
        (
            "cross_rank_momentum_20", "cross_z_rsi_14", "market_relative_volatility_20",
            "sector_relative_log_return", "cross_rank_residual_return_20", "cross_rank_adx_14",
            "beta_20", "cross_rank_sma_20", "cross_z_macd_12_26_9", "market_relative_atr_14",
        )
    )  # fmt: skip
    assert inputs.names == (
        "cross_rank_momentum_20_sided", "cross_z_rsi_14_sided", "market_relative_volatility_20",
        "sector_relative_log_return_sided", "cross_rank_residual_return_20_sided",
        "cross_rank_adx_14", "beta_20", "side",
    )  # fmt: skip
    values = np.array([0.9, 1.5, 0.01, 0.02, 0.25, 0.7, 1.2, 1.0, 1.0, 1.0])
    assert inputs.row(values, -1) == pytest.approx([-0.4, -1.5, 0.01, -0.02, 0.25, 0.7, 1.2, -1.0])


def test_currency_amounts_are_divided_by_the_range_and_price_levels_left_out():
    inputs = InputMap(("atr_14", "macd_12_26_9", "sma_20", "adx_14"))
    assert inputs.names == ("macd_12_26_9_per_atr_14_sided", "adx_14", "side")
    dear, cheap = (
        inputs.row(np.array([4.0, 2.0, 800.0, 30.0]), -1),
        inputs.row(np.array([0.04, 0.02, 8.0, 30.0]), -1),
    )
    assert dear.tolist() == [-0.5, 30.0, -1.0]
    assert np.allclose(dear, cheap, rtol=1e-15)
    assert np.isnan(inputs.row(np.array([0.0, 2.0, 800.0, 30.0]), 1)[0])  # no range, no scale


def regimes_frame():
    days = [datetime(2024, 3, day, tzinfo=UTC) for day in (1, 4)]
    return REGIMES.conform(
        pl.DataFrame(
            {
                "timestamp": days, "known_at": [day + timedelta(hours=21) for day in days],
                "trend": ["bull", "bear"], "volatility": ["high", None],
                "index_level": [1.1, 0.9], "trend_average": [1.0, 1.0],
                "realised_volatility": [0.3, None], "volatility_median": [0.2, 0.2],
                "turbulent_probability": [0.25, None],
            }
        )
    )  # fmt: skip


def test_a_regime_counts_from_the_moment_it_is_known():
    friday_close, monday_close = (
        datetime(2024, 3, 1, 21, tzinfo=UTC),
        datetime(2024, 3, 4, 21, tzinfo=UTC),
    )
    moments = [
        friday_close - timedelta(microseconds=1),
        friday_close,
        monday_close - timedelta(microseconds=1),
        monday_close,
    ]
    found = RegimeHistory.of(regimes_frame()).at(moments)
    bull, bear = [1.0, 0.1, 1.0, 1.5, 0.25], [-1.0, -0.1, np.nan, np.nan, np.nan]
    assert np.allclose(found, [[np.nan] * 5, bull, bull, bear], equal_nan=True)


def test_the_trend_is_seen_from_the_side_of_the_trade():
    samples = build_samples(
        features_frame(),
        labels_frame([("AAA", 0, 8, 1, 1), ("BBB", 0, 8, -1, 0)]),
        regimes_frame(),
        COLUMNS,
        8,
    )
    assert samples.names[4:] == (
        "regime_trend_sided",
        "regime_trend_distance_sided",
        "regime_volatility_high",
        "regime_volatility_ratio",
    )
    assert np.allclose(samples.X[:, 4:], [[1.0, 0.1, 1.0, 1.5], [-1.0, -0.1, 1.0, 1.5]])


def test_the_hidden_state_is_an_input_where_it_is_asked_for_and_has_no_side():
    samples = build_samples(
        features_frame(),
        labels_frame([("AAA", 0, 8, 1, 1), ("BBB", 0, 8, -1, 0)]),
        regimes_frame(),
        COLUMNS,
        8,
        hidden_regime=True,
    )
    assert samples.names[-1] == "regime_turbulent_probability"
    assert np.allclose(samples.X[:, 4:], [[1.0, 0.1, 1.0, 1.5, 0.25], [-1.0, -0.1, 1.0, 1.5, 0.25]])


def test_an_empty_regime_table_is_unknown_but_keeps_its_inputs():
    samples = build_samples(
        features_frame(), labels_frame([("AAA", 0, 8, 1, 1)]), REGIMES.empty(), COLUMNS, 8
    )
    assert np.isnan(samples.X[0, 4:]).all()
    assert len(samples.names) == 8


@pytest.mark.parametrize("hidden", [False, True])
def test_the_live_row_has_the_same_bits_as_research(hidden):
    labels = labels_frame(
        [
            (symbol, bar, 8, side, 1)
            for symbol, side in (("AAA", 1), ("BBB", -1))
            for bar in range(4)
        ]
    )
    features, regimes = features_frame(), regimes_frame()
    samples = build_samples(features, labels, regimes, COLUMNS, 8, hidden_regime=hidden)
    for place, event in enumerate(samples.frame.iter_rows(named=True)):
        bar = features.filter(
            (pl.col("symbol") == event["symbol"]) & (pl.col("timestamp") == event["timestamp"])
        )
        values = bar.select(pl.col(COLUMNS).fill_null(np.nan)).to_numpy()[0]
        live = samples.inputs.row(
            values, event["side"], RegimeHistory.of(regimes).at([event["timestamp"]])[0]
        )
        assert np.array_equal(live, samples.X[place], equal_nan=True)


def test_no_events_are_no_error():
    samples = build_samples(features_frame(), labels_frame([]), regimes_frame(), COLUMNS, 8)
    assert samples.X.shape == (0, 8)


def test_an_event_without_features_is_refused_rather_than_guessed():
    with pytest.raises(NotReady, match="1 labelled events have no row in features, first AAA"):
        build_samples(features_frame(), labels_frame([("AAA", 9, 8, 1, 1)]), None, COLUMNS, 8)


def test_a_missing_feature_column_is_named():
    with pytest.raises(DataError, match="adx_14"):
        build_samples(features_frame(), labels_frame([]), None, (*COLUMNS, "adx_14"), 8)


def test_samples_out_of_order_are_refused():
    samples = build_samples(
        features_frame(),
        labels_frame([("AAA", bar, 8, 1, 1) for bar in range(3)]),
        None,
        COLUMNS,
        8,
    )
    with pytest.raises(DataError, match="order of timestamp"):
        Samples(samples.frame.reverse(), samples.X[::-1], samples.names)
