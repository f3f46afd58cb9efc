"""A folder with every usual mistake, through the command: each is named with file, row, column and
cure, and nothing is lost.
"""

from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from assets.runner import Runner
from harmony_pipeline.config import load_settings
from harmony_pipeline.errors import ConfigError, DataError, HarmonyError
from harmony_pipeline.lake import sql

GOOD = "timestamp,open,high,low,close,volume\n" + "".join(
    f"2024-01-02T{hour}:00:00Z,10,11,9,10.5,1000\n" for hour in range(15, 21)
)
MISTAKES = {
    # text in a price
    "AAA.csv": GOOD.replace(
        "2024-01-02T16:00:00Z,10,11,9,10.5,1000", "2024-01-02T16:00:00Z,10,11,9,abc,1000"
    ),
    # high below low
    "BBB.csv": GOOD.replace("2024-01-02T16:00:00Z,10,11,9", "2024-01-02T16:00:00Z,10,8,9"),
    # repeated, out of order, contradicting
    "CCC.csv": (
        GOOD + "2024-01-02T15:00:00Z,10,11,9,10.5,1000\n2024-01-02T16:00:00Z,10,11,9,10.4,900\n"
    ),
    # zero and negative prices
    "DDD.csv": GOOD.replace(
        "2024-01-02T17:00:00Z,10,11,9,10.5", "2024-01-02T17:00:00Z,0,11,-9,10.5"
    ),
    "EEE.csv": GOOD.replace("2024-01-02T", "2024-01-06T"),  # a Saturday
    "ZZZ.csv": GOOD,  # not in the universe
}


def write(folder: Path, files: dict[str, str], extra: str = "") -> Path:
    data = folder / "data"
    data.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (data / name).write_text(text)
    file = folder / "mine.toml"
    file.write_text(
        '[paths]\nlake = "lake"\nstate = "state"\n[market]\nsource = "files"\ntimeframe ='
        ' "1Hour"\nstart = 2024-01-02\nend = 2024-02-01\nsymbols = ["AAA", "BBB", "CCC", "DDD",'
        ' "EEE"]\n[market.files]\npaths = ["data"]\n[market.partitions]\ntrading_period ='
        f' "month"\n[market.quality]\nmax_quarantined_fraction = 1.0\n{extra}'
    )
    return file


def ingested(file: Path) -> Runner:
    runner = Runner.of(load_settings(file, {}))
    runner.run_job("ingest", "2024-01")
    return runner


def test_a_failed_blocking_check_is_remembered_by_later_runs_until_it_passes(tmp_path):
    file = write(tmp_path, MISTAKES)
    strict = tmp_path / "strict.toml"
    strict.write_text(
        file.read_text().replace("max_quarantined_fraction = 1.0", "max_quarantined_fraction = 0.0")
    )
    with pytest.raises(HarmonyError, match="bars_are_sound"):
        ingested(strict)
    with pytest.raises(
        HarmonyError,
        match=(
            r"bars 2024-01 failed the check bars_are_sound .* harmony .*doctor --waive"
            r" bars_are_sound"
        ),
    ):
        Runner.of(load_settings(strict, {})).materialize(["features"], "2024-01")
    assert sql.query(
        Runner.of(load_settings(strict, {})).pipeline.lake,
        "select period, check_name from verdicts",
    ).rows() == [("2024-01", "bars_are_sound")]
    lenient = ingested(file)
    assert lenient.pipeline.lake.read("verdicts").is_empty()
    lenient.materialize(["features"], "2024-01")
    assert lenient.pipeline.lake.has("features", "2024-01")


def merged_rows(runner):
    """What the ingest said of rows that were known already."""
    event = runner.instance.get_latest_materialization_event(dg.AssetKey("raw_bars"))
    return event.asset_materialization.metadata["rows known before (merged)"].value


def test_every_mistake_is_quarantined_by_name_and_the_accounting_closes(tmp_path):
    runner = ingested(write(tmp_path, MISTAKES))
    lake = runner.pipeline.lake
    quarantine = lake.read("quarantine")
    found = {
        (symbol, rule): reason
        for symbol, rule, reason in quarantine.select("symbol", "rule", "reason").iter_rows()
    }
    expected = {
        ("AAA", "unreadable"): ("AAA.csv", "row 3", "close", "abc"),
        ("BBB", "high_below_low"): ("BBB.csv", "row 3", "high", "low"),
        ("CCC", "conflicting_duplicate"): ("CCC.csv", "row"),
        ("DDD", "non_positive_price"): ("DDD.csv", "row 4"),
        ("EEE", "outside_session"): ("EEE.csv", "row 7"),
        ("ZZZ", "unknown_symbol"): ("ZZZ.csv", "market.symbols"),
    }
    for key, words in expected.items():
        assert key in found
        for word in words:
            assert word in found[key], (key, found[key])
    assert lake.read("raw_bars").height == lake.read("bars").height + quarantine.height == 6 * 6 + 1
    # of the two rows of CCC that repeat a bar, one says the same, and is counted only
    assert merged_rows(runner) == 1
    assert lake.read("bars").filter(pl.col("symbol") == "CCC").height == 6


def test_a_time_zone_mistake_is_recognised_with_its_cure(tmp_path):
    local = "timestamp,open,high,low,close,volume\n" + "".join(
        f"2024-01-{day:02d} {hour:02d}:00:00,10,11,9,10.5,1000\n"
        for day in (2, 3, 4, 5)
        for hour in range(1, 8)
    )
    lake = ingested(write(tmp_path, {"AAA.csv": local})).pipeline.lake
    reasons = lake.read("quarantine").filter(pl.col("rule") == "outside_session")["reason"]
    assert reasons.len() > 0
    assert "timezone" in reasons[0]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "timestamp,open,high,low,volume\n2024-01-02T15:00:00Z,1,1,1,1\n",
            ("AAA.csv", "close", "market.files.columns"),
        ),
        ("", ("AAA.csv", "no rows")),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_by_name_and_column(tmp_path, text, words):
    with pytest.raises(DataError) as caught:
        ingested(write(tmp_path, {"AAA.csv": text}))
    for word in words:
        assert word in str(caught.value)


def test_too_much_in_quarantine_blocks_what_comes_after(tmp_path):
    file = write(tmp_path, MISTAKES)
    file.write_text(file.read_text().replace("= 1.0", "= 0.05"))
    with pytest.raises(HarmonyError, match="bars_are_sound"):
        ingested(file)
    runner = Runner.of(load_settings(file, {}))
    assert runner.pipeline.lake.partitions("daily_summary") == []


def test_a_config_with_a_typo_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="did you mean 'risk'"):
        load_settings(write(tmp_path, {"AAA.csv": GOOD}, "[rsk]\nmax_position = 0.1\n"), {})
