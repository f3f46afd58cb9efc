"""Steps in processes of their own: their order, and what is said where one fails or is ended."""

import os
from functools import partial
from pathlib import Path

import pytest

from harmony_pipeline.cli.side_by_side import Step, run_side_by_side


class EndsItsReader:
    """Ends the process that unpickles it."""

    def __reduce__(self):
        return os._exit, (3,)


def test_a_step_begins_when_what_it_needs_has_ended(tmp_path):
    steps = {
        "inside": Step(partial(os.mkdir, mode=0o700), after="removed"),
        "removed": Step(os.rmdir, after="made"),
        "made": Step(os.mkdir),
        "looked": Step(os.listdir, after="inside"),
    }
    heard = []
    found = run_side_by_side(
        steps, tmp_path / "new", 2, lambda running, ended: heard.append((tuple(running), ended))
    )
    assert list(found) == ["made", "removed", "inside", "looked"]
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
    assert heard[0] == (("made",), 0)
    assert (("looked",), 3) in heard


@pytest.mark.parametrize(
    ("run", "said"),
    [(os.rmdir, r"(?s)^broken: Traceback.*FileNotFoundError"), (EndsItsReader(), "^broken: its process was ended")],
    ids=["raises", "ended"],
)  # fmt: skip
def test_what_fails_is_told_by_its_name_and_ends_the_others(tmp_path, run, said):
    steps = {"broken": Step(run), "never": Step(Path.mkdir, after="broken")}
    with pytest.raises(RuntimeError, match=said):
        run_side_by_side(steps, tmp_path / "new", 1)
    assert not (tmp_path / "new").exists()
