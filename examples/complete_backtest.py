"""A complete backtest on the embedded market, from bars to an interactive page.

    .venv/bin/python examples/complete_backtest.py

The same with your own bars: `harmony init my_bars --output mine.toml`, then
`h.open_lake("mine.toml")`.
"""

from pathlib import Path

import polars as pl

import harmony_pipeline as h
from harmony_pipeline.strategies.base import warm_signals


class Pullback:
    """Buy a fall inside a rising trend, sell a rise inside a falling one."""

    def __init__(self, z: float = 1.5) -> None:
        self.z = z

    def required_features(self) -> tuple[str, ...]:
        """The trend, and how far the price is from its mean."""
        return ("sma_ratio_10_40", "bollinger_z_20")

    def signals(self, features: pl.DataFrame) -> pl.DataFrame:
        """A side where the price is stretched against the trend."""
        trend, stretch = pl.col("sma_ratio_10_40").sign(), pl.col("bollinger_z_20")
        side = pl.when(trend * stretch < -self.z).then(trend).otherwise(0.0)
        return warm_signals(features, self.required_features(), side)


def main(folder: Path = Path(".harmony/examples")) -> Path:
    """Make a small market in `folder`, trade it, and write the page."""
    settings = h.settings(
        paths={"lake": str(folder.resolve() / "lake"), "state": str(folder.resolve() / "state")},
        market={
            "timeframe": "30Min", "start": "2024-01-02", "end": "2024-05-01",
            "simulated": {"symbols": 6, "low_float_symbols": 2},
        },
    )  # fmt: skip
    lake = h.open_lake(settings).prepare()
    print(lake.sql("select symbol, count(*) bars, max(close) high from bars group by 1 order by 1"))

    backtest = lake.backtest(Pullback, exits="barriers", z=1.0)
    for name in ("total_return", "sharpe", "max_drawdown", "trades", "win_rate", "alpha"):
        print(f"{name:>14} {backtest.figures[name]:10.3f}")
    print("result by cause", {k: round(v) for k, v in backtest.analysis.causes.items()})
    return backtest.report(folder / "pullback.html")


if __name__ == "__main__":
    page = main()
    print(f"wrote {page}")
    h.show(page)
