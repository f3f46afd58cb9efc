"""What is particular to an object store: fences, footers by one request, clear words when it cannot
be reached.
"""

import itertools
import sys
import time

import polars as pl
import pytest
from lake.lake_rows import actions, many_bars
from lake.s3_server import BUCKET, KEY, SECRET, s3_environment

from harmony_pipeline.cli import doctor
from harmony_pipeline.config import load_settings
from harmony_pipeline.errors import ConfigError, DataError, Superseded
from harmony_pipeline.lake import leases, sql, streaming
from harmony_pipeline.lake.history import kept_name, present_name
from harmony_pipeline.lake.lake import Lake
from harmony_pipeline.lake.manifest import known_since

pytestmark = pytest.mark.network
TABLE = "corporate_actions"
NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def endpoint():
    with s3_environment() as endpoint:
        yield endpoint


@pytest.fixture
def lake(endpoint):
    return Lake(f"s3://{BUCKET}/one/{next(NUMBERS)}")


@pytest.mark.parametrize("notices", [True, False])
def test_a_writer_whose_lease_ended_cannot_publish_and_does_its_update_again(
    lake, monkeypatch, notices
):
    """It was suspended while it held the lock; whether its own check notices or only the fence
    stops it, no row of the other writer is lost.
    """
    lake.write(TABLE, "all", actions(1.0))
    calls, usual = [], leases.LEASE_SECONDS

    def slow(rows):
        calls.append(rows.height)
        if len(calls) == 1:
            patch.setattr(leases, "LEASE_SECONDS", usual)  # of those that are taken from now on
            time.sleep(0.4)  # the lease ends, and somebody else takes over
            Lake(lake.root).update(TABLE, "all", lambda found: actions(*found["value"], 2.0))
        return actions(*rows["value"], 3.0)

    with monkeypatch.context() as patch:
        patch.setattr(leases, "LEASE_SECONDS", 0.3)
        patch.setattr(leases, "_keep", lambda *_suspended: None)
        if not notices:
            patch.setattr(leases.Lease, "check", lambda _lease: None)
        lake.update(TABLE, "all", slow)
    assert calls == [1, 2]
    assert lake.read(TABLE)["value"].to_list() == [1.0, 2.0, 3.0]
    assert len(lake.versions(TABLE, "all")) == 3


def test_a_fenced_stream_says_that_nothing_was_published(lake, monkeypatch):
    lake.write(TABLE, "all", actions(1.0))
    monkeypatch.setattr(leases.Lease, "check", lambda _lease: None)
    keep = type(lake.store).keep

    def overtaken(store, name, kept):
        keep(store, name, kept)
        store.publish(_file(store, actions(7.0)), name, None)

    monkeypatch.setattr(type(lake.store), "keep", overtaken)
    with (
        pytest.raises(
            Superseded, match="written by somebody else meanwhile; nothing was published"
        ),
        lake.writing(TABLE, "all") as out,
    ):
        out.append(actions(2.0))
    assert lake.read(TABLE)["value"].to_list() == [7.0]


def _file(store, frame):
    path = store.scratch("other.parquet")
    frame.write_parquet(path)
    return path


def test_a_late_writer_cannot_overwrite_history(lake):
    lake.write(TABLE, "all", actions(1.0))
    since = known_since(lake.manifest(TABLE, "all"))
    lake.write(TABLE, "all", actions(2.0))
    lake.store.keep(present_name(TABLE, "all"), kept_name(TABLE, "all", since))
    assert Lake(lake.root, as_of=since).read(TABLE)["value"].to_list() == [1.0]


def test_the_lease_is_renewed_while_its_holder_works(lake, monkeypatch):
    monkeypatch.setattr(leases, "LEASE_SECONDS", 0.6)
    lake.update(TABLE, "all", lambda _rows: time.sleep(1.5) or actions(1.0))
    assert lake.read(TABLE)["value"].to_list() == [1.0]


def test_a_refused_put_that_had_succeeded_is_a_success(lake, monkeypatch):
    """The answer of a conditional put is lost, the client asks again, and is refused by what it put
    itself.
    """
    import obstore

    put = obstore.put

    def twice(store, name, file, **options):
        answer = put(store, name, file, **options)
        return (
            put(store, name, file, **options)
            if isinstance(options.get("mode"), (str, dict))
            else answer
        )

    monkeypatch.setattr(obstore, "put", twice)
    lake.write(TABLE, "all", actions(1.0))
    lake.write(TABLE, "all", actions(2.0))
    assert lake.read(TABLE)["value"].to_list() == [2.0]


def test_footers_longer_than_one_request_and_scans_of_many_objects(lake, monkeypatch):
    bars = many_bars(symbols=30, minutes=40)
    with monkeypatch.context() as patch:
        patch.setattr(streaming, "ROW_GROUP_ROWS", 8)
        written = lake.write("bars", "wide", bars)
    assert lake.manifest("bars", "wide")["content_hash"] == written.content_hash
    assert lake.read("bars").equals(bars)
    assert pl.concat(list(lake.batches("bars", "wide", 100))).equals(bars)
    for number in range(20):
        lake.write(TABLE, f"{number:02d}", actions(float(number)))
    assert lake.scan(TABLE).select("value").collect()["value"].to_list() == [
        float(number) for number in range(20)
    ]
    assert lake.scan(TABLE).filter(pl.col("value") > 17).collect()["value"].to_list() == [
        18.0,
        19.0,
    ]
    assert lake.scan(TABLE).head(18).collect().height == 18
    told = sql.query(
        lake,
        "select count(*) as n, sum(value) as total from corporate_actions where partition >= '18'",
    )
    assert told.row(0) == (2, 37.0)


def test_a_query_fetches_each_small_object_once_however_often_it_is_bound(lake, monkeypatch):
    import obstore

    for number in range(3):
        lake.write(TABLE, str(number), actions(float(number)))
    get, fetched = obstore.get, []

    def counted(store, name, **options):
        fetched.append(name)
        return get(store, name, **options)

    def asked(_store, name):
        raise AssertionError(f"{name} was asked for its size or time")

    sql.query(lake, f"from {TABLE}")  # whatever a lake is given once
    monkeypatch.setattr(obstore, "get", counted)
    monkeypatch.setattr(obstore, "head", asked)
    assert sql.query(lake, f"from {TABLE}").height == 3
    assert len(fetched) == len({*fetched}) == 4  # with the file of the schema


def test_a_large_object_is_never_read_in_a_version_that_was_listed_before(lake, monkeypatch):
    """It was replaced between the listing and the opening: the rows are those of the new one."""
    from harmony_pipeline.lake import remote_files

    lake.write(TABLE, "all", actions(1.0))
    monkeypatch.setattr(remote_files, "TAIL_BYTES", 64)
    files = lake.store.file_system()
    [name] = [
        each
        for each in files.glob(f"{lake.store.root}/{TABLE}/partition=*/{TABLE}.parquet")
        if "=all/" in each
    ]
    files.open(name).close()
    lake.write(TABLE, "all", actions(7.0))
    with files.open(name) as found:
        assert pl.read_parquet(found.read())["value"].to_list() == [7.0]
        assert files.size(name) == found.size
        assert files.modified(name) == found.modified


def test_a_connection_answers_each_query_from_what_is_there_by_then(lake):
    own = f"read_parquet('{lake.store.root}/{TABLE}/partition=a/{TABLE}.parquet')"
    lake.write(TABLE, "a", actions(1.0))
    lake.write(TABLE, "b", actions(5.0))

    def values(connection, source):
        return sorted(
            value for (value,) in connection.sql(f"select value from {source}").fetchall()
        )

    with sql.connect(lake) as connection:
        connection.execute(f"prepare again as select value from {own}")
        for written in (2.0, 3.0):
            assert values(connection, TABLE) == [written - 1.0, 5.0]
            lake.write(TABLE, "a", actions(written))
            assert connection.execute("execute again").fetchall() == [(written,)]
            assert values(connection, own) == [written]
        lake.store.remove(present_name(TABLE, "b"))
        assert values(connection, TABLE) == [3.0]


def test_the_settings_take_a_url_and_the_doctor_says_whether_it_answers(endpoint, tmp_path, capsys):
    file = tmp_path / "harmony.toml"
    file.write_text(
        f'[paths]\nlake = "s3://{BUCKET}/mine"\nstate = "state"\n[lake]\nendpoint = "{endpoint}"\n'
    )
    settings = load_settings(file, {})
    assert settings.lake_root == f"s3://{BUCKET}/mine"
    doctor.examine(settings)
    assert "answers" in capsys.readouterr().out


def test_a_store_that_cannot_be_reached_is_one_clear_line_without_secrets(endpoint, monkeypatch):
    from harmony_pipeline.lake import object_store as objects

    monkeypatch.setattr(objects, "_RETRIES", {"max_retries": 0})
    lake = Lake(f"s3://{BUCKET}/x", endpoint="http://127.0.0.1:9")
    with pytest.raises(DataError, match="does not answer") as refused:
        lake.partitions("bars")
    text = f"{refused.value} {lake.store!r} {vars(lake.store)!r}"
    assert "\n" not in str(refused.value)
    assert KEY not in text
    assert SECRET not in text


@pytest.mark.parametrize("url", ["s3://", "gs://bucket/x", "s3://key:secret@bucket/x"])
def test_another_url_is_refused_without_repeating_it(url):
    with pytest.raises(ConfigError, match="s3://bucket/prefix") as refused:
        Lake(url)
    assert "key:secret" not in str(refused.value)


def test_the_missing_client_is_named_with_the_command_that_brings_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "obstore.store", None)
    with pytest.raises(ConfigError, match=r'pip install "harmony-pipeline\[s3\]"'):
        Lake(f"s3://{BUCKET}/x")
