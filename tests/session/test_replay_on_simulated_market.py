"""The same law on the shipped simulated market, with 15-minute bars and everything that it
brings.
"""

from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest
from session.days import rules

from harmony_pipeline.features.catalog import FeatureSet
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.settings import MarketSettings
from harmony_pipeline.market.source_settings import SimulatedSourceSettings
from harmony_pipeline.market.sources.simulated import SimulatedSource
from harmony_pipeline.market.validation.validate import validate
from harmony_pipeline.session.day_backtest import backtest_day
from harmony_pipeline.session.day_plan import plan_day, states_before
from harmony_pipeline.session.divergence import compare
from harmony_pipeline.session.ledger import Ledger
from harmony_pipeline.session.opening import opening_of
from harmony_pipeline.session.replay import replay_day
from harmony_pipeline.strategies.crossover import MovingAverageCrossover
from harmony_pipeline.strategies.meta import MetaLabelled

CALENDAR = Calendar.of("XNYS")
SETTINGS = MarketSettings(
    start=date(2024, 5, 28),
    end=date(2024, 6, 15),
    timeframe="15Min",
    simulated=SimulatedSourceSettings(symbols=4, low_float_symbols=2, halts_per_year=40.0),
)
DAYS = CALENDAR.sessions(date(2024, 6, 5), date(2024, 6, 13))
CHOICES = {
    "crossover": (
        MovingAverageCrossover(fast=3, slow=8),
        "signal",
        ("volatility_20", "sma_ratio_3_8"),
    ),
    "events": (MetaLabelled(fast=3, slow=8), "barriers", ("volatility_20", "sma_ratio_3_8")),
}


@pytest.fixture(scope="module")
def bars() -> pl.DataFrame:
    source = SimulatedSource(SETTINGS.simulated, SETTINGS)
    raw = source.bars(
        None, datetime(2024, 5, 28, tzinfo=UTC), datetime(2024, 6, 15, tzinfo=UTC), "15Min"
    )
    raw = raw.with_columns(ingested_at=pl.lit(datetime(2024, 7, 1, tzinfo=UTC)))
    before = pl.DataFrame(
        schema={
            "symbol": pl.String,
            "timestamp": pl.Datetime("us", "UTC"),
            "close": pl.Float64,
            "adjustment_factor": pl.Float64,
        }
    )
    return validate(raw, before, source.corporate_actions(None), CALENDAR, "15Min", SETTINGS).bars


@pytest.mark.parametrize("name", CHOICES)
def test_a_week_of_the_simulated_market_equals_its_backtests(
    name: str, bars: pl.DataFrame, tmp_path: Path
) -> None:
    strategy, exits, names = CHOICES[name]
    features = FeatureSet.of((*names, "cusum_event"), cusum_threshold=0.8)
    chosen = rules(exits, partial_fill_probability=0.1)
    actions = SimulatedSource(SETTINGS.simulated, SETTINGS).corporate_actions(None)
    traded = 0
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        for day in DAYS:
            start = CALENDAR.schedule(day, CALENDAR.next_session(day))["pre_open"][0]
            plan = plan_day(
                day, opening_of(ledger, "replay", day, chosen.initial_cash),
                bars["symbol"].unique().to_list(), strategy_name=name, strategy=strategy,
                rules=chosen,
                feature_set=features,
                feature_states=states_before(start, bars, features, None, CALENDAR, "15Min"),
                calendar=CALENDAR, timeframe="15Min", actions=actions,
            )  # fmt: skip
            result = replay_day(plan, bars, ledger)
            found = compare(result, backtest_day(plan, bars))
            assert found.equal, found.summary()
            traded += result.fills.height > 0
    assert traded >= 5
