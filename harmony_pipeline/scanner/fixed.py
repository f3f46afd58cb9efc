"""The fixed list: the same symbols every day, in the order of the settings."""

import polars as pl

from harmony_pipeline.errors import ConfigError
from harmony_pipeline.scanner.base import Scanner
from harmony_pipeline.scanner.rules import not_listed, rejections
from harmony_pipeline.scanner.settings import ScannerSettings


class FixedList(Scanner):
    """Selects `scanner.symbols` that are listed. Gaps and volumes are measured and not used.

    `maximum_selections` applies. The score falls along the list, so that its first symbol ranks
    first. Raises ConfigError for an empty list.
    """

    def __init__(self, settings: ScannerSettings) -> None:
        if not settings.symbols:
            raise ConfigError(
                "scanner.symbols is empty, but scanner.use is the fixed list: name the symbols to"
                " watch"
            )
        super().__init__(settings)

    def judge(self, measures: pl.DataFrame) -> pl.DataFrame:
        """See Scanner. A symbol without any data becomes a candidate as well, rejected as
        `unknown_symbol`.
        """
        chosen = list(dict.fromkeys(self.settings.symbols))
        order = pl.DataFrame(
            {
                "symbol": chosen,
                "score": [float(len(chosen) - place) for place in range(len(chosen))],
            },
            schema={"symbol": pl.String, "score": pl.Float64},
        )
        days = measures.select("date", "as_of").unique(maintain_order=True)
        pairs = days.join(order.select("symbol"), how="cross")
        absent = pairs.join(measures, on=["date", "symbol"], how="anti").with_columns(
            premarket_volume=pl.lit(0.0),
            history_sessions=pl.lit(0, pl.Int64),
            premarket_bars=pl.lit(0).cast(measures.schema["premarket_bars"]),
        )
        everyone = pl.concat(
            [
                measures.with_columns(known=pl.lit(value=True)),
                absent.with_columns(known=pl.lit(value=False)),
            ],
            how="diagonal",
        )
        scored = everyone.join(order, on="symbol", how="left", maintain_order="left").sort(
            "date", "symbol", maintain_order=True
        )
        checks = {
            "not_listed": not_listed(),
            "not_in_list": pl.col("score").is_null(),
            "unknown_symbol": ~pl.col("known"),
        }
        return scored.with_columns(rejections(checks)).drop("known")
