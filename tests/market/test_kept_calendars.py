"""A calendar is built once a machine; what cannot be read or written is built again."""

import polars as pl
import pytest

from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.kept_calendars import CalendarParts, kept_or_built

KNOWN = Calendar.of("XNYS")  # built here, so that no test's own folder has it before


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HARMONY_KERNEL_CACHE", str(tmp_path))
    return tmp_path / "calendars"


class Builder:
    """Builds the New York calendar and counts how often."""

    def __init__(self):
        self.parts = CalendarParts(KNOWN.zone, KNOWN.sessions_per_year, KNOWN.table)
        self.calls = 0

    def __call__(self):
        self.calls += 1
        return self.parts


def test_it_is_built_once_and_read_back_as_it_was(folder):
    build = Builder()
    for _ in range(3):
        zone, per_year, table = kept_or_built("XNYS", build)
        assert (zone, per_year) == ("America/New_York", 252)
        assert table.equals(build.parts.table)
        assert table.schema == build.parts.table.schema
    assert build.calls == 1
    assert [path.name.split("-")[0] for path in folder.iterdir()] == ["XNYS"]


def test_another_name_is_another_calendar(folder):
    build = Builder()
    kept_or_built("XNYS", build)
    kept_or_built("24/7", build)
    assert build.calls == 2
    assert len(list(folder.iterdir())) == 2


@pytest.mark.parametrize("damage", [b"", b"PAR1", b"no parquet at all"])
def test_a_damaged_file_is_made_again(folder, damage):
    build = Builder()
    kept_or_built("XNYS", build)
    (file,) = folder.iterdir()
    file.write_bytes(damage)
    assert kept_or_built("XNYS", build).table.equals(build.parts.table)
    assert kept_or_built("XNYS", build).table.equals(build.parts.table)
    assert build.calls == 2


def test_a_file_of_other_facts_is_made_again(folder):
    build = Builder()
    kept_or_built("XNYS", build)
    (file,) = folder.iterdir()
    pl.DataFrame({"date": []}).write_parquet(file)
    assert kept_or_built("XNYS", build).table.equals(build.parts.table)


def test_where_nothing_can_be_written_it_is_built_each_time(tmp_path, monkeypatch):
    blocked = tmp_path / "a file"
    blocked.write_text("no folder")
    monkeypatch.setenv("HARMONY_KERNEL_CACHE", str(blocked))
    build = Builder()
    for _ in range(2):
        assert kept_or_built("XNYS", build).table.equals(build.parts.table)
    assert build.calls == 2
