"""The rows that the contract of a lake writes. Its processes import these alone: pytest and DuckDB
would take longer than what they do.
"""

from datetime import date

import polars as pl

TABLE = "corporate_actions"


def actions(*values: float) -> pl.DataFrame:
    """Corporate actions, one symbol a value."""
    symbols = [f"S{number:05d}" for number in range(len(values))]
    return pl.DataFrame(
        {
            "symbol": symbols,
            "date": [date(2024, 1, 2)] * len(values),
            "kind": ["split"] * len(values),
            "value": list(values),
        },
        schema_overrides={
            "value": pl.Float64,
            "symbol": pl.String,
            "date": pl.Date,
            "kind": pl.String,
        },
    )
