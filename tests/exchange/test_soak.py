"""The soak is resumable, its schedules are the seed's, and a failure is told with what repeats it.
The two ways in which its days are heard are one day.
"""

import json
from pathlib import Path

import pytest

from harmony_pipeline.session.ledger import Ledger
from harmony_pipeline.testing import soak
from harmony_pipeline.testing.kills import MINUTES, books_of
from harmony_pipeline.testing.stepped_day import DAY_SEED, SteppedWorld


def test_every_fault_alone_comes_first_and_the_seed_names_the_rest() -> None:
    every = (*soak.FAULTS, *soak.DATA_FAULTS)
    alone = [soak.schedule(number, 1) for number in range(len(every))]
    for found, fault in zip(alone, every, strict=True):
        assert found.happenings[0].fault["kind"] == fault["kind"]
        assert found.kills == ()
        assert found.hears_stream == (fault in soak.DATA_FAULTS)
        assert len({each.fault["kind"] for each in found.happenings}) <= 2  # and its undoing
    assert soak.schedule(60, 1) == soak.schedule(60, 1) != soak.schedule(60, 2)
    later = [soak.schedule(number, 1) for number in range(len(every), 90)]
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


def test_a_day_heard_over_the_data_stream_is_the_same_day(tmp_path: Path) -> None:
    books = []
    for hears_stream in (False, True):
        folder = tmp_path / str(hears_stream)
        folder.mkdir()
        world = SteppedWorld(DAY_SEED, folder, MINUTES, hears_stream=hears_stream)
        with world, Ledger(folder / "ledger.sqlite") as ledger:
            result = world.session(ledger)
            assert world.differences(result) == []
        assert result.fills.height >= 3
        books.append(books_of(result))
    assert books[0] == books[1]
