"""Where a backtest starts from, and what becomes of positions whose security does not go on."""

from pydantic import Field

from harmony_pipeline.settings_base import FrozenSettings


class BacktestSettings(FrozenSettings):
    """Money at the start, in the market's currency; the last two hold for sessions too."""

    initial_cash: float = Field(
        100_000.0,
        gt=0.0,
        le=1e12,
        description=(
            "at most a million million: money is counted in 1/10000 of the currency, in 64 bits"
        ),
    )
    delisting_recovery: float = Field(
        1.0,
        ge=0.0,
        le=1.0,
        description=(
            "part of the last price that a delisted position is paid, where the delisting does not"
            " say how much"
        ),
    )
    presume_delisted_after_sessions: int = Field(
        60,
        ge=0,
        description=(
            "a position whose symbol had no bar in so many sessions is closed like a delisted one;"
            " 0: never"
        ),
    )
