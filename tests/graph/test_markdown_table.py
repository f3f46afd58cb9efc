"""A frame as a Markdown table, without a change of the environment."""

import os
from datetime import UTC, date, datetime

import polars as pl

from assets.metadata import table


def test_each_kind_of_value_has_its_cell():
    frame = pl.DataFrame(
        {
            "symbol": ["A|B", None],
            "price": [0.1 + 0.2, None],
            "count": [3, 1_000_000],
            "day": [date(2024, 1, 2), None],
            "at": [datetime(2024, 1, 2, 14, 30, tzinfo=UTC), None],
            "ok": [True, False],
        },
        schema_overrides={"at": pl.Datetime("us", "UTC")},
    )
    assert table(frame).splitlines() == [
        "| symbol | price | count | day | at | ok |",
        "| --- | --- | --- | --- | --- | --- |",
        r"| A\|B | 0.3 | 3 | 2024-01-02 | 2024-01-02 14:30:00 UTC | True |",
        "| null | null | 1000000 | null | null | False |",
    ]


def test_a_long_text_is_cut_and_a_line_stays_a_line():
    long = table(pl.DataFrame({"reason": ["a\nb" + "x" * 700]})).splitlines()
    assert len(long) == 3
    assert len(long[2]) < 620
    assert long[2].endswith("… |")


def test_the_environment_stays_as_it_is(monkeypatch):
    """Another thread may read it at any moment: changing it then ends the process."""

    def refuse(name, *_value):
        raise AssertionError(f"{name} was changed")

    with monkeypatch.context() as patched:
        patched.setattr(type(os.environ), "__setitem__", refuse)
        patched.setattr(type(os.environ), "__delitem__", refuse)
        found = table(pl.DataFrame({"a": [1]}))
    assert found == "| a |\n| --- |\n| 1 |"
