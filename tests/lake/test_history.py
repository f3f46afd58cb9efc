"""Nothing that was ever known is lost: the lake as of any moment is the lake that a reader saw
then.
"""

import tempfile
from datetime import datetime, timedelta

import duckdb
import polars as pl
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from lake.lake_rows import START, Clock, actions, raw_rows

from harmony_pipeline.errors import ConfigError, DataError
from harmony_pipeline.lake import sql
from harmony_pipeline.lake.history import present_name
from harmony_pipeline.lake.lake import Lake, content_hash

TABLE = "corporate_actions"


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def lake(tmp_path, clock):
    return Lake(tmp_path / "lake", clock=clock).open()


def past(lake: Lake, moment: datetime, **options) -> Lake:
    return Lake(lake.root, as_of=moment, **options)


class Past(RuleBasedStateMachine):
    """Random writes, updates and streams against a list of what was there after each; any moment is
    then asked for.
    """

    keys = st.sampled_from(("a", "b"))
    values = st.lists(st.sampled_from((1.0, 2.0, 3.0)), max_size=3)

    @initialize()
    def begin(self):
        self.clock = Clock()
        self.root = tempfile.mkdtemp(prefix="harmony-past-")
        self.lake = Lake(self.root, clock=self.clock).open()
        self.said: list[tuple[datetime, dict[str, list[float]]]] = [(self.clock.now, {})]

    def _say(self, key: str, values: list[float]) -> None:
        self.said.append((self.clock.now, {**self.said[-1][1], key: values}))

    @rule(key=keys, values=values, made=st.sampled_from(("one", "two")))
    def write(self, key, values, made):
        self.clock.move()
        self.lake.write(TABLE, key, actions(*values), {"made": made})
        self._say(key, values)

    @rule(key=keys, value=st.sampled_from((4.0, 5.0)))
    def update(self, key, value):
        self.clock.move()
        now = self.said[-1][1].get(key, [])
        self.lake.update(TABLE, key, lambda rows: actions(*rows["value"], value))
        self._say(key, [*now, value])

    @rule(key=keys, values=values)
    def stream(self, key, values):
        self.clock.move()
        with self.lake.writing(TABLE, key) as out:
            for row in actions(*values).iter_slices(1):
                out.append(row)
        self._say(key, values)

    @rule(data=st.data())
    def ask_the_past(self, data):
        moment = data.draw(st.integers(-1, 2 * len(self.said))) / 2
        when = START + timedelta(seconds=moment)
        known = [content for since, content in self.said if since <= when]
        self._compare(past(self.lake, when), known[-1] if known else {})

    @invariant()
    def the_present_is_what_was_said_last(self):
        self._compare(self.lake, self.said[-1][1])

    def _compare(self, lake: Lake, expected: dict[str, list[float]]) -> None:
        assert lake.partitions(TABLE) == sorted(expected)
        for key in ("a", "b"):
            values = expected.get(key)
            assert lake.has(TABLE, key) == (values is not None)
            assert lake.read(TABLE, [key])["value"].to_list() == (values or [])
            manifest = lake.manifest(TABLE, key)
            assert (None if manifest is None else manifest["rows"]) == (
                None if values is None else len(values)
            )
            if values is not None:
                assert lake.content_hashes(TABLE, [key])[key] == content_hash(
                    lake.tables[TABLE].conform(actions(*values))
                )


Past.TestCase.settings = settings(max_examples=12, stateful_step_count=15, deadline=None)
test_any_moment_of_a_random_past_is_answered_as_it_was = Past.TestCase


def test_equal_rows_are_not_written_again_and_stay_known_since_they_first_were(lake, clock):
    lake.write(TABLE, "all", actions(1.0), {"source": "files"})
    file = lake.path(TABLE, "all").stat().st_ino
    clock.move()
    again = lake.write(TABLE, "all", actions(1.0), {"source": "files"})
    assert not again.changed
    assert lake.path(TABLE, "all").stat().st_ino == file
    renewed = lake.write(TABLE, "all", actions(1.0), {"source": "alpaca"})
    manifest = lake.manifest(TABLE, "all")
    assert not renewed.changed
    assert manifest["made_from"] == {"source": "alpaca"}
    assert (manifest["known_since"], manifest["written_at"]) == (
        "2025-01-01T00:00:00.000000+00:00",
        "2025-01-01T00:00:01.000000+00:00",
    )
    assert len(lake.versions(TABLE, "all")) == 1


def test_a_correction_keeps_its_predecessor_as_a_link_not_a_copy(lake, clock):
    lake.write(TABLE, "all", actions(1.0))
    file = lake.path(TABLE, "all").stat().st_ino
    clock.move()
    lake.write(TABLE, "all", actions(2.0))
    old, new = lake.versions(TABLE, "all")
    assert (old.known_since, old.known_until, new.known_since, new.known_until) == (
        START,
        START + timedelta(seconds=1),
        START + timedelta(seconds=1),
        None,
    )
    assert (lake.root / old.name).stat().st_ino == file
    assert new.name == present_name(TABLE, "all")


def test_versions_made_within_one_tick_of_the_clock_are_told_apart(lake):
    for value in (1.0, 2.0, 3.0):
        lake.write(TABLE, "all", actions(value))
    assert [
        past(lake, version.known_since).read(TABLE)["value"].item()
        for version in lake.versions(TABLE, "all")
    ] == [1.0, 2.0, 3.0]


def test_a_table_that_tells_its_past_by_rows_keeps_no_files_while_it_grows(lake, clock):
    first = raw_rows({("A", 0): 10.0, ("A", 1): 11.0}, START)
    lake.write("raw_bars", "2024-01", first)
    later = clock.move(60)
    corrected = raw_rows({("A", 1): 11.5, ("B", 0): 20.0}, later)
    lake.update(
        "raw_bars",
        "2024-01",
        lambda rows: pl.concat([rows, lake.tables["raw_bars"].conform(corrected)]),
    )
    assert len(lake.versions("raw_bars", "2024-01")) == 1
    then = past(lake, later - timedelta(seconds=1))
    assert then.read("raw_bars").equals(lake.tables["raw_bars"].conform(first))
    assert then.content_hashes("raw_bars") == {
        "2024-01": content_hash(lake.tables["raw_bars"].conform(first))
    }
    assert then.manifest("raw_bars", "2024-01")["rows"] == 2
    assert pl.concat(list(then.batches("raw_bars", "2024-01", 1))).equals(then.read("raw_bars"))
    assert past(lake, later).read("raw_bars").height == 4
    assert past(lake, START - timedelta(seconds=1)).partitions("raw_bars") == []


def test_rows_taken_away_from_such_a_table_are_kept_after_all(lake, clock):
    lake.write("raw_bars", "2024-01", raw_rows({("A", 0): 10.0, ("A", 1): 11.0}, START))
    later = clock.move(60)
    lake.write("raw_bars", "2024-01", raw_rows({("A", 0): 10.0}, START))
    assert lake.read("raw_bars").height == 1
    assert past(lake, later - timedelta(seconds=1)).read("raw_bars").height == 2


def test_rows_learned_before_their_partition_was_written_are_known_from_when_they_were_learned(
    lake, clock
):
    clock.move(86_400)
    lake.write("raw_bars", "2024-01", raw_rows({("A", 0): 10.0}, START))
    assert past(lake, START).read("raw_bars").height == 1


def test_the_past_is_read_only(lake):
    then = past(lake, START)
    with pytest.raises(ConfigError, match=r"the past is read-only.*overlay"):
        then.write(TABLE, "all", actions(1.0))
    with pytest.raises(ConfigError, match="read-only"):
        then.update(TABLE, "all", lambda rows: rows)
    with pytest.raises(ConfigError, match="read-only"), then.writing(TABLE, "all"):
        pass


def test_a_moment_without_a_time_zone_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="no time zone"):
        Lake(tmp_path, as_of=datetime(2025, 1, 1))  # noqa: DTZ001 - what is refused
    with pytest.raises(ConfigError, match="no time zone"):
        Lake(tmp_path, clock=lambda: datetime(2025, 1, 1)).open().write(TABLE, "all", actions(1.0))  # noqa: DTZ001


def test_work_in_the_past_goes_to_the_overlay_and_leaves_the_lake_alone(lake, clock, tmp_path):
    lake.write(TABLE, "a", actions(1.0))
    lake.write(TABLE, "b", actions(2.0))
    then = clock.now
    clock.move()
    lake.write(TABLE, "a", actions(9.0))
    before = sorted((file.name, file.size, file.modified) for file in lake.store.files(""))
    pipeline = past(lake, then, overlay=tmp_path / "overlay", clock=clock).open()
    assert pipeline.read(TABLE)["value"].to_list() == [1.0, 2.0]
    pipeline.update(TABLE, "b", lambda rows: rows.with_columns(value=pl.col("value") + 5))
    pipeline.write(TABLE, "c", actions(3.0))
    assert pipeline.partitions(TABLE) == ["a", "b", "c"]
    assert pipeline.scan(TABLE).collect()["value"].to_list() == [1.0, 7.0, 3.0]
    assert sorted(sql.query(pipeline, f"from {TABLE}")["value"]) == [1.0, 3.0, 7.0]
    assert sorted((file.name, file.size, file.modified) for file in lake.store.files("")) == before
    with pytest.raises(ConfigError, match="as_of"):
        Lake(lake.root, overlay=tmp_path / "overlay")


@pytest.mark.parametrize("side", ["kept", "published"])
def test_a_writer_that_dies_between_history_and_replacement_changes_no_answer(
    lake, clock, monkeypatch, side
):
    from harmony_pipeline.lake.local_store import LocalStore

    lake.write(TABLE, "all", actions(1.0))
    clock.move()
    publish = LocalStore.publish

    def dies(self, temporary, name, hold):
        if side == "published":
            publish(self, temporary, name, hold)
        raise KeyboardInterrupt

    monkeypatch.setattr(LocalStore, "publish", dies)
    with pytest.raises(KeyboardInterrupt):
        lake.write(TABLE, "all", actions(2.0))
    monkeypatch.undo()
    present = {"kept": 1.0, "published": 2.0}[side]
    assert lake.read(TABLE)["value"].to_list() == [present]
    assert past(lake, START).read(TABLE)["value"].to_list() == [1.0]
    assert sql.query(lake, f"from {TABLE}_as_of('2025-01-01T00:00:00Z')")["value"].to_list() == [
        1.0
    ]
    assert (
        len(lake.versions(TABLE, "all"))
        == sql.query(lake, "from lake_versions").height
        == int(present)
    )
    clock.move()
    lake.write(TABLE, "all", actions(3.0))
    assert [
        past(lake, START + timedelta(seconds=at)).read(TABLE)["value"].item() for at in (0, 1, 2)
    ] == [1.0, present, 3.0]


def test_a_stream_that_fails_publishes_nothing_and_leaves_nothing(lake):
    lake.write(TABLE, "all", actions(1.0))
    with pytest.raises(RuntimeError, match="half way"), lake.writing(TABLE, "all") as out:
        out.append(actions(5.0))
        raise RuntimeError("half way")
    assert lake.read(TABLE)["value"].to_list() == [1.0]
    assert [
        file.name
        for file in lake.store.files(TABLE, hidden=True)
        if file.name.rsplit("/", 1)[1].startswith(".")
    ] == []


def test_batches_out_of_key_order_are_refused(lake):
    with (
        pytest.raises(DataError, match="append batches in key order"),
        lake.writing(TABLE, "all") as out,
    ):
        out.append(actions(1.0, 2.0))
        out.append(actions(3.0))
    assert not lake.has(TABLE, "all")


def test_a_table_without_a_past_needs_no_file_for_it_until_somebody_asks(lake, clock):
    lake.write(TABLE, "a", actions(1.0))
    assert lake.store.files("_history") == []
    asked = f"from {TABLE}_as_of('{clock.now.isoformat()}')"
    # a lake in the past is asked without a trace
    assert sql.query(past(lake, clock.now), asked)["value"].to_list() == [1.0]
    assert sql.query(past(lake, clock.now), f"from {TABLE}")["value"].to_list() == [1.0]
    assert lake.store.files("_history") == []
    # a text that is printed stays right when there is a past
    script = sql.views_script(lake, [f"{TABLE}_as_of"])
    assert [file.name.split("/")[1] for file in lake.store.files("_history")] == [TABLE]
    first = clock.now
    clock.move()
    lake.write(TABLE, "a", actions(2.0))
    with duckdb.connect() as connection:
        connection.execute(f"set timezone = 'UTC'; {script}")
        found = connection.sql(f"select value from {TABLE}_as_of('{first.isoformat()}')")
        assert found.fetchall() == [(1.0,)]
    assert sql.query(past(lake, first), f"from {TABLE}")["value"].to_list() == [1.0]
    assert sql.query(lake, "from lake_versions").height == 2
