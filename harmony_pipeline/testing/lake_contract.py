"""What a lake guarantees, as tests: a new kind of store inherits them and supplies a root.

    class TestMyStore(LakeContract):
        @pytest.fixture
        def root(self): ...           # a fresh root: a Path or a URL

Writers and readers are real processes, and they are killed with SIGKILL. `preamble` is run first in
each of them; `patience_seconds` is how long a lock may outlive a killed holder.
"""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from harmony_pipeline.errors import ConfigError, DataError
from harmony_pipeline.lake import sql, upkeep
from harmony_pipeline.lake.lake import Lake, content_hash
from harmony_pipeline.testing.lake_rows import TABLE, actions

START = datetime(2025, 1, 1, tzinfo=UTC)
_READY = b"ready\n"
_PROCESS = """
import os, sys, time
import polars as pl
from harmony_pipeline.lake.lake import Lake
from harmony_pipeline.testing.lake_rows import TABLE, actions
{preamble}
lake = Lake(sys.argv[1], lock_timeout_seconds=60)
print("ready", flush=True)
{body}
"""


class _Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def move(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


class LakeContract:
    """What every place for a lake must keep; each test is a law."""

    preamble: str = ""
    patience_seconds: float = 2.0

    @pytest.fixture
    def clock(self) -> _Clock:
        return _Clock()

    @pytest.fixture
    def lake(self, root: Path | str, clock: _Clock) -> Lake:
        return Lake(root, clock=clock).open()

    @contextmanager
    def process(self, root: Path | str, body: str) -> Iterator["subprocess.Popen[bytes]"]:
        """A process that runs `body` with `lake` at hand; killed at the end."""
        script = _PROCESS.format(preamble=self.preamble, body=textwrap.dedent(body))
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        with subprocess.Popen(
            [sys.executable, "-c", script, str(root)], stdout=subprocess.PIPE, env=environment
        ) as process:
            try:
                assert process.stdout is not None
                assert process.stdout.readline() == _READY
                yield process
            finally:
                process.kill()

    def test_what_is_written_is_read_back_sorted_and_typed(self, lake: Lake) -> None:
        written = lake.write(TABLE, "all", actions(1.0, 2.0).reverse(), {"source": "files"})
        assert lake.read(TABLE).equals(actions(1.0, 2.0))
        assert lake.read("bars").schema == pl.Schema(lake.tables["bars"].dtypes)
        assert (
            lake.partitions(TABLE),
            lake.partitions("bars"),
            lake.has(TABLE, "all"),
            lake.has(TABLE, "none"),
        ) == (["all"], [], True, False)
        manifest = lake.manifest(TABLE, "all")
        assert manifest is not None
        assert (manifest["rows"], manifest["content_hash"], manifest["made_from"]) == (
            2,
            written.content_hash,
            {"source": "files"},
        )
        assert lake.content_hashes(TABLE) == {"all": content_hash(actions(1.0, 2.0))}
        assert lake.manifest(TABLE, "none") is None

    def test_filters_and_columns_and_heads_are_those_of_the_rows(self, lake: Lake) -> None:
        for key in ("a", "b", "c"):
            lake.write(TABLE, key, actions(1.0, 2.0, 3.0))
        rows = lake.scan(TABLE, ["c", "none", "a"])
        assert rows.filter(pl.col("value") > 1).select("symbol", "value").collect()[
            "value"
        ].to_list() == [2.0, 3.0, 2.0, 3.0]
        assert rows.head(4).collect()["value"].to_list() == [1.0, 2.0, 3.0, 1.0]
        assert rows.select(pl.len()).collect().item() == 6

    def test_any_moment_of_the_past_is_answered_as_it_was_in_polars_and_in_sql(
        self, lake: Lake, clock: _Clock
    ) -> None:
        for written in ([1.0], [1.0, 2.0], [1.0, 2.0], [3.0]):
            lake.write(TABLE, "all", actions(*written))
            clock.move()
        lake.update(TABLE, "all", lambda rows: actions(*rows["value"], 9.0))
        with lake.writing(TABLE, "later") as out:
            out.append(actions(5.0))
        expected: list[tuple[float, list[float]]] = [
            (-1, []),
            (0, [1.0]),
            (1, [1.0, 2.0]),
            (2.5, [1.0, 2.0]),
            (3, [3.0]),
            (4, [3.0, 9.0, 5.0]),
        ]
        for second, values in expected:
            when = START + timedelta(seconds=second)
            past = Lake(lake.root, as_of=when)
            assert past.scan(TABLE).collect()["value"].to_list() == values
            assert sorted(
                sql.query(lake, f"from {TABLE}_as_of('{when.isoformat()}')")["value"]
            ) == sorted(values)
            assert past.has(TABLE, "later") == (second >= 4)
        assert [version.known_since.second for version in lake.versions(TABLE, "all")] == [
            0,
            1,
            3,
            4,
        ]
        told = sql.query(lake, f"select * from lake_versions where \"table\" = '{TABLE}'")
        assert told.group_by("partition").len().sort("partition").rows() == [
            ("all", 4),
            ("later", 1),
        ]
        with pytest.raises(ConfigError, match="read-only"):
            Lake(lake.root, as_of=START).write(TABLE, "all", actions(1.0))

    def test_the_view_of_the_past_is_the_table_of_the_past(self, lake: Lake, clock: _Clock) -> None:
        lake.write(TABLE, "all", actions(1.0))
        clock.move()
        lake.write(TABLE, "all", actions(2.0))
        past = Lake(lake.root, as_of=START)
        assert sql.query(past, f"from {TABLE}").drop("partition").equals(past.read(TABLE))
        assert sql.query(past, "from bars").is_empty()

    def test_what_is_written_into_an_overlay_leaves_the_lake_alone(
        self, lake: Lake, tmp_path: Path
    ) -> None:
        lake.write(TABLE, "a", actions(1.0))
        before = lake.store.files("")
        pipeline = Lake(lake.root, as_of=START, overlay=tmp_path / "overlay").open()
        pipeline.write(TABLE, "a", actions(2.0))
        pipeline.write(TABLE, "b", actions(3.0))
        assert pipeline.scan(TABLE).collect()["value"].to_list() == [2.0, 3.0]
        assert sorted(sql.query(pipeline, f"from {TABLE}")["value"]) == [2.0, 3.0]
        assert lake.store.files("") == before

    def test_a_stream_is_the_single_write_and_fails_without_a_trace(self, lake: Lake) -> None:
        rows = actions(*map(float, range(50)))
        whole = lake.write(TABLE, "whole", rows)
        with lake.writing(TABLE, "stream") as out:
            for part in rows.iter_slices(7):
                out.append(part)
        assert out.written is not None
        assert out.written.content_hash == whole.content_hash
        assert pl.concat(list(lake.batches(TABLE, "stream", 10))).equals(rows)
        with pytest.raises(RuntimeError, match="half way"), lake.writing(TABLE, "stream") as out:
            out.append(actions(0.5))
            raise RuntimeError("half way")
        assert lake.read(TABLE, ["stream"]).equals(rows)

    def test_upkeep_changes_no_answer_but_for_the_moments_that_were_given_up(
        self, lake: Lake, clock: _Clock
    ) -> None:
        for value in (1.0, 2.0, 3.0):
            lake.write(TABLE, "all", actions(value))
            clock.move()
        assert len(upkeep.prune_history(lake, START + timedelta(seconds=1))) == 1
        assert Lake(lake.root, as_of=START + timedelta(seconds=1)).read(TABLE)[
            "value"
        ].to_list() == [2.0]
        with pytest.raises(DataError, match="was removed"):
            Lake(lake.root, as_of=START).read(TABLE)
        before = lake.manifest(TABLE, "all") or {}
        with lake.writable().holding(TABLE, "all") as hold:
            lake.writable().rewrite(lake.tables[TABLE], "all", hold)
        assert {**(lake.manifest(TABLE, "all") or {}), "written_at": ""} == {
            **before,
            "written_at": "",
        }
        assert upkeep.rewrite_unhealthy(lake) == []
        row = upkeep.inventory(lake).row(0, named=True)
        assert (
            row["table"],
            row["partitions"],
            row["rows"],
            row["row_groups"],
            row["versions"],
        ) == (TABLE, 1, 1, 1, 1)

    def test_many_processes_that_update_one_partition_lose_nothing(
        self, lake: Lake, root: Path | str
    ) -> None:
        writers, times = 3, 5
        body = f"""
            for number in range({times}):
                lake.update(TABLE, "all", lambda rows: actions(*rows["value"], float(os.getpid())))
            print("done", flush=True)
        """
        with (
            self.process(root, body) as one,
            self.process(root, body) as two,
            self.process(root, body) as three,
        ):
            for process in (one, two, three):
                assert process.stdout is not None
                assert process.stdout.readline() == b"done\n"
        found = lake.read(TABLE)["value"].to_list()
        assert sorted(found.count(value) for value in set(found)) == [times] * writers
        assert len(lake.versions(TABLE, "all")) == writers * times

    def test_readers_never_see_half_nor_nothing_while_writers_replace_and_die(
        self, lake: Lake, root: Path | str
    ) -> None:
        """Each version has rows of one value only, and as many as that value says; a writer
        replaces them for ever and is killed now and then.
        """
        body = """
            version = os.getpid()
            while True:
                version += 1
                size = 500 + version % 7 * 1000
                lake.write(TABLE, "all", actions(*[float(size)] * size))
        """
        lake.write(TABLE, "all", actions(*[500.0] * 500))
        seen: set[float] = set()
        for life in range(2):
            with self.process(root, body) as process:
                until = time.monotonic() + 0.6
                # on a busy machine a writer takes its time: each life is watched until it wrote
                while time.monotonic() < until or len(seen) < 2 + life:
                    assert process.poll() is None, "the writer ended by itself"
                    rows = lake.read(TABLE)
                    assert rows["value"].n_unique() == 1
                    assert rows.height == rows["value"][0]
                    told = sql.query(
                        lake,
                        f"select count(*) as n, min(value) as low, max(value) as high from {TABLE}",
                    )
                    assert told.row(0) == (told["low"][0],) * 3
                    seen |= {rows["value"][0], told["low"][0]}
                process.send_signal(signal.SIGKILL)
            manifest = lake.manifest(TABLE, "all")
            assert manifest is not None
            assert manifest["rows"] == lake.read(TABLE).height
        assert len(seen) > 1

    def test_a_killed_holder_frees_the_lock_and_a_living_one_is_named(
        self, lake: Lake, root: Path | str
    ) -> None:
        body = """
            def hold(rows):
                print("holding", flush=True)
                time.sleep(60)
                return rows
            lake.update(TABLE, "all", hold)
        """
        lake.write(TABLE, "all", actions(1.0))
        with self.process(root, body) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"holding\n"
            assert lake.store.locked(TABLE, "all")
            impatient = Lake(root, lock_timeout_seconds=0.2)
            with pytest.raises(
                DataError,
                match=(
                    rf"{TABLE} all is being written by process {process.pid} on .* since .*waited"
                    r" 0.2 s"
                ),
            ):
                impatient.write(TABLE, "all", actions(2.0))
            impatient.write(TABLE, "other", actions(2.0))  # another partition is nobody's business
            assert lake.read(TABLE, ["all"])["value"].to_list() == [1.0]
            process.send_signal(signal.SIGKILL)
            process.wait()
        began = time.monotonic()
        Lake(root, lock_timeout_seconds=self.patience_seconds + 10).write(
            TABLE, "all", actions(3.0)
        )
        assert time.monotonic() - began < self.patience_seconds + 5
        assert lake.read(TABLE, ["all"])["value"].to_list() == [3.0]
        assert not lake.store.locked(TABLE, "all")

    def test_a_writer_that_dies_before_or_after_publication_changes_no_other_answer(
        self, lake: Lake, clock: _Clock, monkeypatch: Any
    ) -> None:
        publish = type(lake.store).publish
        lake.write(TABLE, "all", actions(1.0))
        for side, present in (("before", 1.0), ("after", 2.0)):

            def dies(store: Any, temporary: Path, name: str, hold: Any, side: str = side) -> None:
                if side == "after":
                    publish(store, temporary, name, hold)
                raise KeyboardInterrupt

            clock.move()
            with monkeypatch.context() as patch:
                patch.setattr(type(lake.store), "publish", dies)
                with pytest.raises(KeyboardInterrupt):
                    lake.write(TABLE, "all", actions(2.0))
            assert lake.read(TABLE)["value"].to_list() == [present]
            assert Lake(lake.root, as_of=START).read(TABLE)["value"].to_list() == [1.0]
            assert len(lake.versions(TABLE, "all")) == present
        clock.move()
        lake.write(TABLE, "all", actions(3.0))
        assert [
            Lake(lake.root, as_of=START + timedelta(seconds=at)).read(TABLE)["value"].item()
            for at in (0, 1, 2, 3)
        ] == [1.0, 1.0, 2.0, 3.0]
