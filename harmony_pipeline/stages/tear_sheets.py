"""The pages of a strategy in the state folder: its tear sheet, and beside it its trades on their
candles and the interactive page.
"""

from pathlib import Path

import polars as pl

from harmony_pipeline.reports.page import write_page
from harmony_pipeline.reports.tear_sheet import TearSheet, tear_sheet
from harmony_pipeline.robustness.sensitivity import stability
from harmony_pipeline.stages.backtests import latest_backtest, sharpe_of
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.interactive_reports import interactive_path, write_interactive_page
from harmony_pipeline.stages.trade_pages import page_path, trade_page_of
from harmony_pipeline.stages.trading_rules import members_of
from harmony_pipeline.stages.trials import configured_trials


def write_tear_sheet(pipeline: PipelineContext, strategy: str) -> Path:
    """The strategy on one self-contained page, in the state folder's reports; beside it some of
    its trades on their candles, and the interactive page.
    """
    sharpe = sharpe_of(pipeline, strategy)
    inputs = TearSheet(
        strategy=strategy,
        trade_page=page_path(pipeline, strategy).name,
        interactive_page=interactive_path(pipeline, strategy).name,
        backtest=latest_backtest(pipeline, strategy),
        sharpe_interval=(sharpe[1], sharpe[2]),
        equity=pipeline.lake.read("equity", [strategy]),
        trades=pipeline.lake.read("trades", [strategy]),
        monte_carlo=pipeline.lake.read("monte_carlo", [strategy]),
        overfitting=pipeline.lake.read("overfitting", [strategy]),
        folds=pipeline.lake.read("folds").filter(
            pl.col("horizon") == pipeline.settings.trade_horizon
        ),
        promotions=(
            pipeline.lake.read("promotions")
            if any(one.uses_model for one in members_of(pipeline, strategy).values())
            else pipeline.lake.tables["promotions"].empty()
        ),
        regimes=pipeline.lake.read("regime_stability", [strategy]),
        sensitivity=stability(configured_trials(pipeline, strategy)).table,
    )
    trades = page_path(pipeline, strategy)
    path = write_page(trades.with_name(f"{strategy}.html"), tear_sheet(inputs))
    write_page(trades, trade_page_of(pipeline, strategy, inputs.backtest["backtest_id"]))
    write_interactive_page(pipeline, strategy)
    return path
