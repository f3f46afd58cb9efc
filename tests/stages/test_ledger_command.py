"""`harmony ledger`: books that follow from their events, books that do not, and none at all; on a
market with a replayed session, whose orders lead back to their bars.
"""

import sqlite3

import polars as pl
import pytest

from harmony_pipeline.cli.ledger import check_books, rebuild_books
from harmony_pipeline.cli.lineage import lineage, print_lineage
from harmony_pipeline.errors import DataError, NotReady
from harmony_pipeline.session.process_control import is_running
from harmony_pipeline.stages import live, scanner
from harmony_pipeline.stages.session_plans import ledger_path


@pytest.fixture
def replayed(copied):
    """The market with the last two days scanned and replayed."""
    days = copied.sessions()[-3:-1]
    scanner.scan(copied, days)
    live.paper_session(copied, days, require_promoted=False, own_process=False)
    return copied


def test_books_follow_from_events_and_are_written_anew_where_they_do_not(replayed, capsys):
    settings = replayed.settings
    assert check_books(settings)
    assert "every book follows from the events" in capsys.readouterr().out
    with sqlite3.connect(ledger_path(replayed)) as books:
        (rows,) = books.execute("select count(*) from equity").fetchone()
        assert rows > 2
        books.execute("update equity set equity = equity + 1")
    assert not check_books(settings)
    out = capsys.readouterr().out
    assert f"{rows} rows differ from the events" in out
    assert "harmony ledger rebuild" in out
    rebuild_books(settings)
    assert f"{rows} rows were not what the events say" in capsys.readouterr().out
    assert check_books(settings)
    assert not is_running(settings.state_root)


def test_without_a_session_there_are_no_books(copied):
    for command in (check_books, rebuild_books):
        with pytest.raises(NotReady, match="harmony replay"):
            command(copied.settings)


def test_an_order_leads_back_to_the_rows_that_it_came_from(made, capsys):
    """An exit of a backtest: its entry, the signal of that, and the bars up to it and no later."""
    orders = made.lake.read("orders")
    exits = orders.filter(pl.col("parent_id").is_not_null() & (pl.col("status") == "filled"))
    order = exits.row(exits.height // 2, named=True)
    found = lineage(made, order["order_id"])
    assert found["orders"]["order_id"].to_list() == [order["order_id"], order["parent_id"]]
    entry = found["orders"].row(1, named=True)
    assert set(found["fills"]["order_id"]) == {order["order_id"]}
    signal = found["signals"].row(0, named=True)
    assert (signal["symbol"], signal["timestamp"]) == (entry["symbol"], entry["signal_timestamp"])
    assert signal["side"] == (1 if entry["side"] == "buy" else -1)
    assert found["bars"]["timestamp"].max() == entry["signal_timestamp"]
    assert found["raw_bars"]["timestamp"].is_in(found["bars"]["timestamp"].to_list()).all()
    print_lineage(made, order["order_id"])
    assert order["order_id"] in capsys.readouterr().out.replace("\n", "")
    with pytest.raises(DataError, match="no-such-order"):
        lineage(made, "no-such-order")
