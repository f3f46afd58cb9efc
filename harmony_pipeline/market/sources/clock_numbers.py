"""Times of day written as numbers, such as 93000 for 09:30:00.

A spreadsheet drops leading zeros, so the width of one cell does not say what its digits are. The
column as a whole decides, or nobody does: a number that could also count seconds or minutes since
midnight is null, never guessed.
"""

from collections.abc import Collection

import polars as pl

_WIDTHS = (4, 6, 9)  # HHMM, HHMMSS, HHMMSSmmm
_DAY = {4: 1_440, 6: 86_400, 9: 86_400_000}  # the same widths as a count since midnight
_STEP = {4: 1, 6: 60, 9: 60_000}  # one minute in that count
_CLOCK = r"^\s*\d{1,2}:[0-5]\d(?::[0-5]\d)?(?:\.\d+)?\s*$"
_DATE_AND_NUMBER = r"^(\d{8})[ T;_](\d{1,9})$"


def clock_texts(clock: pl.Series) -> pl.Series:
    """Whole numbers as 09:30:00; other cells unchanged; null where a number is no certain time."""
    text = clock.cast(pl.String).str.strip_chars()
    digits = text.str.extract(r"^(\d{1,9})(?:\.0+)?$", 1)
    if digits.null_count() == len(digits):
        return text
    read = _read_digits(digits)
    table = pl.DataFrame({"text": text, "digits": digits, "read": read})
    chosen = pl.when(pl.col("digits").is_null()).then("text").otherwise("read")
    return table.select(chosen.alias(clock.name)).to_series()


def with_clock_texts(text: pl.Series) -> pl.Series:
    """`20240102 93000` as `20240102 09:30:00`; other cells unchanged."""
    number = text.str.extract(_DATE_AND_NUMBER, 2)
    if number.null_count() == len(number):
        return text
    table = pl.DataFrame({"text": text, "number": number, "read": clock_texts(number)})
    date = pl.col("text").str.slice(0, 8)
    whole = pl.concat_str(date, pl.lit(" "), "read")  # null where the time is
    chosen = pl.when(pl.col("number").is_null()).then("text").otherwise(whole)
    return table.select(chosen.alias(text.name)).to_series()


def clock_column(cells: pl.DataFrame, taken: Collection[str]) -> str | None:
    """The first column of text, not among `taken`, whose cells all are times of day like 09:30."""
    for column in cells.iter_columns():
        if column.name in taken or column.dtype != pl.String:
            continue
        text = column.drop_nulls()
        if len(text) and text.str.contains(_CLOCK).all():
            return column.name
    return None


def _read_digits(digits: pl.Series) -> pl.Series:
    length = digits.str.len_bytes()
    width = next(each for each in _WIDTHS if length.max() <= each)  # type: ignore[operator]
    padded = pl.col("digits").str.zfill(width)
    hour, minute, second = (padded.str.slice(at, 2) for at in (0, 2, 4))
    seconds = second if width > 4 else pl.lit("00")
    thousandths = pl.concat_str(pl.lit("."), padded.str.slice(6, 3)) if width == 9 else pl.lit("")
    possible = (hour.cast(pl.Int64) < 24) & (minute.cast(pl.Int64) < 60)
    possible &= (seconds.cast(pl.Int64) < 60) & (pl.col("digits").str.len_bytes() <= width)
    time = pl.concat_str(hour, minute, seconds, separator=":") + thousandths
    table = digits.alias("digits").to_frame()
    read = table.select(pl.when(possible).then(time).alias("read")).to_series()
    certain = _is_clock(digits, read, width)
    return read if certain else pl.Series("read", [None], pl.String).new_from_index(0, len(read))


def _is_clock(digits: pl.Series, read: pl.Series, width: int) -> bool:
    """Whether a column of numbers can only be clock times of `width` digits."""
    zeros_kept = digits.str.contains(r"^0") & (digits.str.len_bytes() == width)
    numbers = digits.cast(pl.Int64).drop_nulls()
    beyond_a_day = (numbers > _DAY[width]).any()
    if zeros_kept.any() or beyond_a_day or not (numbers != 0).any():
        return True
    as_count = (numbers % _STEP[width] == 0).all() or read.null_count() > digits.null_count()
    return not as_count
