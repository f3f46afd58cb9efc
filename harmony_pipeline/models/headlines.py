"""What words of headlines are worth, learned from what prices did after them.

Each headline has an outcome: the log return from the open of the first regular bar that starts at
or after `known_at` to the close of the bar `horizon_bars - 1` later, on adjusted prices. Nobody
could have bought earlier. It is settled at that last bar's end.

    known_at ... |open ---- horizon bars ---- close|  settled_at

A retraining period is scored by words that were learned from outcomes settled before it began (less
the embargo of models), so a score never holds an outcome that was not known when the headline came.
The classifier is a bag of words: which of the words and pairs of neighbours a headline holds, a
ridge-penalised logistic regression on the sign of the outcome (Tetlock, Journal of Finance 62,
2007, counts words of a lexicon; Ke, Kelly and Xiu, "Predicting returns with text data", 2019, learn
them from returns, as here). The score is tanh(z / 2) = 2 sigmoid(z) - 1 of z, the sum of the
weights of the headline's words without the intercept: a headline of unknown words has score 0, and
a rising market makes no headline good.

The symbol's own name is no word: else the past winner's headlines would all be good news.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

import numpy as np
import polars as pl

from harmony_pipeline.arrays import BoolArray, FloatArray
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.news.settings import NewsSettings
from harmony_pipeline.schemas import NEWS_WORDS, TIME

_WORD = re.compile(r"[a-z]+(?:'[a-z]+)?|\d+%")
_SHORTEST = 2
_ITERATIONS, _TOLERANCE = 500, 1e-10
_DIGITS = 9  # of a weight: what another machine's solver may add behind them is cut off


def words_of(symbol: str, headline: str) -> tuple[str, ...]:
    """The different words and pairs of neighbouring words of a headline, sorted; numbers are no
    words, the symbol is none.
    """
    text = headline.lower()
    own = symbol.lower()
    single = [word for word in _WORD.findall(text) if len(word) >= _SHORTEST and word != own]
    pairs = [f"{first} {second}" for first, second in pairwise(single)]
    return tuple(sorted({*single, *pairs}))


def headline_outcomes(
    news: pl.DataFrame,
    bars: pl.DataFrame,
    calendar: Calendar,
    timeframe: str,
    horizon_bars: int,
) -> pl.DataFrame:
    """The rows of `news` (symbol, known_at, ...) in order, with `outcome`, a log return, and
    `settled_at`; both null where the bars do not reach so far. `bars`: BARS rows.
    """
    regular = calendar.with_session(
        bars.filter(pl.col("session") == "regular")
        .select("symbol", "timestamp", "open", "close", "adjustment_factor")
        .sort("symbol", "timestamp"),
        timeframe,
    )
    at_end = pl.col("close") * pl.col("adjustment_factor")
    paths = regular.select(
        "symbol",
        start="timestamp",
        entry=pl.col("open") * pl.col("adjustment_factor"),
        leaving=at_end.shift(1 - horizon_bars).over("symbol"),
        settled_at=pl.col("bar_end").shift(1 - horizon_bars).over("symbol"),
    )
    found = (
        news.with_row_index("_place")
        .sort("symbol", "known_at")
        .join_asof(
            paths.sort("symbol", "start"),
            left_on="known_at",
            right_on="start",
            by="symbol",
            strategy="forward",
            check_sortedness=False,
        )
        .sort("_place")
    )
    return found.with_columns(
        outcome=(pl.col("leaving") / pl.col("entry")).log(), settled_at=pl.col("settled_at")
    ).drop("_place", "start", "entry", "leaving", strict=False)


@dataclass(frozen=True)
class HeadlineWords:
    """What each word weighs; `learned_from` headlines, all settled by `settled_by`."""

    weights: Mapping[str, float]
    headlines: Mapping[str, int]
    learned_from: int
    settled_by: datetime

    def score(self, symbol: str, headline: str) -> float:
        """-1 to 1: tanh of half the sum of the weights of its words."""
        total = 0.0
        for word in words_of(symbol, headline):
            total += self.weights.get(word, 0.0)
        return float(np.tanh(0.5 * total))

    def table(self, period: str) -> pl.DataFrame:
        """NEWS_WORDS rows of this retraining period."""
        names = sorted(self.weights)
        return NEWS_WORDS.conform(
            pl.DataFrame(
                {
                    "period": [period] * len(names),
                    "word": names,
                    "weight": [self.weights[name] for name in names],
                    "headlines": [self.headlines[name] for name in names],
                    "learned_from": [self.learned_from] * len(names),
                    "settled_by": pl.Series([self.settled_by] * len(names), dtype=TIME),
                },
                schema_overrides={"period": pl.String, "word": pl.String, "weight": pl.Float64},
            )
        )


def learn_words(
    settled: pl.DataFrame, settings: NewsSettings, settled_by: datetime
) -> HeadlineWords | None:
    """Weights from headlines whose outcome is known: symbol, headline, outcome. Rows that were
    settled later than `settled_by` are left out here, whoever gives them. None where there are
    fewer than `minimum_headlines`, one sign only, or no word that is frequent enough.

    The rows are put in order first, so the same rows give the same bits in any order.
    """
    rows = settled.filter((pl.col("settled_at") <= settled_by) & (pl.col("outcome") != 0.0)).sort(
        "known_at", "symbol", "headline"
    )
    signs = (rows["outcome"] > 0.0).to_numpy()
    if rows.height < settings.minimum_headlines or signs.all() or not signs.any():
        return None
    bags = [words_of(*pair) for pair in rows.select("symbol", "headline").iter_rows()]
    counts = Counter(word for bag in bags for word in bag)
    vocabulary = sorted(
        word for word, count in counts.items() if count >= settings.minimum_word_headlines
    )
    if not vocabulary:
        return None
    weights = _fitted(bags, vocabulary, signs, settings.inverse_penalty)
    return HeadlineWords(
        dict(zip(vocabulary, weights.tolist(), strict=True)),
        {word: counts[word] for word in vocabulary},
        rows.height,
        settled_by,
    )


def _fitted(
    bags: Sequence[tuple[str, ...]], vocabulary: Sequence[str], rises: BoolArray, penalty: float
) -> FloatArray:
    """Log-odds of a rise of each word."""
    from scipy.sparse import csr_matrix
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    place = {word: column for column, word in enumerate(vocabulary)}
    columns = [sorted(place[word] for word in bag if word in place) for bag in bags]
    lengths = np.cumsum([0, *(len(each) for each in columns)])
    flat = np.array([column for each in columns for column in each], np.int32)
    held = csr_matrix(
        (np.ones(len(flat)), flat, lengths.astype(np.int32)), shape=(len(bags), len(vocabulary))
    )
    solver = LogisticRegression(C=penalty, max_iter=_ITERATIONS, tol=_TOLERANCE)
    with threadpool_limits(1):  # sums of another number of threads differ in the last bits
        solver.fit(held, rises)
    return np.asarray(np.round(solver.coef_[0], _DIGITS), dtype=np.float64)


def score_headlines(news: pl.DataFrame, words: HeadlineWords | None) -> pl.Series:
    """The score of each row of symbol and headline; null where no words are known."""
    if words is None:
        return pl.Series("score", [None] * news.height, dtype=pl.Float64)
    pairs = news.select("symbol", "headline").iter_rows()
    return pl.Series("score", [words.score(*pair) for pair in pairs], dtype=pl.Float64)
