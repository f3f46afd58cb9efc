"""A scan by command runs without Dagster, which is told of it later, once."""

from datetime import date

import dagster as dg
import pytest
from stages.short_markets import daily_rows, short_market
from typer.testing import CliRunner

from assets.automation import build_automation
from assets.chain import run_stages
from assets.groups import INGEST
from assets.reporting import report_made
from assets.runner import Runner
from harmony_pipeline.cli import app
from harmony_pipeline.config import load_settings
from harmony_pipeline.stages import unreported

DAY = "2024-03-28"


@pytest.fixture
def runner(tmp_path, monkeypatch):
    monkeypatch.delenv("HARMONY_CONFIG", raising=False)
    rows, end = daily_rows(60), date(2024, 4, 1)
    run_stages(short_market(tmp_path, rows, trading="month", retraining="month", end=end), INGEST)
    runner = Runner.of(load_settings(tmp_path / "harmony.toml", {}))
    monkeypatch.setenv("HARMONY_CONFIG", str(tmp_path / "harmony.toml"))
    return runner


def scan(day: str = DAY) -> None:
    assert CliRunner().invoke(app, ["scan", "--date", day]).exit_code == 0


def materialised(instance: dg.DagsterInstance, asset: str) -> list[dg.AssetMaterialization]:
    records = instance.fetch_materializations(dg.AssetKey(asset), limit=10).records
    return [each.asset_materialization for each in records if each.asset_materialization]


def test_the_next_command_reports_a_scan_with_its_pictures_and_checks(runner):
    scan()
    assert runner.pipeline.lake.has("scan_selections", DAY)
    assert not materialised(runner.instance, "scan_candidates")
    Runner.of(runner.settings)
    for asset in ("scan_candidates", "scan_selections"):
        (shown,) = materialised(runner.instance, asset)
        assert shown.partition == DAY
        assert shown.metadata["rows in scan_candidates"].value == 1
        assert f"scan of {DAY}" in shown.metadata
        assert shown.metadata["made at"].value.endswith("UTC")
    (check,) = runner.instance.event_log_storage.get_latest_asset_check_execution_by_key(
        [dg.AssetCheckKey(dg.AssetKey("scan_selections"), "selections_passed")]
    ).values()
    assert check.event.dagster_event.asset_check_evaluation_data.passed
    assert report_made(runner.instance, runner.pipeline) == 0


def test_the_sensor_of_the_running_ui_reports_too_and_what_is_unchanged_is_told_once(runner):
    scan()
    scan()  # the same again: nothing new to tell
    sensors = {each.name: each for each in build_automation(runner.pipeline).sensors}
    sensor = sensors["report_commands"]
    assert sensor.default_status == dg.DefaultSensorStatus.RUNNING
    with dg.build_sensor_context(instance=runner.instance) as context:
        assert "2 partitions" in str(sensor(context))
        assert "nothing" in str(sensor(context))
    assert len(materialised(runner.instance, "scan_candidates")) == 1


def test_a_note_that_cannot_be_read_or_a_report_that_fails(runner, monkeypatch):
    folder = unreported.folder(runner.settings.state_root)
    folder.mkdir()
    (folder / "1-of-another-version.made").write_bytes(b"?")
    scan()

    def fails(*_arguments: object) -> None:
        raise OSError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(type(runner.instance), "report_runless_asset_event", fails)
        with pytest.raises(OSError, match="the disk is full"):
            report_made(runner.instance, runner.pipeline)
    assert report_made(runner.instance, runner.pipeline) == 2  # nothing was lost
    assert not list(folder.glob("*.made"))
