"""Small files as each vendor writes them give the bars that were worked out by hand."""

import tomllib
from pathlib import Path

import pytest
from market.vendors.reading import answer, bars

SAMPLES = Path(__file__).parent / "samples"
CASES = tomllib.loads((Path(__file__).parent / "samples.toml").read_text())


def test_every_sample_is_told_of():
    assert sorted(path.name for path in SAMPLES.iterdir()) == sorted(CASES)


@pytest.mark.parametrize("name", CASES)
def test_a_sample_is_read_without_a_column_mapping(name: str) -> None:
    case = CASES[name]
    zone = {"timezone": case["timezone"]} if "timezone" in case else {}
    result = answer(SAMPLES / name, case["calendar"], case["timeframe"], **zone)
    assert result.refusals == ()
    assert result.rows["defect"].null_count() == result.rows.height
    expected = [tuple(row) for row in case["rows"] for _ in range(case.get("copies", 1))]
    assert bars(result).rows() == expected


@pytest.mark.parametrize("name", [name for name in CASES if "timezone" in CASES[name]])
def test_without_the_line_that_the_docs_name_the_bars_are_hours_away(name: str) -> None:
    """So that the line is needed, and the samples prove it."""
    case = CASES[name]
    result = answer(SAMPLES / name, case["calendar"], case["timeframe"])
    starts = [row[1] for row in case["rows"]]
    assert set(bars(result)["timestamp"].to_list()).isdisjoint(starts[:1])
