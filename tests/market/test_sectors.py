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
