"""The daemon's heart beats while each of its parts was heard of lately, and not otherwise."""

import time
from pathlib import Path

import dagster as dg
import pytest
from dagster._daemon.types import DaemonHeartbeat
from sqlalchemy.exc import OperationalError

from assets.daemon_beat import beat_while_live, touch_if_live
from harmony_pipeline.errors import HarmonyError


def hear(instance: dg.DagsterInstance, kind: str, ago: float, *errors: str) -> None:
    instance.add_daemon_heartbeat(DaemonHeartbeat(time.time() - ago, kind, "one", list(errors)))


def test_the_file_is_touched_while_each_daemon_was_heard_of(tmp_path: Path) -> None:
    beat = tmp_path / "beat"
    with dg.instance_for_test() as instance:
        first, *others = instance.get_required_daemon_types()
        assert others
        for kind in others:
            hear(instance, kind, 0.0)
        touch_if_live(instance, beat, 300.0)
        assert not beat.exists()  # the first was never heard of
        hear(instance, first, 3_600.0)
        touch_if_live(instance, beat, 300.0)
        assert not beat.exists()
        hear(instance, first, 0.0)
        touch_if_live(instance, beat, 300.0)
        assert beat.exists()


def test_a_database_that_does_not_answer_leaves_the_file_alone(tmp_path: Path) -> None:
    beat, home = tmp_path / "beat", tmp_path / "home"
    home.mkdir()
    with dg.instance_for_test(temp_dir=str(home)) as instance:
        for kind in instance.get_required_daemon_types():
            hear(instance, kind, 0.0)
        for file in home.rglob("*.db*"):
            file.unlink()
            file.mkdir()
        with pytest.raises(OperationalError):
            instance.get_daemon_heartbeats()
        touch_if_live(instance, beat, 300.0)
    assert not beat.exists()


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HarmonyError, match="the file of WORKER_BEAT cannot be written"):
        beat_while_live(tmp_path / "file" / "beat")
