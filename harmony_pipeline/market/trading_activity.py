"""The activity profile of a symbol: how often it leaves out a bar at a time of day, from its past
sessions.

The profile of a session depends only on sessions before it. Sessions without any bar are absences
and do not count. The most silent tenth of the rest is set aside, so that an outage of a day or two
does not make silence usual.
"""

import numpy as np
import numpy.typing as npt

from harmony_pipeline.arrays import BoolArray, FloatArray, IntArray
from harmony_pipeline.market.expected_bars import Slots

FEWEST_SESSIONS = 5  # a profile of fewer sessions is unknown
# c below; with it a tenth of a percent of the silences of 99 real stocks is unusual, as it should
# be
CONCENTRATION = 20.0
_SET_ASIDE = 10  # one session in ten
_AT_ONCE = 200_000  # cells computed together: 20 sessions each of 8 bytes is 32 MB


class ActivityProfile:
    """Bars `present` by symbol, session and bucket, against the expected slots."""

    def __init__(self, present: npt.NDArray[np.int32], slots: Slots, lookback: int) -> None:
        self.present = present
        self.slots = slots
        self.lookback = lookback
        cells = slots.session * slots.buckets + slots.bucket
        self.room = np.bincount(cells, minlength=len(slots.dates) * slots.buckets).reshape(
            len(slots.dates), slots.buckets
        )
        self.traded: BoolArray = np.asarray(present.any(axis=2), np.bool_)

    def of(
        self, symbol: IntArray, session: IntArray, bucket: IntArray
    ) -> tuple[IntArray, FloatArray]:
        """(past sessions counted, usual share of absent bars) of each cell; the share is nan below
        FEWEST_SESSIONS.
        """
        shape = self.present.shape
        cell = (symbol * shape[1] + session) * shape[2] + bucket
        distinct, place = np.unique(cell, return_inverse=True)
        known, share = np.empty(len(distinct), np.int64), np.empty(len(distinct))
        for at in range(0, len(distinct), _AT_ONCE):
            part = slice(at, at + _AT_ONCE)
            rest, which = np.divmod(distinct[part], shape[2])
            known[part], share[part] = self._learn(*np.divmod(rest, shape[1]), which)
        return known[place], share[place]

    def joint_log_silence(self, session: IntArray, bucket: IntArray, fewest: int) -> FloatArray:
        """Log of the probability that all symbols with a profile are silent in one bar.

        It is nan where fewer than `fewest` have a profile.
        """
        cells, place = np.unique(np.stack([session, bucket]), axis=1, return_inverse=True)
        symbols = np.arange(self.present.shape[0])
        total = np.empty(cells.shape[1])
        for at, (day, time) in enumerate(cells.T):
            _, share = self.of(symbols, np.full(len(symbols), day), np.full(len(symbols), time))
            share = share[~np.isnan(share)]
            with np.errstate(divide="ignore"):
                total[at] = np.log(share).sum() if len(share) >= fewest else np.nan
        return total[place.ravel()]

    def _learn(
        self, symbol: IntArray, session: IntArray, bucket: IntArray
    ) -> tuple[IntArray, FloatArray]:
        past = session[:, None] - np.arange(1, self.lookback + 1)
        valid = past >= 0
        past = np.maximum(past, 0)
        room = self.room[past, bucket[:, None]]
        valid &= self.traded[symbol[:, None], past] & (room > 0)
        absent = 1.0 - self.present[symbol[:, None], past, bucket[:, None]] / np.maximum(room, 1)
        absent = np.sort(np.where(valid, absent, np.inf), axis=1)
        known = valid.sum(axis=1)
        kept = known - known // _SET_ASIDE
        total = np.where(np.arange(self.lookback) < kept[:, None], absent, 0.0).sum(axis=1)
        return known, np.where(known >= FEWEST_SESSIONS, total / np.maximum(kept, 1), np.nan)


def expected_silences(share: FloatArray, length: FloatArray, room: FloatArray) -> FloatArray:
    """The expected number of silences of `length` bars in a session of `room` bars, for a mean
    `share` of silent bars.

    Silent bars cluster, and so do silent days. The share of the moment is taken as beta distributed
    around the usual one with CONCENTRATION c. The chance of n silent bars is then B(c p + n, c - c
    p) / B(c p, c - c p), which is p for n = 1 and more than p^n beyond.
    """
    from scipy.special import gammaln

    weight = CONCENTRATION * np.maximum(share, 1e-300)
    log_chance = (
        gammaln(weight + length)
        - gammaln(weight)
        + gammaln(CONCENTRATION)
        - gammaln(CONCENTRATION + length)
    )
    return np.asarray(
        np.where(share > 0.0, room * np.exp(log_chance), np.where(np.isnan(share), np.nan, 0.0)),
        np.float64,
    )
