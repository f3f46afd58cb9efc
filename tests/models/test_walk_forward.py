"""A model has seen nothing that was settled after its period's start less the embargo, and predicts
inside the period only.
"""

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harmony_pipeline.errors import DataError
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.periods import period_from_key, periods_between
from harmony_pipeline.models.samples import InputMap, Samples
from harmony_pipeline.models.settings import ModelSettings
from harmony_pipeline.models.trained import TrainedModel
from harmony_pipeline.models.walk_forward import Fold, predict_period, split, train_period
from harmony_pipeline.schemas import FOLDS, MODELS, PREDICTIONS
from harmony_pipeline.testing.forecaster_contract import planted_samples

CLOCK = Calendar.of("24/7")

TIME = pl.Datetime("us", "UTC")
ZONE = "America/New_York"
LOGISTIC = "harmony_pipeline.models.logistic:Logistic"
FEBRUARY = period_from_key("2023-02", "month", ZONE)


def daily_samples(first, last, horizon=3):
    """One event a calendar day on daily bars; each is settled `horizon` days later at 21:00 UTC.
    Labels alternate.
    """
    days = [first + timedelta(days=number) for number in range((last - first).days)]
    stamps = [datetime(day.year, day.month, day.day, tzinfo=UTC) for day in days]
    frame = pl.DataFrame(
        {
            "symbol": ["AAA"] * len(days), "timestamp": stamps, "side": [1] * len(days),
            "end_timestamp": [stamp + timedelta(days=horizon, hours=21) for stamp in stamps],
            "return": [0.01] * len(days),
            "label": [number % 2 for number in range(len(days))], "weight": [0.5] * len(days),
        },
        schema_overrides={"timestamp": TIME, "end_timestamp": TIME, "side": pl.Int8, "label": pl.Int8},
    )  # fmt: skip
    return Samples(frame, np.random.default_rng(0).normal(size=(len(days), 2)), ("a", "b"))


def test_the_folds_of_a_year_as_literal_dates():
    samples = daily_samples(date(2023, 1, 1), date(2023, 7, 1))
    chosen = ModelSettings(
        forecaster=LOGISTIC, minimum_train_rows=50, embargo_bars=2, calibration_fraction=0.25
    )
    found = []
    for period in periods_between(date(2023, 3, 1), date(2023, 7, 1), "month", "UTC"):
        row = train_period(samples, period, 3, CLOCK, "1Day", chosen, "f").fold_row.row(
            0, named=True
        )
        dates = (
            row[name].date().isoformat() if row[name] else None
            for name in ("train_start", "train_end", "train_last_end", "test_start", "test_end")
        )
        found.append(
            (
                row["period"],
                *dates,
                row["train_rows"],
                row["purged_rows"],
                row["test_rows"],
                row["model_id"] is not None,
            )
        )
    # an event of day d is settled on d+3 at 21:00; with an embargo of 2 days the last one for March
    # (train_end 27 Feb 00:00) is that of 23 Feb
    assert found == [
        (
            "2023-03",
            "2023-01-01",
            "2023-02-27",
            "2023-02-26",
            "2023-03-01",
            "2023-04-01",
            54,
            5,
            31,
            True,
        ),
        (
            "2023-04",
            "2023-01-01",
            "2023-03-30",
            "2023-03-29",
            "2023-04-01",
            "2023-05-01",
            85,
            5,
            30,
            True,
        ),
        (
            "2023-05",
            "2023-01-01",
            "2023-04-29",
            "2023-04-28",
            "2023-05-01",
            "2023-06-01",
            115,
            5,
            31,
            True,
        ),
        (
            "2023-06",
            "2023-01-01",
            "2023-05-30",
            "2023-05-29",
            "2023-06-01",
            "2023-07-01",
            146,
            5,
            30,
            True,
        ),
    ]


def test_a_rolling_window_forgets():
    samples = daily_samples(date(2023, 1, 1), date(2023, 7, 1))
    chosen = ModelSettings(
        forecaster=LOGISTIC, minimum_train_rows=20, embargo_bars=2, maximum_train_days=60
    )
    fold = train_period(
        samples, period_from_key("2023-06", "month", "UTC"), 3, CLOCK, "1Day", chosen, "f"
    )
    row = fold.fold_row.row(0, named=True)
    assert row["train_start"] == datetime(2023, 4, 2, tzinfo=UTC)  # 1 June less 60 days
    assert (row["train_rows"], row["purged_rows"]) == (55, 5)


def test_the_calibration_part_is_the_latest_and_the_fitted_part_was_settled_before_it():
    samples = daily_samples(date(2023, 1, 1), date(2023, 7, 1))
    chosen = ModelSettings(embargo_bars=2, calibration_fraction=0.25)
    parts = split(samples, period_from_key("2023-05", "month", "UTC"), CLOCK, "1Day", chosen)
    stamps, ends = samples.frame["timestamp"].to_list(), samples.frame["end_timestamp"].to_list()
    first = min(stamp for stamp, used in zip(stamps, parts.calibrate, strict=True) if used)
    assert first == datetime(2023, 3, 28, tzinfo=UTC)  # 115 rows: the 87th from 1 January on
    assert max(end for end, used in zip(ends, parts.fit, strict=True) if used) == datetime(
        2023, 3, 27, 21, tzinfo=UTC
    )
    # 3 rows between are in neither
    assert (int(parts.fit.sum()), int(parts.calibrate.sum())) == (83, 29)


@settings(max_examples=30, deadline=None)
@given(
    lives=st.lists(st.one_of(st.none(), st.integers(0, 12 * 24 * 4)), min_size=40, max_size=120),
    embargo=st.integers(0, 400),
    fraction=st.floats(0.05, 0.8),
    window=st.one_of(st.none(), st.integers(1, 40)),
    start=st.integers(1, 58),
)
def test_purging_and_embargo_hold_for_any_lives_of_labels(lives, embargo, fraction, window, start):
    """Events every 12 hours from 1 January 2023, living any number of 15-minute bars, or
    unresolved.
    """
    origin = datetime(2023, 1, 1, tzinfo=UTC)
    stamps = [origin + timedelta(hours=12 * number) for number in range(len(lives))]
    ends = [
        None if life is None else stamp + timedelta(minutes=15 * (life + 1))
        for stamp, life in zip(stamps, lives, strict=True)
    ]
    labels = [None if end is None else 1 for end in ends]
    frame = pl.DataFrame(
        {
            "symbol": "A",
            "timestamp": stamps,
            "side": 1,
            "end_timestamp": ends,
            "return": 0.0,
            "label": labels,
            "weight": 1.0,
        },
        schema_overrides={
            "timestamp": TIME,
            "end_timestamp": TIME,
            "side": pl.Int8,
            "label": pl.Int8,
        },
    )
    period = period_from_key((date(2023, 1, 1) + timedelta(days=start)).isoformat(), "day", ZONE)
    chosen = ModelSettings(
        embargo_bars=embargo, calibration_fraction=fraction, maximum_train_days=window
    )
    parts = split(Samples(frame, np.zeros((len(lives), 1)), ("x",)), period, CLOCK, "15Min", chosen)
    last_end = period.start - timedelta(minutes=15 * embargo)
    opens = period.start - timedelta(days=window) if window else origin
    calibrating = [stamp for stamp, used in zip(stamps, parts.calibrate, strict=True) if used]
    for place, (stamp, end) in enumerate(zip(stamps, ends, strict=True)):
        usable = end is not None and end <= last_end and opens <= stamp < period.start
        assert parts.train[place] == usable
        assert parts.purged[place] == (opens <= stamp < period.start and not usable)
        assert parts.test[place] == (period.start <= stamp < period.end)
        if parts.fit[place]:
            assert usable
            assert end <= min(calibrating)
        if parts.calibrate[place]:
            assert usable
    assert not (parts.fit & parts.calibrate).any()


PLANTED = planted_samples(4000, 1.0, per_day=16)  # 62 days from 2 January 2023
SMALL = ModelSettings(parameters={"rounds": 20}, minimum_train_rows=200)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), embargo=st.sampled_from([0, 8, 200]))
def test_changing_the_future_does_not_move_the_past(seed, embargo):
    chosen = SMALL.model_copy(update={"embargo_bars": embargo})
    honest = train_period(
        PLANTED, FEBRUARY, 8, CLOCK, "15Min", chosen, "f", created_at=FEBRUARY.start
    )
    rng = np.random.default_rng(seed)
    unknown = PLANTED.frame["end_timestamp"].to_numpy() > np.datetime64(
        (FEBRUARY.start - timedelta(minutes=15 * embargo)).replace(tzinfo=None)
    )
    label = np.where(unknown, rng.integers(0, 2, PLANTED.height), PLANTED.labels()).astype(np.int8)
    weight = np.where(unknown, rng.random(PLANTED.height), PLANTED.weights())
    X = np.where(unknown[:, None], rng.normal(size=PLANTED.X.shape), PLANTED.X)
    samples = Samples(
        PLANTED.frame.with_columns(label=pl.Series(label), weight=pl.Series(weight)),
        X,
        PLANTED.names,
    )
    other = train_period(
        samples, FEBRUARY, 8, CLOCK, "15Min", chosen, "f", created_at=FEBRUARY.start
    )
    assert honest.model.files() == other.model.files()
    assert honest.model.model_id == other.model.model_id
    assert honest.fold_row.equals(other.fold_row)
    assert honest.model_row.equals(other.model_row)


def test_a_period_trained_alone_is_the_period_of_a_backfill():
    known = PLANTED.frame["timestamp"].to_numpy() < np.datetime64(FEBRUARY.end.replace(tzinfo=None))
    alone = train_period(PLANTED.where(known), FEBRUARY, 8, CLOCK, "15Min", SMALL, "f")
    train_period(PLANTED, period_from_key("2023-03", "month", ZONE), 8, CLOCK, "15Min", SMALL, "f")
    backfilled = train_period(PLANTED, FEBRUARY, 8, CLOCK, "15Min", SMALL, "f")
    assert alone.model.files() == backfilled.model.files()
    assert predict_period(alone, PLANTED, FEBRUARY).equals(
        predict_period(backfilled, PLANTED, FEBRUARY)
    )


def test_a_period_is_the_same_while_later_outcomes_are_open_and_when_they_are_settled():
    # every seventh outcome takes a month, so open ones lie between settled ones
    slow = pl.when(pl.int_range(pl.len()) % 7 == 0).then(pl.duration(days=30))
    frame = PLANTED.frame.with_columns(pl.col("end_timestamp") + slow.otherwise(pl.duration()))
    settled = (frame["end_timestamp"] <= FEBRUARY.start).to_list()
    outcomes = [
        pl.Series(
            name,
            [value if known else None for value, known in zip(frame[name], settled, strict=True)],
            dtype=frame.schema[name],
        )
        for name in ("end_timestamp", "return", "label", "weight")
    ]
    of_the_day, later = (
        train_period(
            Samples(rows, PLANTED.X, PLANTED.names), FEBRUARY, 8, CLOCK, "15Min", SMALL, "f"
        ).model
        for rows in (frame.with_columns(outcomes), frame)
    )
    assert of_the_day.card.data_hash == later.card.data_hash
    assert of_the_day.files() == later.files()


def test_predictions_cover_exactly_the_period_and_unresolved_events_too():
    unresolved = PLANTED.frame.with_columns(
        pl.when(pl.col("timestamp") >= datetime(2023, 2, 20, tzinfo=UTC))
        .then(None)
        .otherwise(pl.col(name))
        .alias(name)
        for name in ("end_timestamp", "label", "weight", "return")
    )
    samples = Samples(unresolved, PLANTED.X, PLANTED.names)
    fold = train_period(samples, FEBRUARY, 8, CLOCK, "15Min", SMALL, "f")
    rows = predict_period(fold, samples, FEBRUARY)
    inside = samples.frame.filter(
        (pl.col("timestamp") >= FEBRUARY.start) & (pl.col("timestamp") < FEBRUARY.end)
    )
    assert rows.schema == pl.Schema(PREDICTIONS.dtypes)
    assert rows.select("symbol", "timestamp").equals(
        inside.select("symbol", "timestamp").sort("symbol", "timestamp")
    )
    assert rows["probability"].is_between(0.0, 1.0).all()
    assert rows.select("model_id", "period", "horizon").unique().rows() == [
        (fold.model.model_id, "2023-02", 8)
    ]
    assert fold.fold_row["test_rows"].to_list() == [inside.height]


def test_the_rows_say_what_was_done():
    now = datetime(2024, 1, 1, tzinfo=UTC)
    fold = train_period(
        PLANTED,
        FEBRUARY,
        8,
        CLOCK,
        "15Min",
        SMALL,
        "feature-hash",
        data_hash="data-hash",
        code_version="1.0",
        seed=5,
        created_at=now,
    )
    assert fold.model_row.schema == pl.Schema(MODELS.dtypes)
    assert fold.fold_row.schema == pl.Schema(FOLDS.dtypes)
    row = fold.model_row.row(0, named=True)
    assert row["model_id"].startswith("gbm-h8-2023-02-")
    assert (row["feature_set_hash"], row["data_hash"], row["code_version"], row["created_at"]) == (
        "feature-hash",
        "data-hash",
        "1.0",
        now,
    )
    assert row["artifact"] == f"models/{row['model_id']}"
    assert json.loads(row["parameters"])["rounds"] == 20
    assert json.loads(row["parameters"])["seed"] == 5
    metrics = json.loads(row["metrics"])
    assert metrics["out_of_sample"] is None
    assert (
        metrics["fit_rows"] + metrics["calibration_rows"]
        <= metrics["train_rows"]
        == fold.fold_row["train_rows"][0]
    )
    assert 0.4 < metrics["base_rate"] < 0.6
    assert next(iter(metrics["importance"])) == "input_0"
    assert metrics["calibration"]["auc"] > 0.6


def test_the_id_follows_everything_that_decides_and_nothing_else():
    def model_id(**changes):
        given_ = {"feature_set_hash": "f", "data_hash": "d", "seed": 1, **changes}
        chosen = given_.pop("settings", SMALL)
        return train_period(
            PLANTED, FEBRUARY, given_.pop("horizon", 8), CLOCK, "15Min", chosen, **given_
        ).model.model_id

    same = model_id()
    assert model_id(created_at=datetime(2030, 1, 1, tzinfo=UTC), code_version="2") == same
    deeper = SMALL.model_copy(update={"parameters": {"rounds": 21}})
    others = [
        model_id(feature_set_hash="g"),
        model_id(data_hash="e"),
        model_id(seed=2),
        model_id(settings=deeper),
    ]
    assert len({same, *others}) == 5


def test_too_little_history_is_a_fold_without_a_model_that_says_why():
    period = period_from_key("2023-01", "month", ZONE)
    fold = train_period(PLANTED, period, 8, CLOCK, "15Min", SMALL, "f")
    assert fold.model is None
    assert (
        fold.reason
        == "0 events were settled by 2023-01-01 03:00 UTC; model.minimum_train_rows is 200"
    )
    assert fold.metrics["reason"] == fold.reason
    assert fold.model_row.height == 0
    row = fold.fold_row.row(0, named=True)
    assert (row["model_id"], row["train_start"], row["train_rows"]) == (None, None, 0)
    assert predict_period(fold, PLANTED, period).equals(PREDICTIONS.empty())


def test_one_outcome_only_is_a_fold_without_a_model():
    ones = Samples(
        PLANTED.frame.with_columns(label=pl.lit(1, dtype=pl.Int8)), PLANTED.X, PLANTED.names
    )
    fold = train_period(ones, FEBRUARY, 8, CLOCK, "15Min", SMALL, "f")
    assert fold.model is None
    assert "had the same outcome" in fold.reason


def test_labels_that_outlive_the_calibration_part_leave_nothing_to_fit():
    forever = PLANTED.frame.with_columns(
        end_timestamp=pl.lit(datetime(2023, 1, 31, tzinfo=UTC), dtype=TIME)
    )
    fold = train_period(
        Samples(forever, PLANTED.X, PLANTED.names), FEBRUARY, 8, CLOCK, "15Min", SMALL, "f"
    )
    assert fold.model is None
    assert "were settled before the calibration part began" in fold.reason


def test_no_samples_at_all_is_no_error():
    none = PLANTED.where(np.zeros(PLANTED.height, dtype=bool))
    fold = train_period(none, FEBRUARY, 8, CLOCK, "15Min", SMALL, "f")
    assert isinstance(fold, Fold)
    assert fold.model is None
    assert predict_period(fold, none, FEBRUARY).height == 0


def test_a_model_refuses_inputs_that_it_was_not_trained_on():
    model = train_period(PLANTED, FEBRUARY, 8, CLOCK, "15Min", SMALL, "f").model
    swapped = Samples(PLANTED.frame, PLANTED.X, ("input_1", "input_0", *PLANTED.names[2:]))
    with pytest.raises(DataError, match="was trained on the inputs input_0"):
        model.predict(swapped)
    with pytest.raises(DataError, match=r"needs inputs of shape \[rows, 6\]"):
        model.predict(np.zeros((1, 5)))


def test_a_model_remembers_how_its_inputs_are_made():
    inputs = InputMap(("rsi_14", "adx_14"), regimes=True)
    X = np.random.default_rng(1).normal(size=(PLANTED.height, len(inputs.names)))
    model = train_period(
        Samples(PLANTED.frame, X, inputs.names, inputs), FEBRUARY, 8, CLOCK, "15Min", SMALL, "f"
    ).model
    assert type(model).from_files(model.files()).inputs == inputs


def test_calibration_events_that_the_model_cannot_answer_do_not_calibrate_it():
    samples = planted_samples(3000, 1.5, per_day=13)
    configured = ModelSettings(forecaster=LOGISTIC, minimum_train_rows=100)
    parts = split(samples, FEBRUARY, CLOCK, "15Min", configured)
    X = samples.X.copy()
    holes = np.flatnonzero(parts.calibrate)[::2]
    X[holes, 0] = np.nan
    with_holes = train_period(
        Samples(samples.frame, X, samples.names), FEBRUARY, 8, CLOCK, "15Min", configured, "f"
    ).model
    clean = np.ones(samples.height, dtype=bool)
    clean[holes] = False
    assert with_holes.card.complete == samples.names
    assert np.isnan(with_holes.predict(X[holes])).all()
    assert np.isfinite(with_holes.predict(X[parts.test])).all()
    wild = samples.X.copy()
    wild[parts.fit, 0] = np.where(np.arange(parts.fit.sum()) % 2, np.nan, wild[parts.fit, 0])
    assert (
        "input_0"
        not in train_period(
            Samples(samples.frame, wild, samples.names),
            FEBRUARY,
            8,
            CLOCK,
            "15Min",
            configured,
            "f",
        ).model.card.complete
    )
    told = json.loads(
        MODELS.conform(
            train_period(
                Samples(samples.frame, X, samples.names),
                FEBRUARY,
                8,
                CLOCK,
                "15Min",
                configured,
                "f",
            ).model_row
        )["metrics"][0]
    )
    assert told["calibration_rows"] == int((parts.calibrate & clean).sum())


def test_a_model_of_an_earlier_version_keeps_its_id_and_answers_as_it_did():
    samples = planted_samples(3000, 1.5, per_day=13)
    model = train_period(
        samples,
        FEBRUARY,
        8,
        CLOCK,
        "15Min",
        ModelSettings(forecaster=LOGISTIC, minimum_train_rows=100),
        "f",
    ).model
    earlier = replace(model.card, complete=None)
    old = TrainedModel(earlier.build_id(model.model.save()), earlier, model.model)
    assert b"complete" not in old.files()["card.json"]
    again = TrainedModel.from_files(old.files())
    assert again.model_id == old.model_id
    assert np.isfinite(again.predict(np.full((1, 6), np.nan))).all()
