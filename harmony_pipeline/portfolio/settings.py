"""Where a backtest starts from, what becomes of positions whose security does not go on, and which
strategies share an account.
"""

from typing import Literal

from pydantic import Field, model_validator

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


class SharedAccountSettings(FrozenSettings):
    """One entry of `[portfolios.NAME]`: strategies on one account. docs/portfolios.md."""

    strategies: tuple[str, ...] = Field(
        min_length=1,
        description="names of active strategies; of entries of one moment, those of an earlier one"
        " are judged first",
    )
    allocation: Literal["equal", "fixed", "inverse_volatility"] = Field(
        "equal", description="how the equity is shared out"
    )
    weights: dict[str, float] = Field(
        default={},
        description="fixed: part of the equity of each strategy; together at most 1",
    )
    window_sessions: int = Field(
        63, ge=2, description="inverse_volatility: past sessions that the deviation is of"
    )
    rebalance_sessions: int = Field(
        21, ge=1, description="inverse_volatility: sessions for which weights hold"
    )
    enabled: bool = True

    @model_validator(mode="after")
    def _weights_fit(self) -> "SharedAccountSettings":
        repeated = sorted({name for name in self.strategies if self.strategies.count(name) > 1})
        if repeated:
            raise ValueError(f"strategies name {', '.join(repeated)} twice: name each once")
        if odd := [name for name in self.strategies if "/" in name]:
            raise ValueError(f"strategy '{odd[0]}': a name with / cannot be part of a portfolio")
        if self.allocation != "fixed":
            if self.weights:
                raise ValueError(
                    f"weights are given, and allocation is {self.allocation}: set it to fixed, or"
                    " take them out"
                )
            return self
        if set(self.weights) != set(self.strategies):
            raise ValueError(
                f"weights are of {', '.join(sorted(self.weights)) or 'no strategy'}: give one for"
                f" each of {', '.join(self.strategies)}"
            )
        small = [name for name, weight in self.weights.items() if not 0.0 < weight <= 1.0]
        if small:
            raise ValueError(f"weight {self.weights[small[0]]} of {small[0]} is not in (0, 1]")
        total = sum(self.weights.values())
        if total > 1.0 + 1e-9:
            raise ValueError(f"weights add up to {total:g}: an account has no more than 1")
        return self
