"""The report says what ran: passes, reasons, failures, and the sources that nobody tests."""

import subprocess
import sys

import pytest

from harmony_pipeline.market.sources.registry import BUILT_IN
from harmony_pipeline.testing import contract_report
from harmony_pipeline.testing.contract_report import Outcomes
from harmony_pipeline.testing.source_contract import SourceContract

TESTS = """
from datetime import UTC, date, datetime

import pytest

from harmony_pipeline.market.settings import MarketSettings
from harmony_pipeline.market.source_settings import SimulatedSourceSettings
from harmony_pipeline.market.sources.simulated import SimulatedSource
from harmony_pipeline.testing.source_contract import SourceContract

MARKET = MarketSettings(start=date(2023, 1, 3), end=date(2023, 1, 13), timeframe="1Hour", simulated=SimulatedSourceSettings(symbols=2, low_float_symbols=0))


class Unsorted(SimulatedSource):
    def bars(self, *asked):
        return super().bars(*asked).reverse()


class TestGood(SourceContract):
    timeframe, start, end = "1Hour", datetime(2023, 1, 5, tzinfo=UTC), datetime(2023, 1, 12, tzinfo=UTC)
    symbols = tuple(SimulatedSource(MARKET.simulated, MARKET).universe()["symbol"].unique().sort())
    lacks = dict.fromkeys(("corporate actions", "quotes", "trades"), "a week is too short for them")

    @pytest.fixture
    def source(self):
        return SimulatedSource(MARKET.simulated, MARKET)


class TestBad(TestGood):
    @pytest.fixture
    def source(self):
        return Unsorted(MARKET.simulated, MARKET)


def test_of_another_kind():
    raise AssertionError("not a test of the contract: it must not run")
"""


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    (folder / "test_two_sources.py").write_text(TESTS)
    command = [sys.executable, "-m", "harmony_pipeline.testing.contract_report", str(folder)]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)


def row(printed, *words):
    """The cells of the table's row that begins with those words."""
    line = next(line for line in printed.stdout.splitlines() if all(word in line for word in words))
    return [cell.strip() for cell in line.strip("│ ").split("│")][1:]


def test_passes_failures_and_reasons_stand_in_the_table(printed):
    assert printed.returncode == 1, printed.stderr
    bad, good = row(printed, "rows are sorted")  # by class
    assert (bad, good) == ("FAIL", "pass")
    assert row(printed, "it has bars of every") == ["pass", "pass"]
    assert row(printed, "quotes are half open") == ["skip 1", "skip 1"]
    assert "[1] a week is too short for them" in printed.stdout
    assert "of another kind" not in printed.stdout


def test_sources_without_a_test_are_named(printed):
    line = next(line for line in printed.stdout.splitlines() if line.startswith("no contract test"))
    assert line.removeprefix("no contract test: ").split(", ") == sorted(
        set(BUILT_IN) - {"simulated"}
    )


def test_every_obligation_has_a_row():
    outcomes = Outcomes({"m.C": "x 1Min"}, {"m.C": {}})
    table, reasons = contract_report.table_of(outcomes)
    assert table.row_count == len(
        [name for name in vars(SourceContract) if name.startswith("test_")]
    )
    assert reasons == []


def test_tests_that_cannot_be_collected_are_an_error_and_not_an_empty_table(tmp_path):
    (tmp_path / "test_broken.py").write_text("import no_such_module_at_all\n")
    finished = subprocess.run(
        [sys.executable, "-m", "harmony_pipeline.testing.contract_report", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert finished.returncode == 1
    assert "no_such_module_at_all" in finished.stderr
