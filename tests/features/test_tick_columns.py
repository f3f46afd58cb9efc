"""Columns of bars from quotes and trades, against a plain walk over the tape."""

import math
from datetime import timedelta
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from features.feature_markets import XNYS
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from ticks import tapes
from ticks.tapes import at

from harmony_pipeline.errors import ConfigError, NotReady
from harmony_pipeline.features.catalog import FeatureSet
from harmony_pipeline.features.tick_columns import tick_columns
from harmony_pipeline.schemas import QUOTE_TICKS, TRADE_TICKS

MINUTES = 6


def quotes(*rows):
    return tapes.quotes(*rows) if rows else QUOTE_TICKS.empty()


def trades(*rows):
    return tapes.trades(*rows) if rows else TRADE_TICKS.empty()


def bars(symbols=("AAA", "BBB"), minutes=MINUTES, factor=1.0):
    rows = [
        (symbol, at(60 * minute), 10.0 + math.sin(7 * minute + number), factor)
        for number, symbol in enumerate(symbols)
        for minute in range(minutes)
    ]
    schema = {"symbol": pl.String, "timestamp": pl.Datetime("us", "UTC")}
    schema |= {"close": pl.Float64, "adjustment_factor": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def columns(table, quoted, traded, **options):
    return tick_columns(table, quoted, traded, XNYS, "1Min", **{"kyle_bars": 3, **options})


sides = st.one_of(st.none(), st.integers(990, 1010).map(lambda cents: cents / 100))
book = st.lists(st.tuples(st.integers(-200, 400), sides, sides), min_size=1, max_size=40).map(
    lambda rows: sorted(rows, key=lambda row: row[0])
)
tape = st.lists(
    st.tuples(st.integers(-200, 400), st.integers(990, 1010), st.integers(1, 9)), max_size=40
).map(lambda rows: sorted(rows, key=lambda row: row[0]))


def plain(quoted, traded, minute):
    """Of one minute: means over its 60 seconds one by one, and sums over its trades."""
    spreads, imbalances = [], []
    for second in range(60 * minute, 60 * minute + 60):
        before = [row for row in quoted if row[0] <= second]
        if not before:
            continue
        _, bid, ask = before[-1]
        if bid is not None and ask is not None:
            spreads.append((ask - bid) / ((ask + bid) / 2))
        imbalances.append((100.0 - 200.0) / 300.0)
    bought = sold = 0
    for number, (second, cents, size) in enumerate(traded):
        if not 60 * minute <= second < 60 * minute + 60:
            continue
        before = [row for row in quoted if row[0] < second]
        if not before or None in before[-1][1:]:
            continue
        mid, price = (before[-1][1] + before[-1][2]) / 2, cents / 100
        sign = (price > mid) - (price < mid)
        if sign == 0:
            prices = [row[1] for row in traded[: number + 1]]
            moves = [b - a for a, b in pairwise(prices) if b != a]
            sign = int(np.sign(moves[-1])) if moves else 0
        bought, sold = bought + size * (sign > 0), sold + size * (sign < 0)
    return spreads, imbalances, bought, sold


@given(quoted=book, traded=tape)
@settings(max_examples=40)
def test_every_column_is_a_plain_walk_over_the_tape(quoted, traded):
    found = columns(
        bars(),
        quotes(*((at(second), bid, ask) for second, bid, ask in quoted)),
        trades(*((at(second), cents / 100, float(size)) for second, cents, size in traded)),
    )
    signed, returns, closes = [], [], bars()["close"].to_list()
    for minute in range(MINUTES):
        row = found.row(minute, named=True)
        spreads, imbalances, bought, sold = plain(quoted, traded, minute)
        assert row["relative_spread"] == (
            pytest.approx(np.mean(spreads), abs=1e-12) if spreads else None
        )
        assert row["quote_imbalance"] == (pytest.approx(-1 / 3) if imbalances else None)
        if not bought + sold:
            assert (
                row["trade_imbalance"] is row["signed_trades"] is row["tick_kyle_lambda_3"] is None
            )
            continue
        assert row["signed_trades"] == bought - sold
        assert row["trade_imbalance"] == pytest.approx((bought - sold) / (bought + sold))
        if minute:
            signed.append((bought - sold, bought + sold))
            returns.append(math.log(closes[minute] / closes[minute - 1]))
        if len(signed) < 3:
            assert row["tick_kyle_lambda_3"] is None
            continue
        x, volumes = np.array(signed[-3:], float).T
        slope = np.cov(x, returns[-3:])[0, 1] / np.var(x, ddof=1) if np.ptp(x) else 0.0
        assert row["tick_kyle_lambda_3"] == pytest.approx(slope * volumes.mean(), abs=1e-9)
    assert found.filter(pl.col("symbol") == "BBB")["relative_spread"].null_count() == MINUTES


@given(quoted=book, traded=tape, cut=st.integers(1, MINUTES - 1))
@settings(max_examples=20)
def test_what_happens_after_a_bar_ends_changes_nothing_in_it(quoted, traded, cut):
    end = 60 * cut
    known_quotes = [row for row in quoted if row[0] < end]
    known_trades = [row for row in traded if row[0] < end]
    whole, known = (
        columns(
            bars(("AAA",)),
            quotes(*((at(second), bid, ask) for second, bid, ask in some)),
            trades(*((at(second), cents / 100, float(size)) for second, cents, size in others)),
        ).head(cut)
        for some, others in (
            (quoted, traded), ([*known_quotes, (500, 1.0, 99.0)], [*known_trades, (500, 1, 7)]),
        )
    )  # fmt: skip
    assert_frame_equal(whole, known)


def test_quotes_of_the_day_before_and_volume_across_a_split():
    yesterday = [(at(-86_400), 10.0, 10.2)]
    today = [(at(30), 10.0, 10.1)]
    found = columns(bars(("AAA",)), quotes(*yesterday, *today), trades((at(40), 10.1, 8.0)))
    assert found["relative_spread"].to_list()[:2] == pytest.approx([0.1 / 10.05] * 2)
    split = columns(bars(("AAA",), factor=0.25), quotes(*today), trades((at(40), 10.1, 8.0)))
    assert split["signed_trades"][0] == 32.0
    assert split["trade_imbalance"][0] == 1.0
    only_old = columns(bars(("AAA",)), quotes(*yesterday), trades())
    assert only_old["relative_spread"].null_count() == MINUTES


def test_without_ticks_and_in_a_feature_set_it_is_refused_with_what_helps():
    with pytest.raises(NotReady, match=r"no quotes and no trades.*harmony ticks --from 2024-07-02"):
        columns(bars(), quotes(), trades())
    with pytest.raises(ConfigError, match="kyle_bars is 1"):
        columns(bars(), quotes((at(0), 1.0, 2.0)), trades(), kyle_bars=1)
    for name in ("relative_spread", "tick_kyle_lambda_20"):
        with pytest.raises(ConfigError, match=f"'{name}' is made of quotes and trades.*no session"):
            FeatureSet.of([name])


def test_a_recorded_day_of_two_stocks(market_data):
    folder = market_data / "us_equity_ticks"
    quoted, traded = (
        pl.concat(
            pl.read_parquet(folder / f"{kind}_{symbol}_2013-10-08.parquet")
            for symbol in ("BAC", "IBM")
        )
        for kind in ("quotes", "trades")
    )
    vendor = (
        pl.read_csv(market_data / "us_equity_minute" / "lean_2008_2023_trades.csv")
        .with_columns(pl.col("timestamp").str.to_datetime(time_zone="UTC").dt.cast_time_unit("us"))
        .filter(pl.col("timestamp").dt.date() == pl.date(2013, 10, 8))
        .filter(pl.col("symbol").is_in(["BAC", "IBM"]))
        .with_columns(adjustment_factor=pl.lit(1.0))
        .sort("symbol", "timestamp")
    )
    dated = XNYS.with_session(vendor, "1Min").filter(pl.col("session") == "regular")
    found = columns(dated.select(vendor.columns), quoted, traded, kyle_bars=30)
    bac = found.filter(pl.col("symbol") == "BAC")
    assert bac.height == 390
    assert bac["relative_spread"].null_count() == 0
    # a cent of 13.8 dollars for nearly all of the day
    assert bac["relative_spread"].median() == pytest.approx(0.01 / 13.8, rel=0.02)
    assert bac["trade_imbalance"].abs().max() <= 1.0
    # who bought moved the price: the minute's imbalance goes with its return, and lambda is above 0
    moves = vendor.join(bac, on=["symbol", "timestamp"], how="inner", maintain_order="right")
    change = moves["close"].log().diff()
    assert (
        pl.DataFrame([change, moves["trade_imbalance"]])
        .select(pl.corr("close", "trade_imbalance"))
        .item()
        > 0.3
    )
    assert (bac["tick_kyle_lambda_30"].drop_nulls() > 0).mean() > 0.9
    assert dated["timestamp"].max() - dated["timestamp"].min() < timedelta(hours=7)
