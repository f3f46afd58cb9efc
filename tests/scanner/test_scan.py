"""The scan against its definition, case by case and against a plain rewriting of it."""

import math
from datetime import date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harmony_pipeline.errors import ConfigError, DataError, NotReady
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.daily_summary import summarise
from harmony_pipeline.scanner.ranking import ScanResult
from harmony_pipeline.scanner.registry import build_scanner
from harmony_pipeline.scanner.rules import rejections
from harmony_pipeline.scanner.settings import ScannerSettings
from harmony_pipeline.schemas import CORPORATE_ACTIONS, DAILY_SUMMARY, UNIVERSE
from harmony_pipeline.testing.scanner_contract import CALENDAR, SESSIONS, SYMBOLS, made_up_market

OPEN_WIDE = {
    "minimum_price": None,
    "minimum_absolute_gap": None,
    "minimum_premarket_volume": None,
    "require_premarket": False,
    "minimum_history_sessions": 0,
    "maximum_selections": 100,
}


def row(symbol: str, session: int, **known: object) -> dict[str, object]:
    """A day that closed at 10.00 on 1000 shares after a morning at 10.50 on 100, unless told
    otherwise.
    """
    day = SESSIONS[session]
    usual = {
        "open": 10.0, "high": 10.0, "low": 10.0, "close": 10.0, "volume": 1_000.0, "bars": 30,
        "regular_bars": 26, "expected_regular_bars": 26,
        "last_timestamp": CALENDAR.session_open(day), "adjustment_factor": 1.0,
        "premarket_volume": 100.0, "premarket_high": 10.5, "premarket_low": 10.5,
        "premarket_last": 10.5, "premarket_bars": 4,
        "scan_time": CALENDAR.session_open(day) - timedelta(minutes=5), "postmarket_volume": 0.0,
    }  # fmt: skip
    return {"symbol": symbol, "date": day, **usual, **known}


NO_MORNING = {
    "premarket_volume": 0.0,
    "premarket_last": None,
    "premarket_high": None,
    "premarket_low": None,
    "premarket_bars": 0,
}


def scanned(
    rows: list[dict[str, object]],
    session: int,
    universe: pl.DataFrame | None = None,
    actions: pl.DataFrame | None = None,
    **settings: object,
) -> ScanResult:
    summary = (
        DAILY_SUMMARY.conform(pl.DataFrame(rows, schema_overrides=DAILY_SUMMARY.dtypes))
        if rows
        else DAILY_SUMMARY.empty()
    )
    return build_scanner(ScannerSettings(**settings)).scan(
        summary,
        UNIVERSE.empty() if universe is None else universe,
        CORPORATE_ACTIONS.empty() if actions is None else actions,
        [SESSIONS[session]],
        CALENDAR,
    )


def only(found: ScanResult) -> dict[str, object]:
    assert found.candidates.height == 1
    return found.candidates.row(0, named=True)


def split(symbol: str, session: int, value: float) -> pl.DataFrame:
    return CORPORATE_ACTIONS.conform(
        pl.DataFrame(
            {"symbol": [symbol], "date": [SESSIONS[session]], "kind": ["split"], "value": [value]}
        )
    )


def listed(symbol: str, session: int = 0, **known: object) -> dict[str, object]:
    return {
        "date": SESSIONS[session],
        "symbol": symbol,
        "listed": date(2010, 1, 4),
        "delisted": None,
        "float": 5e6,
        "market_cap": 1e8,
        "sector": "Energy",
        **known,
    }


def register(*rows: dict[str, object]) -> pl.DataFrame:
    return UNIVERSE.conform(pl.DataFrame(list(rows), schema_overrides=UNIVERSE.dtypes))


# --- measures -------------------------------------------------------------------------------------


def test_the_gap_is_the_morning_s_last_price_over_the_last_regular_close() -> None:
    found = only(
        scanned([row("AA", 3, close=20.0, volume=300.0), row("AA", 4, premarket_last=21.0)], 4)
    )
    assert (found["price"], found["previous_close"], found["gap"]) == (
        21.0,
        20.0,
        pytest.approx(0.05),
    )
    assert found["dollar_volume"] == 6_000.0
    assert found["as_of"] == datetime.fromisoformat(f"{SESSIONS[4]}T14:25:00+00:00")
    assert found["passed"] is False
    assert found["rejected_by"] == ["minimum_premarket_volume"]


def test_as_of_follows_daylight_saving() -> None:
    summer = SESSIONS.index(date(2024, 3, 12))
    assert only(scanned([row("AA", summer - 1)], summer))["as_of"] == datetime.fromisoformat(
        "2024-03-12T13:25:00+00:00"
    )


def test_a_split_of_the_day_halves_the_old_close_and_doubles_the_old_volume() -> None:
    rows = [
        row("AA", 3, close=20.0, premarket_volume=100.0),
        row("AA", 4, premarket_last=10.4, premarket_volume=800.0),
    ]
    found = only(scanned(rows, 4, actions=split("AA", 4, 2.0)))
    assert (found["previous_close"], found["gap"]) == (10.0, pytest.approx(0.04))
    assert found["relative_volume"] == pytest.approx(4.0)


def test_a_split_on_a_day_without_trades_counts_as_well() -> None:
    rows = [
        row("AA", 2, close=20.0, premarket_volume=100.0),
        row("AA", 4, premarket_last=10.4, premarket_volume=800.0),
    ]
    found = only(scanned(rows, 4, actions=split("AA", 3, 2.0)))
    assert (found["previous_close"], found["relative_volume"]) == (10.0, pytest.approx(4.0))


def test_an_earlier_or_later_split_leaves_the_previous_close_alone() -> None:
    rows = [row("AA", 3, close=20.0), row("AA", 4)]
    for session in (3, 5):
        assert only(scanned(rows, 4, actions=split("AA", session, 2.0)))["previous_close"] == 20.0


def test_a_dividend_is_no_reason_to_move_the_previous_close() -> None:
    dividend = split("AA", 4, 2.0).with_columns(kind=pl.lit("dividend"))
    assert (
        only(scanned([row("AA", 3), row("AA", 4)], 4, actions=dividend))["previous_close"] == 10.0
    )


def test_relative_volume_looks_back_twenty_sessions_and_no_further() -> None:
    rows = [
        row("AA", 0, premarket_volume=1e9),
        *(row("AA", session, premarket_volume=100.0) for session in range(1, 21)),
        row("AA", 21, premarket_volume=500.0),
    ]
    assert only(scanned(rows, 21))["relative_volume"] == pytest.approx(5.0)
    assert only(scanned(rows, 20))["relative_volume"] == pytest.approx(
        100.0 * 20 / (1e9 + 19 * 100.0)
    )


def test_volumes_are_added_one_after_the_other_so_that_two_runs_give_the_same_bits() -> None:
    volumes = [1e5 / (3 + day) for day in range(21)]
    rows = [row("AA", day, premarket_volume=volume) for day, volume in enumerate(volumes)]
    total = 0.0
    for volume in reversed(volumes[:20]):
        total += volume
    assert only(scanned(rows, 20))["relative_volume"] == volumes[20] / (total / 20)


def test_relative_volume_is_unknown_without_history_and_without_earlier_mornings() -> None:
    assert only(scanned([row("AA", 4)], 4))["relative_volume"] is None
    assert only(scanned([row("AA", 3, **NO_MORNING), row("AA", 4)], 4))["relative_volume"] is None


def test_a_session_without_regular_trades_gives_no_close_and_the_one_before_counts() -> None:
    rows = [row("AA", 2, close=8.0), row("AA", 3, close=None, volume=0.0), row("AA", 4)]
    found = only(scanned(rows, 4))
    assert found["previous_close"] == 8.0
    assert found["history_sessions"] == 2


def test_without_a_morning_there_is_no_gap_and_the_price_is_the_previous_close() -> None:
    found = only(scanned([row("AA", 3, close=9.0), row("AA", 4, **NO_MORNING)], 4))
    assert (found["gap"], found["price"], found["premarket_volume"]) == (None, 9.0, 0.0)
    assert found["rejected_by"] == [
        "no_premarket",
        "minimum_absolute_gap",
        "minimum_premarket_volume",
    ]


def test_float_and_sector_are_those_known_on_the_day() -> None:
    universe = register(listed("AA", 0), listed("AA", 5, float=9e6, sector="Utilities"))
    rows = [row("AA", 3), row("AA", 4), row("AA", 5)]
    assert [only(scanned(rows, 4, universe))[name] for name in ("float", "sector")] == [
        5e6,
        "Energy",
    ]
    assert [only(scanned(rows, 5, universe))[name] for name in ("float", "sector")] == [
        9e6,
        "Utilities",
    ]


def test_a_symbol_is_forgotten_thirty_sessions_after_its_last_row_unless_the_universe_knows_it() -> (
    None
):
    rows = [row("AA", 3)]
    assert scanned(rows, 33).candidates.height == 1
    assert scanned(rows, 34).candidates.height == 0
    assert scanned(rows, 34, register(listed("AA"))).candidates.height == 1


def test_a_symbol_first_seen_this_morning_is_a_candidate_and_one_that_trades_later_is_not() -> None:
    early, later = row("AA", 4), row("BB", 4, **NO_MORNING)
    found = only(scanned([early, later], 4))
    assert found["symbol"] == "AA"
    assert found["rejected_by"][:2] == ["no_previous_close", "history"]


# --- rules ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limits", "rule"),
    [
        ({"minimum_price": 10.6}, "minimum_price"),
        ({"maximum_price": 10.4}, "maximum_price"),
        ({"minimum_gap": 0.06}, "minimum_gap"),
        ({"minimum_absolute_gap": 0.06}, "minimum_absolute_gap"),
        ({"minimum_premarket_volume": 101.0}, "minimum_premarket_volume"),
        ({"minimum_relative_volume": 1.1}, "minimum_relative_volume"),
        ({"maximum_float": 4e6}, "maximum_float"),
        ({"minimum_history_sessions": 2}, "history"),
    ],
)
def test_each_limit_rejects_under_its_own_name(limits: dict[str, float], rule: str) -> None:
    settings = {**OPEN_WIDE, **limits}
    found = only(scanned([row("AA", 3), row("AA", 4)], 4, register(listed("AA")), **settings))
    assert found["rejected_by"] == [rule]
    assert only(scanned([row("AA", 3), row("AA", 4)], 4, register(listed("AA")), **OPEN_WIDE))[
        "passed"
    ]


def test_a_value_on_the_limit_passes() -> None:
    rows = [row("AA", 3, close=10.0), row("AA", 4, premarket_last=10.5)]
    limits = {
        "minimum_price": 10.5,
        "maximum_price": 10.5,
        "minimum_premarket_volume": 100.0,
        "minimum_relative_volume": 1.0,
        "maximum_float": 5e6,
    }
    assert only(scanned(rows, 4, register(listed("AA")), **{**OPEN_WIDE, **limits}))["passed"]


def test_a_limit_on_what_is_not_known_rejects() -> None:
    found = only(scanned([row("AA", 3), row("AA", 4)], 4, **{**OPEN_WIDE, "maximum_float": 1e9}))
    assert found["rejected_by"] == ["maximum_float"]


def test_listing_is_half_open() -> None:
    known = register(listed("AA", 0, listed=SESSIONS[2], delisted=SESSIONS[5]))
    rows = [row("AA", session) for session in range(1, 7)]
    verdicts = {
        session: "not_listed" in only(scanned(rows, session, known))["rejected_by"]
        for session in range(1, 7)
    }
    assert verdicts == {1: True, 2: False, 3: False, 4: False, 5: True, 6: True}


def test_ranks_break_ties_by_symbol_and_the_rest_meets_the_rank_limit() -> None:
    rows = [
        entry
        for symbol in ("CC", "AA", "BB")
        for entry in (
            row(symbol, 3),
            row(symbol, 4, premarket_last=10.8 if symbol == "CC" else 10.6),
        )
    ]
    found = scanned(rows, 4, **{**OPEN_WIDE, "maximum_selections": 2})
    assert found.selections.select("rank", "symbol").rows() == [(1, "CC"), (2, "AA")]
    assert found.candidates.filter(pl.col("symbol") == "BB")["rejected_by"][0].to_list() == [
        "rank_limit"
    ]


def test_a_symbol_whose_rank_is_unknown_is_not_selected() -> None:
    found = only(scanned([row("AA", 3), row("AA", 4)], 4, **{**OPEN_WIDE, "rank_by": "float"}))
    assert found["rejected_by"] == ["rank_by"]


# --- other scanners and wrong use -----------------------------------------------------------------


def test_the_fixed_list_ranks_in_its_own_order_and_shows_names_that_nothing_knows() -> None:
    rows = [row(symbol, session) for symbol in ("AA", "BB", "CC") for session in (3, 4)]
    found = scanned(
        rows, 4, use="harmony_pipeline.scanner.fixed:FixedList", symbols=("CC", "ZZ", "AA")
    )
    assert found.selections["symbol"].to_list() == ["CC", "AA"]
    reasons = dict(found.candidates.select("symbol", "rejected_by").iter_rows())
    assert reasons == {"AA": [], "BB": ["not_in_list"], "CC": [], "ZZ": ["unknown_symbol"]}


QUERY = "harmony_pipeline.scanner.query:QueryScanner"


def test_a_query_may_order_and_limit_each_day_by_itself() -> None:
    rows = [
        row(symbol, session, premarket_volume=volume)
        for symbol, volume in (("AA", 5.0), ("BB", 9.0), ("CC", 7.0))
        for session in (3, 4, 5)
    ]
    summary = DAILY_SUMMARY.conform(pl.DataFrame(rows, schema_overrides=DAILY_SUMMARY.dtypes))
    settings = ScannerSettings(
        use=QUERY,
        query=(
            "select symbol, premarket_volume as score from candidates order by score desc limit 2"
        ),
    )
    found = build_scanner(settings).scan(
        summary, UNIVERSE.empty(), CORPORATE_ACTIONS.empty(), SESSIONS[4:6], CALENDAR
    )
    assert found.selections.select("date", "symbol").rows() == [
        (day, symbol) for day in SESSIONS[4:6] for symbol in ("BB", "CC")
    ]
    assert found.candidates.filter(pl.col("symbol") == "AA")["rejected_by"].to_list() == [
        ["query"],
        ["query"],
    ]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("selec symbol", "cannot be run"),
        ("select symbol, close as score from candidates", "cannot be run"),
        ("select symbol, 1 as score from '/etc/passwd'", "cannot be run"),
        ("select symbol from candidates", "expected the columns symbol and score"),
        ("create table t (a int)", "expected the columns symbol and score"),
        ("select symbol, 1 as score from candidates, range(2)", "more than once"),
        ("select 'QQ' as symbol, 1 as score", "no symbol of candidates"),
        ("select symbol, 'high' as score from candidates", "no number"),
        (None, "is empty"),
    ],
)
def test_a_query_that_cannot_be_used_is_a_settings_error(query: str | None, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        scanned([row("AA", 3), row("AA", 4)], 4, use=QUERY, query=query)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"use": "nonsense"}, "is no import path: write package"),
        (
            {"use": "harmony_pipeline.scanner.nowhere:X"},
            "there is no module harmony_pipeline.scanner.nowhere",
        ),
        ({"use": "harmony_pipeline.scanner.fixed:Nothing"}, "has no Nothing"),
        ({"use": "harmony_pipeline.scanner.ranking:ScanResult"}, "is no Scanner"),
        ({"use": "harmony_pipeline.scanner.fixed:FixedList"}, r"scanner\.symbols is empty"),
        ({"rank_by": "luck"}, "no measure"),
    ],
)
def test_a_scanner_that_cannot_be_built_says_why(settings: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        build_scanner(ScannerSettings(**settings))


def test_a_day_without_trading_and_a_summary_of_another_hour_are_refused() -> None:
    with pytest.raises(DataError, match="no session of XNYS"):
        build_scanner(ScannerSettings()).scan(
            DAILY_SUMMARY.empty(),
            UNIVERSE.empty(),
            CORPORATE_ACTIONS.empty(),
            [date(2024, 1, 6)],
            CALENDAR,
        )
    with pytest.raises(NotReady, match=r"known at 09:25, and scanner\.as_of is 09:00"):
        scanned([row("AA", 3), row("AA", 4)], 4, as_of="09:00")


# --- against a plain rewriting --------------------------------------------------------------------


def plainly(
    summary: list[dict],
    universe: list[dict],
    ratios: dict[tuple[str, date], float],
    day: date,
    symbol: str,
) -> dict[str, float | None]:
    """The measures of one symbol and day, in loops."""
    past = [entry for entry in summary if entry["symbol"] == symbol and entry["date"] < day]
    today = [
        entry
        for entry in summary
        if entry["symbol"] == symbol and entry["date"] == day and entry["premarket_bars"]
    ]

    def shares_since(then: date) -> float:
        return math.prod(
            ratio for (name, ex), ratio in ratios.items() if name == symbol and then < ex <= day
        )

    closed = [entry for entry in past if entry["close"] is not None]
    previous = closed[-1]["close"] / shares_since(closed[-1]["date"]) if closed else None
    volumes = [entry["premarket_volume"] * shares_since(entry["date"]) for entry in past[-20:]]
    usual = sum(volumes) / len(volumes) if volumes else 0.0
    volume = today[0]["premarket_volume"] if today else 0.0
    known = [entry for entry in universe if entry["symbol"] == symbol and entry["date"] <= day]
    return {
        "previous_close": previous,
        "gap": today[0]["premarket_last"] / previous - 1 if today and previous else None,
        "price": today[0]["premarket_last"] if today else previous,
        "premarket_volume": volume,
        "relative_volume": volume / usual if usual > 0 else None,
        "dollar_volume": closed[-1]["close"] * closed[-1]["volume"] if closed else None,
        "float": known[-1]["float"] if known else None,
        "history_sessions": len(past),
    }


@given(seed=st.integers(0, 10_000))
@settings(max_examples=12)
def test_every_measure_of_every_day_is_what_plain_loops_say(seed: int) -> None:
    summary, universe, actions = made_up_market(seed)
    ratios = {(symbol, day): value for symbol, day, _, value in actions.iter_rows()}
    scanner = build_scanner(ScannerSettings())
    found = scanner.scan(summary, universe, actions, SESSIONS, CALENDAR).candidates
    rows, register_rows = summary.to_dicts(), universe.to_dicts()
    for candidate in found.filter(pl.col("date").is_in(SESSIONS[(seed % 10) :: 10])).iter_rows(
        named=True
    ):
        expected = plainly(rows, register_rows, ratios, candidate["date"], candidate["symbol"])
        assert {name: candidate[name] is None for name in expected} == {
            name: value is None for name, value in expected.items()
        }
        numbers = {name: value for name, value in expected.items() if value is not None}
        assert {name: candidate[name] for name in numbers} == pytest.approx(numbers, rel=1e-12)
    assert set(found["symbol"]) == set(SYMBOLS)


@pytest.mark.parametrize("seed", [1, 7])
def test_the_order_of_the_tables_that_are_handed_in_changes_nothing(seed: int) -> None:
    tables = made_up_market(seed)
    shuffled = (table.sample(fraction=1.0, shuffle=True, seed=seed) for table in tables)
    wanted, found = (
        build_scanner(ScannerSettings()).scan(*three, SESSIONS, CALENDAR)
        for three in (tables, shuffled)
    )
    assert found.candidates.equals(wanted.candidates)
    assert found.selections.equals(wanted.selections)


# --- real mornings --------------------------------------------------------------------------------

KNOWN_GAPPERS = {
    ("ORCL", date(2025, 1, 22)): 0.11,
    ("NFLX", date(2025, 1, 22)): 0.15,
    ("TWLO", date(2025, 1, 24)): 0.22,
    ("NVDA", date(2025, 1, 27)): -0.12,
    ("AVGO", date(2025, 1, 27)): -0.11,
    ("TEAM", date(2025, 1, 31)): 0.20,
    ("PLTR", date(2025, 2, 4)): 0.23,
    ("SWKS", date(2025, 2, 6)): -0.28,
    ("APPS", date(2025, 2, 6)): 0.25,
    ("AFRM", date(2025, 2, 7)): 0.13,
}


def test_the_known_gappers_of_early_2025_are_found_before_the_open(market_data: Path) -> None:
    raw = pl.read_parquet(market_data / "us_equity_minute" / "extended_2025" / "*.parquet").sort(
        "symbol", "timestamp"
    )
    calendar = Calendar.of("XNYS")
    bars = (
        calendar.with_session(raw, "1Min")
        .filter(pl.col("session").is_not_null())
        .with_columns(adjustment_factor=pl.lit(1.0))
    )
    summary = summarise(bars, calendar, "1Min", "09:25")
    days = summary["date"].unique().sort().to_list()
    found = build_scanner(ScannerSettings()).scan(
        summary, UNIVERSE.empty(), CORPORATE_ACTIONS.empty(), days[1:], calendar
    )
    assert found.candidates.height == 99 * 24
    selected = {
        (symbol, day): rank
        for day, rank, symbol in found.selections.select("date", "rank", "symbol").iter_rows()
    }
    gaps = {
        (symbol, day): gap
        for day, symbol, gap in found.candidates.select("date", "symbol", "gap").iter_rows()
    }
    for gapper, gap in KNOWN_GAPPERS.items():
        assert selected.get(gapper, 99) <= 6
        assert gaps[gapper] == pytest.approx(gap, abs=0.035)


@given(
    st.lists(
        st.lists(st.sampled_from([True, False, None]), min_size=15, max_size=15),
        min_size=1,
        max_size=8,
    ),
    st.integers(1, 15),
)
def test_reasons_are_the_names_of_the_checks_that_hold_however_many_there_are(
    rows: list[list[bool | None]], count: int
) -> None:
    names = [f"rule_{at}" for at in range(count)]
    table = pl.DataFrame(
        {name: [row[at] for row in rows] for at, name in enumerate(names)},
        schema=dict.fromkeys(names, pl.Boolean),
    )
    found = table.select(rejections({name: pl.col(name) for name in names}))[
        "rejected_by"
    ].to_list()
    assert found == [[name for at, name in enumerate(names) if row[at]] for row in rows]
