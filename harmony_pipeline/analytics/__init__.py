"""What a backtest was worth beyond `backtest/metrics.py`: tails, drawdowns, months, rolling
figures, a benchmark, execution, and where the result came from.

Pure functions of the public tables. `definitions` says what each figure means, `analysis` computes
them all for one backtest.
"""

from harmony_pipeline.analytics.analysis import Analysis, BacktestTables, analyse
from harmony_pipeline.analytics.definitions import DEFINITIONS, Definition

__all__ = ["DEFINITIONS", "Analysis", "BacktestTables", "Definition", "analyse"]
