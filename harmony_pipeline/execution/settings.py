"""What an order costs and how chance treats it."""

from typing import ClassVar, Literal

from pydantic import Field

from harmony_pipeline.settings_base import FrozenSettings


class SymbolCosts(FrozenSettings):
    """What one symbol costs; a key that is left out is that of `[costs]`."""

    half_spread_bps: float | None = Field(None, ge=0.0)
    impact_coefficient: float | None = Field(None, ge=0.0)
    borrow_rate: float | None = Field(None, ge=0.0)


class CostSettings(FrozenSettings):
    """Half spread, square-root impact, fees and financing; see `execution/costs.py`,
    `execution/fee_rates.py` and `portfolio/financing.py`.
    """

    LATER: ClassVar[frozenset[str]] = frozenset(
        {
            "maker_fee_bps", "preset", "fee_tier", "regulatory_fees", "spread_pips",
            "borrow_rate", "interest_rate", "debit_rate", "symbols",
        }
    )  # fmt: skip

    half_spread_bps: float = Field(1.0, ge=0.0)
    impact_coefficient: float = Field(
        0.5, ge=0.0, description="of bar volatility * sqrt(quantity / bar volume)"
    )
    fee_bps: float = Field(0.0, ge=0.0)
    fee_per_share: float = Field(0.0, ge=0.0)
    sell_fee_bps: float = Field(0.278, ge=0.0, description="regulatory fee on sales")
    maker_fee_bps: float | None = Field(
        None,
        ge=-100.0,
        description="of orders that rested; negative is a rebate; none: as fee_bps",
    )
    preset: Literal["alpaca", "binance", "coinbase", "kraken", "fx"] | None = Field(
        None,
        description=(
            "fees of a broker or venue instead of the fee keys here: alpaca (no commission; US"
            " shares pay the SEC, TAF and CAT fees of the day, coins their maker and taker fees),"
            " binance, coinbase, kraken (maker and taker fees), fx (a spread in pips, no fee)"
        ),
    )
    fee_tier: int = Field(
        1, ge=1, description="tier of the venue's maker and taker fees, 1 for the lowest volume"
    )
    regulatory_fees: bool = Field(
        default=False,
        description=(
            "US shares pay the SEC, TAF and CAT fees of the day, in place of sell_fee_bps; the"
            " preset alpaca says so too"
        ),
    )
    spread_pips: float | None = Field(
        None,
        ge=0.0,
        description=(
            "whole spread of currency pairs, in place of half_spread_bps; a pip is 0.0001, or 0.01"
            " where the yen is the currency; none: 1 with the preset fx"
        ),
    )
    borrow_rate: float = Field(
        0.0, ge=0.0, description="a year, of shorts held over night; actual days over 360"
    )
    interest_rate: float = Field(
        0.0, ge=0.0, description="a year, on cash that no short sale brought; actual days over 360"
    )
    debit_rate: float = Field(
        0.0, ge=0.0, description="a year, on cash below zero; actual days over 360"
    )
    symbols: dict[str, SymbolCosts] = Field(
        {}, description="costs of single symbols, as [costs.symbols.AAPL]"
    )
    max_participation: float = Field(
        0.05, gt=0.0, le=1.0, description="largest part of a bar's volume"
    )
    lot_size: float | None = Field(
        None,
        gt=0.0,
        description="of every instrument; none means each its own (market.instruments)",
    )
    zero_volume: Literal["auto", "fill", "refuse"] = Field(
        "auto",
        description=(
            "orders at a bar without volume: fill whole, refuse, or auto: fill where the market has"
            " no common volume (FX)"
        ),
    )


class ExecutionNoiseSettings(FrozenSettings):
    """Chance, drawn by key and never by call order, and the time that an order needs; see
    `execution/random_draws.py` and `execution/matching.py`.
    """

    LATER: ClassVar[frozenset[str]] = frozenset(
        {"latency_milliseconds", "latency_bars", "late_bar_probability", "late_bars"}
    )

    seed: int = 101
    reject_probability: float = Field(0.0, ge=0.0, le=1.0)
    partial_fill_probability: float = Field(0.0, ge=0.0, le=1.0)
    latency_milliseconds: float = Field(
        0.0,
        ge=0.0,
        le=604_800_000.0,
        description="from the decision to the exchange: an order meets no bar that starts earlier",
    )
    latency_bars: int = Field(
        0, ge=0, le=1000, description="bars of its symbol that an order misses besides"
    )
    late_bar_probability: float = Field(
        0.0,
        ge=0.0,
        le=1.0,
        description="chance that a bar comes late: what is decided on it misses late_bars more",
    )
    late_bars: int = Field(1, ge=1, le=1000)
