"""What kind of account trades: how soon proceeds can be spent, and how far margin reaches.

Everything is off by default. Dated rules are those of US equities, each with its source:

- Settlement. T+3 before 2017-09-05, T+2 from then on (SEC, 82 FR 15564, Rule 15c6-1(a)), T+1 since
  2024-05-28 (SEC release 34-96930). Other assets settle at once, unless `settlement_days` says so.
- Initial margin 50 % (Federal Reserve Regulation T, 12 CFR 220.12), maintenance 25 % of long and
  30 % of short positions (FINRA Rule 4210(c)).
- Pattern day trading (FINRA Rule 4210(f)(8)(B)) until 2026-06-03. From 2026-06-04 on the intraday
  margin standard stands in its place (SEC release 34-105226, 91 FR 20731; FINRA's notice of
  2026-04-20 lets members take until 2027-10-20), as Alpaca applies it since that day.
"""

from collections.abc import Mapping
from datetime import date
from typing import Literal

from pydantic import Field

from harmony_pipeline.settings_base import FrozenSettings

SETTLEMENT_CYCLES = ((date(2017, 9, 5), 2), (date(2024, 5, 28), 1))
"""(first trade date, sessions until it settles); before the first of them three."""
INTRADAY_MARGIN_FROM = date(2026, 6, 4)
_KINDS = ("unrestricted", "cash", "margin")


class AccountSettings(FrozenSettings):
    """The rules of the account, beside the limits of `[risk]`."""

    kind: Literal["unrestricted", "cash", "margin"] = Field(
        "unrestricted", description="cash: no shorts, only settled cash buys; margin: buying power"
    )
    settlement_days: int | None = Field(
        None,
        ge=0,
        le=5,
        description="cash: sessions until proceeds can be spent; by default US equities by the rule"
        " of the day, all else at once",
    )
    price_reserve: float = Field(
        0.04,
        ge=0.0,
        le=1.0,
        description="cash: part of an entry's value that is kept for its price to move and its"
        " costs until it is filled",
    )
    initial_margin: float = Field(
        0.5, gt=0.0, le=1.0, description="margin: part of a position's value, over night"
    )
    maintenance_long: float = Field(0.25, gt=0.0, le=1.0)
    maintenance_short: float = Field(0.30, gt=0.0, le=1.0)
    intraday_multiplier: float = Field(
        4.0, ge=1.0, description="margin: of equity, what may be held within a session"
    )
    day_trading: Literal["by_date", "pattern", "intraday_margin"] = Field(
        "by_date",
        description="pattern: 4 day trades in 5 sessions need day_trader_equity; intraday_margin:"
        " no such count (since 2026-06-04)",
    )
    day_trader_equity: float = Field(25_000.0, ge=0.0, description="in the currency")

    def settles_after(self, asset_class: str, day: date) -> int:
        """Sessions until the proceeds of a sale on `day` can be spent."""
        if self.settlement_days is not None:
            return self.settlement_days
        if asset_class != "us_equity":
            return 0
        return next((days for since, days in reversed(SETTLEMENT_CYCLES) if day >= since), 3)

    def changes(self) -> set[date]:
        """Dates on which one of these rules changes."""
        if self.kind == "unrestricted":
            return set()
        return {since for since, _ in SETTLEMENT_CYCLES} | {INTRADAY_MARGIN_FROM}

    def kernel_values(self, day: date) -> Mapping[str, float]:
        """The fields of the RULES record that come from here, on `day`."""
        pattern = self.day_trading == "pattern" or (
            self.day_trading == "by_date" and day < INTRADAY_MARGIN_FROM
        )
        return {
            "account_kind": _KINDS.index(self.kind),
            "price_reserve": self.price_reserve,
            "initial_margin": self.initial_margin,
            "maintenance_long": self.maintenance_long,
            "maintenance_short": self.maintenance_short,
            "intraday_multiplier": self.intraday_multiplier,
            "counts_day_trades": pattern,
            "day_trader_equity": self.day_trader_equity,
        }
