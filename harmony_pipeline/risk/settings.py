"""Size and limits. Fractions are of current equity. What each limit answers: docs/risk.md.

No setting here can be changed by a strategy or a model. A limit that is absent ("none") or a count
of 0 is off; a limit of zero is refused.
"""

from collections.abc import Mapping
from datetime import date
from itertools import pairwise
from typing import Any, Literal

from pydantic import (
    Field,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from harmony_pipeline.risk.account_settings import AccountSettings
from harmony_pipeline.risk.bandit import POLICY_ARMS, BanditRule
from harmony_pipeline.settings_base import FrozenSettings
from harmony_pipeline.strategies.own_rules import Sizing

SIZINGS: tuple[str, ...] = Sizing.__args__  # type: ignore[attr-defined]

_MINUTE = 60_000_000  # microseconds
_LONGEST = 2**60  # microseconds; any moment and this are a 64-bit number, too
_EPOCH = date(1970, 1, 1)
_STATES = ("active", "reducing", "halted")


class RiskSettings(FrozenSettings):
    """No strategy or model can go around these."""

    allow_short: bool = True
    target_trade_volatility: float = Field(
        0.004,
        gt=0.0,
        description="equity fraction that one standard deviation over the horizon may cost",
    )
    kelly_fraction: float = Field(
        0.25, gt=0.0, le=1.0, description="of the full Kelly bet, an upper cap of the size"
    )
    max_position: float = Field(0.15, gt=0.0, description="fraction of equity in one symbol")
    max_gross_exposure: float = Field(1.0, gt=0.0)
    max_net_exposure: float = Field(0.6, gt=0.0)
    max_open_positions: int = Field(20, ge=1)
    max_daily_loss: float = Field(
        0.02, gt=0.0, le=1.0, description="below this no new positions until the next session"
    )
    max_drawdown: float = Field(
        0.25, gt=0.0, le=1.0, description="beyond this everything is closed and trading stops"
    )
    minimum_order_value: float = Field(200.0, ge=0.0)

    # --- how big a trade wants to be: risk/sizing.py ----------------------------------------------
    sizing: Sizing = Field(
        "volatility_target",
        description="how big a trade wants to be before the limits; formulas: docs/risk.md",
    )
    size_fraction: float = Field(0.05, gt=0.0, description="fixed_fraction: of equity")
    size_shares: float = Field(100.0, gt=0.0, description="fixed_shares")
    size_value: float = Field(10_000.0, gt=0.0, description="fixed_value: in the currency")
    risk_per_trade: float = Field(
        0.005, gt=0.0, le=1.0, description="stop_distance: equity lost where the stop is hit"
    )
    assumed_probability: float | None = Field(
        None,
        gt=0.0,
        lt=1.0,
        description=(
            "kelly, kelly_ruin, log_utility: of the profit barrier being first, where no model says"
        ),
    )
    risk_aversion: float = Field(
        1.0, ge=1.0, description="log_utility: relative risk aversion, 1 for the logarithm"
    )
    ruin_wealth: float = Field(
        0.5, gt=0.0, lt=1.0, description="kelly_ruin: part of the wealth that counts as ruin"
    )
    ruin_probability: float = Field(
        0.05, gt=0.0, lt=1.0, description="kelly_ruin: most likely that it is ever reached"
    )
    target_wealth: float | None = Field(
        None, gt=0.0, description="target_utility: equity to be reached, in the currency"
    )
    target_trades: int = Field(
        250,
        ge=1,
        le=1_000_000_000,
        description="target_utility: trades in which it is to be reached",
    )
    assumed_sharpe: float = Field(1.0, gt=0.0, description="sharpe_kelly: annual Sharpe ratio")
    trades_per_year: float = Field(250.0, gt=0.0, description="sharpe_kelly: trades that it is of")
    target_session_volatility: float = Field(
        0.01,
        gt=0.0,
        description="regime_adaptive: deviation of the account's session returns up to which the"
        " size is whole",
    )

    bandit_multipliers: tuple[float, ...] = Field(
        (0.25, 0.5, 1.0),
        min_length=2,
        max_length=POLICY_ARMS,
        description="bandit: parts of the volatility target that it chooses among, ascending, each"
        " above 0 and at most 1",
    )
    bandit_exploration: float = Field(
        1.0, ge=0.0, description="bandit: LinUCB's alpha, while it learns"
    )
    bandit_ridge: float = Field(1.0, gt=0.0, description="bandit: ridge of its linear models")
    bandit_risk_aversion: float = Field(
        0.2, ge=0.0, description="bandit: penalty of squared profit in what a trade is worth"
    )
    bandit_minimum_trades: int = Field(
        50, ge=1, description="bandit: settled trades before which the size stays whole"
    )

    # --- limits of exposure -----------------------------------------------------------------------
    over_limit: Literal["resize", "refuse"] = Field(
        "resize",
        description="an entry that does not fit a limit of exposure is made to, or refused",
    )
    cash_buffer: float | None = Field(
        None,
        ge=0.0,
        lt=1.0,
        description="fraction of equity that purchases leave in cash; proceeds of short sales buy"
        " nothing",
    )
    max_sector_exposure: float | None = Field(
        None, gt=0.0, description="gross, of one sector of the universe; unknown sectors are one"
    )

    # --- breakers and pauses ----------------------------------------------------------------------
    max_weekly_loss: float | None = Field(
        None, gt=0.0, le=1.0, description="below this no new positions until the next ISO week"
    )
    drawdown_cooldown_sessions: int = Field(
        0,
        ge=0,
        description="whole sessions without a trade after max_drawdown; 0: until it is re-armed",
    )
    rearm_on: tuple[date, ...] = Field(
        (), description="session dates on which a drawdown breaker that tripped before is lifted"
    )
    max_consecutive_losses: int = Field(
        0, ge=0, description="losing trades in a row before entries pause; 0: no limit"
    )
    consecutive_loss_cooldown_minutes: float = Field(1440.0, gt=0.0)
    symbol_cooldown_minutes: float | None = Field(
        None, gt=0.0, description="no entry into a symbol so long after a losing trade in it"
    )
    state: Literal["active", "reducing", "halted"] = Field(
        "active",
        description="reducing: no entry; halted: entries that wait are canceled, too. Exits go on",
    )

    # --- judging an intent ------------------------------------------------------------------------
    price_collar: float | None = Field(
        None,
        gt=0.0,
        description="no entry at a price farther than this from the one before, as its fraction",
    )
    duplicate_window_minutes: float | None = Field(
        None, gt=0.0, description="no second entry of the same symbol and side so soon"
    )
    max_orders_per_minute: int = Field(0, ge=0, description="entries in any minute; 0: no limit")
    over_rate: Literal["queue", "refuse"] = Field(
        "queue", description="an entry over the rate leaves later, or is refused"
    )
    max_queue_minutes: float = Field(
        5.0, gt=0.0, description="an entry that would have to wait longer is refused"
    )
    stale_after_minutes: float | None = Field(
        None,
        gt=0.0,
        description="a held symbol without a bar for so long within a session: no entry",
    )

    # --- what kind of account it is ---------------------------------------------------------------
    account: AccountSettings = AccountSettings()

    @model_validator(mode="after")
    def _has_a_target(self) -> "RiskSettings":
        if self.sizing == "target_utility" and self.target_wealth is None:
            raise ValueError(
                "sizing target_utility needs the equity to be reached: set risk.target_wealth"
            )
        return self

    @field_validator("bandit_multipliers")
    @classmethod
    def _can_only_reduce(cls, multipliers: tuple[float, ...]) -> tuple[float, ...]:
        ascending = all(low < high for low, high in pairwise(multipliers))
        if not ascending or multipliers[0] <= 0.0 or multipliers[-1] > 1.0:
            raise ValueError(
                f"{multipliers} must ascend, from above 0 to at most 1: a policy makes a trade"
                " smaller, never bigger"
            )
        return multipliers

    @property
    def bandit(self) -> BanditRule:
        """What the learner is told."""
        return BanditRule(
            self.bandit_multipliers,
            self.bandit_exploration,
            self.bandit_ridge,
            self.bandit_risk_aversion,
            self.bandit_minimum_trades,
        )

    @model_serializer(mode="wrap")
    def _without_what_is_off(
        self, handler: SerializerFunctionWrapHandler, info: SerializationInfo
    ) -> dict[str, Any]:
        """In JSON, from which ids are made, a later setting shows only where it is used: what was
        made before it existed keeps its id.
        """
        values: dict[str, Any] = handler(self)
        if info.mode != "json":
            return values
        fields = type(self).model_fields
        return {
            name: value
            for name, value in values.items()
            if name in _FIRST or getattr(self, name) != fields[name].default
        }

    def kernel_values(self, day: date = date.max) -> Mapping[str, float]:
        """The fields of the RULES record that come from here, on `day`. 0 switches a limit off."""
        rearmed = [rearmed_on for rearmed_on in self.rearm_on if rearmed_on <= day]
        values = {
            name: value
            for name, value in self.model_dump().items()
            if isinstance(value, bool | int | float)
        }
        return {
            **values,
            **self.account.kernel_values(day),
            "sizing": SIZINGS.index(self.sizing),
            "assumed_probability": self.assumed_probability or 0.0,
            "target_wealth": self.target_wealth or 0.0,
            "refuse_over_limit": self.over_limit == "refuse",
            "usable_cash": 0.0 if self.cash_buffer is None else 1.0 - self.cash_buffer,
            "max_sector_exposure": self.max_sector_exposure or 0.0,
            "max_weekly_loss": self.max_weekly_loss or 0.0,
            "rearm_on": (max(rearmed) - _EPOCH).days if rearmed else 0,
            "loss_pause": micros(self.consecutive_loss_cooldown_minutes),
            "symbol_pause": micros(self.symbol_cooldown_minutes),
            "trading_state": _STATES.index(self.state),
            "price_collar": self.price_collar or 0.0,
            "duplicate_window": micros(self.duplicate_window_minutes),
            "queue_orders": self.over_rate == "queue",
            "longest_queue": micros(self.max_queue_minutes),
            "stale_after": micros(self.stale_after_minutes),
            "tracks_prices": not (self.price_collar is None and self.stale_after_minutes is None),
        }


# Settings that every JSON form shows, set or not.
_FIRST = (
    "allow_short", "target_trade_volatility", "kelly_fraction", "max_position",
    "max_gross_exposure", "max_net_exposure", "max_open_positions", "max_daily_loss",
    "max_drawdown", "minimum_order_value",
)  # fmt: skip


def micros(minutes: float | None) -> int:
    """Whole microseconds, at least one and at most 36,000 years; 0 where there are none."""
    return 0 if minutes is None else max(1, round(min(minutes * _MINUTE, _LONGEST)))
