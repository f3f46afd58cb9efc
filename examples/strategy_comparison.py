"""Strategies beside each other on the embedded market, and one of them with other parameters.

    .venv/bin/python examples/strategy_comparison.py

Every configuration counts as a trial: the more are tried, the less the best one says
(`select * from trials`).
"""

from pathlib import Path

import harmony_pipeline as h


def main(folder: Path = Path(".harmony/examples")) -> Path:
    """Make a small market in `folder`, run the strategies, and write the page."""
    settings = h.settings(
        paths={"lake": str(folder.resolve() / "lake"), "state": str(folder.resolve() / "state")},
        market={
            "timeframe": "30Min", "start": "2024-01-02", "end": "2024-05-01",
            "simulated": {"symbols": 6, "low_float_symbols": 2},
        },
    )  # fmt: skip
    lake = h.open_lake(settings).prepare()
    comparison = lake.compare(
        "moving_average_crossover",
        lake.backtest("moving_average_crossover", fast=5, slow=20),
        "rsi_momentum",
        "bollinger_reversion",
    )
    print(comparison.figures)
    print(lake.read("trials").select("strategy", "parameters", "sharpe"))
    return comparison.report(folder / "comparison.html")


if __name__ == "__main__":
    page = main()
    print(f"wrote {page}")
    h.show(page)
