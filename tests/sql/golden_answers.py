"""Golden answers of the named queries: `python -m tests.sql.golden_answers` rewrites
tests/sql/golden/ from the answers worked out by hand-written code.

They were read and checked by eye once; a change of a query shows as a difference in review. The
queries themselves never write them.
"""

import sys
from pathlib import Path

import polars as pl

FOLDER = Path(__file__).parent / "golden"
DIGITS = 9


def text_of(answer: pl.DataFrame) -> str:
    """The rows as CSV: instants in UTC, numbers to nine digits, nothing for null."""
    plain = [
        pl.col(name).cast(pl.Float64).round_sig_figs(DIGITS) if dtype.is_float() or dtype.is_integer() or dtype.is_decimal()
        else pl.col(name).dt.convert_time_zone("UTC").dt.strftime("%Y-%m-%dT%H:%MZ") if isinstance(dtype, pl.Datetime) and dtype.time_zone
        else pl.col(name).dt.strftime("%Y-%m-%dT%H:%MZ") if isinstance(dtype, pl.Datetime)
        else pl.col(name).cast(pl.String)
        for name, dtype in answer.schema.items()
    ]  # fmt: skip
    return answer.select(plain).write_csv()


def naive_text(name: str) -> str:
    """The answer of `naive_answers` in the same form."""
    from sql.naive_answers import ANSWERS

    return text_of(pl.DataFrame(ANSWERS[name](), infer_schema_length=None))


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from sql.naive_answers import ANSWERS

    FOLDER.mkdir(exist_ok=True)
    for name in ANSWERS:
        (FOLDER / f"{name}.csv").write_text(naive_text(name))
