"""What is made of whole tables, like the terms of symbols, is made once while the tables stay, and
anew as soon as a partition of them is another.
"""

from datetime import date

import polars as pl
import pytest

from harmony_pipeline.schemas import INSTRUMENTS, LISTINGS
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.lives import lives_of
from harmony_pipeline.stages.session_plans import replay_account
from harmony_pipeline.testing.tiny import tiny_market


@pytest.fixture
def pipeline(tmp_path) -> PipelineContext:
    return tiny_market(tmp_path)


def listed(pipeline: PipelineContext, *symbols: str, until: date | None = None) -> None:
    stated = {"reason": "delisting", "source": "here", "known": date(2024, 1, 2), "valid_to": until}
    rows = [{"symbol": symbol, "security_id": symbol, **stated} for symbol in symbols]
    table = pl.DataFrame(rows, schema_overrides={"valid_to": pl.Date()})
    pipeline.lake.write("listings", "all", LISTINGS.conform(table))


def test_ends_of_listings_follow_their_table(pipeline):
    assert lives_of(pipeline).is_empty()
    listed(pipeline, "A", "B")
    assert lives_of(pipeline).is_empty()
    listed(pipeline, "A", "B", until=date(2024, 2, 1))
    assert lives_of(pipeline)["symbol"].to_list() == ["A", "B"]
    listed(pipeline, "A", until=date(2024, 2, 1))
    assert lives_of(pipeline)["symbol"].to_list() == ["A"]


def test_nothing_is_read_again_while_the_tables_stay(pipeline):
    listed(pipeline, "A", until=date(2024, 2, 1))
    made = []

    def make() -> int:
        made.append(1)
        return len(made)

    asked = [pipeline.while_unchanged("number", ["listings", "bars"], make) for _ in range(3)]
    assert asked == [1, 1, 1]
    assert pipeline.while_unchanged("another", ["listings"], make) == 2
    listed(pipeline, "A", "B", until=date(2024, 2, 1))
    assert pipeline.while_unchanged("number", ["listings", "bars"], make) == 3


def test_what_somebody_wrote_without_a_hash_is_read_each_time(pipeline):
    listed(pipeline, "A", until=date(2024, 2, 1))
    assert lives_of(pipeline).height == 1
    path = pipeline.lake.path("listings", "all")
    pl.read_parquet(path).clear().write_parquet(path)
    assert lives_of(pipeline).is_empty()
    pl.read_parquet(path).write_parquet(path)
    listed(pipeline, "A", "B", until=date(2024, 2, 1))
    assert lives_of(pipeline).height == 2


def test_terms_and_the_account_of_replays_follow_their_tables(pipeline):
    before = replay_account(pipeline)
    assert replay_account(pipeline) == before
    assert pipeline.instruments.rows == ()
    terms = pipeline.instruments.at("A").row() | {"multiplier": 50.0}
    pipeline.lake.write("instruments", "all", pl.DataFrame([terms], schema=INSTRUMENTS.dtypes))
    assert pipeline.instruments.at("A").multiplier == 50.0
    with_terms = replay_account(pipeline)
    listed(pipeline, "A", until=date(2024, 2, 1))
    assert len({before, with_terms, replay_account(pipeline)}) == 3
