"""What is kept of settings for questions to the lake: used where nothing changed, and only there."""

import json
import os

import pytest

from harmony_pipeline.cli.known_lakes import KnownLake, known_lake
from harmony_pipeline.config import load_settings
from harmony_pipeline.errors import ConfigError
from harmony_pipeline.stages.context import PipelineContext

TEXT = '[paths]\nlake = "lake"\n[features]\nnames = ["rsi_14"]\n'


@pytest.fixture
def known(tmp_path, monkeypatch):
    """Asks for the lake of settings; `read` counts how often they were read in full."""
    monkeypatch.setenv("HARMONY_KERNEL_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "mine.toml"
    file.write_text(TEXT)

    def ask(environment=None) -> KnownLake:
        variables = environment or {}

        def read():
            ask.read += 1
            return load_settings(file, variables)

        return known_lake(file, read, variables)

    ask.read, ask.file, ask.folder = 0, file, tmp_path
    return ask


def test_settings_are_read_once_and_the_lake_is_that_of_the_settings(known):
    first, second = known(), known()
    assert first == second
    assert known.read == 1
    lake, expected = second.lake(), PipelineContext(load_settings(known.file, {})).lake
    assert lake.root == expected.root == known.folder / "lake"
    assert lake.tables == expected.tables
    assert "rsi_14" in lake.tables["features"].columns


def test_a_changed_file_variable_or_reference_is_seen(known):
    assert "sma_10" not in known().features
    known.file.write_text(TEXT.replace("rsi_14", "sma_10"))
    assert "sma_10" in known().features
    assert known({"HARMONY__PATHS__LAKE": "elsewhere"}).root == str(known.folder / "elsewhere")
    known.file.write_text(TEXT.replace('"lake"', '"${WHERE:-here}"'))
    assert known().root == str(known.folder / "here")
    assert known({"WHERE": "there"}).root == str(known.folder / "there")
    assert known.read == 5


def test_notes_are_told_again_each_time(known):
    variables = {"HARMONY_NO_SUCH_THING": "1"}
    first, second = known(variables), known(variables)
    assert known.read == 1
    assert first.notes == second.notes
    assert "HARMONY_NO_SUCH_THING" in second.notes[0]


def test_code_of_a_users_own_is_asked_each_time(known):
    (known.folder / "own_rules_kept.py").write_text(
        "from harmony_pipeline.strategies.rsi import RsiMomentum\n\n\n"
        "class Mine(RsiMomentum):\n    pass\n"
    )
    known.file.write_text(f'{TEXT}[strategies.mine]\nuse = "own_rules_kept:Mine"\n')
    assert known() == known()
    assert known.read == 2


def test_wrong_settings_are_refused_each_time_and_a_damaged_file_is_made_again(known):
    known.file.write_text("[market]\ntimeframe = 7\n")
    for _ in range(2):
        with pytest.raises(ConfigError, match="timeframe"):
            known()
    known.file.write_text(TEXT)
    expected = known()
    (kept,) = (known.folder / "cache" / "lakes").iterdir()
    for damage in ("{", "[]", json.dumps({"root": "elsewhere"})):
        kept.write_text(damage)
        assert known() == expected
    assert known.read == 2 + 1 + 3


def test_a_cache_that_takes_nothing_stops_nobody(known, monkeypatch):
    (known.folder / "cache").write_text("a file, no folder")
    assert known() == known()
    assert known.read == 2


def test_old_files_are_forgotten(known, monkeypatch):
    monkeypatch.setattr("harmony_pipeline.cli.known_lakes._MOST_FILES", 3)
    for place in range(5):
        known.file.write_text(f"{TEXT}# {place}\n")
        known()
    assert len(os.listdir(known.folder / "cache" / "lakes")) == 3
    known()
    assert known.read == 5
