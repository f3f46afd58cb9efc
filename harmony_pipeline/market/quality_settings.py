"""Settings of validation: which rules refuse, warn or are off, and within which limits."""

from datetime import date
from typing import Self

from pydantic import ConfigDict, Field, model_validator

from harmony_pipeline.market.validation.catalog import Severity, refused_choice
from harmony_pipeline.settings_base import FrozenSettings


class Allowance(FrozenSettings):
    """Rows of one symbol to which one rule does not apply for a while: odd and checked
    to be real.
    """

    model_config = ConfigDict(populate_by_name=True)

    symbol: str
    rule: str = Field(description="name of the rule that does not apply")
    first: date = Field(alias="from", description="first exchange date")
    end: date = Field(alias="to", description="exclusive")
    why: str = Field(min_length=3, description="what makes it right; for whoever reads this later")

    @model_validator(mode="after")
    def _check_allowance(self) -> Self:
        if refused := refused_choice(self.rule, "off"):
            raise ValueError(f"rule: {refused}")
        if self.end <= self.first:
            raise ValueError(f"to: {self.end} is not after from {self.first}")
        return self


class QualitySettings(FrozenSettings):
    """Which rows may become `bars`; see docs/quality.md and `market/validation/catalog.py` for each
    rule.
    """

    max_quarantined_fraction: float = Field(
        0.05, ge=0.0, le=1.0, description="more than this blocks the period"
    )
    max_bar_return: float = Field(
        0.60, gt=0.0, description="absolute move against both neighbours that marks a bad print"
    )
    min_price: float = Field(
        1e-8, gt=0.0, description="a smaller price is no price: price_out_of_bounds"
    )
    max_price: float = Field(1e12, gt=0.0, lt=float("inf"), description="nor is a larger one")
    max_volume: float = Field(
        1e18, gt=0.0, lt=float("inf"), description="a larger volume is none: volume_out_of_bounds"
    )
    scale_bars: int = Field(
        3,
        ge=1,
        le=1000,
        description=(
            "bars in a row on another scale that are refused before the level is taken as real"
        ),
    )
    allow_zero_volume: bool = Field(
        True, description="false is the same as rules.zero_volume = quarantine"
    )
    rules: dict[str, Severity] = Field(
        {}, description="rule = quarantine, warn or off, where it is not to be the default"
    )
    symbols: dict[str, dict[str, Severity]] = Field(
        {}, description="the same for one symbol: [market.quality.symbols.IBM]"
    )
    allow: tuple[Allowance, ...] = Field(
        (), description="symbol, rule, from, to, why: what a rule lets pass for a while"
    )
    outlier_z: float = Field(
        12.0,
        gt=0.0,
        description="robust z of a bar's log return against the regular bars before it",
    )
    outlier_return: float = Field(
        0.08, gt=0.0, description="smaller log returns are never outliers"
    )
    volume_spike_z: float = Field(
        8.0,
        gt=0.0,
        description="robust z of log volume against the largest bar of each session before",
    )
    volume_spike_ratio: float = Field(
        20.0, gt=1.0, description="and this many times the largest of them"
    )
    stale_bars: int = Field(3, ge=2, description="bars in a row with the same five values")
    stale_flat_bars: int = Field(
        20, ge=2, description="the same, of bars without a range, which thin stocks do repeat"
    )
    frozen_bars: int = Field(
        20, ge=2, description="bars in a row with the same four prices while the volume moves"
    )
    frozen_flat_bars: int = Field(
        30, ge=2, description="the same, of bars without a range, which thin stocks do repeat"
    )
    split_tolerance: float = Field(
        0.025, gt=0.0, lt=0.2, description="distance of a jump from the ratio of a split"
    )
    split_calm: float = Field(
        0.25, gt=0.0, description="log range of the bar above which a jump is no split"
    )
    split_turnover: float = Field(
        3.0,
        gt=0.0,
        description=(
            "times the largest traded value of a bar before, above which a jump is news and no"
            " split"
        ),
    )
    reuse_sessions: int = Field(
        60, ge=1, description="sessions of absence that make another price level suspicious"
    )
    reuse_price_factor: float = Field(2.0, gt=1.0, description="what another price level is")
    reuse_sessions_alone: int = Field(
        1260, ge=1, description="sessions of absence that are suspicious at any price"
    )
    waive: tuple[str, ...] = Field(
        (),
        description=(
            "blocking checks whose verdict is ignored: CHECK, or CHECK:PARTITION like"
            " bars_are_sound:2024-01"
        ),
    )
    unit_bars: int = Field(
        20,
        ge=2,
        description="regular bars, or five sessions of volume, that a changed unit has to last",
    )

    @model_validator(mode="after")
    def _check_rules(self) -> Self:
        wrong = [
            f"rules: {found}"
            for name, severity in self.rules.items()
            if (found := refused_choice(name, severity))
        ]
        for symbol, chosen in self.symbols.items():
            wrong += [
                f"symbols.{symbol}: {found}"
                for name, severity in chosen.items()
                if (found := refused_choice(name, severity))
            ]
        if self.max_price <= self.min_price:
            wrong.append(f"max_price: {self.max_price:g} is not above min_price {self.min_price:g}")
        if wrong:
            raise ValueError("; ".join(wrong))
        return self

    def severity(self, rule: str, default: Severity, symbol: str | None = None) -> Severity:
        """The severity of a rule, for one symbol or for symbols without their own setting."""
        if rule == "zero_volume" and not self.allow_zero_volume:
            default = "quarantine"
        return self.symbols.get(symbol or "", {}).get(rule, self.rules.get(rule, default))
