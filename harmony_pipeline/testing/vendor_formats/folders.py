"""Folders of bars as each vendor writes them: invented prices in the vendor's own file names,
columns, stamps, packings and units.

What a vendor's files look like was read in the places that docs/vendor-bars.md names.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from harmony_pipeline.market.sources.vendors.profiles import SERVER_CLOCK
from harmony_pipeline.testing.vendor_formats import (
    binance,
    databento,
    firstrate,
    kibot,
    lean,
    metatrader,
    polygon,
    stooq,
    tradingview,
    walks,
)
from harmony_pipeline.testing.vendor_formats.file_bytes import NEW_YORK, WARSAW


@dataclass(frozen=True)
class VendorFolder:
    """What one vendor's files hold, how they are written, and how they should be read.

    `write` puts them below a folder and returns their paths; `bars` has the rows that reading must
    give (symbol, timestamp, open, high, low, close, volume), `zone` the one line that is to be set
    where stamps carry none and nothing in the files tells, which `harmony init` finds out.
    """

    calendar: str
    timeframe: str
    bars: Callable[[], pl.DataFrame]
    write: Callable[[Path, pl.DataFrame], list[Path]]
    zone: str = "UTC"


def _without_volume(bars: Callable[[], pl.DataFrame]) -> Callable[[], pl.DataFrame]:
    return lambda: bars().with_columns(volume=pl.lit(0.0))


def _as_stooq(bars: Callable[[], pl.DataFrame]) -> Callable[[], pl.DataFrame]:
    return lambda: bars().with_columns(symbol=pl.col("symbol") + ".US")


FOLDERS: Mapping[str, VendorFolder] = {
    "metatrader5": VendorFolder("FX", "1Hour", walks.fx_hours, metatrader.write_mt5, SERVER_CLOCK),
    "metatrader5_daily": VendorFolder("FX", "1Day", walks.fx_days, metatrader.write_mt5_daily),
    "metatrader5_chart": VendorFolder(
        "FX", "1Hour", walks.fx_hours, metatrader.write_mt5_chart, SERVER_CLOCK
    ),
    "metatrader5_python": VendorFolder(
        "FX", "1Hour", walks.fx_hours, metatrader.write_mt5_python, SERVER_CLOCK
    ),
    "metatrader4": VendorFolder("FX", "1Hour", walks.fx_hours, metatrader.write_mt4, SERVER_CLOCK),
    "databento_csv": VendorFolder("XNYS", "1Min", walks.us_minutes, databento.write_csv),
    "databento_whole": VendorFolder("XNYS", "1Min", walks.us_minutes, databento.write_whole_csv),
    "databento_dbn": VendorFolder("XNYS", "1Min", walks.us_minutes, databento.write_dbn),
    "databento_daily": VendorFolder("XNYS", "1Day", walks.us_days, databento.write_daily_dbn),
    "polygon_minute": VendorFolder("XNYS", "1Min", walks.us_minutes, polygon.write_minutes),
    "polygon_day": VendorFolder("XNYS", "1Day", walks.us_forty_days, polygon.write_days),
    "binance_spot": VendorFolder("24/7", "1Min", walks.new_year, binance.write_spot),
    "binance_futures": VendorFolder("24/7", "1Min", walks.new_year, binance.write_futures),
    "lean_equity_minute": VendorFolder("XNYS", "1Min", walks.us_minutes, lean.write_equity_minutes),
    "lean_equity_hour": VendorFolder("XNYS", "1Hour", walks.us_hours, lean.write_equity_hours),
    "lean_equity_daily": VendorFolder("XNYS", "1Day", walks.us_days, lean.write_equity_days),
    "lean_crypto": VendorFolder("24/7", "1Min", walks.new_year, lean.write_crypto),
    "lean_forex": VendorFolder("FX", "1Hour", _without_volume(walks.fx_hours), lean.write_forex),
    "lean_future": VendorFolder("CMES", "1Min", walks.future_minutes, lean.write_future),
    "kibot": VendorFolder("XNYS", "1Min", walks.us_minutes, kibot.write_minutes, NEW_YORK),
    "kibot_daily": VendorFolder("XNYS", "1Day", walks.us_days, kibot.write_days),
    "firstrate": VendorFolder("XNYS", "1Min", walks.us_minutes, firstrate.write_minutes, NEW_YORK),
    "firstrate_sample": VendorFolder(
        "XNYS", "1Min", walks.us_minutes, firstrate.write_sample, NEW_YORK
    ),
    "tradingview": VendorFolder("XNYS", "1Min", walks.us_minutes, tradingview.write_shares),
    "tradingview_fx": VendorFolder(
        "FX", "1Hour", _without_volume(walks.fx_hours), tradingview.write_currencies
    ),
    "stooq_daily": VendorFolder("XNYS", "1Day", _as_stooq(walks.us_days), stooq.write_days),
    "stooq_page": VendorFolder("XNYS", "1Day", walks.us_days, stooq.write_page),
    "stooq_5_minutes": VendorFolder(
        "XNYS", "5Min", _as_stooq(walks.us_fives), stooq.write_fives, WARSAW
    ),
    "stooq_hour": VendorFolder(
        "XNYS", "1Hour", _as_stooq(walks.us_hours), stooq.write_hours, WARSAW
    ),
}
