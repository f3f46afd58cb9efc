"""A blend is a pool: its weights come from the calibration part alone, favour the better member and
none without evidence.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from harmony_pipeline.errors import ConfigError
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.periods import period_from_key
from harmony_pipeline.models.blend import Blend, mixture_weights
from harmony_pipeline.models.samples import Samples
from harmony_pipeline.models.settings import ModelSettings
from harmony_pipeline.models.walk_forward import split, train_period
from harmony_pipeline.testing.forecaster_contract import ForecasterContract, planted_samples

LOGISTIC = "harmony_pipeline.models.logistic:Logistic"
RIDGE = "harmony_pipeline.models.ridge:Ridge"
TREES = "harmony_pipeline.models.gradient_boosting:GradientBoosting"
STUMP = {"forecaster": TREES, "parameters": {"rounds": 1, "num_leaves": 2}}
MEMBERS = {"members": [STUMP, {"forecaster": LOGISTIC}, {"forecaster": RIDGE}]}
SAMPLES = planted_samples(4000, 1.5, per_day=16)
FEBRUARY = period_from_key("2023-02", "month", "UTC")
SETTINGS = ModelSettings(
    forecaster="harmony_pipeline.models.blend:Blend", parameters=MEMBERS, minimum_train_rows=200
)


class TestBlend(ForecasterContract):
    kind = Blend
    parameters = {"members": [{"forecaster": LOGISTIC}, {"forecaster": RIDGE}]}  # noqa: RUF012


def trained(samples, settings=SETTINGS):
    return train_period(samples, FEBRUARY, 8, Calendar.of("24/7"), "15Min", settings, "f").model


def test_weights_make_the_outcomes_most_likely():
    random = np.random.default_rng(1)
    likelihood, weight = random.random((3, 400)), random.random(400)

    def loss(x):
        shares = np.exp(x) / np.exp(x).sum()
        return -(weight * np.log(shares @ likelihood)).sum() - 4.0 * np.log(shares).sum()

    best = minimize(loss, np.zeros(3), method="BFGS", tol=1e-12).x
    expected = np.exp(best) / np.exp(best).sum()
    assert np.allclose(mixture_weights(likelihood, weight, 12.0), expected, atol=1e-5)


@given(st.integers(0, 1000), st.integers(1, 5), st.floats(0.0, 100.0))
def test_weights_are_shares_and_copies_of_a_member_share_alike(seed, members, prior):
    random = np.random.default_rng(seed)
    likelihood = random.random((members, 50))
    found = mixture_weights(np.vstack([likelihood, likelihood[:1]]), random.random(50), prior)
    assert found.min() >= 0.0
    assert found.sum() == pytest.approx(1.0)
    assert found[0] == pytest.approx(found[-1])


def test_the_better_member_gets_the_larger_weight():
    shares = trained(SAMPLES).model.shares
    assert sum(shares) == pytest.approx(1.0)
    assert shares[0] < shares[1]  # one stump against the straight line that was planted


def test_without_evidence_the_weights_stay_nearly_equal():
    noise = planted_samples(4000, 0.0, per_day=16)
    assert np.allclose(trained(noise).model.shares, 1.0 / 3.0, atol=0.1)


def test_only_the_calibration_part_moves_the_weights_and_it_moves_no_member():
    parts = split(SAMPLES, FEBRUARY, Calendar.of("24/7"), "15Min", SETTINGS)
    label = np.where(parts.calibrate, 1 - SAMPLES.labels(), SAMPLES.labels()).astype(np.int8)
    turned = Samples(
        SAMPLES.frame.with_columns(label=label), SAMPLES.X, SAMPLES.names
    )  # the later outcomes are the opposite
    honest, other = trained(SAMPLES).model, trained(turned).model
    assert [model.save() for model in honest.models] == [model.save() for model in other.models]
    assert honest.shares != other.shares
    assert honest.calibrations != other.calibrations


def test_a_member_that_is_unknown_or_has_an_unknown_parameter_is_refused():
    with pytest.raises(ConfigError, match="nowhere"):
        Blend({"members": [{"forecaster": "nowhere:Thing"}]}, 1)
    with pytest.raises(ConfigError, match="no_such"):
        Blend({"members": [{"forecaster": RIDGE, "parameters": {"no_such": 1}}]}, 1)
