"""The obligations of every forecaster; a new one is one class and a test of three lines.

>>> class TestMine(ForecasterContract):
...     kind = MyForecaster

The samples are synthetic and seeded. `planted_samples` with a strength of 0 have no signal.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, ClassVar

import numpy as np
import polars as pl

from harmony_pipeline.errors import ConfigError, DataError, HarmonyError
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.periods import period_from_key
from harmony_pipeline.models.base import Forecaster, Model, sigmoid
from harmony_pipeline.models.samples import Samples
from harmony_pipeline.models.scores import area_under_curve
from harmony_pipeline.models.settings import ModelSettings
from harmony_pipeline.models.walk_forward import predict_period, train_period

CLOCK = Calendar.of("24/7")

START = datetime(2023, 1, 2, 14, 30, tzinfo=UTC)
BARS_A_DAY = 26
BAR = timedelta(minutes=15)


def planted_samples(
    rows: int,
    strength: float,
    seed: int = 1,
    inputs: int = 6,
    symbols: int = 4,
    horizon: int = 8,
    per_day: int = BARS_A_DAY,
) -> Samples:
    """Resolved events on 15-minute bars; log-odds of label 1 = strength * input_0.

    Each day has `per_day` bars, each bar `symbols` events. Each event is resolved at the end of the
    bar number `horizon` after its own.
    """
    generator = np.random.default_rng(seed)
    X = generator.normal(size=(rows, inputs))
    label = (generator.random(rows) < sigmoid(strength * X[:, 0])).astype(np.int8)
    bar = np.arange(rows) // symbols
    opened = [
        START + timedelta(days=int(day)) + int(place) * BAR
        for day, place in zip(bar // per_day, bar % per_day, strict=True)
    ]
    frame = pl.DataFrame(
        {
            "symbol": [f"S{number:02d}" for number in (np.arange(rows) % symbols).tolist()],
            "timestamp": opened,
            "side": np.ones(rows, dtype=np.int8),
            "end_timestamp": [stamp + (horizon + 1) * BAR for stamp in opened],
            "return": np.where(label == 1, 0.01, -0.01),
            "label": label,
            "weight": np.full(rows, 0.5),
        },
        schema_overrides={
            "timestamp": pl.Datetime("us", "UTC"),
            "end_timestamp": pl.Datetime("us", "UTC"),
        },
    )
    return Samples(frame, X, tuple(f"input_{number}" for number in range(inputs)))


class ForecasterContract:
    """Name the class in `kind`; `parameters` are passed to it (leave them empty to test its
    defaults).
    """

    kind: ClassVar[type[Forecaster]]
    parameters: ClassVar[dict[str, Any]] = {}

    def fit(self, samples: Samples, seed: int = 3) -> Model:
        """A fresh forecaster's model of `samples`."""
        return self.kind(self.parameters, seed).fit(samples)

    def test_the_same_samples_give_the_same_bytes(self) -> None:
        samples = planted_samples(1200, 0.5)
        assert self.fit(samples).save() == self.fit(samples).save()

    def test_no_global_random_state_is_read_or_changed(self) -> None:
        samples = planted_samples(600, 0.5)
        np.random.seed(1)  # noqa: NPY002 - the global generator is what is tested
        before = np.random.get_state()[1].tolist()  # type: ignore[index]  # noqa: NPY002
        first = self.fit(samples).save()
        assert np.random.get_state()[1].tolist() == before  # type: ignore[index]  # noqa: NPY002
        np.random.seed(2)  # noqa: NPY002
        assert self.fit(samples).save() == first

    def test_a_saved_model_comes_back_exact(self) -> None:
        samples = planted_samples(1200, 0.5)
        model = self.fit(samples)
        loaded = self.kind.load(model.save())
        assert loaded.names == samples.names
        assert loaded.save() == model.save()
        assert np.array_equal(loaded.margin(samples.X), model.margin(samples.X))
        assert np.array_equal(loaded.predict(samples.X), model.predict(samples.X))
        assert loaded.importance() == model.importance()

    def test_probabilities_are_probabilities_and_follow_the_margin(self) -> None:
        model = self.fit(planted_samples(1200, 1.0))
        X = planted_samples(1000, 1.0, seed=2).X * 100.0
        probability, margin = model.predict(X), model.margin(X)
        assert probability.shape == margin.shape == (1000,)
        assert probability.dtype == margin.dtype == np.float64
        assert ((probability >= 0.0) & (probability <= 1.0)).all()
        assert np.isfinite(margin).all()
        assert np.allclose(probability, sigmoid(margin), rtol=0.0, atol=1e-12)

    def test_no_rows_give_no_probabilities(self) -> None:
        assert self.fit(planted_samples(600, 1.0)).predict(np.empty((0, 6))).shape == (0,)

    def test_one_row_gives_the_same_bits_as_many(self) -> None:
        samples = planted_samples(1200, 0.5)
        model = self.fit(samples)
        together = model.margin(samples.X)
        assert all(
            model.margin(samples.X[row : row + 1])[0] == together[row] for row in range(0, 1200, 60)
        )

    def test_a_planted_signal_is_learned(self) -> None:
        model = self.fit(planted_samples(3000, 1.5))
        unseen = planted_samples(3000, 1.5, seed=2)
        assert area_under_curve(model.predict(unseen.X), unseen.labels()) > 0.65
        importance = model.importance()
        assert max(importance, key=lambda name: importance[name]) == "input_0"

    def test_nothing_is_found_in_noise(self) -> None:
        model = self.fit(planted_samples(3000, 0.0))
        unseen = planted_samples(6000, 0.0, seed=2)
        assert abs(area_under_curve(model.predict(unseen.X), unseen.labels()) - 0.5) < 0.03

    def test_heavy_samples_outvote_light_ones(self) -> None:
        samples = planted_samples(3000, 1.5)
        liars = np.arange(3000) % 2 == 1  # half the events teach the opposite
        opposite = pl.Series(
            np.where(liars, 1 - samples.labels(), samples.labels()).astype(np.int8)
        )
        gain = pl.Series(np.where(liars, -1.0, 1.0)) * samples.frame["return"]
        unseen = planted_samples(3000, 1.5, seed=2)

        def auc(weight_of_liars: float, weight_of_others: float) -> float:
            weight = pl.Series(np.where(liars, weight_of_liars, weight_of_others))
            model = self.fit(
                Samples(
                    samples.frame.with_columns(gain.alias("return"), label=opposite, weight=weight),
                    samples.X,
                    samples.names,
                )
            )
            return area_under_curve(model.predict(unseen.X), unseen.labels())

        assert auc(0.02, 1.0) > 0.65
        assert auc(1.0, 0.02) < 0.35

    def test_rows_of_no_weight_are_no_rows(self) -> None:
        samples = planted_samples(900, 1.0)
        mute = np.arange(900) % 3 == 0
        weight = np.where(mute, 0.0, 0.5)
        X = np.where(mute[:, None], 40.0 - 9.0 * samples.X, samples.X)
        X[mute, 2] = np.nan
        wild = samples.frame.with_columns(
            pl.Series("label", np.where(mute, 1, samples.labels()).astype(np.int8)),
            pl.Series("return", np.where(mute, 0.5, samples.frame["return"].to_numpy())),
        )
        bytes_of = [
            self.fit(
                Samples(frame.with_columns(weight=pl.Series(weight)), inputs, samples.names)
            ).save()
            for frame, inputs in ((samples.frame, samples.X), (wild, X))
        ]
        assert bytes_of == [self.fit(samples.where(~mute)).save()] * 2

    def test_unknown_inputs_are_no_error(self) -> None:
        samples = planted_samples(3000, 1.5)
        generator = np.random.default_rng(5)
        holes = np.where(generator.random(samples.X.shape) < 0.2, np.nan, samples.X)
        holes[:, 3] = np.nan  # never known
        model = self.fit(Samples(samples.frame, holes, samples.names))
        assert np.isfinite(model.margin(holes)).all()
        assert np.isfinite(model.margin(np.full((2, 6), np.nan))).all()
        unseen = planted_samples(3000, 1.5, seed=2)
        assert area_under_curve(model.predict(unseen.X), unseen.labels()) > 0.65

    def test_an_input_that_training_never_saw_missing_gets_no_probability_when_it_is(self) -> None:
        """In a trained model. What was missing in training too is answered."""
        samples = planted_samples(3000, 1.5, per_day=BARS_A_DAY // 2)
        X = samples.X.copy()
        X[::5, 2] = np.nan  # learned from
        path = f"{self.kind.__module__}:{self.kind.__qualname__}"
        period = period_from_key("2023-02", "month", "UTC")
        settings = ModelSettings(
            forecaster=path, parameters=dict(self.parameters), minimum_train_rows=100
        )
        trained = train_period(
            Samples(samples.frame, X, samples.names),
            period,
            8,
            CLOCK,
            "15Min",
            settings,
            "features",
        ).model
        assert trained is not None
        assert trained.card.complete == tuple(name for name in samples.names if name != "input_2")
        holes = np.tile(samples.X[0], (3, 1))
        holes[1, 2] = holes[2, 0] = holes[2, 2] = np.nan
        probability = trained.predict(holes)
        assert np.isfinite(probability[:2]).all()
        assert np.isnan(probability[2])
        assert np.isnan(trained.predict(holes[2:])[0])
        assert trained.refusals(holes) == [
            None,
            None,
            "input_0 missing; training saw no missing value there",
        ]
        again = type(trained).from_files(trained.files())
        assert (again.model_id, again.card) == (trained.model_id, trained.card)
        assert np.array_equal(again.predict(holes), probability, equal_nan=True)
        frame = samples.frame.filter(pl.col("timestamp") >= period.start).head(3)
        predictions = predict_period(trained, Samples(frame, holes, samples.names), period)
        assert (
            predictions["probability"].null_count() == predictions["reason"].drop_nulls().len() == 1
        )

    def test_a_constant_input_is_no_error(self) -> None:
        samples = planted_samples(600, 1.0)
        X = samples.X.copy()
        X[:, 1] = 7.0
        model = self.fit(Samples(samples.frame, X, samples.names))
        assert np.isfinite(model.margin(samples.X)).all()

    def test_importance_is_a_share(self) -> None:
        importance = self.fit(planted_samples(1200, 1.0)).importance()
        assert tuple(importance) == tuple(f"input_{number}" for number in range(6))
        assert min(importance.values()) >= 0.0
        assert abs(sum(importance.values()) - 1.0) < 1e-9

    def test_what_cannot_teach_is_refused(self) -> None:
        samples = planted_samples(300, 1.0)
        one_outcome = samples.frame.with_columns(label=pl.lit(1, dtype=pl.Int8))
        unresolved = samples.frame.with_columns(
            label=pl.when(pl.int_range(pl.len()) == 7).then(None).otherwise(pl.col("label"))
        )
        for frame in (one_outcome, unresolved):
            assert "cannot train on" in _refusal(
                DataError, partial(self.fit, Samples(frame, samples.X, samples.names))
            )

    def test_an_unknown_parameter_is_refused_by_name(self) -> None:
        assert "no_such_parameter" in _refusal(
            ConfigError, partial(self.kind, {"no_such_parameter": 1}, 3)
        )


def _refusal(family: type[HarmonyError], action: Callable[[], object]) -> str:
    """The message with which `action` was refused (pytest is not a dependency of the library)."""
    try:
        action()
    except family as error:
        return str(error)
    raise AssertionError(f"nothing raised {family.__name__}")
