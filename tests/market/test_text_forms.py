"""A text's form is told once, by its first lines; a name of Lean alone changes what they may mean."""

import pytest

from harmony_pipeline.market.sources.text_forms import text_form
from harmony_pipeline.market.sources.vendors.nameless_tables import LEAN_BARS

DAILY = "20240307 00:00,187.3,187.4,187.1,187.2,3726\n20240308 00:00,187.3,187.4,187.1,187.2,26\n"
MILLIS = (
    "34200000,1873000,1874000,1871000,1872000,3726\n34260000,1873000,1874000,1871000,1872000,9\n"
)
WIDE = "Price,Close,Open\nTicker,AAPL,AAPL\nDate,,\n2024-01-02,1.0,2.0\n"


@pytest.mark.parametrize(
    ("text", "delimiter", "header"),
    [
        ("date,open\n2024-01-02,1\n", ",", ("date", "open")),
        ("date;open;a,b\n2024-01-02;1;2\n", ";", ("date", "open", "a,b")),
        ("date\t\topen\n", "\t", ("date", "column 2", "open")),
    ],
)
def test_a_line_of_names_is_the_header(text: str, delimiter: str, header: tuple[str, ...]) -> None:
    form = text_form(text.encode(), "a.csv", named_by_lean=False)
    assert (form.delimiter, form.header) == (delimiter, header)
    assert form.layout is None
    assert form.wide is None


def test_dated_rows_of_lean_are_told_by_their_stamps_with_commas_alone() -> None:
    form = text_form(DAILY.encode(), "aapl.csv", named_by_lean=False)
    assert form.is_dated_lean
    other = text_form(DAILY.replace(",", ";").encode(), "aapl.csv", named_by_lean=False)
    assert not other.is_dated_lean
    assert other.layout is not None
    assert other.layout.vendor is None


def test_milliseconds_of_a_day_are_those_of_lean_where_the_name_says_so() -> None:
    form = text_form(MILLIS.encode(), "20240307_aapl_minute_trade.csv", named_by_lean=True)
    assert form.layout is not None
    assert form.layout.vendor == LEAN_BARS
    assert not form.is_dated_lean
    assert text_form(MILLIS.encode(), "aapl.csv", named_by_lean=False).layout is None


def test_a_text_that_lean_names_and_did_not_write_has_no_form() -> None:
    form = text_form(b"date,open\n2024-01-02,1\n", "a.csv", named_by_lean=True)
    assert form.layout is None
    assert not form.header


def test_symbols_side_by_side_are_wide() -> None:
    form = text_form(WIDE.encode(), "a.csv", named_by_lean=False)
    assert form.wide is not None
    assert list(form.wide.columns) == ["AAPL"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_blank_lines_above_are_counted_and_those_below_are_left_out(encoding: str) -> None:
    text = "\r\n\r\ndate,open\r\n2024-01-02,1\r\n\r\n\r\n"
    form = text_form(text.encode(encoding), "a.csv", named_by_lean=False)
    assert form.above == 2
    assert form.data == b"date,open\n2024-01-02,1\n"


@pytest.mark.parametrize(
    ("text", "above", "header"),
    [
        ("# made by hand\n#, twice\n\ndate,open\n2024-01-02,1\n", 3, ("date", "open")),
        ("\n#date,price\ndate,open\n2024-01-02,1\n", 2, ("date", "open")),
        ("# made by hand\n#date,open\n2024-01-02,1\n", 1, ("#date", "open")),
        ("#date,open\n2024-01-02,1\n", 0, ("#date", "open")),
        ("# nothing,but\n# this", 0, ("# nothing", "but")),
        ("  # made by hand\n\t#, twice\n \ndate,open\n2024-01-02,1\n", 3, ("date", "open")),
        ("  # made by hand\n #date,open\n2024-01-02,1\n", 1, (" #date", "open")),
        # names that no number below them shows to be names, and names of another count
        ('#s,o,h,l,c\nA,"1,5","2,5","1,1","2,2"\n', 0, ("#s", "o", "h", "l", "c")),
        ("#s,o,h,l,c,\nA,1,2,1,2\n", 0, ("#s", "o", "h", "l", "c", "column 6")),
        ("# o,h,l,c of a day\n#o,h,l,c\no,h,l,c\n1,2,1,2\n", 2, ("o", "h", "l", "c")),
        ("# made by hand\n#o,h,l,c\n", 1, ("#o", "h", "l", "c")),
        # names with remarks between them and the rows
        (
            "# by hand\n#d,o,h,l,c\n# dollars, raw\n# a,b,c,d,e\n1,2,3,1,2\n",
            1,
            ("#d", "o", "h", "l", "c"),
        ),
        ("##date,price\n\n  # dollars\n2024-01-02,1\n", 0, ("##date", "price")),
    ],
)
def test_comments_above_the_names_are_skipped_and_counted(
    text: str, above: int, header: tuple[str, ...]
) -> None:
    """But names behind a # stay the names of the rows below them."""
    form = text_form(text.encode(), "a.csv", named_by_lean=False)
    assert (form.above, form.header, form.commented) == (above, header, above > 0)


def test_names_in_a_comment_are_looked_for_in_the_nearest_fifty() -> None:
    far = b"#d,o,h,l,c\n" + b"# licence\n" * 60 + b"1,2,3,1,2\n"
    assert text_form(far, "a.csv", named_by_lean=False).header == ("1", "2", "3", "1", "2")


@pytest.mark.parametrize(
    ("title", "above"),
    [
        ("https://www.example.org\n", 1),
        ("Prices of a day\n\n", 2),
        ('"Apple, daily";;;;\n', 1),
        ("Apple, daily\n", 0),  # two cells may be names
        ("one\n" * 11, 0),
    ],
)
def test_a_title_above_the_names_is_skipped_and_counted(title: str, above: int) -> None:
    delimiter = ";" if ";" in title else ","
    table = "date,open,high,low,close\n2024-01-02,1,2,1,2\n".replace(",", delimiter)
    form = text_form((title + table).encode(), "a.csv", named_by_lean=False)
    assert (form.above, form.titled) == (above, above > 0)
    assert (form.header[0] == "date") == (above > 0)


def test_a_first_line_of_an_older_windows_is_read_as_one() -> None:
    text = "Datum;Eröffnung;Hoch;Tief;Schluss\n2024-01-02;1;2;1;2\n"
    for encoding in ("cp1252", "utf-8", "utf-16"):
        form = text_form(text.encode(encoding), "a.csv", named_by_lean=False)
        assert form.header[1] == "Eröffnung"


def test_comments_stand_above_rows_without_names_and_above_symbols_side_by_side() -> None:
    rows = text_form(b"# bars, by the day\n" + DAILY.encode(), "a.csv", named_by_lean=False)
    assert rows.is_dated_lean and rows.commented and rows.above == 1
    wide = text_form(b"# yfinance\n" + WIDE.encode(), "a.csv", named_by_lean=False)
    assert wide.wide is not None and wide.commented and wide.above == 1


def test_a_remark_above_others_and_above_rows_of_a_known_form_is_no_line_of_names() -> None:
    remarks = b"# AAPL, NASDAQ, USD, minute, raw, UTC\n# by hand\n"
    rows = text_form(remarks + DAILY.encode(), "a.csv", named_by_lean=False)
    assert rows.is_dated_lean and rows.above == 2
    mapped = b"# date,o,h,l,c of a day\n# by hand\nD1,O1,H1,L1,C1\n2024-01-02,1,2,1,2\n"
    assert text_form(mapped, "a.csv", named_by_lean=False).header[0] == "D1"


def test_a_remark_of_an_older_windows_leaves_rows_in_utf8_as_they_are() -> None:
    rows = "symbol,open\nÄÖ,1\n".encode()
    form = text_form("# Börse\n".encode("cp1252") + rows, "a.csv", named_by_lean=False)
    assert form.data == rows


def test_lines_that_end_as_on_old_macs_keep_their_encoding() -> None:
    text = "symbol,open\rÄÖ,1\r".encode() + b"\xff,1\r"
    assert "ÄÖ" in text_form(text, "a.csv", named_by_lean=False).data.decode(errors="replace")


@pytest.mark.parametrize("text", ["", "\n\n", " \t\r\n"])
def test_a_text_without_text_has_no_header(text: str) -> None:
    assert not text_form(text.encode(), "a.csv", named_by_lean=False).header
