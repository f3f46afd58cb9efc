"""A small simulated market in its own folder, for tests of the whole chain and for the kernel warm-
up.
"""

from datetime import date
from pathlib import Path
from typing import Any

from harmony_pipeline.config import Settings, load_settings
from harmony_pipeline.stages.context import PipelineContext

_TOML = """
[paths]
lake = "lake"
state = "state"
"""


def tiny_settings(folder: Path, **market: Any) -> Settings:
    """Settings of a few simulated symbols over some weeks of half-hour bars; `market` overrides
    keys of [market].
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "harmony.toml"
    file.write_text(_TOML)
    base = load_settings(file, environment={})
    chosen = {
        "timeframe": "30Min",
        "start": date(2024, 1, 2),
        "end": date(2024, 4, 1),
        "simulated": {
            **base.market.simulated.model_dump(),
            "symbols": 4,
            "low_float_symbols": 2,
            "edge_strength": 0.3,
        },
        "partitions": {"trading_period": "month", "retraining_period": "month"},
        **market,
    }
    values = base.model_dump() | {
        "market": {**base.market.model_dump(), **chosen},
        "model": {**base.model.model_dump(), "minimum_train_rows": 60, "embargo_bars": 4},
        "labels": {**base.labels.model_dump(), "horizons_bars": (4, 12)},
        "monte_carlo": {**base.monte_carlo.model_dump(), "paths": 200},
        "overfitting": {**base.overfitting.model_dump(), "bootstrap_reps": 100},
        "scanner": {
            **base.scanner.model_dump(),
            "run_days": 30,
            "minimum_absolute_gap": 0.0,
            "minimum_premarket_volume": 0.0,
            "require_premarket": False,
        },
        "file": file,
    }
    return Settings.model_validate(values)


def tiny_market(folder: Path, **market: Any) -> PipelineContext:
    """The pipeline context of `tiny_settings`."""
    return PipelineContext(tiny_settings(folder, **market))
