"""Where a backtest starts from."""

from pydantic import Field

from harmony_pipeline.part import Part


class BacktestSettings(Part):
    """Money at the start, in the market's currency."""

    initial_cash: float = Field(100_000.0, gt=0.0)
