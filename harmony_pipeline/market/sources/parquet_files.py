"""Parquet files that may be broken: every failure of a reader becomes one line that names the file.

The two ends of a file are looked at first, since readers answer some broken ones with a panic.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from harmony_pipeline.errors import DataError, HarmonyError
from harmony_pipeline.market.sources.held_stderr import hold_standard_error
from harmony_pipeline.text import NAME, excerpt

_MAGIC, _ENCRYPTED = b"PAR1", b"PARE"
_SMALLEST = 12  # magic, length of the footer, magic


@contextmanager
def parquet_errors(origin: str) -> Iterator[None]:
    """Turns what a reader throws, its panics included, into a DataError; what a panic prints stays
    off the terminal.
    """
    with hold_standard_error(), _as_data_error(origin):
        yield


@contextmanager
def _as_data_error(origin: str) -> Iterator[None]:
    try:
        yield
    except HarmonyError:
        raise
    except pl.exceptions.DuplicateError as error:
        raise DataError(
            f"{origin} names a column more than once ({_first_line(error)}): give each its own name"
        ) from None
    except OSError as error:
        reason = error.strerror or _first_line(error)
        raise DataError(
            f"{origin} cannot be read as Parquet ({excerpt(reason)}): fetch it again"
        ) from None
    except (pl.exceptions.PolarsError, ValueError, OverflowError, MemoryError) as error:
        raise DataError(
            f"{origin} is not a whole Parquet file ({_first_line(error)}): fetch it again"
        ) from None
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise DataError(
            f"{origin} is not a whole Parquet file (its pages cannot be decoded): fetch it again"
        ) from None


def check_ends(path: Path, origin: str) -> None:
    """Raises DataError when the beginning and the end of a file are not those of a Parquet file."""
    size = path.stat().st_size
    if not size:
        raise DataError(f"{origin} is empty (0 bytes): fetch it again, or take it out")
    with path.open("rb") as file:
        head = file.read(4)
        file.seek(max(size - 8, 0))
        tail = file.read(8)
    if _ENCRYPTED in (head, tail[-4:]):
        raise DataError(f"{origin} is an encrypted Parquet file: write it again without encryption")
    if head != _MAGIC:
        raise DataError(
            f"{origin} is not a whole Parquet file (it begins with"
            f" '{excerpt(head.decode('latin-1'))}'): fetch it again, or name it as what it is"
        )
    footer = int.from_bytes(tail[:4], "little")
    if size < _SMALLEST or tail[-4:] != _MAGIC:
        raise DataError(
            f"{origin} is not a whole Parquet file (its end is missing): fetch it again"
        )
    if not 0 < footer <= size - _SMALLEST:
        raise DataError(
            f"{origin} is not a whole Parquet file (its footer is said to have {footer:,} bytes):"
            " fetch it again"
        )


def check_types(
    schema: Mapping[str, pl.DataType],
    matched: Mapping[str, str],
    numbers: tuple[str, ...],
    origin: str,
) -> None:
    """Raises DataError for a column whose type holds no numbers, times or symbols."""
    for ours, theirs in matched.items():
        dtype = schema[theirs]
        text = isinstance(dtype, pl.String | pl.Categorical | pl.Enum)
        if ours in numbers:
            usable, expected = dtype.is_numeric() or text or dtype == pl.Null, "numbers"
        elif ours == "timestamp":
            usable, expected = (
                dtype.is_numeric() or text or isinstance(dtype, pl.Datetime | pl.Date),
                "times",
            )
        elif ours == "symbol":
            usable, expected = dtype.is_integer() or text or dtype == pl.Null, "symbols"
        else:
            usable, expected = not isinstance(dtype, pl.Struct | pl.Object), "plain values"
        if not usable:
            raise DataError(
                f"{origin} has a column '{excerpt(theirs, NAME)}' of type {excerpt(dtype)},"
                f" expected {expected} for {ours}: write it again"
            )


def _first_line(error: BaseException) -> str:
    return excerpt((str(error).splitlines() or [type(error).__name__])[0], 160)
