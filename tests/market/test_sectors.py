"""Which sector a symbol is in, as known on a day."""

from datetime import date

import polars as pl
import pytest

from harmony_pipeline.market.sectors import UNKNOWN, Sectors

TABLE = pl.DataFrame(
    {
        "symbol": ["B", "A", "A", "A", "C"],
        "date": [date(2024, 1, 1), date(2024, 3, 1), date(2024, 1, 1), date(2024, 2, 1), date(2024, 1, 1)],
        "sector": ["tech", "tech", "energy", "energy", None],
        "float": [1.0, 2.0, 3.0, 4.0, 5.0],
    }
)  # fmt: skip


def test_a_sector_is_what_was_known_on_the_day():
    sectors = Sectors.of_table(TABLE)
    assert sectors.at("A", date(2023, 12, 31)) == UNKNOWN
    assert sectors.at("A", date(2024, 2, 29)) == 1
    assert sectors.at("A", date(2024, 3, 1)) == sectors.at("B", date(2024, 3, 1)) == 2
    assert sectors.at("C", date.max) == sectors.at("D", date.max) == UNKNOWN


def test_a_change_is_a_day_on_which_the_sector_becomes_another():
    sectors = Sectors.of_table(TABLE)
    assert sectors.changes(["A"]) == [date(2024, 1, 1), date(2024, 3, 1)]
    assert sectors.changes(["C", "D"]) == []
    assert sectors.only(["B"]).rows == (("B", date(2024, 1, 1), "tech"),)


def test_what_is_known_on_a_day_is_one_row_a_symbol_from_the_day_of_its_change():
    sectors = Sectors.of_table(TABLE)
    assert sectors.known_on(date(2024, 2, 15)).rows == (
        ("A", date(2024, 1, 1), "energy"),
        ("B", date(2024, 1, 1), "tech"),
    )
    assert sectors.known_on(date(2023, 1, 1)).rows == ()
    assert sectors.history("A") == ([date(2024, 1, 1), date(2024, 3, 1)], [1, 2])
    assert sectors.history("C") == ([], [])


def test_the_hash_sees_the_sectors_that_symbols_have_in_its_days_and_no_repetition():
    sectors = Sectors.of_table(TABLE)
    march, april = date(2024, 3, 1), date(2024, 4, 1)
    of_march = sectors.hash_of("AB", march, april)
    assert sectors.hash_of("CD", march, april) == ""
    assert sectors.hash_of("AB", date(2023, 1, 1), date(2024, 1, 1)) == ""
    assert len({of_march, sectors.hash_of("A", march, april), ""}) == 3
    assert of_march != sectors.hash_of("AB", date(2024, 1, 1), april)
    repeated = Sectors((*sectors.rows, ("A", date(2024, 3, 5), "tech")))
    assert repeated.hash_of("AB", march, april) == of_march
    other = Sectors.of_table(
        TABLE.with_columns(sector=pl.col("sector").str.replace("tech", "banks"))
    )
    assert other.hash_of("AB", march, april) != of_march
    # what a symbol was before, and what others are, is no part of it
    before = Sectors.of_table(TABLE.with_columns(pl.col("sector").replace("energy", "steel")))
    assert before.hash_of("AB", march, april) == of_march
    assert before.hash_of("AB", date(2024, 2, 1), march) != sectors.hash_of(
        "AB", date(2024, 2, 1), march
    )


# --- another security under a symbol --------------------------------------------------------------

FACTS = {
    "date": pl.Date, "symbol": pl.String, "security_id": pl.String, "listed": pl.Date,
    "delisted": pl.Date, "sector": pl.String,
}  # fmt: skip
OLD, GONE, NEW = date(2002, 1, 2), date(2007, 5, 1), date(2020, 9, 10)


def universe(*rows):
    return Sectors.of_table(pl.DataFrame(rows, FACTS, orient="row"))


@pytest.mark.parametrize("ids", [("1", "2"), (None, None)], ids=["ids", "dates of listing"])
def test_who_takes_over_a_symbol_and_states_no_sector_has_none(ids):
    first, second = ids
    before = (OLD, "AAA", first, OLD, None, "banks")
    gone = (GONE, "AAA", first, OLD, GONE, "banks")
    taken = (NEW, "AAA", second, NEW, None, None)
    later = (date(2021, 1, 4), "AAA", second, NEW, None, "funds")
    sectors = universe(before, gone, taken, later)
    assert sectors.history("AAA") == ([OLD, NEW, later[0]], [1, UNKNOWN, 2])
    assert sectors.at("AAA", NEW) == UNKNOWN
    assert sectors.changes(["AAA"]) == [OLD, NEW, later[0]]
    assert sectors.known_on(NEW).rows == ()
    assert sectors.only(["AAA"]).at("AAA", date(2020, 12, 1)) == UNKNOWN
    assert sectors.hash_of(["AAA"], NEW, later[0]) == ""


def test_a_row_of_the_same_security_that_states_none_says_nothing():
    sectors = universe(
        (OLD, "AAA", "1", OLD, None, "banks"), (GONE, "AAA", "1", OLD, None, None)
    )  # fmt: skip
    assert sectors.history("AAA") == ([OLD], [1])


def test_what_is_said_late_of_a_security_that_is_gone_is_not_said_of_the_one_that_took_over():
    late = date(2020, 9, 14)
    for stated in (None, "funds"):
        sectors = universe(
            (OLD, "AAA", "1", OLD, None, "banks"), (NEW, "AAA", "2", NEW, None, stated),
            (late, "AAA", "1", OLD, GONE, "banks"),
        )  # fmt: skip
        assert sectors.at("AAA", late) == sectors.at("AAA", NEW)
        assert sectors.at("AAA", late) == (UNKNOWN if stated is None else 2)


def test_of_two_securities_that_begin_on_one_day_the_one_that_states_a_sector_is_heard():
    sectors = universe(
        (OLD, "AAA", "1", OLD, None, "banks"), (OLD, "AAA", "2", OLD, None, None),
        (NEW, "AAA", "3", NEW, None, None), (NEW, "AAA", "4", NEW, None, "banks"),
    )  # fmt: skip
    assert sectors.history("AAA") == ([OLD], [1])


@pytest.mark.parametrize("ids", [(None, "1"), ("1", None)])
def test_a_source_that_begins_or_ceases_to_state_ids_states_no_other_security(ids):
    first, second = ids
    before = (OLD, "AAA", first, OLD, None, "banks")
    assert universe(before, (NEW, "AAA", second, OLD, None, None)).history("AAA") == ([OLD], [1])
    gone = (GONE, "AAA", first, OLD, GONE, None)
    taken = (NEW, "AAA", second, NEW, None, None)
    assert universe(before, gone, taken).history("AAA") == ([OLD, NEW], [1, UNKNOWN])
