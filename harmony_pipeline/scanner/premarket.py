"""The premarket gap scanner: symbols with a premarket price away from yesterday's close, on enough
volume.
"""

from typing import Any

import polars as pl

from harmony_pipeline.errors import ConfigError
from harmony_pipeline.scanner.base import Scanner
from harmony_pipeline.scanner.rules import broken_rules
from harmony_pipeline.scanner.settings import ScannerSettings

RANKS = (
    "absolute_gap",
    "gap",
    "premarket_volume",
    "relative_volume",
    "dollar_volume",
    "price",
    "previous_close",
    "float",
    "history_sessions",
)


class PremarketScanner(Scanner):
    """Applies every limit of ScannerSettings. The score is the measure `rank_by`.

    Raises ConfigError when `rank_by` is no measure.
    """

    def __init__(self, settings: ScannerSettings) -> None:
        if settings.rank_by not in RANKS:
            raise ConfigError(
                f"scanner.rank_by is '{settings.rank_by}', which is no measure: use one of"
                f" {', '.join(RANKS)}"
            )
        super().__init__(settings)

    def judge(self, measures: pl.DataFrame) -> pl.DataFrame:
        """See Scanner."""
        score: Any = pl.col(self.settings.rank_by).cast(pl.Float64)
        return measures.with_columns(score.alias("score"), broken_rules(self.settings))
