"""A leak of each known kind is planted in a small market and caught; the clean pipeline has none."""

import numpy as np
import polars as pl
import pytest

from harmony_pipeline.cli import models as command
from harmony_pipeline.features.compute import compute_features
from harmony_pipeline.labels import labelling
from harmony_pipeline.lake import sql
from harmony_pipeline.models import walk_forward
from harmony_pipeline.models.walk_forward import split
from harmony_pipeline.project_paths import SQL_FOLDER
from harmony_pipeline.robustness.look_ahead import (
    KnownTable,
    outcome_inputs,
    overlapping_labels,
    random_moments,
    same_bar_fills,
    shuffle_differences,
    truncation_differences,
)
from harmony_pipeline.stages import look_ahead_checks, models, verdicts
from harmony_pipeline.stages.model_verification import retrain
from harmony_pipeline.stages.models import samples_until

CHECKS = {
    "trading": (
        look_ahead_checks.features_know_no_future,
        look_ahead_checks.labels_know_no_future,
    ),
    "retraining": (
        look_ahead_checks.models_know_no_future,
        look_ahead_checks.predictions_know_no_future,
        look_ahead_checks.scores_vanish_with_shifted_labels,
    ),
}


def bars_of(pipeline):
    """Bars, of which one symbol left the market and another was split half-way through."""
    bars = pipeline.lake.read("bars").sort("symbol", "timestamp")
    symbols = bars["symbol"].unique().sort().to_list()
    half = bars["timestamp"].unique().sort()[bars["timestamp"].n_unique() // 2]
    later = pl.col("timestamp") >= half
    left = (pl.col("symbol") == symbols[0]) & later
    split_ = (pl.col("symbol") == symbols[1]) & later
    factor = pl.when(split_).then(2.0).otherwise(1.0) * pl.col("adjustment_factor")
    return bars.filter(~left).with_columns(adjustment_factor=factor)


def tables_of(pipeline):
    bars = bars_of(pipeline)
    return {"bars": KnownTable(bars, pl.col("timestamp") + pipeline.bar)}


KEYS = ("symbol", "timestamp")
DAY = pl.col("timestamp").dt.date()


def of_bars(expression):
    return lambda tables: tables["bars"].select(*KEYS, value=expression)


def members(chosen):
    """Membership by day and symbol: who is in, with its bar of the day."""
    return lambda tables: (
        tables["bars"]
        .filter(pl.col("symbol").is_in(chosen(tables["bars"])))
        .select(*KEYS, value=pl.lit(1))
    )


def alive_at_the_end(bars):
    return bars.filter(pl.col("timestamp") == bars["timestamp"].max())["symbol"].to_list()


def winners_of_all(bars):
    gain = bars.group_by("symbol").agg(
        (pl.col("close").last() / pl.col("close").first()).alias("all")
    )
    return gain.sort("all", "symbol").tail(2)["symbol"].to_list()


def rank_among(chosen):
    def make(tables):
        bars = tables["bars"]
        universe = pl.col("symbol").is_in(chosen(bars))
        return bars.filter(universe).select(*KEYS, value=pl.col("close").rank().over("timestamp"))

    return make


close = pl.col("close")
LEAKS = {
    "scaling by the whole series": of_bars(((close - close.mean()) / close.std()).over("symbol")),
    "a centred window": of_bars(close.rolling_mean(9, center=True, min_samples=1).over("symbol")),
    "a price adjusted backwards": of_bars(
        (close * pl.col("adjustment_factor") / pl.col("adjustment_factor").last()).over("symbol")
    ),
    "a universe of survivors": members(alive_at_the_end),
    "a rank in the universe of later": rank_among(winners_of_all),
}
CLEAN = {
    "scaling by the past": of_bars((close - close.cum_sum() / close.cum_count()).over("symbol")),
    "a trailing window": of_bars(close.rolling_mean(9, min_samples=1).over("symbol")),
    "a price adjusted forwards": of_bars(close * pl.col("adjustment_factor")),
    "whoever has a bar": members(lambda bars: bars["symbol"].unique().to_list()),
    "a rank among whoever has a bar": rank_among(lambda bars: bars["symbol"].unique().to_list()),
}


def moved(pipeline, make):
    tables = tables_of(pipeline)
    known = pl.col("timestamp") + pipeline.bar
    moments = random_moments(tables["bars"].frame.select(known).to_series(), 6, 7)
    return truncation_differences(make, tables, known, moments)


@pytest.mark.parametrize("leak", LEAKS)
def test_a_table_that_knows_the_future_moves_when_it_is_taken_away(made, leak):
    found = moved(made, LEAKS[leak])
    assert found.height
    assert (found["timestamp"] + made.bar <= found["moment"]).all()


@pytest.mark.parametrize("twin", CLEAN)
def test_its_clean_twin_does_not(made, twin):
    assert moved(made, CLEAN[twin]).is_empty()


def test_the_clean_pipeline_has_no_leak_in_any_period(made):
    trading, retraining = made.trading_periods(), made.retraining_periods()
    for kind, periods in (("trading", trading), ("retraining", retraining)):
        for check in CHECKS[kind]:
            for chosen in (periods, *([period] for period in periods)):
                assert check(made, chosen).is_empty(), check.__name__


def test_the_features_check_finds_a_kernel_that_looks_forward(made, monkeypatch):
    def leaking(bars, *rest):
        result = compute_features(bars, *rest)
        ahead = pl.col("log_return").shift(-1).over("symbol")
        return type(result)(result.table.with_columns(log_return=ahead), result.states)

    monkeypatch.setattr(look_ahead_checks, "compute_features", leaking)
    found = look_ahead_checks.features_know_no_future(made, made.trading_periods())
    assert found["finding"].unique().to_list() == [
        "log_return of what was known then depends on later rows"
    ]
    periods = [period.key for period in made.trading_periods()]
    assert set(verdicts._by_period(made, periods, found)) <= set(periods)


def test_the_labels_check_finds_an_outcome_that_is_known_too_early(made, monkeypatch):
    right = labelling.label_events

    def early(*arguments, **options):
        result = right(*arguments, **options)
        table = result.table.with_columns(end_timestamp=pl.col("timestamp") + made.bar)
        return type(result)(**{**vars(result), "table": table})

    monkeypatch.setattr(labelling, "label_events", early)
    assert look_ahead_checks.labels_know_no_future(made, made.trading_periods()).height


def without_purge(samples, period, *rest):
    """The split with every earlier event that has a label by now, however late it was known."""
    parts = split(samples, period, *rest)
    earlier = (pl.col("timestamp") < period.start) & pl.col("label").is_not_null()
    train = samples.frame.select(earlier).to_series().to_numpy()
    fit, calibrate = walk_forward.fit_and_calibration(samples, train, 0.25)
    return walk_forward.Split(period.start, train, fit, calibrate, ~train, parts.test)


def test_labels_that_overlap_the_test_are_found_in_every_fold(made):
    for horizon in made.settings.labels.horizons_bars:
        samples = samples_until(made, made.market_close, horizon)
        for period in made.retraining_periods()[1:]:
            arguments = (samples, period, made.calendar, made.timeframe, made.settings.model)
            honest, leaking = split(*arguments), without_purge(*arguments)
            for parts, overlaps in ((honest, False), (leaking, True)):
                training = samples.frame.filter(pl.Series(parts.train))
                found = overlapping_labels(training, period.start)
                assert bool(found.height) == overlaps


def test_the_models_check_finds_a_training_without_purge(copied, monkeypatch):
    monkeypatch.setattr(walk_forward, "split", without_purge)
    periods = copied.retraining_periods()
    copied = type(copied)(copied.settings, again=True)
    models.model(copied, periods)
    found = look_ahead_checks.models_know_no_future(copied, periods)
    assert "when what came after its period began is hidden" in found["finding"][0]
    assert found["partition"][0] in [period.key for period in periods]


def test_an_outcome_among_the_inputs_is_found_by_name_and_by_value(made):
    samples = samples_until(made, made.market_close, made.settings.trade_horizon)
    assert outcome_inputs(samples.names, samples.X, samples.frame).is_empty()
    gain = samples.frame["return"].fill_null(np.nan).to_numpy()
    X = np.column_stack([samples.X, gain, np.tanh(50.0 * gain)])
    found = outcome_inputs((*samples.names, "return_sided", "momentum_7"), X, samples.frame)
    assert set(found["input"].to_list()) == {"return_sided", "momentum_7"}


def test_a_fill_in_the_bar_of_its_signal_is_found(copied):
    orders, fills = copied.lake.read("orders"), copied.lake.read("fills")
    assert fills.height
    assert same_bar_fills(orders, fills, copied.bar).is_empty()
    query = (SQL_FOLDER / "checks" / "fills_follow_decisions.sql").read_text()
    assert sql.query(copied.lake, query).is_empty()
    signalled = dict(
        orders.filter(pl.col("parent_id").is_null())
        .select("order_id", "signal_timestamp")
        .iter_rows()
    )
    when = pl.Series(
        [signalled.get(order) for order in fills["order_id"]], dtype=fills.schema["timestamp"]
    )
    early = fills.with_columns(timestamp=pl.coalesce(when, "timestamp"))
    assert same_bar_fills(orders, early, copied.bar).height
    key = copied.lake.partitions("fills")[0]
    copied.lake.write("fills", key, early)
    assert sql.query(copied.lake, query).height


def test_the_predictions_check_finds_a_bit_and_an_input_of_later(copied):
    periods = copied.retraining_periods()[-1:]
    table = copied.lake.read("predictions", [periods[0].key])
    assert look_ahead_checks.predictions_know_no_future(copied, periods).is_empty()
    copied.lake.write(
        "predictions", periods[0].key,
        table.with_columns(probability=pl.col("probability") + 2.0**-50),
    )  # fmt: skip
    found = look_ahead_checks.predictions_know_no_future(copied, periods)
    assert found.height
    assert "probability is another when nothing after" in found["finding"][0]
    copied.lake.write("predictions", periods[0].key, table)
    key = copied.overlapping(periods[0].start, periods[0].end)[0]
    features = copied.lake.read("features", [key])
    ahead = pl.col("rsi_14").shift(-1).over("symbol")
    copied.lake.write("features", key, features.with_columns(rsi_14=ahead))
    found = look_ahead_checks.predictions_know_no_future(copied, periods)
    assert found["finding"].str.contains("rsi_14_sided").any()


def test_a_model_is_trained_again_to_the_same_bytes_and_a_changed_lake_is_told(
    copied, capsys, monkeypatch
):
    assert command.verify(copied, None)
    said = capsys.readouterr().out.splitlines()
    ids = copied.lake.read("models")["model_id"].to_list()
    assert sorted(said) == sorted(f"{each}: the same id and bytes" for each in ids)
    model_id = ids[-1]
    labels = copied.lake.read("labels")
    key = copied.lake.partitions("labels")[0]
    first = labels.filter(pl.col("timestamp") < copied.trading_period(key).end)
    turned = first.with_columns(
        label=pl.when(pl.col("label").is_not_null()).then(1 - pl.col("label")).cast(pl.Int8)
    )
    copied.lake.write("labels", key, turned)
    assert not command.verify(copied, model_id)
    assert "training events changed in the lake" in capsys.readouterr().out
    copied.lake.write("labels", key, first)
    settings = copied.settings
    other = settings.model_copy(
        update={"model": settings.model.model_copy(update={"seed": settings.model.seed + 1})}
    )
    assert "the settings or the code" in retrain(type(copied)(other), model_id).sentence
    fit = walk_forward.fit_calibrated

    def unsteady(*arguments):
        found = fit(*arguments)
        slope, intercept = found.calibration.slope, found.calibration.intercept
        return found._replace(calibration=type(found.calibration)(slope, intercept + 1e-12))

    monkeypatch.setattr(walk_forward, "fit_calibrated", unsteady)
    found = retrain(copied, model_id)
    assert not found.equal
    assert "card.json is not the same" in found.sentence


def test_the_future_in_another_order_moves_no_feature(made):
    tables = tables_of(made)
    known = pl.col("timestamp") + made.bar
    moments = random_moments(tables["bars"].frame.select(known).to_series(), 2, 9)

    def features(tables):
        return compute_features(
            tables["bars"], made.feature_set, None, made.calendar, made.timeframe
        ).table

    assert shuffle_differences(features, tables, known, moments, 3).is_empty()


def test_retraining_periods_inside_a_trading_period_are_judged_alone(copied):
    market = copied.settings.market
    weekly = market.partitions.model_copy(update={"retraining_period": "week"})
    settings = copied.settings.model_copy(
        update={"market": market.model_copy(update={"partitions": weekly})}
    )
    copied = type(copied)(settings)
    periods = copied.retraining_periods()[-3:]
    models.model(copied, periods)
    models.predictions(copied, periods)
    assert copied.lake.read("predictions", [period.key for period in periods]).height
    for check in CHECKS["retraining"]:
        assert check(copied, periods).is_empty(), check.__name__
