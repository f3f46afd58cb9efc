"""Half spreads: the estimators against their formulas in numpy, a planted spread, and real quotes."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harmony_pipeline.errors import DataError
from harmony_pipeline.execution.spread_models import (
    abdi_ranaldo,
    by_time_of_day,
    corwin_schultz,
    half_spreads,
    measured_half_spreads,
    volatility_per_trade,
)
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.instruments import Instrument, Instruments
from harmony_pipeline.market.ticks.bars import BarKind, trade_bars

NYSE = Calendar.of("XNYS")
OPEN = datetime(2013, 10, 8, 13, 30, tzinfo=UTC)


def some_bars(count=200, seed=1, symbols=2, spread=0.0, steps=40):
    """Minute bars whose trades bounce between bid and ask around a random walk."""
    own, frames = np.random.default_rng(seed), []
    for number in range(symbols):
        middle = np.exp(np.cumsum(own.normal(0, 0.0004, (count, steps)).ravel()) + 4.0)
        trades = (middle * (1 + spread / 2 * own.choice([-1, 1], count * steps))).reshape(
            count, steps
        )
        frames.append(
            pl.DataFrame(
                {
                    "symbol": f"S{number}",
                    "timestamp": [OPEN + timedelta(minutes=k) for k in range(count)],
                    "high": trades.max(axis=1),
                    "low": trades.min(axis=1),
                    "close": trades[:, -1],
                    "volume": own.integers(1_000, 9_000, count).astype(float),
                    "adjustment_factor": 1.0,
                }
            ).with_columns(pl.col("timestamp").cast(pl.Datetime("us", "UTC")))
        )
    return pl.concat(frames)


def arrays(bars):
    return [bars[name].to_numpy() for name in ("high", "low", "close")]


def rolling(values, window):
    """Mean of the last `window` values, NaN before; the first bar has no pair."""
    means = np.full(values.size, np.nan)
    for end in range(window + 1, values.size + 1):
        means[end - 1] = values[end - window : end].mean()
    return means


def corwin_schultz_by_numpy(high, low, close, window):
    gap = np.where(low[1:] > close[:-1], low[1:] - close[:-1], np.minimum(high[1:] - close[:-1], 0))
    top, bottom = high[1:] - gap, low[1:] - gap
    beta = np.log(high[:-1] / low[:-1]) ** 2 + np.log(top / bottom) ** 2
    gamma = np.log(np.maximum(high[:-1], top) / np.minimum(low[:-1], bottom)) ** 2
    k = 3 - 2 * np.sqrt(2)
    alpha = (np.sqrt(2 * beta) - np.sqrt(beta)) / k - np.sqrt(gamma / k)
    pairs = np.maximum(2 * (np.exp(alpha) - 1) / (1 + np.exp(alpha)), 0)
    return rolling(np.concatenate(([np.nan], pairs)), window)


def abdi_ranaldo_by_numpy(high, low, close, window):
    c, m = np.log(close), np.log(high * low) / 2
    pairs = 4 * (c[:-1] - m[:-1]) * (c[:-1] - m[1:])
    return np.sqrt(np.maximum(rolling(np.concatenate(([np.nan], pairs)), window), 0))


@pytest.mark.parametrize("window", [1, 7, 30])
@pytest.mark.parametrize(
    ("kernel", "formula"),
    [(corwin_schultz, corwin_schultz_by_numpy), (abdi_ranaldo, abdi_ranaldo_by_numpy)],
)
def test_the_estimators_are_the_formulas_of_the_papers(kernel, formula, window):
    bars = some_bars(spread=0.002)
    found = np.full(bars.height, np.nan)
    kernel(*arrays(bars), np.array([0, 200, 400]), window, found)
    for first in (0, 200):
        expected = formula(*arrays(bars[first : first + 200]), window)
        np.testing.assert_allclose(found[first : first + 200], expected, rtol=1e-9, atol=1e-12)
        assert np.isfinite(expected[window:]).all()


def test_the_volatility_of_a_trade_is_the_formula_of_the_paper():
    bars = some_bars(symbols=1)
    close, trades = bars["close"].to_numpy(), bars["volume"].to_numpy() / 100
    found = np.full(bars.height, np.nan)
    volatility_per_trade(close, trades, np.array([0, 200]), 20, 1.58, found)
    squares = np.concatenate(([np.nan], np.diff(np.log(close)) ** 2))
    counts = np.concatenate(([np.nan], trades[1:]))
    expected = 1.58 * np.sqrt(rolling(squares, 20) / rolling(counts, 20))
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize("model", ["corwin_schultz", "abdi_ranaldo"])
def test_a_planted_spread_is_found(model):
    """Bars with a true spread of 1 %: both papers' estimators come within a tenth of it."""
    bars = some_bars(4_000, symbols=1, spread=0.01, steps=80)
    found = half_spreads(bars, model, window=2_000)
    assert found[-1] == pytest.approx(50.0, rel=0.1)


def test_without_a_bounce_little_is_seen_and_half_a_tick_remains():
    bars = some_bars(2_000, symbols=1, spread=0.0)
    assert half_spreads(bars, "abdi_ranaldo", window=1_000)[-1] < 3.0
    wide = Instruments.of([Instrument("S0", tick_size=0.05)])
    floor = 0.025 / bars["close"][-2] * 1e4
    assert half_spreads(bars, "abdi_ranaldo", window=1_000, instruments=wide)[-1] == (
        pytest.approx(floor, rel=1e-12)
    )


@given(
    cut=st.integers(40, 150),
    model=st.sampled_from(["corwin_schultz", "abdi_ranaldo", "volatility"]),
)
def test_the_future_moves_no_estimate_of_the_past(cut, model):
    bars = some_bars(symbols=1, spread=0.002)
    other = pl.concat([bars[:cut], some_bars(symbols=1, seed=9)[cut:]])
    one, two = (half_spreads(each, model, window=20) for each in (bars, other))
    assert one[: cut + 1].equals(two[: cut + 1])  # that of the bar at `cut` uses earlier bars alone
    assert not one[cut + 2 :].equals(two[cut + 2 :])


def test_a_split_is_no_spread():
    bars = some_bars(symbols=1, spread=0.002)
    split = bars.with_columns(
        *(
            pl.when(pl.int_range(pl.len()) < 100).then(name).otherwise(pl.col(name) / 4).alias(name)
            for name in ("high", "low", "close")
        ),
        adjustment_factor=pl.when(pl.int_range(pl.len()) < 100).then(1.0).otherwise(4.0),
    )
    fine = Instruments.of([Instrument("S0", tick_size=0.000001, small_tick_size=None)])
    one, two = (
        half_spreads(each, "corwin_schultz", window=20, instruments=fine) for each in (bars, split)
    )
    np.testing.assert_allclose(one.to_numpy()[21:], two.to_numpy()[21:], rtol=1e-9)


def quotes_of(rows):
    return pl.DataFrame(
        rows, schema=["symbol", "timestamp", "bid", "ask"], orient="row"
    ).with_columns(pl.col("timestamp").cast(pl.Datetime("us", "UTC")))


def test_a_quote_counts_for_the_time_that_it_stands():
    quotes = quotes_of(
        [
            ("AAA", OPEN - timedelta(minutes=5), 99.0, 101.0),  # 100 bps, from the open on
            ("AAA", OPEN + timedelta(minutes=15), 99.5, 100.5),  # 50 bps
            ("AAA", OPEN + timedelta(minutes=40), 99.9, None),  # one side: no time
            ("AAA", OPEN + timedelta(minutes=50), 101.0, 100.0),  # crossed: no time
            ("AAA", OPEN + timedelta(minutes=55), 99.9, 100.1),  # 10 bps, to the close
        ]
    )
    found = measured_half_spreads(quotes, NYSE).filter(session_date=date(2013, 10, 8))
    assert found["bucket"].to_list() == list(range(0, 390, 30))
    assert found["half_spread_bps"].to_list() == pytest.approx(
        [75.0, (50 * 10 + 10 * 5) / 15] + [10.0] * 11
    )
    assert found["seconds"].to_list() == pytest.approx([1800.0, 900.0] + [1800.0] * 11)
    assert found["quotes"].to_list() == [1, 3] + [0] * 11


def test_quotes_of_an_evening_measure_no_session():
    quotes = quotes_of([("AAA", OPEN + timedelta(hours=8), 99.0, 101.0)])
    assert measured_half_spreads(quotes, NYSE).is_empty()
    assert measured_half_spreads(quotes.clear(), NYSE).is_empty()


@given(seed=st.integers(0, 2**20))
def test_the_time_weighted_mean_is_that_of_every_second(seed):
    own = np.random.default_rng(seed)
    count = int(own.integers(1, 60))
    at = np.sort(own.integers(-3_000, 23_400, count))
    bid = own.uniform(98, 100, count).round(2)
    ask = bid + own.choice([-0.01, 0.0, 0.01, 0.5], count)
    quotes = quotes_of(
        [
            ("AAA", OPEN + timedelta(seconds=int(t)), b, a)
            for t, b, a in zip(at, bid, ask, strict=True)
        ]
    )
    found = measured_half_spreads(quotes, NYSE)
    if not ((at >= 0) & (at < 23_400)).any():
        assert found.is_empty()
        return
    seconds = np.arange(23_400)
    standing = np.searchsorted(at, seconds, side="right") - 1
    valid = (standing >= 0) & (ask[standing] >= bid[standing])
    half = (ask - bid)[standing] / (ask + bid)[standing] * 1e4
    for bucket, measured, lasted in found.select(
        "bucket", "half_spread_bps", "seconds"
    ).iter_rows():
        inside = valid & (seconds // 1_800 == bucket // 30)
        assert lasted == pytest.approx(inside.sum())
        if inside.any():
            assert measured == pytest.approx(half[inside].mean())


def test_measured_spreads_are_looked_up_by_symbol_and_time_of_day():
    quotes = quotes_of(
        [
            ("S0", OPEN, 99.0, 101.0),
            ("S0", OPEN + timedelta(minutes=30), 99.9, 100.1),
            ("S0", OPEN + timedelta(minutes=60), 100.1, 99.9),  # crossed until the close
        ]
    )
    measured = measured_half_spreads(quotes, NYSE)
    assert by_time_of_day(measured)["half_spread_bps"].to_list() == pytest.approx([100.0, 10.0])
    later = some_bars(120).with_columns(pl.col("timestamp").dt.offset_by("1d"))
    found = half_spreads(later, "measured", measured=measured, calendar=NYSE)
    assert found[:120].to_list() == pytest.approx([100.0] * 30 + [10.0] * 30 + [55.0] * 60)
    assert found[120:].null_count() == 120  # nothing was measured of the other symbol
    with pytest.raises(DataError, match="needs the table of measured_half_spreads"):
        half_spreads(later, "measured")


def test_modelled_spreads_of_two_shares_against_their_quotes(market_data):
    """BAC and IBM on 2013-10-08; docs/costs.md shows these numbers."""
    ticks = {
        kind: pl.concat(
            pl.read_parquet(market_data / "us_equity_ticks" / f"{kind}_{symbol}_2013-10-08.parquet")
            for symbol in ("BAC", "IBM")
        )
        for kind in ("quotes", "trades")
    }
    bars = (
        trade_bars(ticks["trades"], BarKind.of("1Min"), NYSE, "lean")
        .filter(session="regular")
        .sort("symbol", "timestamp")
        .with_columns(adjustment_factor=pl.lit(1.0))
    )
    measured = measured_half_spreads(ticks["quotes"], NYSE)
    seconds = pl.col("seconds")
    true = dict(
        measured.group_by("symbol")
        .agg((pl.col("half_spread_bps") * seconds).sum() / seconds.sum())
        .iter_rows()
    )
    assert true == {"BAC": pytest.approx(3.621, abs=0.01), "IBM": pytest.approx(1.10, abs=0.02)}
    for model, allowed in (("corwin_schultz", 0.35), ("abdi_ranaldo", 0.35)):
        found = bars.with_columns(half=half_spreads(bars, model, window=30))
        for symbol, mean in found.group_by("symbol").agg(pl.col("half").mean()).iter_rows():
            assert mean == pytest.approx(true[symbol], rel=allowed)
