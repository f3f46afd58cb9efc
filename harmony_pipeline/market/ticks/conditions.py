"""What a trade may set in a bar, by its sale conditions.

The consolidated processing rules of the two US tapes (CTA, "CTS Output Specification", sale
condition matrix; UTP, "UTDF Output Specification", trade condition matrix) have three columns for
each condition: may it set high and low, may it set the last price, does it count in the volume. A
trade with several conditions may do what all of them allow. Bars need more than the end-of-day
rules at two points:

- `T` and `U` (extended hours) bar a trade from prices, or there would be no bar before the open.
  The clock decides instead: in the regular session they bar it (a late report), before and after it
  they do not.
- Where the tapes have "last only if it is the only one" (note 1: `G L P Z 4`), the trade gives open
  and close only while no other trade of the bar can.

The letter B is an average price on tapes A and B and a bunched trade on tape C. It is read as the
former, which sets no price. A trade that the supplier marks as suspicious counts in the volume and
sets nothing.
"""

from collections.abc import Mapping

import polars as pl

from harmony_pipeline.errors import ConfigError

HIGH_LOW, LAST, VOLUME, EXTENDED = 1, 2, 4, 8
_ALL, _PRICED_ONCE, _VOLUME_ONLY, _NOTHING = HIGH_LOW | LAST | VOLUME, HIGH_LOW | VOLUME, VOLUME, 0
_EVERY = _ALL | EXTENDED  # EXTENDED stays set unless a condition is an extended-hours one

_SIP: Mapping[str, int] = {
    "B": _VOLUME_ONLY,  # average price
    "W": _VOLUME_ONLY,  # average price (tape C)
    "C": _VOLUME_ONLY,  # cash
    "N": _VOLUME_ONLY,  # next day
    "R": _VOLUME_ONLY,  # seller's option
    "H": _VOLUME_ONLY,  # price variation
    "I": _VOLUME_ONLY,  # odd lot
    "V": _VOLUME_ONLY,  # contingent
    "7": _VOLUME_ONLY,  # qualified contingent
    "G": _PRICED_ONCE,  # bunched sold
    "L": _PRICED_ONCE,  # sold last
    "P": _PRICED_ONCE,  # prior reference price
    "Z": _PRICED_ONCE,  # sold, out of sequence
    "4": _PRICED_ONCE,  # derivatively priced
    "M": _NOTHING,  # market centre's official close: repeats a trade
    "Q": _NOTHING,  # market centre's official open
    "9": HIGH_LOW | LAST,  # corrected consolidated close: its shares were counted before
}
_SIP_EXTENDED = ("T", "U")

# QuantConnect's TradeConditionFlags, which its tick files write as a hexadecimal number.
_LEAN: Mapping[int, int] = {
    0x2: _VOLUME_ONLY,  # cash
    0x4: _VOLUME_ONLY,  # next day
    0x8: _VOLUME_ONLY,  # seller's option
    0x200: _PRICED_ONCE,  # derivatively priced
    0x800: _PRICED_ONCE,  # sold last
    0x4000: _PRICED_ONCE,  # out of sequence
    0x40000: _VOLUME_ONLY,  # stock-option trade
    0x100000: _VOLUME_ONLY,  # average price
    0x400000: _VOLUME_ONLY,  # price variation
    0x1000000: _NOTHING,  # official close
    0x2000000: _PRICED_ONCE,  # prior reference price
    0x4000000: _NOTHING,  # official open
    0x80000000: _VOLUME_ONLY,  # odd lot
}
_LEAN_EXTENDED = 0x400 | 0x2000  # form T, extended hours

CODES = ("sip", "lean", "none")


def eligibility(trades: pl.DataFrame, codes: str) -> pl.Series:
    """What each trade may set: the sum of HIGH_LOW, LAST and VOLUME, as UInt8.

    `trades` has conditions, suspicious and session (pre, regular or post). `codes` is the form of
    the conditions: "sip" (the tapes' letters, with or without separators), "lean" (a hexadecimal
    flag number) or "none" (not used). Raises ConfigError for another.
    """
    if codes not in CODES:
        raise ConfigError(
            f"market.ticks.condition_codes is '{codes}': use one of {', '.join(CODES)}"
        )
    allowed = _allowed(trades["conditions"], codes)
    table = trades.select("session", "suspicious").with_columns(allowed)
    late = (pl.col("allowed") & EXTENDED == 0) & (pl.col("session") == "regular")
    barred = late.fill_null(False) | pl.col("suspicious").fill_null(False)
    kept = pl.col("allowed") & pl.when(barred).then(pl.lit(VOLUME, pl.UInt8)).otherwise(
        pl.lit(_ALL, pl.UInt8)
    )
    return table.select(kept.alias("sets"))["sets"]


def _allowed(conditions: pl.Series, codes: str) -> pl.Series:
    """The mask of each trade's conditions, computed once for each distinct text."""
    if codes == "none":
        return pl.Series("allowed", [_EVERY], pl.UInt8).new_from_index(0, len(conditions))
    read = _sip_mask if codes == "sip" else _lean_mask
    masks = {text: read(text) for text in conditions.unique().to_list() if text is not None}
    return conditions.replace_strict(masks, default=_EVERY, return_dtype=pl.UInt8).alias("allowed")


def _sip_mask(text: str) -> int:
    mask = _EVERY
    for letter in text:
        mask &= _SIP.get(letter, _ALL) | EXTENDED
        if letter in _SIP_EXTENDED:
            mask &= ~EXTENDED
    return mask


def _lean_mask(text: str) -> int:
    try:
        flags = int(text, 16)
    except ValueError:
        return _EVERY
    mask = _EVERY
    for flag, allowed in _LEAN.items():
        if flags & flag:
            mask &= allowed | EXTENDED
    return mask & ~EXTENDED if flags & _LEAN_EXTENDED else mask
