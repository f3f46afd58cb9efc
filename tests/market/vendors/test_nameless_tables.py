"""Tables without a line of names are recognised by their cells, or not at all."""

import pytest

from harmony_pipeline.market.sources.vendors.nameless_tables import (
    LAYOUTS,
    LEAN_LAYOUTS,
    find_layout,
)

BAR = ("open", "high", "low", "close", "volume")


@pytest.mark.parametrize(
    ("line", "delimiter", "names"),
    [
        ("03/07/2024,09:30,187.3,187.38,187.19,187.19,37267", ",", ("date", "time", *BAR)),
        ("2024-03-07 09:30:00,187.3,187.38,187.19,187.19,37267", ",", ("timestamp", *BAR)),
        ("2024-03-07T09:30:00,187.3,187.38,187.19,187.19,37267", ",", ("timestamp", *BAR)),
        ("20240307 093000;187.3;187.38;187.19;187.19;37267", ";", ("timestamp", *BAR)),
        ("20240307,187.3,187.38,187.19,187.19,37267", ",", ("date", *BAR)),
        ("1709908200,187.3,187.38,187.19,187.19,37267", ",", ("timestamp", *BAR)),
        ("2024-03-07,187.3,187.38,187.19,187.19", ",", ("date", *BAR[:4])),
        ("2024-03-07,187.3,187.38,187.19,187.19,1,2", ",", ("date", *BAR, "open interest")),
    ],
)
def test_dates_prices_and_volumes_are_told_by_their_form(line, delimiter, names):
    layout = find_layout([line] * 3, delimiter)
    assert layout is not None
    assert layout.names == names


@pytest.mark.parametrize(
    "line",
    [
        "date,open,high,low,close,volume",
        "2024-03-07,187.3,187.1,187.38,187.2,37267",  # open, low, high, close
        "2024-03-07,37267,187.3,187.38,187.19,187.2",  # volume first
        "AAPL,2024-03-07,187.3,187.38,187.19,187.19,37267",
        "03/07/2024,09:30:01,187.3,187.29,187.31,100",  # a trade with its quote and size
        "187.3,187.38,187.19,187.19,37267",
        "20240605,0.93,0.25,645.57,1,1",  # Lean's factor file
        "",
    ],
)
def test_anything_else_is_left_to_be_refused(line):
    assert find_layout([line] * 3, ",") is None


def test_a_few_broken_lines_do_not_hide_the_form_and_many_do():
    line = "2024-03-07,187.3,187.38,187.19,187.19,37267"
    assert find_layout([line] * 8 + ["x,y"] * 2, ",") is not None
    assert find_layout([line] * 7 + ["x,y"] * 3, ",") is None


def test_a_cell_of_many_digits_takes_no_time():
    """A form that is tried in two ways at each digit would take hours."""
    assert find_layout(["2024-03-07," + "9" * 200_000 + "x,1,1,1,1"], ",") is None


def test_every_layout_names_each_of_its_cells():
    for layout in (*LAYOUTS, *LEAN_LAYOUTS):
        assert len(layout.kinds) == len(layout.names)
        assert len(set(layout.names)) == len(layout.names)
