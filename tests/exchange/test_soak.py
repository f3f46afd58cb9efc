"""The soak is resumable, its schedules are the seed's, and a failure is told with what repeats it."""

import json
from pathlib import Path

import pytest

from harmony_pipeline.testing import soak
from harmony_pipeline.testing.stepped_day import SteppedWorld


def test_every_fault_alone_comes_first_and_the_seed_names_the_rest() -> None:
    alone = [soak.schedule(number, 1) for number in range(len(soak.FAULTS))]
    for found, fault in zip(alone, soak.FAULTS, strict=True):
        assert found.happenings[0].fault["kind"] == fault["kind"]
        assert found.kills == ()
        assert len({each.fault["kind"] for each in found.happenings}) <= 2  # and its undoing
    assert soak.schedule(60, 1) == soak.schedule(60, 1) != soak.schedule(60, 2)
    later = [soak.schedule(number, 1) for number in range(len(soak.FAULTS), 80)]
    assert any(each.kills for each in later)
    assert any(each.fault["kind"] == "restart" for one in later for each in one.happenings)


@pytest.mark.parametrize("kind", ["lost_answer", "partial_then_cancel", "trade_by_hand", "restart"])
def test_a_schedule_of_one_fault_ends_with_equal_books(kind: str, tmp_path: Path) -> None:
    number = next(at for at, fault in enumerate(soak.FAULTS) if fault["kind"] == kind)
    assert soak.run(soak.schedule(number, 3), tmp_path / "one") == []


def test_finished_schedules_are_skipped_and_a_failure_names_its_number(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    state = ["--state", str(tmp_path)]
    assert soak.main(["--schedules", "1", *state]) == 0
    assert "schedule 0: equal books" in capsys.readouterr().out
    assert soak.main(["--schedules", "1", *state]) == 0
    assert capsys.readouterr().out == ""
    row = json.loads((tmp_path / "finished.jsonl").read_text())
    assert (row["seed"], row["number"]) == (1, 0)
    lost = ["order X: session 0 shares; exchange 7 shares"]
    monkeypatch.setattr(SteppedWorld, "differences", lambda *_: lost)
    assert soak.main(["--only", "0", *state]) == 1
    assert "--seed 1 --only 0" in capsys.readouterr().err
