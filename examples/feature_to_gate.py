"""Research on one screen: from an own feature, over a strategy and its trials, to the verdict of
the gate.

    .venv/bin/python examples/feature_to_gate.py

Four months are too short a record, so the gate must refuse, whatever came out. It says why, a
sentence a rule.
"""

from pathlib import Path

import polars as pl

import harmony_pipeline as h
from harmony_pipeline.features.expressions import expression_features
from harmony_pipeline.stages import backtests, promotion, robustness, sensitivity
from harmony_pipeline.strategies.base import warm_signals

HIGH, LOW, CLOSE = pl.col("high"), pl.col("low"), pl.col("close")
LOCATION = pl.when(HIGH > LOW).then((CLOSE - LOW) / (HIGH - LOW)).otherwise(0.5)


class CloseLocation:
    """Follow where the closes of the last `bars` bars lie within their ranges."""

    reads_bars = True

    def __init__(self, bars: int = 10, edge: float = 0.1) -> None:
        self.bars, self.edge = bars, edge

    def required_features(self) -> tuple[str, ...]:
        """Nothing but the bars themselves, and the volatility that makes a signal warm."""
        return ("volatility_20",)

    def signals(self, features: pl.DataFrame) -> pl.DataFrame:
        """Long where closes crowd at the highs, short at the lows."""
        mean = LOCATION.rolling_mean(self.bars).over("symbol")
        side = pl.when(mean > 0.5 + self.edge).then(1).when(mean < 0.5 - self.edge).then(-1)
        return warm_signals(features, self.required_features(), side.otherwise(0))


def main(folder: Path = Path(".harmony/examples")) -> pl.DataFrame:
    """Make a small market in `folder`, try the idea, and ask the gate."""
    rule = {"use": f"{__name__}:CloseLocation", "exits": "barriers"}
    rule |= {"parameters": {"bars": 10}, "grid": {"bars": [5, 10, 20]}}
    place = {"lake": str(folder.resolve() / "gate"), "state": str(folder.resolve() / "gate-state")}
    market = {"timeframe": "30Min", "start": "2024-01-02", "end": "2024-05-01"}
    few = {"simulated": {"symbols": 4, "low_float_symbols": 2}}
    settings = h.settings(
        paths=place, market=market | few | {"partitions": {"retraining_period": "month"}},
        strategies={"location": rule}, session={"strategy": "location"},
        model={"minimum_train_rows": 100}, monte_carlo={"paths": 200},
    )  # fmt: skip
    lake = h.open_lake(settings).prepare(models=True)

    feature = expression_features(lake.read("bars"), {"location": LOCATION.rolling_mean(10)})
    settled = lake.read("labels").drop_nulls("label").filter(pl.col("horizon") == 8)
    told = settled.join(feature, on=["symbol", "timestamp"])
    print(told.group_by("side").agg(pl.len(), pl.corr("location", "return").alias("correlation")))

    backtests.backtest(lake.pipeline, ["location"])
    sensitivity.parameter_sensitivity(lake.pipeline, ["location"])  # three trials, and they count
    print(lake.read("trials").select("parameters", "sharpe"))

    robustness.overfitting(lake.pipeline, ["location"])
    robustness.monte_carlo(lake.pipeline, ["location"])
    promotion.promoted_model(lake.pipeline)
    verdict = lake.sql("select passed, rule, measure, threshold from promotions order by all")
    print(verdict)
    return verdict


if __name__ == "__main__":
    main()
