"""The fuzz command judges what it should: sound files of every vendor pass, numbered inputs repeat,
and planted faults are found.
"""

import random
from dataclasses import replace
from pathlib import Path

import pytest

from harmony_pipeline.errors import DataError
from harmony_pipeline.market.sources import files
from harmony_pipeline.market.sources.base import SourceCapabilities
from harmony_pipeline.market.sources.files import FileSource
from harmony_pipeline.testing import fuzz_ingest
from harmony_pipeline.testing.fuzzing import oracle
from harmony_pipeline.testing.fuzzing.mutations import MUTATIONS
from harmony_pipeline.testing.fuzzing.oracle import READ, judge
from harmony_pipeline.testing.fuzzing.packings import OTHERS, gzip_files, zip_files
from harmony_pipeline.testing.fuzzing.sample import Sample
from harmony_pipeline.testing.fuzzing.trial import Trial
from harmony_pipeline.testing.fuzzing.vendors import VENDORS


@pytest.mark.parametrize("pack", [None, gzip_files, zip_files])
@pytest.mark.parametrize("vendor", VENDORS)
def test_sound_files_of_every_vendor_are_read_whole(tmp_path, vendor, pack):
    sample = VENDORS[vendor](random.Random(5), 10)
    outcome = judge(sample if pack is None else pack(sample), sample, tmp_path, whole=False)
    assert outcome.faults == []
    assert outcome.kind == READ
    assert outcome.rows >= 10


@pytest.mark.parametrize("kind", OTHERS)
@pytest.mark.parametrize("seed", range(3))
def test_sound_parquet_ticks_and_reference_tables_pass_the_whole_way(tmp_path, kind, seed):
    sample = OTHERS[kind](random.Random(seed), 10)
    outcome = judge(sample, sample, tmp_path, whole=True)
    assert (outcome.kind, outcome.faults) == (READ, [])
    assert outcome.rows >= 10


def test_an_input_follows_from_its_seed_and_number_and_survives_being_kept(tmp_path):
    for number in range(12):
        trial = Trial.of(9, number)
        assert trial == Trial.of(9, number)
        assert Trial.load(trial.keep(tmp_path)) == trial
    assert len({Trial.of(9, number).sample.size for number in range(12)}) > 6


def test_every_mutation_changes_something():
    samples = [make(random.Random(1), 10) for make in (*VENDORS.values(), *OTHERS.values())]
    for name, (_, mutate) in MUTATIONS.items():
        assert any(
            mutate(random.Random(seed), sample) != sample for seed, sample in enumerate(samples)
        ), name


def sound(name: str = "yahoo") -> Sample:
    return VENDORS[name](random.Random(1), 10)


def planted(monkeypatch, change):
    """The rows of a file source after `change`."""
    honest = FileSource.read_bars

    def read_bars(self, *question):
        result = honest(self, *question)
        return replace(result, rows=change(result.rows))

    monkeypatch.setattr(FileSource, "read_bars", read_bars)


def fails(_frame):
    raise DataError("something is wrong\nhere\x1b[31m")


def crashes(_frame):
    raise KeyError("x")


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda frame: frame[1:], "account: the files count 10 rows and 9 were given"),
        (crashes, "crash: KeyError"),
        (fails, "message: names no file and no setting"),
    ],
)
def test_a_planted_fault_of_reading_is_found(tmp_path, monkeypatch, change, word):
    planted(monkeypatch, change)
    outcome = judge(sound(), sound(), tmp_path, whole=False)
    assert any(fault.startswith(word) for fault in outcome.faults), outcome.faults


def test_a_lake_that_is_poisoned_by_the_mutated_file_is_found(tmp_path, monkeypatch):
    # nothing is withdrawn
    monkeypatch.setattr(
        files,
        "SourceCapabilities",
        lambda **declared: SourceCapabilities(**{**declared, "complete": False}),
    )
    sample = sound("firstrate")
    later = sample.with_files(
        {name: data.replace(b" 09:3", b" 09:4") for name, data in sample.files.items()}
    )
    assert any(
        fault.startswith("poisoned: bars has 20 rows")
        for fault in judge(later, sample, tmp_path, whole=True).faults
    )


def test_rows_that_the_source_does_not_count_are_found(tmp_path, monkeypatch):
    monkeypatch.setattr(oracle, "countable_rows", lambda _sample: {"AAPL.csv": 11})
    assert judge(sound(), sound(), tmp_path, whole=False).faults == [
        "rows: AAPL.csv has 11 rows and 10 were read"
    ]


def test_memory_above_the_bound_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(oracle, "memory_limit", lambda _sample: -1)
    assert judge(sound(), sound(), tmp_path, whole=False).faults[0].startswith("memory: ")


def test_the_command_tries_inputs_in_a_worker_keeps_what_fails_and_replays_it(tmp_path, capsys):
    options = [
        "--inputs",
        "3",
        "--seconds",
        "300",
        "--seed",
        "4",
        "--first",
        "1",
        "--command-every",
        "0",
        "--keep",
        str(tmp_path / "kept"),
    ]
    assert fuzz_ingest.main(options) == 0
    assert "3 inputs (0 through the lake, 0 as a command)" in capsys.readouterr().out
    kept = Trial.of(4, 1).keep(Path(tmp_path))
    assert fuzz_ingest.main(["--replay", str(kept), "--command-every", "0"]) == 0
    assert "input 1 of seed 4" in capsys.readouterr().out
