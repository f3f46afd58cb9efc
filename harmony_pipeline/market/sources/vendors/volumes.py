"""Which column is the volume where a vendor writes two, or none.

MetaTrader gives the number of price changes (`<TICKVOL>`) and the traded volume (`<VOL>`). For
currencies the second is 0 in every row, and the first is all that is known.
"""

from collections.abc import Callable, Mapping, Sequence

from harmony_pipeline.market.sources.columns import plain

_TICK_VOLUMES = ("tickvol", "tickvolume")


def choose_volume(
    matched: Mapping[str, str],
    found: Sequence[str],
    chosen: Mapping[str, str],
    is_zero: Callable[[str], bool],
) -> dict[str, str]:
    """`matched` with the number of price changes as volume where the traded volume is 0 in every
    row, as `is_zero` tells of a column. What a person `chosen` stays.
    """
    ticks = next((name for name in found if plain(name) in _TICK_VOLUMES), None)
    current = matched.get("volume")
    if ticks is None or "volume" in chosen or current in {None, ticks} or not is_zero(str(current)):
        return dict(matched)
    return {**matched, "volume": ticks}
