"""A session whose features compare symbols: the numbers of research over the whole market, though
it trades a part of it.
"""

from pathlib import Path

import polars as pl
import pytest
from session.days import (
    CALENDAR,
    DAYS,
    SYMBOLS,
    TIMEFRAME,
    fresh_ledger,
    market,
    plan_of,
    rules,
)

from harmony_pipeline.errors import DataError
from harmony_pipeline.features.catalog import FeatureSet, Peers
from harmony_pipeline.features.compute import compute_features
from harmony_pipeline.session.day_backtest import backtest_day, day_signals
from harmony_pipeline.session.replay import replay_day

BARS = market()
NAMES = ("volatility_20", "cross_z_momentum_2", "residual_return_5")
FEATURES = FeatureSet.of(NAMES, peers=Peers("BBB"))


class Laggards:
    """Long what fell behind the others, short what ran ahead."""

    def required_features(self) -> tuple[str, ...]:
        return NAMES

    def signals(self, features: pl.DataFrame) -> pl.DataFrame:
        z, residual = pl.col("cross_z_momentum_2"), pl.col("residual_return_5")
        side = pl.when(z > 0.5).then(-1).when(z < -0.5).then(1).otherwise(0)
        known = features.filter(pl.all_horizontal(pl.col(NAMES).is_not_null()))
        return known.select(
            "symbol",
            "timestamp",
            side=side.cast(pl.Int8),
            strength=(residual.abs() * 50).clip(0.2, 1.0),
        ).sort("symbol", "timestamp")


@pytest.mark.parametrize("selected", [None, ("AAA", "CCC")])
def test_a_replayed_day_has_the_trades_of_its_backtest_and_the_signals_of_research(
    tmp_path: Path, selected: tuple[str, ...] | None
) -> None:
    ledger, day = fresh_ledger(tmp_path), DAYS[1]
    plan = plan_of(
        day, ledger, BARS, rules("signal"), Laggards(), feature_set=FEATURES, selected=selected
    )
    whole = compute_features(BARS, FEATURES, None, CALENDAR, TIMEFRAME).table
    research = Laggards().signals(whole)
    made = day_signals(plan, BARS)
    assert made.height > 20
    assert made.select("symbol", "timestamp", "side", "strength").equals(
        research.join(made.select("symbol", "timestamp"), on=["symbol", "timestamp"], how="semi")
    )
    twin, result = backtest_day(plan, BARS), replay_day(plan, BARS, ledger)
    assert twin.fills.height > 4
    columns = ["symbol", "timestamp", "side", "quantity", "price"]
    assert result.fills.select(columns).equals(twin.fills.select(columns))
    assert selected is None or set(twin.fills["symbol"]) == set(selected)


def test_a_session_that_does_not_hear_every_symbol_is_refused_and_says_which(
    tmp_path: Path,
) -> None:
    ledger = fresh_ledger(tmp_path)
    with pytest.raises(DataError, match=r"does not hear BBB, with which.*`selected`"):
        plan_of(DAYS[1], ledger, BARS, rules(), Laggards(), ("AAA", "CCC"), feature_set=FEATURES)
    # a symbol whose last bar is long past is not missed, and nothing is without comparisons
    stopped = BARS.filter(
        (pl.col("symbol") != "BBB") | (pl.col("timestamp") < BARS["timestamp"][9])
    )
    late = DAYS[-1]
    assert plan_of(late, ledger, stopped, rules(), watched=("AAA",)).symbols == ("AAA",)
    assert set(SYMBOLS) == set(BARS["symbol"])


def test_plans_of_other_selections_and_benchmarks_are_told_apart(tmp_path: Path) -> None:
    ledger = fresh_ledger(tmp_path)
    made = [
        plan_of(DAYS[1], ledger, BARS, rules(), Laggards(), feature_set=features, selected=selected)
        for features, selected in (
            (FEATURES, None), (FEATURES, ("AAA",)), (FEATURES, ("CCC",)),
            (FeatureSet.of(NAMES), None),
        )
    ]  # fmt: skip
    assert len({plan.hash for plan in made}) == len(made)
