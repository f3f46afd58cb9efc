"""What a stream has told of each minute: which version counts, and what has not been handed out
yet.

Whatever is lost, repeated, late or requested again, the last version handed out of a minute is the
one that Alpaca keeps. A minute is reported three ways: its first bar (`b`), corrections of it (`u`,
about half a minute later, with late trades counted in), and the answer to a question (REST, after a
break). A version that was heard before says nothing new. A first bar that comes after any other
voice is stale; so is a correction that counts fewer trades than an answer already did. Pure: no
socket, no clock.
"""

from datetime import datetime, timedelta
from enum import IntEnum

import polars as pl

from harmony_pipeline.market.sources.base import SOURCE_BAR_DTYPES

_KEY = ("symbol", "timestamp")
_SAID = (*_KEY, "open", "high", "low", "close", "volume", "trade_count", "vwap")
_REMEMBERED = timedelta(days=1)


class Voice(IntEnum):
    """Who speaks of a minute."""

    FIRST = 0
    CORRECTED = 1
    ASKED = 2


class Minutes:
    """Versions heard, and the ones that wait to be handed out; frames are in SOURCE_BAR_DTYPES."""

    def __init__(self) -> None:
        self._heard = pl.DataFrame(
            schema={name: SOURCE_BAR_DTYPES[name] for name in _SAID} | {"voice": pl.Int64}
        )
        self._waiting: list[pl.DataFrame] = []

    @property
    def waiting(self) -> bool:
        """Whether anything has not been handed out yet."""
        return bool(self._waiting)

    @property
    def newest(self) -> datetime | None:
        """Start of the latest minute heard of."""
        newest = self._heard["timestamp"].max()
        return newest if isinstance(newest, datetime) else None

    @property
    def symbols(self) -> list[str]:
        """Every symbol heard of."""
        return sorted(self._heard["symbol"].unique())

    def add(self, bars: pl.DataFrame, voice: Voice) -> None:
        """Take in bars that came together; what is new of them will be handed out."""
        news = self._news(bars.unique(_SAID, keep="first", maintain_order=True), voice)
        if news.height:
            self._waiting.append(news)
            heard = pl.concat(
                [self._heard, news.select(*_SAID, voice=pl.lit(int(voice), dtype=pl.Int64))]
            )
            self._heard = heard.filter(
                pl.col("timestamp") > pl.col("timestamp").max() - _REMEMBERED
            )

    def over(self) -> list[pl.DataFrame]:
        """The minutes before the newest that waits, which is over for them: nobody waits for their
        other symbols any more.
        """
        frames = self._last_versions()
        if frames:
            self._waiting = frames[-1:]
        return frames[:-1]

    def quiet(self) -> list[pl.DataFrame]:
        """Every minute that waits, when nothing has come for a while."""
        frames = self._last_versions()
        self._waiting = []
        return frames

    def _news(self, bars: pl.DataFrame, voice: Voice) -> pl.DataFrame:
        counted = (
            pl.col("trade_count").filter(pl.col("voice") == Voice.ASKED).last().alias("counted")
        )
        state = self._heard.group_by(_KEY, maintain_order=True).agg(pl.col("voice").max(), counted)
        new = bars.join(
            self._heard, on=_SAID, how="anti", nulls_equal=True, maintain_order="left"
        ).join(state, on=_KEY, how="left", maintain_order="left")
        if voice is Voice.FIRST:
            new = new.filter((pl.col("voice") == Voice.FIRST).fill_null(True))
        elif voice is Voice.CORRECTED:
            new = new.filter((pl.col("trade_count") >= pl.col("counted")).fill_null(True))
        return new.select(SOURCE_BAR_DTYPES.keys())

    def _last_versions(self) -> list[pl.DataFrame]:
        """The last version of all that waits, a frame a minute, oldest first."""
        if not self._waiting:
            return []
        last = (
            pl.concat(self._waiting)
            .unique(_KEY, keep="last", maintain_order=True)
            .sort("timestamp", "symbol")
        )
        return last.partition_by("timestamp", maintain_order=True)
