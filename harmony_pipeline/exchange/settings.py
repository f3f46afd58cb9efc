"""The simulated exchange that `harmony exchange` starts."""

from pydantic import Field

from harmony_pipeline.settings_base import FrozenSettings


class ExchangeSettings(FrozenSettings):
    """How the exchange replays, and what it allows; see docs/exchange.md."""

    port: int = Field(8090, ge=0, le=65535, description="on 127.0.0.1; 0: any that is free")
    speed: float = Field(
        60.0, ge=0.0, description="1: real time, 60: a minute a second, 0: only by /control/step"
    )
    decision_seconds: float = Field(
        0.4,
        ge=0.0,
        description=(
            "real time without an order that a bar which is due to open waits for, so that what was"
            " decided on the bar before meets its open, as in the backtest; three times that where"
            " bars are longer than a minute"
        ),
    )
    bars_behind_seconds: float = Field(
        0.1,
        ge=0.0,
        description=(
            "real time between the news of orders that a bar filled and the bar itself, so that a"
            " session marks its positions with what the bar filled, as the backtest does"
        ),
    )
    requests_per_minute: int = Field(
        200, ge=1, description="of trading REST and of its own clock, before 429"
    )
    multiplier: int = Field(4, ge=1, description="buying power is equity times this")
    slot_hold_seconds: float = Field(
        0.0, ge=0.0, description="time for which a cut market-data connection keeps its slot"
    )
    seed: int = Field(0, description="names ids; chance is execution_noise.seed")
