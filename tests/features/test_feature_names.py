"""Names of columns, the hash of a set, and the promise that a changed definition changes it."""

import json
from pathlib import Path

import numpy as np
import pytest
from features.feature_markets import EVERY_KIND, SMALL, folded, random_arrays

from harmony_pipeline.errors import ConfigError
from harmony_pipeline.features.catalog import INDICATORS, FeatureSet, parse_name
from harmony_pipeline.features.settings import FeatureSettings

GOLDEN = Path(__file__).with_name("golden_values.json")


def test_columns_keep_their_order():
    assert FeatureSet.of(["gap", "cusum_event", "rsi_14", "gap"]).names == (
        "gap",
        "cusum_event",
        "rsi_14",
    )
    assert FeatureSet.of(()).names == ()


def test_the_default_settings_name_features_that_exist():
    assert FeatureSet.of(FeatureSettings().names).names == FeatureSettings().names


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("rsi14", "did you mean 'rsi_14'.*valid are log_return, volatility_N"),
        ("volatilty_20", "did you mean 'volatility_20'"),
        ("macd", "has 0 number.*write it as macd_F_S_G"),
        ("rsi_14_3", "has 2 number.*write it as rsi_N"),
        ("rsi_014", "without leading zeros"),
        ("rsi_0", "N of rsi_N must be a whole number from 2 to 10000"),
        ("rsi_1.5", "unknown feature 'rsi_1.5'"),
        ("RSI_14", "did you mean 'rsi_14'"),
        ("", "unknown feature ''"),
        ("sma_ratio_10_99999", "S of sma_ratio_F_S"),
        ("macd_26_12_9", "first average must be the faster one"),
        ("bollinger", "did you mean 'bollinger_z_N'"),
    ],
)
def test_a_name_that_means_nothing_is_refused_with_what_is_valid(name, said):
    with pytest.raises(ConfigError, match=said):
        FeatureSet.of(["log_return", name])


@pytest.mark.parametrize("threshold", [0.0, -1.0, float("nan")])
def test_a_threshold_must_be_above_zero(threshold):
    with pytest.raises(ConfigError, match="cusum_threshold"):
        FeatureSet.of(["gap"], threshold)


def test_every_pattern_is_a_name_that_can_be_written():
    for indicator in INDICATORS:
        name = "_".join((indicator.kind, *map(str, (3, 8, 4)[: len(indicator.parameters)])))
        assert parse_name(name)[0] is indicator


def test_the_hash_sees_names_order_parameters_and_versions():
    hashes = {
        FeatureSet.of(names, threshold).hash
        for names, threshold in (
            (["rsi_14", "gap"], 1.5),
            (["gap", "rsi_14"], 1.5),
            (["rsi_15", "gap"], 1.5),
            (["rsi_14"], 1.5),
            (["rsi_14", "gap", "cusum_event"], 1.5),
            (["rsi_14", "gap", "cusum_event"], 1.6),
        )
    }
    assert len(hashes) == 6
    assert FeatureSet.of(("rsi_14", "gap")).hash == FeatureSet.of(["rsi_14", "gap"], 1.5).hash


def test_states_have_the_size_that_the_set_says_and_begin_with_nothing():
    assert SMALL.initial_state().shape == (SMALL.state_size,)
    assert not SMALL.initial_state().any()


def test_a_definition_that_changes_its_values_must_raise_its_version():
    """golden_values.json holds three values of every column; rewrite it only together with a higher
    version in the catalog.
    """
    golden, values = json.loads(GOLDEN.read_text()), folded(SMALL, random_arrays(2024))
    versions = {name: parse_name(name)[0].version for name in EVERY_KIND}
    assert set(golden) == set(EVERY_KIND)
    for name in EVERY_KIND:
        assert golden[name]["version"] == versions[name], (
            f"{name}: write the new version into {GOLDEN.name}"
        )
        np.testing.assert_allclose(
            values[name][[40, 120, 239]],
            golden[name]["values"],
            rtol=1e-9,
            atol=1e-12,
            err_msg=f"{name} has new values: raise its version in catalog.py",
        )
