"""Listings: who traded under which symbol, as known on any day, and never sooner."""

import os
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harmony_pipeline.errors import ConfigError, DataError
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.listings import (
    EVENTS,
    apply_events,
    listings_from_snapshots,
    listings_from_universe,
    members,
    new_rows,
)
from harmony_pipeline.market.source_settings import FileSourceSettings
from harmony_pipeline.market.sources.files import FileSource
from harmony_pipeline.schemas import LISTINGS, UNIVERSE

NYSE = Calendar.of("XNYS")
DAYS = NYSE.sessions(date(2024, 1, 2), date(2024, 3, 1))
DATA = Path(os.environ.get("HARMONY_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))


def universe(*rows: dict[str, object]) -> pl.DataFrame:
    return (
        UNIVERSE.conform(pl.DataFrame(list(rows), schema_overrides=UNIVERSE.dtypes))
        if rows
        else UNIVERSE.empty()
    )


def snapshots(*rows: tuple[date, str, str]) -> pl.DataFrame:
    return UNIVERSE.conform(
        pl.DataFrame(rows, schema=["date", "security_id", "symbol"], orient="row")
    )


def events(*rows: tuple[str, date, str, str | None]) -> pl.DataFrame:
    return pl.DataFrame([(*row, None) for row in rows], schema=EVENTS, orient="row")


def names(
    listings: pl.DataFrame, day: date, facts: pl.DataFrame | None = None
) -> list[tuple[str, str]]:
    return (
        members(UNIVERSE.empty() if facts is None else facts, listings, day)
        .select("symbol", "security_id")
        .rows()
    )


# --- nothing known before its time ----------------------------------------------------------------


@st.composite
def shown(draw: st.DrawFn) -> list[tuple[date, str, str]]:
    """A few securities that come, skip days, change symbols, vanish and return over 25
    snapshots.
    """
    rows = []
    for security in ("ONE", "TWO", "THREE"):
        symbol = security
        for place in range(25):
            if draw(st.integers(0, 19)) == 0:
                symbol = f"{security}{place}"
            if draw(st.integers(0, 9)) < draw(st.sampled_from([3, 9])):
                rows.append((DAYS[place], security, symbol))
    return rows


@given(shown(), shown(), st.integers(1, 24))
def test_snapshots_after_a_day_change_no_members_before_it(
    first: list[tuple[date, str, str]], second: list[tuple[date, str, str]], cut: int
) -> None:
    past = [row for row in first if row[0] < DAYS[cut]]
    other = past + [row for row in second if row[0] >= DAYS[cut]]
    one, two = (snapshots(*sorted(rows)) for rows in (first, other))
    listed = [listings_from_snapshots(rows, NYSE, "test") for rows in (one, two)]
    fresh = [new_rows(rows, NYSE) for rows in (one, two)]
    # what was written after the close before DAYS[cut] is known on DAYS[cut]
    for day in DAYS[: cut + 1]:
        assert members(fresh[0], listed[0], day).equals(members(fresh[1], listed[1], day))


@st.composite
def stated(
    draw: st.DrawFn,
) -> tuple[list[dict[str, object]], list[tuple[str, date, str, str | None]]]:
    """Rows of a universe and corporate events on random days."""
    rows: dict[tuple[date, str], dict[str, object]] = {}
    for _ in range(draw(st.integers(1, 12))):
        known = draw(st.sampled_from(DAYS))
        delisted = draw(st.none() | st.integers(0, 20))
        row = {
            "date": known,
            "symbol": draw(st.sampled_from("ABCD")),
            "listed": draw(st.none() | st.sampled_from(DAYS)),
            "delisted": None if delisted is None else known + timedelta(days=delisted),
            "shares": draw(st.floats(1, 10)),
        }
        rows[known, str(row["symbol"])] = row
    told = st.tuples(
        st.sampled_from("ABCD"),
        st.sampled_from(DAYS),
        st.sampled_from([("symbol_change", "X"), ("symbol_change", "A"), ("delisting", None)]),
    )
    happened = {
        (symbol, day): (symbol, day, kind, successor)
        for symbol, day, (kind, successor) in draw(st.lists(told, max_size=5))
        if successor != symbol
    }
    return list(rows.values()), list(happened.values())


@given(stated(), stated(), st.integers(1, len(DAYS) - 1))
def test_what_is_learned_after_a_day_changes_no_members_before_it(first, second, cut: int) -> None:
    rows, happened = first
    moment = DAYS[cut]
    other_rows = [row for row in rows if row["date"] < moment] + [
        row for row in second[0] if row["date"] >= moment
    ]
    other_events = [event for event in happened if event[1] < moment] + [
        event for event in second[1] if event[1] >= moment
    ]
    told = [(universe(*rows), events(*happened)), (universe(*other_rows), events(*other_events))]
    listed = [
        apply_events(listings_from_universe(facts, "test"), change, "actions")
        for facts, change in told
    ]
    for day in DAYS[:cut]:
        assert members(told[0][0], listed[0], day).equals(members(told[1][0], listed[1], day))


# --- what is known --------------------------------------------------------------------------------


def test_a_symbol_is_a_member_from_its_listing_to_its_delisting_and_is_not_forgotten():
    facts = universe(
        {
            "date": date(2024, 1, 2),
            "symbol": "OLD",
            "listed": date(2010, 1, 4),
            "shares": 5.0,
            "sector": "Energy",
        },
        {
            "date": date(2024, 1, 10),
            "symbol": "OLD",
            "listed": date(2010, 1, 4),
            "delisted": date(2024, 1, 17),
            "shares": 5.0,
            "sector": "Energy",
        },
        {"date": date(2024, 1, 12), "symbol": "NEW", "listed": date(2024, 1, 16)},
    )
    listed = listings_from_universe(facts, "test")
    assert names(listed, date(2024, 1, 2), facts) == [("OLD", "OLD")]
    # NEW is announced, not listed
    assert names(listed, date(2024, 1, 12), facts) == [("OLD", "OLD")]
    assert names(listed, date(2024, 1, 16), facts) == [("NEW", "NEW"), ("OLD", "OLD")]
    assert names(listed, date(2024, 1, 17), facts) == [("NEW", "NEW")]
    assert members(facts, listed, date(2024, 1, 16)).row(1, named=True) == {
        "symbol": "OLD", "security_id": "OLD", "listed": date(2010, 1, 4), "shares": 5.0,
        "float": None, "market_cap": None, "sector": "Energy",
    }  # fmt: skip


def test_a_change_of_symbol_keeps_the_security():
    facts = universe(
        {"date": date(2022, 1, 3), "symbol": "FB", "listed": date(2012, 5, 18)},
        {"date": date(2022, 6, 9), "symbol": "META", "listed": date(2022, 6, 9)},
    )
    listed = apply_events(
        listings_from_universe(facts, "test"),
        events(("FB", date(2022, 6, 9), "symbol_change", "META")),
        "actions",
    )
    assert names(listed, date(2022, 6, 8), facts) == [("FB", "FB")]
    assert names(listed, date(2022, 6, 9), facts) == [("META", "FB")]
    ended = listed.filter(pl.col("valid_to").is_not_null())
    assert ended.select(
        "symbol", "valid_from", "valid_to", "successor", "reason", "known"
    ).rows() == [
        ("FB", date(2012, 5, 18), date(2022, 6, 9), "META", "symbol_change", date(2022, 6, 9))
    ]


def test_a_chain_of_changes_is_one_security_and_a_reused_symbol_another():
    chain = events(
        ("A", date(2024, 1, 5), "symbol_change", "B"),
        ("B", date(2024, 2, 5), "symbol_change", "C"),
        ("C", date(2024, 2, 20), "delisting", None),
    )
    listed = apply_events(LISTINGS.empty(), chain, "actions")
    assert listed["security_id"].unique().to_list() == ["A"]
    assert [
        names(listed, day) for day in (date(2024, 1, 5), date(2024, 2, 5), date(2024, 2, 20))
    ] == [[("B", "A")], [("C", "A")], []]
    facts = universe(
        {
            "date": date(2024, 1, 2),
            "symbol": "AAA",
            "listed": date(2002, 1, 2),
            "delisted": date(2024, 1, 5),
        },
        {"date": date(2024, 2, 1), "symbol": "AAA", "listed": date(2024, 2, 1)},
    )
    again = listings_from_universe(facts, "test")
    assert names(again, date(2024, 1, 4), facts) == [("AAA", "AAA")]
    assert names(again, date(2024, 1, 20), facts) == []
    assert names(again, date(2024, 2, 1), facts) == [("AAA", "AAA:2024-02-01")]


def test_snapshots_tell_arrivals_changes_and_departures_once_they_can_be_known():
    rows = [(day, "STAYS", "S") for day in DAYS[:12]]
    rows += [(day, "RENAMED", "R1" if at < 4 else "R2") for at, day in enumerate(DAYS[:12])]
    rows += [(day, "GOES", "G") for day in DAYS[:3]]
    rows += [(day, "COMES", "N") for day in DAYS[6:12]]
    rows += [(day, "SKIPS", "K") for at, day in enumerate(DAYS[:12]) if at not in (5, 6)]
    listed = listings_from_snapshots(snapshots(*rows), NYSE, "test")
    known = {
        (row["symbol"], row["reason"]): (row["valid_from"], row["valid_to"], row["known"])
        for row in listed.iter_rows(named=True)
    }
    assert known["S", "known"] == (None, None, DAYS[1])
    assert known["N", "appeared"] == (DAYS[6], None, DAYS[7])
    assert known["R1", "symbol_change"] == (None, DAYS[4], DAYS[5])
    assert known["R2", "symbol_change"] == (DAYS[4], None, DAYS[5])
    # absent from five snapshots, the fifth written after the close of DAYS[7]
    assert known["G", "delisting"] == (None, DAYS[3], DAYS[8])
    assert ("K", "delisting") not in known
    assert ("G", "GOES") in names(listed, DAYS[7])
    assert ("G", "GOES") not in names(listed, DAYS[8])
    assert names(listed, DAYS[0]) == []  # written after the first close


def test_snapshots_keep_only_what_is_new_dated_by_the_session_that_could_use_it():
    rows = pl.concat([snapshots(*((day, "ONE", "A") for day in DAYS[:5]))]).with_columns(
        market_cap=pl.Series([1.0, 1.0, 2.0, 2.0, 1.0])
    )
    assert new_rows(rows, NYSE).select("date", "market_cap").rows() == [
        (DAYS[1], 1.0),
        (DAYS[3], 2.0),
        (DAYS[5], 1.0),
    ]


# --- from files -----------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "bars.csv").write_text(
        "symbol,timestamp,open,high,low,close,volume\nNAN,2024-01-02,1,1,1,1,1\n"
    )
    return tmp_path


def files(folder: Path, **texts: str) -> FileSource:
    chosen = {}
    for key, text in texts.items():
        (folder / f"{key}.csv").write_text(text)
        chosen[key] = f"{key}.csv"
    return FileSource(FileSourceSettings(paths=("bars.csv",), **chosen), NYSE, folder, "1Day")


def test_symbol_changes_and_delistings_among_corporate_actions_go_to_listings(folder: Path) -> None:
    source = files(
        folder,
        corporate_actions="symbol,date,kind,value\nFB,2022-06-09,Symbol_Change,META\nFB,2020-01-02,dividend,0.5\nTWTR,2022-10-28,delisting,\n",
    )
    assert source.corporate_actions(None).select("symbol", "kind").rows() == [("FB", "dividend")]
    ended = (
        source.listings()
        .filter(pl.col("valid_to").is_not_null())
        .select("symbol", "valid_to", "successor", "reason")
        .rows()
    )
    assert ended == [
        ("FB", date(2022, 6, 9), "META", "symbol_change"),
        ("TWTR", date(2022, 10, 28), None, "delisting"),
    ]


def test_a_listings_file_becomes_an_open_and_a_closed_version(folder: Path) -> None:
    source = files(
        folder,
        listings="symbol,valid_from,valid_to,successor,known\nFB,2012-05-18,2022-06-09,META,2021-10-28\nMETA,2022-06-09,,,\n",
    )
    assert source.listings().select("symbol", "valid_to", "reason", "known").rows() == [
        ("FB", None, "listed", date(2012, 5, 18)),
        ("FB", date(2022, 6, 9), "symbol_change", date(2021, 10, 28)),
        ("META", None, "listed", date(2022, 6, 9)),
    ]  # fmt: skip


def test_na_and_nan_are_symbols(folder: Path) -> None:
    source = files(folder, universe="date,symbol\n2024-01-02,NAN\n2024-01-02,NA\n")
    assert source.universe()["symbol"].to_list() == ["NA", "NAN"]
    from market.raw_rows import utc

    rows = source.bars(None, utc(2024, 1, 1), utc(2024, 2, 1), "1Day")
    assert rows.select("symbol", "defect").rows() == [("NAN", None)]


def test_a_universe_of_other_names_and_without_dates_is_mapped(folder: Path) -> None:
    (folder / "caps.csv").write_text("ticker,Cap (USD)\nAAA,5e9\nBBB,\n")
    chosen = FileSourceSettings(
        paths=("bars.csv",),
        universe="caps.csv",
        universe_columns={"market_cap": "Cap (USD)"},
        universe_date=date(2024, 1, 5),
    )
    assert FileSource(chosen, NYSE, folder).universe().select("date", "symbol",
    "market_cap").rows() == [
        (date(2024, 1, 5), "AAA", 5e9), (date(2024, 1, 5), "BBB", None),
    ]  # fmt: skip
    with pytest.raises(ConfigError, match="no column of universe"):
        FileSource(
            chosen.model_copy(update={"universe_columns": {"size": "x"}}), NYSE, folder
        ).universe()
    with pytest.raises(DataError, match="'nosuch', which"):
        FileSource(
            chosen.model_copy(update={"universe_columns": {"float": "nosuch"}}), NYSE, folder
        ).universe()
    with pytest.raises(DataError, match="does not exist"):
        FileSource(chosen.model_copy(update={"universe": "nothing/*.csv"}), NYSE, folder).universe()


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (
            {"corporate_actions": "symbol,date,kind,value\nFB,2022-06-09,symbol_change,\n"},
            "row 2: value is empty, expected the new symbol",
        ),
        (
            {"corporate_actions": "symbol,date,kind,value\nFB,2022-06-09,symbol_change,FB\n"},
            "expected another symbol",
        ),
        (
            {"corporate_actions": "symbol,date,kind,value\nFB,2022-06-09,merger,1\n"},
            "kind is 'merger', expected split, dividend, symbol_change or delisting",
        ),
        (
            {"listings": "symbol,valid_from,valid_to\nFB,2022-06-09,2022-06-09\n"},
            "row 2: it ends on 2022-06-09, which is not after",
        ),
        ({"listings": "symbol,valid_from\n,2022-06-09\n"}, "row 2: symbol is empty"),
        ({"listings": "symbol,valid_from\nFB,soon\n"}, "valid_from is 'soon', expected a date"),
    ],
)
def test_a_bad_row_refuses_the_file_and_says_where(
    folder: Path, texts: dict[str, str], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        files(folder, **texts).listings()


@pytest.mark.skipif(
    not (DATA / "DATA.md").exists(), reason="no real market data here: set HARMONY_DATA"
)
def test_the_snapshots_of_march_2014_key_on_the_security() -> None:
    chosen = FileSourceSettings(
        paths=("us_equity_daily/SPY.csv",), universe="us_equity_universe", universe_snapshots=True
    )
    source = FileSource(chosen, NYSE, DATA)
    facts, listed = source.universe(), source.listings()
    sizes = [
        members(facts, listed, day).height
        for day in (date(2014, 3, 24), date(2014, 3, 25), date(2014, 4, 1))
    ]
    assert sizes[:2] == [0, 7_111]  # the first snapshot is known only after its close
    assert 7_200 < sizes[2] < 7_300
    found = members(facts, listed, date(2014, 3, 25))
    assert found["symbol"].n_unique() == 7_104
    assert found.filter(pl.col("symbol") == "BIN")["security_id"].to_list() == [
        "BIN UD72SVNG4XUT",
        "WCNX RB0Y4A7JXZDX",
    ]
    assert "NAN" in found["symbol"].to_list()


def test_a_universe_in_any_order_gives_the_same_listings() -> None:
    rows = [
        {"date": day, "symbol": symbol, "shares": float(at)}
        for symbol in "AB"
        for at, day in enumerate(DAYS[:5])
    ]
    whole = listings_from_universe(universe(*rows), "test")
    shuffled = universe(*rows)[np.random.default_rng(1).permutation(len(rows))]
    assert listings_from_universe(shuffled, "test").equals(whole)
    assert whole.select("symbol", "known").rows() == [("A", DAYS[0]), ("B", DAYS[0])]
