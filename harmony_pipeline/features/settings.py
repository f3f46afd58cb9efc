"""Settings of features and regimes; `features/catalog.py` has every valid feature name."""

from typing import Literal, Self

from pydantic import Field, model_validator

from harmony_pipeline.settings_base import FrozenSettings

STANDARD_FEATURES = (
    "log_return",
    "volatility_20",
    "rsi_14",
    "adx_14",
    "atr_14",
    "bollinger_z_20",
    "macd_12_26_9",
    "volume_z_20",
    "vwap_distance",
    "momentum_5",
    "momentum_20",
    "range_position_20",
    "signed_volume_20",
    "gap",
)


class FeatureSettings(FrozenSettings):
    """The feature set: one column a name. Parameters are part of the name: `rsi_14`,
    `sma_ratio_10_40`.
    """

    LATER = frozenset({"own", "sectors", "sector_source"})

    names: tuple[str, ...] = STANDARD_FEATURES
    own: tuple[str, ...] = Field(
        (), description="import paths module:INDICATOR of your own indicators, to be named in names"
    )
    sectors: dict[str, str] = Field(
        {},
        description='the sector of a symbol, as { AAPL = "technology" }, for sector_relative_NAME;'
        " one sector for all time",
    )
    sector_source: Literal["auto", "settings", "universe"] = Field(
        "auto",
        description="where sector_relative_NAME has sectors from: features.sectors (settings), the"
        " table universe as known on the day of each bar (universe), or the latter where the former"
        " names none (auto)",
    )
    cusum_threshold: float = Field(
        1.5, gt=0.0, description="CUSUM event filter: threshold in units of volatility_20"
    )

    @property
    def sectors_as_known(self) -> bool:
        """Whether sectors are those of the universe, as known on each day."""
        return self.sector_source == "universe" or (
            self.sector_source == "auto" and not self.sectors
        )

    @model_validator(mode="after")
    def _one_source_of_sectors(self) -> Self:
        if self.sector_source == "universe" and self.sectors:
            raise ValueError(
                'sectors: sector_source = "universe" does not read these: take the names away, or'
                ' set sector_source = "settings"'
            )
        return self


class RegimeSettings(FrozenSettings):
    """Market regimes from daily closes; each is known at its session's close."""

    LATER = frozenset({"hidden_history_days", "hidden_minimum_days"})

    trend_days: int = Field(50, ge=2)
    volatility_days: int = Field(20, ge=2)
    volatility_history_days: int = Field(
        252, ge=20, description="trailing window whose median splits low from high"
    )
    volatility_minimum_days: int = Field(
        63,
        ge=20,
        description=(
            "of that window that are enough to begin; a longer minimum than the window means all"
            " of it"
        ),
    )
    hidden_history_days: int = Field(
        1260,
        ge=60,
        description="latest returns of earlier years that the two hidden states are fitted to",
    )
    hidden_minimum_days: int = Field(
        252, ge=60, description="of these that are enough to begin, at the turn of a year"
    )
