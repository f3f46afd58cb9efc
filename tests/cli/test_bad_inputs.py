"""Every bad input of the tables beside this file is refused in one line, without a traceback and
without a secret.
"""

import os
import shlex
import tomllib
from pathlib import Path

import pytest

from harmony_pipeline.cli.boundary import run_command

TABLES = ("bad_inputs.toml", "bad_settings.toml")
CASES = [
    case
    for table in TABLES
    for case in tomllib.loads((Path(__file__).parent / table).read_text(encoding="utf-8"))["case"]
]
SETTINGS = (
    '[paths]\nlake = "lake"\nstate = "state"\n[market]\nstart = 2024-01-02\nend = 2024-03-01\n'
)
SECRET = "hunter2-is-secret"


def prepare(case: dict, folder: Path) -> None:
    if not case.get("bare"):
        (folder / "mine.toml").write_text(
            case.get("top", "") + SETTINGS + case.get("settings", ""), encoding="utf-8"
        )
    for name in case.get("folders", []):
        (folder / name).mkdir()
    for name, text in case.get("files", {}).items():
        (folder / name).write_text(text, encoding="utf-8")
    for name, text in case.get("bytes", {}).items():
        (folder / name).write_bytes(bytes.fromhex(text))
    for name, target in case.get("links", {}).items():
        (folder / name).symlink_to(target)
    for name in case.get("locked", []):
        (folder / name).chmod(0o500)


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_a_bad_input_is_refused_in_one_line(case, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("HARMONY_CONFIG", "")  # the command sets it: put back afterwards
    monkeypatch.setenv("APCA_API_SECRET_KEY", SECRET)
    monkeypatch.chdir(tmp_path)
    prepare(case, tmp_path)
    if any(os.access(tmp_path / name, os.W_OK) for name in case.get("locked", [])):
        pytest.skip("nothing is locked for root")
    for name, value in case.get("variables", {}).items():
        monkeypatch.setenv(name, value)
    code = run_command(
        shlex.split(
            case.get("command", "{config} models").replace("{config}", "--config mine.toml")
        )
    )
    shown = capfd.readouterr()
    lines = shown.err.strip().splitlines()
    assert code == case.get("code", 2), shown
    assert case["expected"] in lines[-1]
    assert lines[-1].startswith("harmony: ")
    assert [line for line in lines if not line.startswith("[")] == lines[-1:], shown.err
    assert "\x1b" not in shown.err + shown.out
    for secret in (SECRET, "sk-very-secret-value"):
        assert secret not in shown.err + shown.out


def test_the_cases_have_names_of_their_own():
    assert len({case["id"] for case in CASES}) == len(CASES)
