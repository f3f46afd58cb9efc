"""What the lake shows of orders is what the ledger says, also of orders that a later session
finished.
"""

from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from session.days import DAYS, fresh_ledger, market, plan_of, rules

from harmony_pipeline.cli.lineage import lineage
from harmony_pipeline.lake import sql
from harmony_pipeline.session.ledger import Ledger
from harmony_pipeline.session.replay import replay_day
from harmony_pipeline.session.result import TABLES
from harmony_pipeline.stages import session_export
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.session_export import export, refresh_open_orders
from harmony_pipeline.testing.tiny import tiny_market

CHECK = (sql.SQL_FOLDER / "checks" / "open_orders_are_open.sql").read_text()
BARS = market(seed=5)


@pytest.fixture
def books(tmp_path: Path) -> Iterator[tuple[PipelineContext, Ledger]]:
    with fresh_ledger(tmp_path) as ledger:
        yield tiny_market(tmp_path / "market"), ledger


def replayed(ledger: Ledger, days: int) -> Iterator[int]:
    for number, day in enumerate(DAYS[:days]):
        replay_day(plan_of(day, ledger, BARS, rules("barriers")), BARS, ledger)
        yield number


def differing(pipeline: PipelineContext, ledger: Ledger) -> pl.DataFrame:
    """Orders whose row in the lake is not that of the ledger."""
    shown, kept = pipeline.lake.read("session_orders"), ledger.table("session_orders")
    return shown.join(kept, on=kept.columns, how="anti", nulls_equal=True)


def test_an_order_that_a_later_session_finished_shows_its_final_status(
    books: tuple[PipelineContext, Ledger],
) -> None:
    pipeline, ledger = books
    stayed_open = set()
    for number in replayed(ledger, 5):
        export(pipeline, ledger, DAYS[number])
        assert differing(pipeline, ledger).is_empty()
        stayed_open |= set(
            pipeline.lake.read("session_orders", [DAYS[number].isoformat()]).filter(
                pl.col("status") == "open"
            )["client_order_id"]
        )
    finished = pipeline.lake.read("session_orders").filter(
        pl.col("client_order_id").is_in(list(stayed_open)) & (pl.col("status") != "open")
    )
    assert finished.height > 3
    assert set(finished["status"]) >= {"filled"}
    assert sql.query(pipeline.lake, CHECK).is_empty()
    for name in TABLES:
        assert pipeline.lake.read(name).equals(ledger.table(name))


def test_what_was_left_undone_is_seen_by_the_check_and_done_by_the_next_export(
    books: tuple[PipelineContext, Ledger], monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline, ledger = books
    with monkeypatch.context() as patched:
        # as if killed before it
        patched.setattr(session_export, "refresh_open_orders", lambda *_: [])
        for number in replayed(ledger, 4):
            export(pipeline, ledger, DAYS[number])
    wrong = differing(pipeline, ledger)
    assert wrong.height > 2
    assert set(sql.query(pipeline.lake, CHECK)["client_order_id"]) == set(wrong["client_order_id"])
    versions = len(pipeline.lake.versions("session_fills", DAYS[0].isoformat()))
    assert refresh_open_orders(pipeline, ledger) == sorted(
        {day.isoformat() for day in wrong["date"]}
    )
    assert differing(pipeline, ledger).is_empty()
    assert sql.query(pipeline.lake, CHECK).is_empty()
    assert refresh_open_orders(pipeline, ledger) == []
    assert len(pipeline.lake.versions("session_fills", DAYS[0].isoformat())) == versions


def test_orders_that_the_ledger_does_not_know_stay_as_they_are(
    books: tuple[PipelineContext, Ledger], tmp_path: Path
) -> None:
    pipeline, ledger = books
    for number in replayed(ledger, 2):
        export(pipeline, ledger, DAYS[number])
    before = pipeline.lake.read("session_orders")
    with Ledger(tmp_path / "other.sqlite") as other:
        assert refresh_open_orders(pipeline, other) == []
    assert pipeline.lake.read("session_orders").equals(before)


def test_lineage_finds_the_entry_of_an_earlier_day_and_the_fills_of_a_later_one(
    books: tuple[PipelineContext, Ledger],
) -> None:
    pipeline, ledger = books
    for number in replayed(ledger, 5):
        export(pipeline, ledger, DAYS[number])
    placed, fills = pipeline.lake.read("session_orders"), pipeline.lake.read("session_fills")
    assert placed["order_id"].is_unique().all()
    assert fills["fill_id"].is_unique().all()
    entries = placed.select("order_id", entered="date")
    exits = placed.join(entries, left_on="parent_id", right_on="order_id").filter(
        pl.col("date") > pl.col("entered")
    )
    assert exits.height
    found = lineage(pipeline, exits["order_id"][0])["session_orders"]
    assert found["date"].to_list() == [exits["date"][0], exits["entered"][0]]
    assert found["order_id"][1] == found["parent_id"][0]
    carried = fills.join(
        placed.select("client_order_id", placed="date"), on="client_order_id"
    ).filter(pl.col("date") > pl.col("placed"))
    assert carried.height
    assert (
        carried["fill_id"][0]
        in lineage(pipeline, carried["order_id"][0])["fills"]["fill_id"].to_list()
    )
