"""The recurrent network keeps the contract, and its kernel computes what PyTorch fitted."""

import numpy as np
import pytest

from harmony_pipeline.models.gated_recurrence import Weights, recurrent_margins
from harmony_pipeline.models.samples import Samples
from harmony_pipeline.models.scores import area_under_curve
from harmony_pipeline.models.sequence_network import (
    SequenceLayout,
    SequenceNetwork,
    network_margin,
)
from harmony_pipeline.testing.forecaster_contract import ForecasterContract, planted_samples


def drawn_weights(random, channels, inputs, units):
    shapes = [(channels, 3 * units), (inputs, 3 * units), (units, 3 * units), (3 * units,)]
    return Weights(*(random.normal(size=shape) for shape in (*shapes, (inputs,), (units + 1,))))


def test_lagged_inputs_are_steps_oldest_first_and_the_others_are_the_row():
    names = ("rsi_14_sided", "lagged_return_1_sided", "side", "lagged_return_5_sided",
             "lagged_volume_z_1")  # fmt: skip
    past, row = SequenceLayout(names).arrays(np.array([[10.0, 11.0, 12.0, 13.0, 14.0]]))
    assert past.tolist() == [[[13.0, 0.0], [11.0, 14.0]]]  # 5 bars ago: only the return is known
    assert row.tolist() == [[10.0, 12.0]]
    assert SequenceLayout(("a", "b")).arrays(np.ones((3, 2)))[0].shape == (3, 0, 0)


def test_the_kernel_is_the_textbook_recurrence():
    random = np.random.default_rng(4)
    weights = drawn_weights(random, 2, 3, 4)
    past, row = random.normal(size=(5, 6, 2)), random.normal(size=(5, 3))

    def logistic(x):
        return 1.0 / (1.0 + np.exp(-x))

    expected = []
    for i in range(5):
        h = np.zeros(4)
        for x in [*(past[i, step] @ weights.past for step in range(6)), row[i] @ weights.row]:
            a, u = x + weights.bias, h @ weights.hidden
            r, z = logistic(a[:4] + u[:4]), logistic(a[4:8] + u[4:8])
            h = (1.0 - z) * np.tanh(a[8:] + r * u[8:]) + z * h
        expected.append(h @ weights.out[:4] + weights.out[4] + row[i] @ weights.skip)
    assert np.allclose(recurrent_margins(past, row, weights), expected, rtol=0.0, atol=1e-13)


class TestWithTorch:
    """What needs PyTorch to fit."""

    @pytest.fixture(autouse=True)
    def torch(self):
        return pytest.importorskip("torch")

    def test_the_kernel_equals_the_fitted_network(self, torch):
        random = np.random.default_rng(4)
        weights = drawn_weights(random, 2, 3, 4)
        past, row = random.normal(size=(50, 6, 2)), random.normal(size=(50, 3))
        tensors = Weights(*map(torch.from_numpy, weights))
        theirs = network_margin(torch, tensors, torch.from_numpy(past), torch.from_numpy(row))
        assert np.allclose(recurrent_margins(past, row, weights), theirs.numpy(), atol=1e-12)

    def test_a_pattern_over_time_is_learned_that_no_single_input_shows(self):
        samples = planted_samples(1500, 0.0, inputs=5)
        names = (*(f"lagged_return_{lag}" for lag in (4, 3, 2, 1)), "side")

        def turned(samples):  # up when the two latest moves agree in sign
            up = samples.X[:, 2] * samples.X[:, 3] > 0.0
            frame = samples.frame.with_columns(label=up.astype(np.int8))
            return Samples(frame, samples.X, names)

        model = SequenceNetwork({"epochs": 30, "learning_rate": 0.05, "batch_rows": 128}, 3).fit(
            turned(samples)
        )
        unseen = turned(planted_samples(2000, 0.0, seed=2, inputs=5))
        assert area_under_curve(model.predict(unseen.X), unseen.labels()) > 0.8

    def test_what_was_set_in_torch_is_put_back(self, torch):
        before = torch.get_num_threads()
        torch.set_num_threads(2)
        try:
            state = torch.random.get_rng_state().tolist()
            SequenceNetwork({"epochs": 1}, 3).fit(planted_samples(300, 1.0))
            assert torch.get_num_threads() == 2
            assert not torch.are_deterministic_algorithms_enabled()
            assert torch.random.get_rng_state().tolist() == state
        finally:
            torch.set_num_threads(before)


class TestSequenceNetwork(ForecasterContract):
    kind = SequenceNetwork

    @pytest.fixture(autouse=True)
    def torch(self):
        return pytest.importorskip("torch")

    def test_the_seed_matters(self):
        samples = planted_samples(600, 0.5)
        assert self.fit(samples, seed=1).save() != self.fit(samples, seed=2).save()
