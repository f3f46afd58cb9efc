"""The laws of validation: the compiled judge is its plain twin; order, copies and names of files
choose nothing; time and symbols may be cut anywhere.
"""

from datetime import date, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from market.naive_quality import Naive
from market.raw_rows import LEARNED, NOTHING_BEFORE, actions, bar, raw, utc
from market.test_real_bars import DATA, source
from polars.testing import assert_frame_equal

from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.ingest.versions import WITHDRAWN
from harmony_pipeline.market.quality_settings import Allowance, QualitySettings
from harmony_pipeline.market.settings import MarketSettings
from harmony_pipeline.market.validation.validate import Validated, validate

NYSE = Calendar.of("XNYS")
SESSIONS = NYSE.sessions(date(2024, 1, 2), date(2024, 12, 31))
ACTIONS = actions(
    ("AAA", SESSIONS[3], "split", 2.0),
    ("AAA", SESSIONS[3], "dividend", 1.0),
    ("AAA", SESSIONS[9], "dividend", 5000.0),
    ("AAA", SESSIONS[20], "dividend", 0.5),
    ("BBB", SESSIONS[8], "split", 0.1),
    ("BBB", SESSIONS[9], "split", -1.0),
    ("CCC", SESSIONS[0], "split", 3.0),
)
QUALITIES = (
    QualitySettings(),
    QualitySettings(
        allow_zero_volume=False,
        rules={
            "stale_repeat": "quarantine",
            "outlier": "quarantine",
            "bad_print": "warn",
            "split_like_jump": "off",
        },
    ),
    QualitySettings(
        rules=dict.fromkeys(
            ("ticker_reuse", "wrong_unit", "split_like_jump", "volume_spike", "zero_volume"),
            "quarantine",
        ),
        symbols={
            "AAA": {"bad_print": "off", "misaligned_timestamp": "warn"},
            "BBB": {"stale_repeat": "off"},
        },
        allow=(
            Allowance(
                symbol="AAA",
                rule="ticker_reuse",
                first=SESSIONS[40],
                end=SESSIONS[200],
                why="it was halted",
            ),
        ),
        reuse_sessions=5,
        unit_bars=3,
        stale_bars=2,
        scale_bars=2,
        frozen_bars=2,
        frozen_flat_bars=4,
        max_price=1e4,
        min_price=0.01,
        max_volume=1e8,
        stale_flat_bars=3,
    ),
)


def judged(
    rows: pl.DataFrame,
    before: pl.DataFrame = NOTHING_BEFORE,
    timeframe: str = "1Day",
    **settings: Any,
) -> Validated:
    return validate(
        rows, before, ACTIONS, NYSE, timeframe, MarketSettings(timeframe=timeframe, **settings)
    )  # type: ignore[arg-type]


def must_agree(rows: pl.DataFrame, twin: Naive, found: Validated) -> None:
    """`rows` carry their place in the column `row`."""
    answer = twin.judge(rows)
    places = dict(zip(rows["row"], range(rows.height), strict=True))
    refused = {
        places[row]: rule for row, rule in found.quarantine.select("row", "rule").iter_rows()
    }
    assert refused == {place: rule for place, rule in answer.verdicts.items() if rule != "bar"}
    at = rows.select("symbol", "timestamp").rows()
    factors = {
        key: factor
        for *key_parts, factor in found.bars.select(
            "symbol", "timestamp", "adjustment_factor"
        ).iter_rows()
        for key in [tuple(key_parts)]
    }
    assert factors == {at[place]: factor for place, factor in answer.factors.items()}
    warned = [
        (key, rule)
        for *key_parts, rule in found.warnings.select("symbol", "timestamp", "rule").iter_rows()
        for key in [tuple(key_parts)]
    ]
    assert sorted(
        one for one in warned if one[1] not in ("wrong_time_zone", "action_not_applied")
    ) == sorted((at[place], rule) for place, rule in answer.warnings)


# --- markets with every kind of trouble -----------------------------------------------------------


@st.composite
def daily_markets(draw: st.DrawFn) -> pl.DataFrame:
    """A few symbols over some seventy sessions: quiet walks with jumps, spikes, splits, gaps, stale
    days, faults and further versions.
    """
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rows: list[dict[str, Any]] = []
    for symbol in draw(st.sampled_from([("AAA",), ("AAA", "BBB"), ("AAA", "BBB", "CCC")])):
        price, volume, last = float(random.choice([0.8, 30.0, 400.0])), 1e5, None
        days = [day for day in SESSIONS[:90] if random.random() < 0.9]
        hole = int(random.integers(0, 60)) if random.random() < 0.4 else 90
        for number, day in enumerate(days):
            if hole <= number < hole + 12:
                continue
            if random.random() < 0.06:
                price *= float(
                    random.choice(
                        [0.01, 0.1, 0.5, 2 / 3, 0.35, 1.5, 2.0, 3.0, 10.0, 100.0, 1.3, 0.7]
                    )
                )
            glitch = (
                float(random.choice([0.01, 0.1, 10.0, 100.0, 1000.0]))
                if random.random() < 0.04
                else 1.0
            )
            if random.random() < 0.02:
                volume *= float(random.choice([100.0, 0.01]))
            opening = price * float(np.exp(random.normal(0, 0.004)))
            price = opening * float(np.exp(random.normal(0, 0.01)))
            one = bar(
                utc(day.year, day.month, day.day), price, symbol, timeframe="1Day", open=opening,
                high=max(opening, price) * 1.003,
                low=min(opening, price) * 0.997,
                volume=float(np.round(volume * np.exp(random.normal(0, 0.4)))),
            )  # fmt: skip
            if last is not None and random.random() < 0.25:
                one |= {
                    name: last[name]
                    for name in ("open", "high", "low", "close", "volume")[
                        : int(random.integers(4, 6))
                    ]
                }
            if glitch != 1.0:
                names = random.choice(
                    ["all", "high", "low", "open and high", "close and high", "open and low"]
                )
                off = (
                    ("open", "high", "low", "close")
                    if names == "all"
                    else tuple(names.split(" and "))
                )
                one |= {name: one[name] * glitch for name in off}
                one |= {
                    "volume": (
                        one["volume"] * float(random.choice([1.0, 1.0, 0.0, 1 / glitch, 50.0]))
                    )
                }
            for change in (
                {"high": one["high"] * 40},
                {"low": one["low"] / 40},
                {"volume": 0.0},
                {"volume": one["volume"] * 60},
                {"vwap": price / 100},
                {"high": one["low"] / 2},
                {"close": None},
                {"timestamp": one["timestamp"] + timedelta(hours=5)},
                {"volume": -1.0},
            ):
                if random.random() < 0.015:
                    one |= change
            last = one if one["close"] is not None and one["high"] >= one["low"] else last
            rows.append(one)
            for _ in range(int(random.integers(0, 4)) if random.random() < 0.05 else 0):
                if random.random() < 0.2:
                    rows.append(
                        one
                        | dict.fromkeys(("open", "high", "low", "close", "volume"), None)
                        | {
                            "defect": WITHDRAWN,
                            "ingested_at": LEARNED + timedelta(hours=int(random.integers(-30, 30))),
                        }
                    )
                other = one | {
                    "ingested_at": LEARNED + timedelta(days=int(random.integers(-1, 2))),
                    "origin": str(random.choice(["a.csv", "b.csv"])),
                }
                rows.append(
                    other
                    | (
                        {}
                        if random.random() < 0.4 or one["close"] is None
                        else {"close": one["close"] * 1.001, "high": one["high"] * 1.01}
                    )
                )
    return raw(*(one | {"row": at} for at, one in enumerate(rows)))


@given(daily_markets(), st.sampled_from(QUALITIES), st.booleans())
def test_the_compiled_judge_agrees_with_its_plain_twin(
    rows: pl.DataFrame, quality: QualitySettings, known: bool
) -> None:
    symbols = () if known else ("AAA", "CCC")
    must_agree(
        rows,
        Naive(
            ACTIONS,
            NYSE,
            "1Day",
            MarketSettings(timeframe="1Day", quality=quality, symbols=symbols),
        ),
        judged(rows, quality=quality, symbols=symbols),
    )


@given(
    daily_markets(),
    st.sampled_from(QUALITIES),
    st.lists(st.integers(1, 89), max_size=4, unique=True),
    st.booleans(),
)
def test_cutting_time_and_symbols_changes_no_verdict_and_no_bit(
    rows: pl.DataFrame, quality: QualitySettings, cuts: list[int], by_symbol: bool
) -> None:
    whole = judged(rows, quality=quality)
    edges = [
        utc(2000, 1, 1),
        *(utc(day.year, day.month, day.day) for day in (SESSIONS[cut] for cut in sorted(cuts))),
        utc(2100, 1, 1),
    ]
    state, pieces = NOTHING_BEFORE, []
    for begin, end in pairwise(edges):
        period = rows.filter(pl.col("timestamp").is_between(begin, end, closed="left"))
        for batch in period.partition_by("symbol", maintain_order=True) if by_symbol else [period]:
            pieces.append(judged(batch, state, quality=quality))
            state = pieces[-1].after
    for name, key in (
        ("bars", ["symbol", "timestamp"]),
        ("quarantine", ["symbol", "timestamp", "row"]),
        ("warnings", ["symbol", "timestamp", "rule"]),
    ):
        assert_frame_equal(
            pl.concat([getattr(piece, name) for piece in pieces]).sort(key),
            getattr(whole, name).sort(key),
            check_exact=True,
        )
    assert_frame_equal(state, whole.after, check_exact=True)


@given(daily_markets(), st.data())
def test_no_later_row_moves_an_earlier_verdict(rows: pl.DataFrame, data: st.DataObject) -> None:
    day = SESSIONS[data.draw(st.integers(1, 89))]
    early = pl.col("timestamp") < utc(day.year, day.month, day.day)
    whole, start = judged(rows), judged(rows.filter(early))
    for name in ("bars", "quarantine", "warnings"):
        assert_frame_equal(
            getattr(start, name), getattr(whole, name).filter(early), check_exact=True
        )


@given(daily_markets(), st.randoms(use_true_random=False), st.data())
def test_order_copies_and_names_of_files_choose_nothing(
    rows: pl.DataFrame, random: Any, data: st.DataObject
) -> None:
    copied = (
        data.draw(st.lists(st.integers(0, rows.height - 1), max_size=10)) if rows.height else []
    )
    order = [*range(rows.height), *copied]
    random.shuffle(order)
    other = rows[order].with_columns(
        origin=pl.Series([f"{random.choice('xyz')}.parquet" for _ in order], dtype=pl.String),
        row=pl.Series(range(len(order)), dtype=pl.Int64),
    )
    one, two = judged(rows), judged(other)
    assert_frame_equal(one.bars, two.bars, check_exact=True)
    assert_frame_equal(one.after, two.after, check_exact=True)
    assert _rules_of_distinct_rows(rows, one) == _rules_of_distinct_rows(other, two)
    assert one.warnings.select("symbol", "timestamp", "rule", "measure").equals(
        two.warnings.select("symbol", "timestamp", "rule", "measure"), null_equal=True
    )


def test_copies_of_a_withdrawal_all_withdraw() -> None:
    """Found by the law above: one copy was withdrawn and the other superseded, by file order."""
    day = SESSIONS[30]
    given = bar(utc(day.year, day.month, day.day), 30.0, timeframe="1Day", row=0)
    values = dict.fromkeys(("open", "high", "low", "close", "volume"), None)
    gone = given | values | {"defect": WITHDRAWN, "ingested_at": LEARNED + timedelta(hours=1)}
    later = gone | {"ingested_at": LEARNED + timedelta(hours=2)}
    for rows in ([given, gone, later, later], [later, gone, later, given]):
        found = judged(raw(*(one | {"row": at} for at, one in enumerate(rows))))
        verdicts = dict(found.quarantine.select("row", "rule").rows())
        assert verdicts == {
            at: "withdrawn" if one is later else "superseded" for at, one in enumerate(rows)
        }


def _rules_of_distinct_rows(rows: pl.DataFrame, found: Validated) -> set[tuple[Any, ...]]:
    """(symbol, timestamp, values, when learned) with the rules that refuse such a row, its copies
    aside.
    """
    values = rows.select(
        "row", "open", "high", "low", "close", "volume", "trade_count", "vwap", "ingested_at"
    )
    listed = found.quarantine.join(values, on="row").filter(pl.col("rule") != "duplicate")
    return set(
        listed.select(
            "symbol", "timestamp", "open", "high", "low", "close", "volume", "ingested_at", "rule"
        ).rows()
    )


# --- minutes, half-days, extended hours -----------------------------------------------------------


@st.composite
def intraday_markets(draw: st.DrawFn) -> pl.DataFrame:
    """Quarter hours around a half-day and a change of the clocks, before, in and after hours."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    first, count = draw(
        st.sampled_from(
            [(utc(2024, 7, 2, 7), 300), (utc(2024, 3, 8, 12), 420), (utc(2024, 11, 1, 11), 420)]
        )
    )
    rows = []
    for symbol in ("AAA", "BBB"):
        price = 50.0
        for at in range(count):
            if random.random() < 0.3:
                continue
            stamp = (
                first
                + timedelta(minutes=15 * at)
                + (timedelta(minutes=7) if random.random() < 0.01 else timedelta())
            )
            opening, price = (
                price,
                price
                * float(
                    np.exp(
                        random.normal(0, 0.002) + (random.random() < 0.01) * random.normal(0, 0.5)
                    )
                ),
            )
            rows.append(
                bar(
                    stamp,
                    price,
                    symbol,
                    open=opening,
                    high=max(opening, price),
                    low=min(opening, price),
                    volume=float(random.integers(0, 9000)),
                )
            )
    return raw(*(one | {"row": at} for at, one in enumerate(rows)))


@given(
    intraday_markets(),
    st.sampled_from(QUALITIES),
    st.booleans(),
    st.sampled_from(["15Min", "1Hour", "1Min"]),
)
def test_within_the_day_the_judge_agrees_with_its_plain_twin_too(
    rows: pl.DataFrame, quality: QualitySettings, extended: bool, timeframe: str
) -> None:
    settings = MarketSettings(timeframe=timeframe, quality=quality, extended_hours=extended)  # type: ignore[arg-type]
    must_agree(
        rows,
        Naive(ACTIONS, NYSE, timeframe, settings),
        judged(rows, timeframe=timeframe, quality=quality, extended_hours=extended),
    )


@pytest.mark.parametrize(
    ("code", "timeframe"),
    [("XBOM", "1Hour"), ("XHKG", "30Min"), ("24/7", "1Hour"), ("XTKS", "15Min")],
)
def test_other_exchanges_their_lunch_and_their_half_hours_agree(code: str, timeframe: str) -> None:
    calendar = Calendar.of(code)
    stamps = [utc(2024, 3, 7) + timedelta(minutes=15 * at) for at in range(400)]
    rows = raw(*(bar(stamp, 50.0 + at % 7, row=at) for at, stamp in enumerate(stamps)))
    settings = MarketSettings(calendar=code, timeframe=timeframe)  # type: ignore[arg-type]
    found = validate(rows, NOTHING_BEFORE, ACTIONS, calendar, timeframe, settings)
    assert found.bars.height
    must_agree(rows, Naive(ACTIONS, calendar, timeframe, settings), found)


# --- recorded markets -----------------------------------------------------------------------------


@pytest.mark.skipif(
    not (DATA / "DATA.md").exists(), reason="no real market data here: set HARMONY_DATA"
)
@pytest.mark.parametrize(
    ("paths", "timeframe", "pattern"),
    [
        (("us_equity_daily",), "1Day", None),
        (
            ("us_equity_hourly/AIG.csv", "us_equity_hourly/GDVD.csv", "us_equity_hourly/TAPA.csv"),
            "1Hour",
            None,
        ),
        (("us_equity_minute/lean_2008_2023_trades.csv",), "1Min", None),
        (("us_smallcap_daily_premarket/2022-10.csv",), "1Day", "%m/%d/%Y"),
    ],
)
def test_on_recorded_markets_the_judge_agrees_with_its_plain_twin(
    paths: tuple[str, ...], timeframe: str, pattern: str | None
) -> None:
    files = source(*paths, actions="us_equity_daily/corporate_actions.csv", pattern=pattern)
    rows = (
        files.bars(None, utc(1990, 1, 1), utc(2030, 1, 1), timeframe)
        .with_columns(ingested_at=pl.lit(LEARNED))
        .sort("symbol", "timestamp")
    )
    rows = _whole_symbols(rows, 6_000).with_columns(row=pl.int_range(pl.len(), dtype=pl.Int64))
    settings, acts = MarketSettings(timeframe=timeframe), files.corporate_actions(None)  # type: ignore[arg-type]
    must_agree(
        rows,
        Naive(acts, NYSE, timeframe, settings),
        validate(rows, NOTHING_BEFORE, acts, NYSE, timeframe, settings),
    )


def _whole_symbols(rows: pl.DataFrame, most: int) -> pl.DataFrame:
    """As many symbols as have `most` rows together, but at least one: the twin is slow."""
    sizes = rows.group_by("symbol", maintain_order=True).len()
    kept = sizes.filter((pl.col("len").cum_sum() <= most) | (pl.int_range(pl.len()) == 0))
    return rows.filter(pl.col("symbol").is_in(kept["symbol"].to_list()))
