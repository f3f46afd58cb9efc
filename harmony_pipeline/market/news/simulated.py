"""Headlines of the simulated market, so that the demo and the tests need no supplier.

In a session a symbol has a headline with the probability of `headlines_per_year`. One in four says
nothing of value; the words of the others have the sign of the return over the next bars with the
probability (1 + `informative`) / 2. So the market moves as it did without news, and headlines tell
of it: at `informative` 0 words are worthless, at 1 they are never wrong. A row depends on the seed,
the symbol and the session alone; any range gives the rows of one great call.
"""

from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta

import numpy as np
import polars as pl

from harmony_pipeline.instants import micros
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.news.files import READ_DTYPES
from harmony_pipeline.market.news.settings import NewsSettings
from harmony_pipeline.market.settings import MarketSettings
from harmony_pipeline.market.simulation.random_keys import key_of, uniform
from harmony_pipeline.market.sources.simulated import SimulatedSource

NEWS_BRANCH = 7  # of the random keys below the seed
_GOOD = (
    "beats estimates", "raises guidance", "wins large contract", "upgraded by analysts",
    "reports record orders", "expands profitable unit", "settles lawsuit favourably",
)  # fmt: skip
_BAD = (
    "misses estimates", "cuts guidance", "loses large contract", "downgraded by analysts",
    "reports weak orders", "closes unprofitable unit", "faces product recall",
)  # fmt: skip
_PLAIN = (
    "schedules annual meeting", "presents at conference", "names new director",
    "opens regional office", "publishes annual report",
)  # fmt: skip
_PLAIN_SHARE = 0.25
_TAIL = ("", " in morning statement", " on strong volume", " after review", " this quarter")
_AHEAD = timedelta(days=10)  # the next bars lie within
_EPOCH = date(1970, 1, 1)


def simulated_news(
    source: SimulatedSource,
    calendar: Calendar,
    market: MarketSettings,
    settings: NewsSettings,
    span: tuple[datetime, datetime],
) -> pl.DataFrame:
    """Rows of READ_DTYPES that are published in `start <= t < end`."""
    start, end = span
    symbols = list(market.symbols) or None
    ahead = source.bars(symbols, start - timedelta(days=1), end + _AHEAD, market.timeframe)
    # the bars by which words are judged (models/headlines.py)
    ahead = calendar.with_session(ahead, market.timeframe).filter(pl.col("session") == "regular")
    rows = [
        row
        for each in ahead.partition_by("symbol", maintain_order=True)
        for row in _headlines(source, calendar, settings, each, span)
    ]
    frame = pl.DataFrame(rows, schema=("symbol", "published_at", "headline"), orient="row")
    return frame.select(
        (pl.col(name) if name in frame.columns else pl.lit(_FIXED.get(name)).alias(name)).cast(kind)
        for name, kind in READ_DTYPES.items()
    ).with_columns(row=pl.int_range(1, pl.len() + 1, dtype=pl.Int64))


_FIXED = {"source": "simulated", "published_date": False, "origin": "simulated news"}


def _headlines(
    source: SimulatedSource,
    calendar: Calendar,
    settings: NewsSettings,
    bars: pl.DataFrame,
    span: tuple[datetime, datetime],
) -> Iterator[tuple[str, datetime, str]]:
    symbol = str(bars["symbol"][0])
    stamps = bars["timestamp"].dt.epoch("us").to_numpy()
    opens, closes = bars["open"].to_numpy(), bars["close"].to_numpy()
    seed = source.settings.seed
    chance = settings.simulated.headlines_per_year / calendar.sessions_per_year
    days = calendar.sessions(span[0].date() - timedelta(days=1), span[1].date() + timedelta(days=1))
    for day in days:
        own = key_of(seed, NEWS_BRANCH, *symbol.encode(), (day - _EPOCH).days)
        if uniform(own, 0) >= chance:
            continue
        # from the evening before the session to its close
        close = calendar.session_close(day)
        at = close - timedelta(hours=20) * uniform(own, 1)
        at = at.replace(microsecond=0)
        if not span[0] <= at < span[1]:
            continue
        usable = at + timedelta(seconds=settings.delay_seconds)
        moment = micros(usable)
        first = int(np.searchsorted(stamps, moment, side="left"))
        last = first + settings.horizon_bars - 1
        if last >= len(stamps):
            continue
        rises = closes[last] > opens[first]
        yield symbol, at, _words(symbol, own, rises=bool(rises), settings=settings)


def _words(symbol: str, key: np.uint64, *, rises: bool, settings: NewsSettings) -> str:
    truthful = uniform(key, 2) < 0.5 * (1.0 + settings.simulated.informative)
    phrases: Sequence[str] = _GOOD if rises == truthful else _BAD
    if uniform(key, 3) < _PLAIN_SHARE:
        phrases = _PLAIN
    phrase = phrases[int(uniform(key, 4) * len(phrases))]
    return f"{symbol} {phrase}{_TAIL[int(uniform(key, 5) * len(_TAIL))]}"
