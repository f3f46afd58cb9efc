"""A model in a session answers with the same bits as over the whole day, and is pinned."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from session.days import DAYS, FEATURES, Contrarian, fresh_ledger, market, plan_of, rules

from harmony_pipeline.errors import NotReady
from harmony_pipeline.features.catalog import FeatureSet
from harmony_pipeline.models.base import forecaster_class
from harmony_pipeline.models.samples import InputMap, RegimeHistory, Samples
from harmony_pipeline.models.trained import ModelCard, TrainedModel
from harmony_pipeline.session.clock import ReplayClock
from harmony_pipeline.session.day_backtest import backtest_day, day_signals
from harmony_pipeline.session.divergence import compare
from harmony_pipeline.session.live_signals import LiveSignals, predictions
from harmony_pipeline.session.replay import day_bars, replay_day
from harmony_pipeline.session.stream import ReplayStream
from harmony_pipeline.strategies.meta import MetaLabelled

BARS = market()
COLUMNS = ("momentum_2", "volatility_20", "log_return")
KINDS = {
    "logistic": "harmony_pipeline.models.logistic:Logistic",
    "trees": "harmony_pipeline.models.gradient_boosting:GradientBoosting",
}
REGIMES = pl.DataFrame(
    {
        "timestamp": [BARS["timestamp"].min()] * 2,
        "known_at": sorted(BARS["bar_end"].unique())[3:5], "trend": ["bull", "bear"],
        "volatility": ["low", None],
        "index_level": [1.0, 0.98], "trend_average": [0.99, 1.0], "realised_volatility": [0.2, 0.3],
        "volatility_median": [0.25, None], "turbulent_probability": [0.1, 0.8],
    }
)  # fmt: skip


def trained(
    kind: str, regimes: bool = False, complete: tuple[str, ...] | None = None
) -> TrainedModel:
    """A model of noise: what matters is that it answers, not what."""
    generator = np.random.default_rng(8)
    inputs = InputMap(COLUMNS, regimes, hidden=regimes)
    rows = 240
    stamps = BARS["timestamp"].unique().sort().head(80).to_list() * 3
    stamps.sort()
    frame = pl.DataFrame(
        {
            "symbol": ["AAA"] * rows, "timestamp": stamps, "side": generator.choice([-1, 1], rows),
            "end_timestamp": stamps, "return": generator.normal(size=rows),
            "label": generator.integers(0, 2, rows), "weight": np.ones(rows),
        }
    )  # fmt: skip
    X = inputs.matrix(
        generator.normal(size=(rows, 3)) * 0.01,
        frame["side"].cast(pl.Float64).to_numpy(),
        generator.normal(size=(rows, 5)) if regimes else None,
    )
    forecaster = forecaster_class(KINDS[kind])({}, 11)
    model = forecaster.fit(Samples(frame, X, inputs.names, inputs))
    card = ModelCard(
        KINDS[kind],
        kind,
        "2024-04",
        6,
        FEATURES.hash,
        "data",
        forecaster.parameters,
        11,
        inputs.names,
        COLUMNS,
        regimes,
        0.9,
        0.05,
        complete,
    )
    return TrainedModel(card.build_id(model.save()), card, model)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("regimes", [False, True])
def test_one_event_at_a_time_gives_the_bits_of_the_batch(
    kind: str, regimes: bool, tmp_path: Path
) -> None:
    model = trained(kind, regimes)
    options: dict[str, Any] = {
        "uses_model": True,
        "model": model,
        "threshold": 0.3,
        "regimes": REGIMES if regimes else None,
    }
    plan = plan_of(DAYS[1], fresh_ledger(tmp_path), BARS, rules("barriers"), **options)
    frame = day_bars(plan, BARS)
    live = LiveSignals(plan)
    rows = [
        row
        for batch in ReplayStream(frame, ReplayClock(frame["timestamp"][0])).moments()
        for row in live.update(batch).values()
    ]
    expected = day_signals(plan, BARS)
    found = pl.DataFrame(rows, schema=expected.schema).sort("symbol", "timestamp")
    assert found.equals(expected)
    answered = expected.filter(pl.col("probability").is_not_null())
    assert answered.height > 20
    assert answered["probability"].n_unique() > 1
    assert set(answered["model_id"]) == {model.model_id}


@pytest.mark.parametrize("kind", KINDS)
def test_one_event_alone_has_the_probability_of_the_batch(kind: str, tmp_path: Path) -> None:
    model = trained(kind, regimes=True)
    plan = plan_of(DAYS[1], fresh_ledger(tmp_path), BARS, rules("barriers"))
    from harmony_pipeline.features.compute import compute_features

    frame = day_bars(plan, BARS)
    features = compute_features(
        frame, plan.feature_set, plan.feature_states, plan.calendar, plan.timeframe
    ).table
    signals = Contrarian().signals(features)
    batch = predictions(model, signals, features, RegimeHistory.of(REGIMES))
    assert model.inputs is not None
    sides = dict(
        zip(signals.select("symbol", "timestamp").iter_rows(), signals["side"], strict=True)
    )
    known = {
        row[:2]: np.array([np.nan if value is None else value for value in row[2:]])
        for row in features.select("symbol", "timestamp", *COLUMNS).iter_rows()
    }
    for symbol, timestamp, probability, _, _ in batch.iter_rows():
        regime = RegimeHistory.of(REGIMES).at([timestamp])[0]
        row = model.inputs.row(known[symbol, timestamp], sides[symbol, timestamp], regime)
        assert model.predict(row.reshape(1, -1))[0] == probability


@pytest.mark.parametrize("kind", KINDS)
def test_a_meta_labelled_session_equals_its_backtest(kind: str, tmp_path: Path) -> None:
    ledger, model = fresh_ledger(tmp_path), trained(kind)
    features = FeatureSet.of(
        ("volatility_20", "momentum_2", "log_return", "sma_ratio_5_20", "cusum_event"),
        cusum_threshold=0.4,
    )
    fills = 0
    for day in DAYS[:5]:
        strategy = MetaLabelled(fast=5, slow=20, threshold=0.35)
        plan = plan_of(
            day,
            ledger,
            BARS,
            rules("barriers"),
            strategy=strategy,
            feature_set=features,
            uses_model=True,
            model=model,
            threshold=0.9,
        )
        result = replay_day(plan, BARS, ledger)
        assert compare(result, backtest_day(plan, BARS)).equal
        fills += result.fills.height
        entries = result.orders.filter(pl.col("order_id").str.ends_with("entry"))
        assert set(entries["model_id"]) <= {model.model_id}
    assert fills > 5


@pytest.mark.parametrize("kind", KINDS)
def test_a_candidate_with_a_missing_input_is_not_taken_and_the_ledger_says_why(
    kind: str, tmp_path: Path
) -> None:
    """The regime is not known before the fourth bar, and its volatility not after the fifth: a
    model that never saw that does not answer.
    """
    ledger = fresh_ledger(tmp_path)
    model = trained(kind, regimes=True)
    strict = TrainedModel(
        model.model_id, replace(model.card, complete=model.card.names), model.model
    )
    options: dict[str, Any] = {"uses_model": True, "threshold": 0.0, "regimes": REGIMES}
    lenient_plan = plan_of(DAYS[0], ledger, BARS, rules("barriers"), model=model, **options)
    plan = plan_of(DAYS[0], ledger, BARS, rules("barriers"), model=strict, **options)
    signals = day_signals(plan, BARS)
    refused = signals.filter(pl.col("reason").is_not_null())
    assert refused.height > 5
    assert refused["probability"].null_count() == refused.height
    assert refused["side"].unique().to_list() == [0]
    assert (
        day_signals(lenient_plan, BARS)["probability"].null_count()
        < signals["probability"].null_count()
    )
    result = replay_day(plan, BARS, ledger)
    assert compare(result, backtest_day(plan, BARS)).equal
    told = result.tables["session_events"].filter(pl.col("kind") == "candidate_refused")
    assert set(told.select("symbol", "timestamp").rows()) == set(
        refused.select("symbol", "timestamp").rows()
    )
    assert all("regime_" in text and model.model_id in text for text in told["detail"])
    entered = (
        result.orders.filter(pl.col("parent_id").is_null())
        .select("symbol", "signal_timestamp")
        .rows()
    )
    assert not set(entered) & set(refused.select("symbol", "timestamp").rows())


def test_below_the_threshold_nothing_is_traded(tmp_path: Path) -> None:
    ledger = fresh_ledger(tmp_path)
    plan = plan_of(
        DAYS[0],
        ledger,
        BARS,
        rules("barriers"),
        uses_model=True,
        model=trained("logistic"),
        threshold=0.999,
    )
    assert replay_day(plan, BARS, ledger).orders.is_empty()


def test_a_model_strategy_without_a_model_does_not_start(tmp_path: Path) -> None:
    ledger = fresh_ledger(tmp_path)
    plan = plan_of(DAYS[0], ledger, BARS, rules("barriers"), uses_model=True)
    with pytest.raises(NotReady, match="none is promoted"):
        replay_day(plan, BARS, ledger)
