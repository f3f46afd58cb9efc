"""Settings of the scanner."""

from pydantic import Field

from harmony_pipeline.settings_base import FrozenSettings


class ScannerSettings(FrozenSettings):
    """Filters before the open; a limit that is absent is not applied."""

    use: str = "harmony_pipeline.scanner.premarket:PremarketScanner"
    as_of: str = Field(
        "09:25",
        pattern=r"^\d\d:\d\d$",
        description="exchange time; only bars that ended by then count",
    )
    minimum_price: float | None = Field(2.0, description="currency")
    maximum_price: float | None = None
    minimum_gap: float | None = Field(None, description="signed fraction of the previous close")
    minimum_absolute_gap: float | None = Field(0.005, description="fraction of the previous close")
    minimum_premarket_volume: float | None = Field(1000.0, description="shares")
    minimum_relative_volume: float | None = Field(
        None, description="same clock window, up to 20 earlier sessions"
    )
    maximum_float: float | None = Field(None, description="shares")
    require_premarket: bool = True
    minimum_history_sessions: int = Field(1, ge=0)
    maximum_selections: int = Field(10, ge=1)
    rank_by: str = Field("absolute_gap", description="a measure of scan_candidates, largest first")
    run_days: int = Field(
        30,
        ge=1,
        description=(
            "latest sessions that `harmony run` scans; `harmony backfill scan_candidates` scans any"
        ),
    )
    symbols: tuple[str, ...] = Field((), description="for the fixed list")
    query: str | None = Field(None, description="for the SQL scanner")
