"""Settings of the labels."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from harmony_pipeline.settings_base import FrozenSettings
from harmony_pipeline.strategies.own_rules import BracketSettings


class LabelSettings(FrozenSettings):
    """Barriers around the entry price; the same numbers drive the simulator's and the session's
    brackets.
    """

    LATER: ClassVar[frozenset[str]] = frozenset(
        {"method", "shortest_trend_bars", "vertical", "touch", "entry"}
    )

    horizons_bars: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        default=(8, 32),
        min_length=1,
        description="short and medium horizon, in what `vertical` says",
    )
    method: Literal["triple_barrier", "trend_scanning", "horizon"] = Field(
        default="triple_barrier",
        description=(
            "what a label says: how the trade ends; which trend follows; the return at the horizon"
        ),
    )
    shortest_trend_bars: int = Field(
        default=5, ge=2, description="trend scanning looks at trends of so many bars or more"
    )
    vertical: Literal["bars", "sessions"] = Field(
        default="bars",
        description=(
            "what horizons count: the symbol's regular bars, or its sessions; a trade of h sessions"
            " is decided at the close of the first bar of the h-th session after the entry's"
        ),
    )
    touch: Literal["high_low", "close"] = Field(
        default="high_low",
        description=(
            "what touches a barrier: the bar's range, filled at the barrier; or its close, filled"
            " at the next open, without orders that rest at the broker"
        ),
    )
    entry: Literal["open", "close"] = Field(
        default="open",
        description=(
            "where an order decided at a bar's close fills: at the open of the symbol's next"
            " regular bar, or at that next bar's close; barriers and holding time then begin with"
            " the bar after it"
        ),
    )
    profit_take: float = Field(
        default=2.0, gt=0.0, description="upper barrier, in volatility_20 * sqrt(horizon)"
    )
    stop_loss: float = Field(default=1.0, gt=0.0, description="lower barrier, in the same unit")
    minimum_barrier_bps: float = Field(
        default=15.0, ge=0.0, description="no barrier is nearer than this"
    )

    @model_validator(mode="after")
    def _holds_a_trend(self) -> Self:
        least = min(self.horizons_bars)
        counted = self.method == "trend_scanning" and self.vertical == "bars"
        if counted and least < self.shortest_trend_bars:
            raise ValueError(
                f"labels.horizons_bars: {least} is shorter than the shortest trend of"
                f" {self.shortest_trend_bars} bars; name longer horizons, or a smaller"
                " labels.shortest_trend_bars"
            )
        return self

    def with_bracket(self, bracket: BracketSettings) -> Self:
        """These labels with the barriers of one strategy."""
        return self.model_copy(update=bracket.model_dump(exclude_none=True))

    def scale_bars(self, horizon: int, bars_per_session: float) -> int:
        """Bars of the volatility that the barriers of a horizon are scaled by: itself in bars; of
        sessions, as many bars as they have, at least one.
        """
        if self.vertical == "bars":
            return horizon
        return max(1, round(horizon * bars_per_session))
