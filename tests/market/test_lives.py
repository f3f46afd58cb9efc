"""What listings become for a holder: delistings, changes of symbol, symbols used again; each on the
day on which it is true and known.
"""

from datetime import date
from pathlib import Path

import polars as pl
import pytest

from harmony_pipeline.errors import DataError
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.listings import EVENTS, apply_events, listings_from_snapshots
from harmony_pipeline.market.lives import (
    LIFE_EVENTS,
    actions_by_new_symbol,
    ended_symbols,
    life_events,
    relevant_events,
    securities_begin,
)
from harmony_pipeline.market.source_settings import FileSourceSettings
from harmony_pipeline.market.sources.files import FileSource
from harmony_pipeline.schemas import CORPORATE_ACTIONS, LISTINGS, UNIVERSE

NYSE = Calendar.of("XNYS")
D1, D2, D3, D4 = date(2024, 1, 5), date(2024, 2, 5), date(2024, 2, 20), date(2024, 3, 4)


def listed(*rows: dict[str, object]) -> pl.DataFrame:
    filled = [{"source": "test", "reason": "listed"} | row for row in rows]
    return LISTINGS.conform(pl.DataFrame(filled, schema=LISTINGS.dtypes))


def told(*rows: tuple[object, ...]) -> pl.DataFrame:
    events = pl.DataFrame(list(rows), schema=EVENTS, orient="row")
    return life_events(apply_events(LISTINGS.empty(), events, "actions"))


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ("DEAD,2023-06-28,delisting,\n", [(date(2023, 6, 28), "delisting", "DEAD", None, None)]),
        (
            "twtr,2022-10-28,Delisting,54.20\n",
            [(date(2022, 10, 28), "delisting", "twtr", None, 54.2)],
        ),
        ("SIVB,2023-03-28,delisting,0\n", [(date(2023, 3, 28), "delisting", "SIVB", None, 0.0)]),
        (
            "FB,2022-06-09,symbol_change,META\n",
            [(date(2022, 6, 9), "symbol_change", "FB", "META", None)],
        ),
        (
            "A,2024-01-05,symbol_change,B\nB,2024-02-05,symbol_change,C\nC,2024-02-20,delisting,1.5\n",
            [
                (D1, "symbol_change", "A", "B", None),
                (D2, "symbol_change", "B", "C", None),
                (D3, "delisting", "C", None, 1.5),
            ],
        ),
    ],
)
def test_a_file_of_corporate_actions_tells_of_lives(
    rows: str, expected: list[tuple[object, ...]], tmp_path: Path
) -> None:
    (tmp_path / "actions.csv").write_text("symbol,date,kind,value\n" + rows)
    source = FileSource(
        FileSourceSettings(paths=("bars",), corporate_actions="actions.csv"), NYSE, tmp_path
    )
    assert [
        (day, kind, symbol.upper() if symbol == "TWTR" else symbol, *rest)
        for day, kind, symbol, *rest in life_events(source.listings()).rows()
    ] == expected


def test_a_delisting_that_pays_less_than_nothing_is_refused(tmp_path: Path) -> None:
    (tmp_path / "actions.csv").write_text("symbol,date,kind,value\nAAA,2024-01-05,delisting,-1\n")
    source = FileSource(
        FileSourceSettings(paths=("bars",), corporate_actions="actions.csv"), NYSE, tmp_path
    )
    with pytest.raises(DataError, match="row 2: value is '-1', expected the cash paid per share"):
        source.listings()


def test_an_end_that_is_found_out_later_happens_when_it_is_known() -> None:
    late = listed(
        {"security_id": "A", "symbol": "A", "valid_from": D1, "known": D1},
        {"security_id": "A", "symbol": "A", "valid_from": D1, "valid_to": D2, "known": D3},
    )
    assert life_events(late).rows() == [(D3, "delisting", "A", None, None)]
    twice = pl.concat(
        [
            late,
            listed(
                {"security_id": "A", "symbol": "A", "valid_from": D1, "valid_to": D3, "known": D4}
            ),
        ]
    )
    # what was booked is not booked again
    assert life_events(twice).rows() == [(D3, "delisting", "A", None, None)]


def test_snapshots_tell_of_a_delisting_five_sessions_late() -> None:
    days = NYSE.sessions(date(2024, 1, 2), date(2024, 2, 1))
    rows = [(day, "X", "XXX") for day in days[:8]] + [(day, "Y", "YYY") for day in days]
    shown = UNIVERSE.conform(
        pl.DataFrame(rows, schema=["date", "security_id", "symbol"], orient="row")
    )
    assert life_events(listings_from_snapshots(shown, NYSE, "test")).rows() == [
        (days[13], "delisting", "XXX", None, None)
    ]


def test_a_symbol_that_another_security_takes_begins_again() -> None:
    rows = listed(
        {"security_id": "one", "symbol": "AAA", "valid_from": D1, "known": D1},
        {"security_id": "two", "symbol": "AAA", "valid_from": D3, "known": D3},
    )
    assert life_events(rows).rows() == [(D3, "listing", "AAA", None, None)]
    ended = pl.concat(
        [
            rows,
            listed(
                {
                    "security_id": "one",
                    "symbol": "AAA",
                    "valid_from": D1,
                    "valid_to": D2,
                    "known": D2,
                    "reason": "delisting",
                    "recovery": 3.0,
                }
            ),
        ]
    )
    assert life_events(ended).rows() == [
        (D2, "delisting", "AAA", None, 3.0),
        (D3, "listing", "AAA", None, None),
    ]
    assert ended_symbols(life_events(ended)) == {"AAA": "listing"}
    assert ended_symbols(life_events(ended).head(1)) == {"AAA": "delisting"}
    assert securities_begin(life_events(ended)).rows() == [("AAA", D2), ("AAA", D3)]


def test_changes_of_one_day_make_room_before_they_move_in() -> None:
    chain = told(
        ("A", D1, "symbol_change", "B", None),
        ("B", D1, "symbol_change", "C", None),
        ("C", D1, "delisting", None, None),
    )
    assert [(kind, symbol) for _, kind, symbol, _, _ in chain.rows()] == [
        ("delisting", "C"),
        ("symbol_change", "B"),
        ("symbol_change", "A"),
    ]
    change = {"valid_to": D1, "known": D1, "reason": "symbol_change"}
    circle = listed(
        {"security_id": "A", "symbol": "A", "successor": "B", **change},
        {"security_id": "B", "symbol": "B", "successor": "A", **change},
    )
    with pytest.raises(
        DataError, match=r"A and B change symbols in a circle on 2024-01-05: correct"
    ):
        life_events(circle)


def test_only_what_concerns_the_symbols_is_kept_along_chains_and_for_those_who_take_them_over() -> (
    None
):
    events = told(
        ("A", D1, "symbol_change", "B", None), ("B", D2, "symbol_change", "C", None),
        ("X", D2, "delisting", None, None), ("Y", D3, "symbol_change", "Z", None)
    )  # fmt: skip
    assert relevant_events(events, ["A"])["symbol"].to_list() == ["A", "B"]
    assert relevant_events(events, ["A"], D1)["symbol"].to_list() == ["A"]
    assert relevant_events(events, ["Z"])["symbol"].to_list() == ["Y"]
    assert relevant_events(events, []).is_empty()


def test_an_action_of_the_day_of_a_change_stands_once_under_the_new_symbol() -> None:
    events = pl.DataFrame([(D2, "symbol_change", "A", "B", None)], schema=LIFE_EVENTS, orient="row")
    rows = [
        ("A", D1, "split", 2.0),
        ("A", D2, "split", 3.0),
        ("B", D2, "split", 3.0),
        ("A", D2, "dividend", 0.5),
        ("B", D3, "split", 4.0),
    ]
    actions = CORPORATE_ACTIONS.conform(
        pl.DataFrame(rows, schema=CORPORATE_ACTIONS.dtypes, orient="row")
    )
    expected = [
        ("A", D1, "split", 2.0),
        ("B", D2, "dividend", 0.5),
        ("B", D2, "split", 3.0),
        ("B", D3, "split", 4.0),
    ]
    assert actions_by_new_symbol(actions, events).rows() == expected
    assert actions_by_new_symbol(actions, events.clear()).equals(actions)
