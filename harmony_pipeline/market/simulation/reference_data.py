"""Reference data of the simulated exchange: corporate actions, and listings with float and size.

Every row is known on its date. Splits change shares and float on the ex-date. Capitalisation uses
the last price before the date. A delisting is announced five sessions ahead.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta

import numpy as np
import polars as pl

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.market.simulation.companies import Listing
from harmony_pipeline.market.simulation.price_process import DIVIDEND, PRICE, QUARTER, SPLIT, SPLITS
from harmony_pipeline.schemas import CORPORATE_ACTIONS, UNIVERSE

NOTICE = 5  # sessions between the announcement of a delisting and the first session without trading


def corporate_actions(
    listings: Sequence[Listing], states: Mapping[str, FloatArray], dates: Sequence[date]
) -> pl.DataFrame:
    """Splits and dividends of sessions `dates`; `states[symbol]` has the state after session n in
    row n + 1.
    """
    rows = [
        {
            "symbol": listing.symbol,
            "date": dates[session],
            "kind": kind,
            "value": states[listing.symbol][session + 1, column],
        }
        for listing in listings
        for kind, column in (("split", SPLIT), ("dividend", DIVIDEND))
        for session in _alive(listing, len(dates))
        if states[listing.symbol][session + 1, column] > 0.0
    ]
    return CORPORATE_ACTIONS.conform(pl.DataFrame(rows, schema=CORPORATE_ACTIONS.dtypes))


def universe(
    listings: Sequence[Listing], states: Mapping[str, FloatArray], dates: Sequence[date]
) -> pl.DataFrame:
    """A row when a company lists (or the market begins), every quarter, at a split, and when its
    delisting is announced.
    """
    rows = [row for listing in listings for row in _history(listing, states[listing.symbol], dates)]
    return UNIVERSE.conform(pl.DataFrame(rows, schema=UNIVERSE.dtypes))


def _alive(listing: Listing, sessions: int) -> range:
    return range(min(listing.company.listed, sessions), min(listing.company.delisted, sessions))


def _history(
    listing: Listing, states: FloatArray, dates: Sequence[date]
) -> Iterator[dict[str, object]]:
    company, alive = listing.company, _alive(listing, len(dates))
    listed = dates[company.listed] if alive and company.listed > 0 else None
    for session in alive:
        announced = session == company.delisted - NOTICE
        split = states[session + 1, SPLIT]
        if not (session == alive.start or session % QUARTER == 0 or split > 0.0 or announced):
            continue
        splits = states[session + 1, SPLITS]
        shares = listing.shares * splits
        price = states[session, PRICE] / (split if split > 0.0 else 1.0)
        yield {
            "date": dates[session],
            "symbol": listing.symbol,
            "listed": listed or dates[0] - timedelta(days=round(365.25 * listing.years_listed)),
            "delisted": (
                _session_date(dates, company.delisted)
                if session >= company.delisted - NOTICE
                else None
            ),
            "shares": float(np.floor(shares)),
            "float": float(np.floor(listing.floating * splits)),
            "market_cap": float(np.floor(shares * price)),
            "sector": listing.sector,
        }


def _session_date(dates: Sequence[date], session: int) -> date | None:
    """Date of a session, if the market has reached it."""
    return dates[session] if session < len(dates) else None
