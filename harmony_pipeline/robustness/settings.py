"""Settings of the Monte Carlo and the overfitting statistics."""

from typing import ClassVar

from pydantic import Field

from harmony_pipeline.settings_base import FrozenSettings


class MonteCarloSettings(FrozenSettings):
    """Resampled and stressed paths of the trade list."""

    LATER: ClassVar[frozenset[str]] = frozenset(
        {"slippage_anomaly_probability", "slippage_anomaly_size"}
    )

    seed: int = 2024
    paths: int = Field(2000, ge=10)
    block: int = Field(
        10,
        ge=1,
        description="mean block length of the stationary bootstrap, in days with a closed trade",
    )
    miss_probability: float = Field(0.10, ge=0.0, le=1.0)
    slippage_bps: float = Field(1.0, ge=0.0, description="extra cost a side")
    anomaly_probability: float = Field(
        0.002,
        ge=0.0,
        le=1.0,
        description=(
            "chance of a day with a closed trade to meet a shock of anomaly_size times the worst"
            " loss of a trade"
        ),
    )
    anomaly_size: float = Field(2.0, ge=0.0)
    slippage_anomaly_probability: float = Field(
        0.0,
        ge=0.0,
        le=1.0,
        description="chance that the slippage of a trade is slippage_anomaly_size times as much",
    )
    slippage_anomaly_size: float = Field(10.0, ge=0.0)


class ExecutionStressSettings(FrozenSettings):
    """Backtests run again with worse luck at the exchange; see robustness/execution_stress.py."""

    draws: int = Field(20, ge=1, le=10_000)
    seed: int = 7
    max_latency_bars: int = Field(2, ge=0, le=1000)
    max_reject_probability: float = Field(0.05, ge=0.0, le=1.0)
    max_late_bar_probability: float = Field(0.05, ge=0.0, le=1.0)
    max_dropped_bar_probability: float = Field(0.02, ge=0.0, le=1.0)
    max_cost_multiple: float = Field(
        3.0, ge=1.0, description="of half spread and fees; published fees stay"
    )


class OverfittingSettings(FrozenSettings):
    """Settings of PSR, DSR, PBO by CSCV, and SPA."""

    splits: int = Field(
        10,
        ge=2,
        le=20,
        description="even; blocks of the combinatorially symmetric cross-validation",
    )
    bootstrap_reps: int = Field(500, ge=50)
    seed: int = 5
