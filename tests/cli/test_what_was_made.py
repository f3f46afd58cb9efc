"""What a command says that it made: nothing that it left as it was, and of a range the partitions
that it wrote.
"""

from datetime import UTC, date, datetime, timedelta

import pytest
from typer.testing import CliRunner

from harmony_pipeline.cli import app
from harmony_pipeline.cli.stage_report import tell_made
from harmony_pipeline.stages.result import StageResult

BEFORE = datetime(2024, 5, 1, tzinfo=UTC)


@pytest.fixture
def settings(tmp_path, monkeypatch):
    """Two months of daily bars of two symbols."""
    monkeypatch.setenv("HARMONY_CONFIG", "")  # the command sets it: put back afterwards
    file = tmp_path / "mine.toml"
    file.write_text(
        '[paths]\nlake = "lake"\nstate = "state"\n[market]\nsource = "files"\ncalendar = "24/7"\n'
        'timeframe = "1Day"\nstart = 2023-01-03\nend = 2024-03-01\n[market.files]\npaths = ["bars.csv"]\n'
    )
    _write(tmp_path, date(2024, 2, 20))
    return file


def _write(folder, until):
    first, lines = date(2023, 1, 3), ["date,symbol,open,high,low,close,volume"]
    for day in (first + timedelta(days=n) for n in range((until - first).days + 1)):
        lines += [f"{day},{symbol},10,11,9,10,100" for symbol in ("AAA", "BBB")]
    (folder / "bars.csv").write_text("\n".join(lines) + "\n")


def command(settings, *arguments):
    shown = CliRunner().invoke(app, ["--config", str(settings), *arguments])
    assert shown.exit_code == 0, shown.output
    return shown.output


def made(said):
    return [line for line in said.splitlines() if line.startswith("made ")]


def test_a_table_is_made_or_unchanged_and_never_both(settings):
    ingested = "made bars, quarantine, daily_summary for 2023 to 2024 (2 partitions, one run)"
    assert made(command(settings, "ingest")) == [ingested]
    again = command(settings, "backfill", "gaps")
    assert made(again) == []
    assert "not made again: gaps" in again
    assert 'sql "select * from gaps' in again
    nothing_new = command(settings, "ingest")
    assert made(nothing_new) == []
    assert "not made again: bars, quarantine, daily_summary" in nothing_new
    _write(settings.parent, date(2024, 2, 22))
    assert made(command(settings, "ingest")) == [ingested]
    assert made(command(settings, "backfill", "gaps", "--again")) == [
        "made gaps for 2023 to 2024 (2 partitions, one run)"
    ]


def test_tables_of_one_job_that_made_different_partitions_are_told_apart(capsys):
    old, new = StageResult(unchanged_since=BEFORE), StageResult()
    results = {
        "gaps": StageResult.of({"2022": old, "2023": old, "2024": new}),
        "features": StageResult.of({"2022": new, "2023": old, "2024": new}),
        "regimes": StageResult.of({"2022": old, "2023": old, "2024": old}),
        "labels": StageResult.of({"2022": new, "2023": new, "2024": new}),
        "universe": StageResult(),
    }
    tell_made(results, list(results), ["2022", "2023", "2024"], "sql gaps")
    assert made(capsys.readouterr().out) == [
        "made gaps for 2024 (1 of 3 partitions: the others are unchanged)",
        "made features for 2022 to 2024 (2 of 3 partitions: the others are unchanged)",
        "made labels, universe for 2022 to 2024 (3 partitions, one run)",
    ]
