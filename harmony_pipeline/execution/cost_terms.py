"""The costs of one symbol on one day, as the RULES record holds them.

`[costs]` says them, `[costs.symbols.NAME]` says them of one symbol, and a preset replaces the fees
by those that a broker or venue published for the day (fee_rates.py).
"""

from datetime import date

from harmony_pipeline.errors import ConfigError
from harmony_pipeline.execution.fee_rates import (
    AUDIT_TRAIL_FEES,
    SEC_FEES,
    TRADING_ACTIVITY_FEES,
    VENUES,
    VenueTier,
    rate_on,
)
from harmony_pipeline.execution.settings import CostSettings, SymbolCosts
from harmony_pipeline.market.instruments import Instrument

ALPACA, FX = "alpaca", "fx"
_NO_SYMBOL_COSTS = SymbolCosts()
_PRESET_SPREAD_PIPS = 1.0
_PIPS = {"JPY": 0.01}  # by quote currency; 0.0001 elsewhere
_MONEY = 10_000


def cost_terms(costs: CostSettings, terms: Instrument, day: date) -> dict[str, float]:
    """The cost fields of RULES for the instrument on `day`.

    Raises ConfigError where the preset's venue has no such tier.
    """
    own = costs.symbols.get(terms.symbol, _NO_SYMBOL_COSTS)
    rates = {
        "half_spread_bps": _or(own.half_spread_bps, costs.half_spread_bps),
        "impact_coefficient": _or(own.impact_coefficient, costs.impact_coefficient),
        "borrow_rate": _or(own.borrow_rate, costs.borrow_rate),
    }
    return {**rates, **_spread_in_pips(costs, terms), **_fees(costs, terms, day)}


def pays_regulators(costs: CostSettings, terms: Instrument) -> bool:
    """Whether fills of the instrument pay the dated fees of US shares."""
    return (costs.regulatory_fees or costs.preset == ALPACA) and terms.asset_class == "us_equity"


def _fees(costs: CostSettings, terms: Instrument, day: date) -> dict[str, float]:
    fees = {
        "fee_bps": costs.fee_bps,
        "maker_fee_bps": _or(costs.maker_fee_bps, costs.fee_bps),
        "fee_per_share": costs.fee_per_share,
        "sell_fee_bps": costs.sell_fee_bps,
    }
    if costs.preset is not None:
        fees = dict.fromkeys(fees, 0.0)
    if costs.preset in VENUES and (costs.preset != ALPACA or terms.asset_class == "crypto"):
        tier = _tier(costs)
        fees |= {"fee_bps": tier.taker_bps, "maker_fee_bps": tier.maker_bps}
    return {**fees, **_regulatory(day)} if pays_regulators(costs, terms) else fees


def _tier(costs: CostSettings) -> VenueTier:
    tiers = VENUES[costs.preset or ""]
    if costs.fee_tier > len(tiers):
        raise ConfigError(
            f"costs.fee_tier: {costs.fee_tier} is no tier of {costs.preset}; choose 1 to"
            f" {len(tiers)}"
        )
    return tiers[costs.fee_tier - 1]


def _regulatory(day: date) -> dict[str, float]:
    activity = rate_on(TRADING_ACTIVITY_FEES, day)
    return {
        "sell_fee_bps": 0.0,  # the SEC fee is in place of it
        "sec_fee_per_million": rate_on(SEC_FEES, day).per_million,
        "taf_per_share": activity.per_share,
        "taf_cap": round(activity.cap * _MONEY),
        "cat_per_share": rate_on(AUDIT_TRAIL_FEES, day).per_share,
    }


def _spread_in_pips(costs: CostSettings, terms: Instrument) -> dict[str, float]:
    """Half the spread of a currency pair in units of its price, where it is told in pips; a symbol
    whose own half_spread_bps is set keeps that.
    """
    pips = costs.spread_pips
    if pips is None and costs.preset == FX:
        pips = _PRESET_SPREAD_PIPS
    told = costs.symbols.get(terms.symbol, _NO_SYMBOL_COSTS).half_spread_bps is not None
    if pips is None or told or terms.asset_class != "fx":
        return {}
    pip = _PIPS.get(terms.currency or "", 0.0001)
    return {"half_spread_bps": 0.0, "half_spread_price": pips * pip / 2.0}


def _or(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else value
