"""Which sector a symbol is in, as known on a day."""

from datetime import date

import polars as pl

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


def test_the_hash_of_changes_sees_those_of_its_days_and_no_repetition():
    sectors = Sectors.of_table(TABLE)
    march = (date(2024, 3, 1), date(2024, 4, 1))
    assert sectors.hash_of_changes(date(2024, 1, 2), march[0]) == ""
    assert sectors.hash_of_changes(*march) != ""
    assert sectors.hash_of_changes(*march) != sectors.hash_of_changes(date(2024, 1, 1), march[1])
    repeated = Sectors((*sectors.rows, ("A", date(2024, 3, 5), "tech")))
    assert repeated.hash_of_changes(*march) == sectors.hash_of_changes(*march)
    other = Sectors.of_table(
        TABLE.with_columns(sector=pl.col("sector").str.replace("tech", "banks"))
    )
    assert other.hash_of_changes(*march) != sectors.hash_of_changes(*march)
