"""One small market a rule: what it warns of, and the real moves beside it that it lets be."""

from datetime import date
from typing import Any

import numpy as np
import polars as pl
from market.raw_rows import NO_ACTIONS, NOTHING_BEFORE, actions, bar, raw, utc

from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.settings import MarketSettings
from harmony_pipeline.market.validation.validate import Validated, validate

NYSE = Calendar.of("XNYS")
DAYS = NYSE.sessions(date(2020, 1, 2), date(2026, 12, 31))
WAVE = (1.0, 1.01, 0.99, 1.005, 1.02, 0.985, 1.0, 0.995)


def day(at: int, price: float, **other: Any) -> dict[str, Any]:
    """A quiet daily bar around `price`."""
    shape = {"open": price, "high": price * 1.01, "low": price * 0.99, "volume": 1e5 * (1 + at % 3)}
    return bar(
        utc(DAYS[at].year, DAYS[at].month, DAYS[at].day), price, timeframe="1Day", **(shape | other)
    )


def quiet(count: int, price: float = 50.0, begin: int = 0) -> list[dict[str, Any]]:
    return [day(at, price * WAVE[at % 8]) for at in range(begin, begin + count)]


def judged(
    rows: list[dict[str, Any]], acts: pl.DataFrame = NO_ACTIONS, **quality: Any
) -> Validated:
    found = validate(
        raw(*rows),
        NOTHING_BEFORE,
        acts,
        NYSE,
        "1Day",
        MarketSettings(timeframe="1Day", quality=quality),
    )
    assert found.quarantine.is_empty()
    return found


def refused(
    rows: list[dict[str, Any]], acts: pl.DataFrame = NO_ACTIONS, **quality: Any
) -> Validated:
    return validate(
        raw(*rows),
        NOTHING_BEFORE,
        acts,
        NYSE,
        "1Day",
        MarketSettings(timeframe="1Day", quality=quality),
    )


def listed(found: Validated) -> list[tuple[date, str]]:
    return found.quarantine.select(pl.col("timestamp").dt.date(), "rule").rows()


def warned(
    rows: list[dict[str, Any]], acts: pl.DataFrame = NO_ACTIONS, **quality: Any
) -> list[tuple[date, str]]:
    return (
        judged(rows, acts, **quality).warnings.select(pl.col("timestamp").dt.date(), "rule").rows()
    )


def test_a_quiet_market_is_not_warned_of() -> None:
    assert warned(quiet(200)) == []


def test_a_return_far_outside_those_before_is_an_outlier_and_its_reversal_is_told_at_the_next_bar() -> (
    None
):
    rows = [*quiet(60), day(60, 90.0), *quiet(30, begin=61)]
    assert warned(rows) == [
        (DAYS[60], "outlier"),
        (DAYS[61], "outlier"),
        (DAYS[61], "spike_reversal"),
    ]
    assert warned([*quiet(60), day(60, 90.0), *quiet(30, 90.0, begin=61)]) == [
        (DAYS[60], "outlier")
    ]


def test_in_a_wild_market_the_same_return_is_none() -> None:
    random = np.random.default_rng(2)
    wild = [day(at, price) for at, price in enumerate(50.0 * np.exp(random.normal(0.0, 0.15, 60)))]
    assert not [rule for _, rule in warned([*wild, day(60, 90.0)]) if rule == "outlier"]


def test_a_volume_far_above_the_largest_sessions_is_a_spike() -> None:
    assert warned([*quiet(40), day(40, 50.0, volume=1e8)]) == [(DAYS[40], "volume_spike")]
    assert warned([*quiet(40), day(40, 50.0, volume=2e6)]) == []


def test_a_split_moves_the_volumes_that_are_remembered() -> None:
    split = actions(("AAA", DAYS[40], "split", 50.0))
    assert (
        warned([*quiet(40), *(day(at, WAVE[at % 8], volume=1e7) for at in range(40, 50))], split)
        == []
    )


def test_the_same_five_values_again_and_again_are_stale() -> None:
    frozen = day(10, 50.0)
    rows = [
        *quiet(10),
        *(frozen | {"timestamp": day(at, 1.0)["timestamp"]} for at in range(10, 14)),
    ]
    assert warned(rows) == [(DAYS[12], "stale_repeat"), (DAYS[13], "stale_repeat")]


def test_quiet_stocks_do_repeat_a_lone_trade() -> None:
    rows = [day(at, 50.0, high=50.0, low=50.0, volume=100.0) for at in range(25)]
    assert warned(rows) == [(DAYS[at], "stale_repeat") for at in range(19, 25)]


def test_a_quiet_jump_by_the_ratio_of_a_split_without_a_row_looks_like_one() -> None:
    found = judged([*quiet(60), *quiet(30, 25.0, begin=60)])
    assert found.warnings.select("rule", "measure").rows() == [("split_like_jump", 2.0)]
    assert "looks like a 2-for-1 split" in found.warnings["reason"][0]
    reverse = judged(
        [
            *quiet(60),
            *(day(at, 500.0 * WAVE[at % 8], volume=1e4 * (1 + at % 3)) for at in range(60, 75)),
        ]
    ).warnings
    assert reverse.select("rule", "measure").rows() == [("split_like_jump", 0.1)]
    assert "looks like a 1-for-10 split" in reverse["reason"][0]


def test_the_row_of_the_split_explains_it() -> None:
    assert (
        warned([*quiet(60), *quiet(30, 25.0, begin=60)], actions(("AAA", DAYS[60], "split", 2.0)))
        == []
    )


def test_a_crash_by_half_is_news_and_no_split() -> None:
    by_turnover = day(60, 25.0, volume=3e6)
    by_range = day(60, 25.0, high=33.0)
    for crash in (by_turnover, by_range):
        assert (DAYS[60], "split_like_jump") not in warned(
            [*quiet(60), crash, *quiet(10, 25.0, begin=61)]
        )


def test_another_level_after_a_long_absence_is_perhaps_another_issuer() -> None:
    assert warned([*quiet(60), *quiet(30, 400.0, begin=160)]) == [(DAYS[160], "ticker_reuse")]
    # a halt of months at nearly the same price
    assert warned([*quiet(60), *quiet(30, 60.0, begin=160)]) == []
    # after five years no price proves anything
    assert warned([*quiet(60), *quiet(30, 50.0, begin=1400)]) == [(DAYS[1400], "ticker_reuse")]


def test_cents_for_dollars_are_refused_at_first_and_told_once_the_level_lasts() -> None:
    rows = [*quiet(60), *quiet(43, 5000.0, begin=60)]
    found = refused(rows)
    assert listed(found) == [(DAYS[at], "wrong_scale") for at in (60, 61, 62)]
    assert found.warnings.select(pl.col("timestamp").dt.date(), "rule", "measure").rows() == [
        (DAYS[63], "wrong_unit", 100.0), (DAYS[82], "changed_unit", 100.0),
    ]  # fmt: skip
    assert f"since {DAYS[63]}T00:00:00Z" in found.warnings["reason"][1]
    told = judged(rows, rules={"wrong_scale": "off"}).warnings
    assert told.select(pl.col("timestamp").dt.date(), "rule").rows() == [
        (DAYS[60], "wrong_unit"),
        (DAYS[79], "changed_unit"),
    ]
    one_bar = [*quiet(60), day(60, 0.5), *quiet(40, begin=61)]
    assert listed(refused(one_bar)) == [(DAYS[60], "wrong_scale")]
    assert refused(one_bar).warnings.is_empty()


def test_a_vwap_in_another_unit_is_told() -> None:
    assert warned([*quiet(5), day(5, 50.0, vwap=5000.0)]) == [(DAYS[5], "wrong_unit")]


def test_volumes_that_move_from_lots_to_shares_are_told_after_five_sessions() -> None:
    rows = [
        *quiet(40),
        *(day(at, 50.0 * WAVE[at % 8], volume=1e7 * (1 + at % 3)) for at in range(40, 70)),
    ]
    found = [one for one in warned(rows) if one[1] != "volume_spike"]
    assert found == [(DAYS[45], "changed_unit")]


def test_every_bar_without_volume_is_told_however_many_there_are() -> None:
    assert warned([*quiet(50), day(50, 50.0, volume=0.0)]) == [(DAYS[50], "zero_volume")]
    every_third = [
        day(at, 50.0 * WAVE[at % 8], **({"volume": 0.0} if at % 3 == 2 else {})) for at in range(90)
    ]
    assert warned(every_third) == [(DAYS[at], "zero_volume") for at in range(2, 90, 3)]
    assert judged(every_third).counts["notes"] == []


def test_where_most_bars_have_no_volume_their_whole_number_is_told() -> None:
    mostly = [
        day(at, 50.0 * WAVE[at % 8], **({"volume": 0.0} if at % 5 else {})) for at in range(50)
    ]
    found = judged(mostly)
    (note,) = found.counts["notes"]
    count = found.counts["warnings"]["zero_volume"]
    assert note == f"AAA: 40 bars have no volume, {count} of them are listed under zero_volume"
    assert judged(mostly, rules={"zero_volume": "off"}).counts["notes"] == []


def test_a_feed_without_volumes_is_not_told_in_every_row() -> None:
    # a feed that has no volumes
    assert warned([day(at, 50.0 * WAVE[at % 8], volume=0.0) for at in range(100)]) == []


def test_a_warning_may_be_made_a_refusal() -> None:
    rows = [*quiet(60), day(60, 90.0), *quiet(30, begin=61)]
    found = validate(
        raw(*rows),
        NOTHING_BEFORE,
        NO_ACTIONS,
        NYSE,
        "1Day",
        MarketSettings(timeframe="1Day", quality={"rules": {"outlier": "quarantine"}}),
    )
    assert found.quarantine.select(pl.col("timestamp").dt.date(), "rule").rows() == [
        (DAYS[60], "outlier")
    ]
    assert found.warnings.is_empty()  # the day after is measured against the last bar that was kept
