"""Prices that are no prices: out of all bounds, or ten, a hundred or a thousand times those beside
them for a bar; and the real moves that must stay bars.
"""

from datetime import date, timedelta
from typing import Any

import polars as pl
import pytest
from market.raw_rows import LEARNED, NO_ACTIONS, NOTHING_BEFORE, actions, bar, raw, utc

from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.quality_settings import QualitySettings
from harmony_pipeline.market.settings import MarketSettings
from harmony_pipeline.market.validation.validate import Validated, validate

WAVE = (1.0, 1.011, 0.988, 1.004, 1.019, 0.985, 1.0, 0.994)
Rows = list[dict[str, Any]]


def market(code: str, timeframe: str, count: int, price: float, volume: float) -> Rows:
    """Sound rows at the first `count` places of a market's grid in 2024, whose volumes vary by a
    factor of three.
    """
    calendar = Calendar.of(code)
    if timeframe == "1Day":
        stamps = [
            utc(day.year, day.month, day.day)
            for day in calendar.sessions(date(2024, 1, 2), date(2024, 12, 31))
        ]
    else:
        step = timedelta(minutes={"1Min": 1, "1Hour": 60}[timeframe])
        opens = calendar.schedule(date(2024, 1, 2), date(2024, 2, 1)).select("open", "close").rows()
        stamps = [begin + at * step for begin, end in opens for at in range((end - begin) // step)]
        stamps = [stamp for stamp in stamps if timeframe != "1Hour" or stamp.minute == 0]
    rows = []
    for at, stamp in enumerate(stamps[:count]):
        close = price * WAVE[at % 8]
        shape = {"open": price * WAVE[(at + 3) % 8], "high": price * 1.03, "low": price * 0.97}
        rows.append(
            bar(
                stamp, close, timeframe=timeframe, volume=volume * (1 + at % 3), row=at + 2, **shape
            )
        )
    return rows


MARKETS = [
    ("XNYS", "1Day", 40, 187.15, 4e7),
    ("XNYS", "1Day", 6, 12.5, 1e4),
    ("XNYS", "1Min", 80, 52.0, 900.0),
    ("FX", "1Hour", 60, 1.0873, 0.0),
    ("24/7", "1Min", 30, 64_000.0, 0.3),
    ("24/7", "1Day", 25, 0.0000213, 1e12),
]


def judged(
    rows: Rows, code: str = "XNYS", acts: pl.DataFrame = NO_ACTIONS, **quality: Any
) -> Validated:
    timeframe = rows[0]["timeframe"]
    settings = MarketSettings(calendar=code, timeframe=timeframe, quality=quality)
    return validate(raw(*rows), NOTHING_BEFORE, acts, Calendar.of(code), timeframe, settings)


def refused(found: Validated) -> list[tuple[int, str]]:
    return [
        (row - 2, rule) for row, rule in found.quarantine.sort("row").select("row", "rule").rows()
    ]


def scaled(rows: Rows, at: int, factor: float, *names: str) -> Rows:
    return [
        row | ({name: row[name] * factor for name in names} if place == at else {})
        for place, row in enumerate(rows)
    ]


ALL = ("open", "high", "low", "close")


@pytest.mark.parametrize(("code", "timeframe", "count", "price", "volume"), MARKETS)
@pytest.mark.parametrize("factor", [100.0, 0.1, 0.01, 1000.0])
def test_a_bar_on_another_scale_that_comes_back_is_refused_and_its_neighbours_stay(
    code, timeframe, count, price, volume, factor
):
    rows = market(code, timeframe, count, price, volume)
    for at in (1, count // 2, count - 2):
        found = judged(scaled(rows, at, factor, *ALL), code)
        assert refused(found) == [(at, "wrong_scale")], at
        (reason,) = found.quarantine["reason"]
        assert f"AAA.csv row {at + 2}: open is " in reason
        assert f"about {'1/' if factor < 1 else ''}{round(max(factor, 1 / factor))} times" in reason


@pytest.mark.parametrize(("code", "timeframe", "count", "price", "volume"), MARKETS)
@pytest.mark.parametrize(
    ("names", "factor"),
    [
        (("high",), 100.0),
        (("low",), 0.1),
        (("open", "high"), 100.0),
        (("open", "low"), 0.01),
        (("close", "high"), 100.0),
    ],
)
def test_one_price_of_a_bar_on_another_scale_is_refused(
    code, timeframe, count, price, volume, names, factor
):
    rows = market(code, timeframe, count, price, volume)
    at = count // 2
    found = judged(scaled(rows, at, factor, *names), code)
    assert [place for place, _ in refused(found)] == [at]
    assert found.quarantine["rule"][0] in {"bad_print", "wrong_scale"}


@pytest.mark.parametrize("names", [("high",), ("low",)])
def test_a_first_bar_is_judged_by_its_own_prices(names):
    rows = scaled(
        market("XNYS", "1Day", 10, 50.0, 1e5), 0, 100.0 if names == ("high",) else 0.01, *names
    )
    assert refused(judged(rows)) == [(0, "wrong_scale")]


def test_a_level_that_lasts_is_taken_for_real_after_three_bars():
    rows = market("XNYS", "1Min", 60, 50.0, 900.0)
    rows = [
        row | {name: row[name] * 100.0 for name in ALL} if at >= 30 else row
        for at, row in enumerate(rows)
    ]
    assert refused(judged(rows)) == [(at, "wrong_scale") for at in (30, 31, 32)]
    assert refused(judged(rows, scale_bars=1)) == [(30, "wrong_scale")]
    assert refused(judged(rows, rules={"wrong_scale": "warn"})) == []
    back = [*rows[:40], *market("XNYS", "1Min", 60, 50.0, 900.0)[40:]]
    # what comes back is known
    assert refused(judged(back)) == [(at, "wrong_scale") for at in (30, 31, 32)]


@pytest.mark.parametrize(("ratio", "days"), [(10.0, 30), (0.1, 30), (100.0, 12), (0.01, 12)])
def test_a_split_that_nobody_told_stays_since_its_volume_moves_the_other_way(ratio, days):
    rows = market("XNYS", "1Day", 40, 50.0, 1e6)
    rows = [
        (
            row | {name: row[name] * ratio for name in ALL} | {"volume": row["volume"] / ratio}
            if at >= days
            else row
        )
        for at, row in enumerate(rows)
    ]
    assert refused(judged(rows)) == []


@pytest.mark.parametrize("ratio", [10.0, 0.1, 0.01])
def test_the_row_of_a_split_explains_it_whatever_the_volume(ratio):
    rows = market("XNYS", "1Day", 40, 50.0, 1e6)
    rows = [
        row | {name: row[name] / ratio for name in ALL} if at >= 20 else row
        for at, row in enumerate(rows)
    ]
    split = actions(("AAA", rows[20]["timestamp"].date(), "split", ratio))
    assert refused(judged(rows, acts=split)) == []
    # prices that were adjusted before: the row of the split is wrong, the bars are not
    adjusted = market("XNYS", "1Day", 40, 50.0, 1e6)
    assert refused(judged(adjusted, acts=split)) == []


@pytest.mark.parametrize(("factor", "volume"), [(0.1, 20.0), (0.09, 60.0), (9.5, 40.0)])
def test_news_stay_bars(factor, volume):
    rows = market("XNYS", "1Day", 40, 50.0, 1e6)
    rows = [
        (
            row | {name: row[name] * factor for name in ALL} | {"volume": row["volume"] * volume}
            if at >= 20
            else row
        )
        for at, row in enumerate(rows)
    ]
    assert refused(judged(rows)) == []


@pytest.mark.parametrize("factor", [3.0, 4.0, 0.25, 0.35, 2.0])
def test_a_move_that_is_no_power_of_ten_stays(factor):
    rows = market("XNYS", "1Day", 40, 3.0, 1e6)
    rows = [
        row | {name: row[name] * factor for name in ALL} if at >= 20 else row
        for at, row in enumerate(rows)
    ]
    assert refused(judged(rows)) == []


def test_a_climb_before_hours_is_no_glitch_at_the_open():
    rows = market("XNYS", "1Min", 30, 1.0, 5000.0)
    day, close = utc(2024, 1, 3, 12), 1.0
    for at in range(24):  # from 1 to 11 in steps of a tenth
        close *= 1.105
        rows.append(
            bar(day + timedelta(minutes=at), close, timeframe="1Min", volume=9e5, row=len(rows) + 2)
        )
    rows += [
        row
        | {name: row[name] * close for name in ALL}
        | {"timestamp": row["timestamp"] + timedelta(days=1), "row": row["row"] + 60}
        for row in rows[:30]
    ]
    assert refused(judged(rows)) == []


# --- bounds ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("price", [1e308, 5e-324, 1e-9, 2e12, 1e-300])
def test_what_lies_beyond_all_bounds_is_no_price(price):
    rows = market("XNYS", "1Day", 10, 50.0, 1e5)
    rows[4] |= dict.fromkeys(ALL, price)
    found = judged(rows)
    assert refused(found) == [(4, "price_out_of_bounds")]
    reason = found.quarantine["reason"][0]
    assert "AAA.csv row 6: open is " in reason
    assert "expected a price from 1e-08 to 1e+12" in reason


def test_one_price_beyond_the_bounds_is_enough_and_the_first_row_counts_too():
    rows = market("XNYS", "1Day", 10, 50.0, 1e5)
    rows[0] |= {"high": 1e308}
    rows[3] |= {"low": 5e-324}
    assert refused(judged(rows)) == [(0, "price_out_of_bounds"), (3, "price_out_of_bounds")]


def test_the_bounds_can_be_set():
    coin = market("24/7", "1Day", 20, 3e-10, 1e15)
    assert len(refused(judged(coin, "24/7"))) == 20
    assert refused(judged(coin, "24/7", min_price=1e-12)) == []
    with pytest.raises(ValueError, match="max_price: 1 is not above min_price 5"):
        QualitySettings(min_price=5.0, max_price=1.0)


def test_a_volume_beyond_all_bounds_is_none():
    rows = market("XNYS", "1Day", 10, 50.0, 1e5)
    rows[7] |= {"volume": 1e300}
    assert refused(judged(rows)) == [(7, "volume_out_of_bounds")]


# --- frozen prices --------------------------------------------------------------------------------


@pytest.mark.parametrize("flat", [True, False])
@pytest.mark.parametrize(
    ("code", "timeframe"), [("XNYS", "1Day"), ("XNYS", "1Min"), ("24/7", "1Hour")]
)
def test_prices_that_stand_still_while_the_volume_moves_are_told(code, timeframe, flat):
    rows = market(code, timeframe, 60, 50.0, 1e5)
    still = (
        dict.fromkeys(ALL, 50.0)
        if flat
        else {"open": 50.0, "high": 51.0, "low": 49.0, "close": 50.5}
    )
    rows = [row | (still if 10 <= at < 45 else {}) for at, row in enumerate(rows)]
    found = judged(rows, code)
    assert refused(found) == []
    told = found.warnings.filter(pl.col("rule") == "frozen_prices")
    assert told["measure"].to_list() == list(range(30 if flat else 20, 36))
    assert "has the price feed stopped?" in told["reason"][0]


def test_quiet_minutes_at_one_price_are_not_told():
    rows = market("XNYS", "1Min", 60, 10.01, 300.0)
    rows = [
        row | (dict.fromkeys(ALL, 10.01) if 10 <= at < 35 else {}) for at, row in enumerate(rows)
    ]
    assert judged(rows).warnings.is_empty()


# --- corporate actions ----------------------------------------------------------------------------


def test_a_dividend_that_cannot_be_applied_is_listed_at_the_bar_where_it_was_due():
    rows = market("XNYS", "1Day", 20, 50.0, 1e5)
    due = rows[10]["timestamp"].date()
    found = judged(
        rows,
        acts=actions(
            ("AAA", due, "dividend", 5000.0), ("AAA", rows[15]["timestamp"].date(), "split", -1.0)
        ),
    )
    told = found.warnings.filter(pl.col("rule") == "action_not_applied")
    assert told["timestamp"].to_list() == [rows[10]["timestamp"], rows[15]["timestamp"]]
    assert told["reason"][0].startswith(
        f"dividend of AAA on {due} (5000.0) is not applied: it is not below the previous close"
    )
    assert told["reason"].to_list() == found.counts["notes"]
    assert judged(
        rows, acts=actions(("AAA", due, "dividend", 5000.0)), rules={"action_not_applied": "off"}
    ).warnings.is_empty()


def test_learned_again_soundly_a_glitch_is_mended():
    rows = scaled(market("XNYS", "1Day", 12, 50.0, 1e5), 6, 100.0, *ALL)
    mended = market("XNYS", "1Day", 12, 50.0, 1e5)[6] | {
        "ingested_at": LEARNED + timedelta(days=1),
        "row": 99,
    }
    found = judged([*rows, mended])
    assert found.quarantine["rule"].to_list() == ["superseded"]
    assert found.bars.height == 12
