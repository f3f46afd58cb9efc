"""Columns of headlines: their definition, the fold law, what a bar may know, and the live twin."""

from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from features.feature_markets import XNYS, at, random_bars
from hypothesis import given, settings
from hypothesis import strategies as st

from harmony_pipeline.errors import DataError
from harmony_pipeline.features.catalog import FeatureSet
from harmony_pipeline.features.compute import compute_features
from harmony_pipeline.features.live import LiveFeatures
from harmony_pipeline.features.news_columns import UNIT, NewsTotals, bar_ends
from harmony_pipeline.features.state import state_frame
from harmony_pipeline.schemas import TIME

NAMES = ("news_count_3", "news_sentiment_5", "bars_since_news", "news_total", "log_return")
NEWS_SET = FeatureSet.of(NAMES)
COMPARED = FeatureSet.of(("cross_rank_news_sentiment_5", *NAMES))
BARS = random_bars(11, missing=0.3)
MOMENT = at("2024-03-12")


def random_news(bars, seed, count=60):
    """Headlines around the bars, some at the very end of one, some before the first."""
    rng = np.random.default_rng(seed)
    symbols = bars["symbol"].unique().sort().to_list()
    ends = XNYS.with_session(bars, "15Min")["bar_end"].drop_nulls()
    first, last = ends.min() - timedelta(days=2), ends.max() + timedelta(hours=3)
    span = int((last - first).total_seconds())
    stamps = [first + timedelta(seconds=int(s)) for s in rng.integers(0, span, count)]
    stamps[: count // 4] = ends.gather(rng.integers(0, ends.len(), count // 4)).to_list()
    return pl.DataFrame(
        {
            "symbol": rng.choice(symbols, count),
            "known_at": pl.Series(stamps, dtype=TIME),
            "score": np.where(rng.random(count) < 0.2, np.nan, rng.uniform(-1, 1, count)),
        }
    ).with_columns(pl.col("score").fill_nan(None))


NEWS = random_news(BARS, 3)
TOTALS = NewsTotals.of(NEWS)


def naive(bars, news, count, half_life):
    """The columns of one symbol in their textbook form, headline by headline."""
    rows = XNYS.with_session(bars.select("symbol", "timestamp"), "15Min")
    ends = rows.select(pl.col("bar_end").fill_null(pl.col("timestamp"))).to_series().to_list()
    fresh = [[] for _ in ends]  # the scores that become known in each bar
    for moment, score in news.select("known_at", pl.col("score").fill_null(0.0)).iter_rows():
        place = next((i for i, end in enumerate(ends) if moment < end), None)
        if place is not None and place > 0:
            fresh[place].append(round(score * UNIT) / UNIT)
    counts = [len(each) for each in fresh]
    found = {"count": [], "sentiment": [], "since": []}
    total = weight = 0.0
    for i, scores in enumerate(fresh):
        total = 2 ** (-1 / half_life) * total + sum(scores)
        weight = 2 ** (-1 / half_life) * weight + len(scores)
        known = sum(counts[max(0, i - count + 1) : i + 1]) if i >= count else np.nan
        found["count"].append(known)
        found["sentiment"].append(total / (1 + weight))
        last = [j for j in range(i + 1) if counts[j]]
        found["since"].append(i - last[-1] if last else np.nan)
    return found


def test_the_columns_are_their_definition():
    table = compute_features(BARS, NEWS_SET, None, XNYS, "15Min", TOTALS).table
    for symbol in BARS["symbol"].unique().sort():
        mine, rows = BARS.filter(symbol=symbol), table.filter(symbol=symbol)
        twin = naive(mine, NEWS.filter(symbol=symbol), 3, 5)
        for name, values in zip(
            NAMES[:3], (twin["count"], twin["sentiment"], twin["since"]), strict=True
        ):
            np.testing.assert_allclose(
                rows[name].fill_null(np.nan).to_numpy(), values, rtol=1e-12, atol=1e-12
            )
    assert table["news_count_3"].max() >= 2


def test_a_headline_at_the_end_of_a_bar_is_news_of_the_next_one():
    bars = BARS.filter(symbol=BARS["symbol"][0])
    end = XNYS.with_session(bars, "15Min")["bar_end"][5]
    news = pl.DataFrame(
        {"symbol": [bars["symbol"][0]], "known_at": [end], "score": [1.0]},
        schema_overrides={"known_at": TIME},
    )
    for moment, place in ((end, 6), (end - timedelta(microseconds=1), 5)):
        totals = NewsTotals.of(news.with_columns(known_at=pl.lit(moment, dtype=TIME)))
        table = compute_features(bars, NEWS_SET, None, XNYS, "15Min", totals).table
        assert table["bars_since_news"].is_not_null().arg_max() == place
        assert table["news_sentiment_5"][place] == 0.5


def test_news_from_before_the_first_bar_is_no_news():
    bars = BARS.filter(symbol=BARS["symbol"][0])
    news = NEWS.head(1).with_columns(
        symbol=pl.lit(bars["symbol"][0]), known_at=pl.lit(bars["timestamp"][0], dtype=TIME)
    )
    table = compute_features(bars, NEWS_SET, None, XNYS, "15Min", NewsTotals.of(news)).table
    assert table["bars_since_news"].null_count() == table.height
    assert set(table["news_total"]) == {1.0}


@settings(deadline=None, max_examples=15)
@given(cuts=st.lists(st.integers(1, BARS["timestamp"].n_unique() - 1), min_size=1, max_size=4))
def test_any_cut_of_the_bars_gives_the_same_bits(cuts):
    stamps = BARS["timestamp"].unique().sort()
    edges = [*(stamps[cut] for cut in sorted(set(cuts))), stamps[-1] + timedelta(days=1)]
    for chosen in (NEWS_SET, COMPARED):
        whole = compute_features(BARS, chosen, None, XNYS, "15Min", TOTALS)
        states, parts, begin = None, [], stamps[0]
        for edge in edges:
            piece = BARS.filter((pl.col("timestamp") >= begin) & (pl.col("timestamp") < edge))
            # what becomes known later is not known yet when a piece is folded
            known = NewsTotals.of(NEWS.filter(pl.col("known_at") < edge + timedelta(days=1)))
            result = compute_features(piece, chosen, states, XNYS, "15Min", known)
            states, begin = result.states, edge
            parts.append(result.table)
        assert pl.concat(parts).sort("symbol", "timestamp").equals(whole.table)
        assert states.equals(whole.states)


@pytest.mark.parametrize("chosen", [NEWS_SET, COMPARED])
def test_the_session_serves_what_research_made(chosen):
    before = BARS.filter(pl.col("timestamp") < MOMENT)
    after = BARS.filter(pl.col("timestamp") >= MOMENT)
    saved = compute_features(before, chosen, None, XNYS, "15Min", TOTALS).states
    expected = compute_features(after, chosen, saved, XNYS, "15Min", TOTALS)
    live = LiveFeatures(chosen, saved, TOTALS)
    dated = XNYS.with_session(after.with_columns(kept=pl.col("session")), "15Min")
    rows, made = dated.with_row_index("row").sort("timestamp", "symbol"), {}
    for moment in rows.partition_by("timestamp", maintain_order=True):
        values = live.update_moment(
            [
                (
                    bar["symbol"],
                    bar["timestamp"],
                    bar["open"],
                    bar["high"],
                    bar["low"],
                    bar["close"],
                    bar["volume"],
                    bar["session_date"],
                    bar["kept"] == "regular",
                    bar["adjustment_factor"],
                    bar["bar_end"],
                )
                for bar in moment.iter_rows(named=True)
            ]
        )
        made |= dict(zip(moment["row"], values, strict=True))
    found = np.array([made[row] for row in range(after.height)])
    table = expected.table.select(chosen.names).fill_null(np.nan).to_numpy()
    assert np.array_equal(found, table, equal_nan=True)
    assert state_frame(live.snapshot(), chosen).equals(expected.states)


def test_totals_know_what_stood_before_each_end():
    ends = bar_ends(BARS.filter(symbol=BARS["symbol"][0]), XNYS, "15Min")
    symbol = BARS["symbol"][0]
    counts, scores = TOTALS.before(symbol, ends)
    for end, count, score in zip(ends.tolist(), counts, scores, strict=True):
        assert TOTALS.at(symbol, end) == (count, score)
    assert TOTALS.at("NONE", 10**18) == (0.0, 0.0)
    assert TOTALS.only([symbol]).hash != TOTALS.hash == NewsTotals.of(NEWS[::-1]).hash


def test_a_set_without_news_is_refused_with_what_is_missing():
    with pytest.raises(DataError, match="reads news"):
        compute_features(BARS, NEWS_SET, None, XNYS, "15Min")
    with pytest.raises(DataError, match="reads news"):
        LiveFeatures(NEWS_SET)
    with pytest.raises(DataError, match="reads news"):
        NEWS_SET.fold(NEWS_SET.initial_state(), np.ones((8, 3)))
    bar = ("A", at("2024-03-12", "14:30"), 1.0, 1.0, 1.0, 1.0, 1.0, MOMENT.date(), True)
    with pytest.raises(DataError, match="when it ended"):
        LiveFeatures(NEWS_SET, None, TOTALS).update(*bar)
