"""Large pictures of the UI: kept as what they are drawn from, and drawn when somebody asks."""

import struct
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from assets.instance import open_instance
from assets.metadata import metadata
from assets.picture_logs import PictureLogs, printed_only
from harmony_pipeline.reports import drawings
from harmony_pipeline.reports.drawings import Drawing
from harmony_pipeline.reports.figures import equity_curve, feature_importance
from harmony_pipeline.stages.result import StageResult
from harmony_pipeline.testing.tiny import tiny_settings

DRAWING = Drawing.of(feature_importance, ["rsi_14", "side"], [2.0, 1.0])


@pytest.fixture
def instance(tmp_path):
    return open_instance(tiny_settings(tmp_path))


def image_of(instance: dg.DagsterInstance, address: str) -> Path:
    """As Dagster's web server takes an address below /logs apart."""
    assert address.startswith("/logs/")
    *log_key, extension = address.removeprefix("/logs/").split("/")
    return Path(instance.compute_log_manager.get_captured_local_path(log_key, extension))


def address_in(shown: dict[str, object], name: str) -> str:
    value = shown[name]
    assert isinstance(value, dg.MarkdownMetadataValue)
    assert value.md_str.startswith(f"![{name}](")
    return value.md_str[len(f"![{name}](") : -1]


def width(picture: bytes) -> int:
    assert picture.startswith(b"\x89PNG")
    return int(struct.unpack(">I", picture[16:20])[0])


def test_an_event_holds_the_address_and_the_server_finds_the_picture(instance, monkeypatch):
    shown = metadata(StageResult(pictures={"importance": DRAWING}), instance)
    address = address_in(shown, "importance")
    assert len(address) < 100
    kept = list((Path(instance.root_directory) / "pictures").iterdir())
    assert [file.suffix for file in kept] == [".drawing"]  # nothing was drawn
    picture = image_of(instance, address)
    assert picture.suffix == ".png"
    assert width(picture.read_bytes()) == 588
    assert width(DRAWING()) == 1190
    monkeypatch.setattr(drawings.pickle, "loads", None)  # the second look draws nothing
    assert image_of(instance, address) == picture


def test_the_same_drawing_has_one_address_and_another_another(instance):
    logs = instance.compute_log_manager
    curve = pl.DataFrame({"timestamp": pl.Series(["2024-01-02"]).str.to_date(), "equity": [1.0]})
    same = [logs.keep(Drawing.of(equity_curve, curve, "mine")) for _ in range(2)]
    assert same[0] == same[1] != logs.keep(Drawing.of(equity_curve, curve, "yours"))


def test_a_picture_is_of_its_own_run_whatever_the_stage_reads_later(instance):
    rows = [1.0]
    address = instance.compute_log_manager.keep(
        Drawing(feature_importance, lambda: (["side"], list(rows)))
    )
    before = feature_importance(["side"], [1.0])
    rows[0] = 5.0
    assert image_of(instance, address).stat().st_size < len(before)  # smaller, but drawn


@pytest.mark.parametrize("name", ["0" * 32, "x", "..", "../dagster", "0" * 31 + "/"])
def test_what_was_never_kept_is_no_file(instance, name):
    assert not image_of(instance, f"/logs/pictures/{name}/png").is_file()


def test_what_cannot_be_drawn_any_more_says_so_and_is_tried_again(instance):
    address = instance.compute_log_manager.keep(DRAWING)
    (kept,) = (Path(instance.root_directory) / "pictures").glob("*.drawing")
    content = kept.read_bytes()
    kept.write_bytes(b"of another version")
    failed = image_of(instance, address)
    assert width(failed.read_bytes()) == 588
    kept.write_bytes(content)
    assert image_of(instance, address) != failed


def test_logs_lie_where_they_lay_and_a_command_captures_none(instance):
    logs = instance.compute_log_manager
    assert isinstance(logs, PictureLogs)
    path = Path(logs.get_captured_local_path(["run", "compute_logs", "step"], "out"))
    assert path == Path(instance.root_directory) / "storage" / "run" / "compute_logs" / "step.out"
    with printed_only(instance), logs.capture_logs(["run", "compute_logs", "step"]):
        print("to the terminal")
    assert not path.exists()


def test_an_instance_that_draws_nothing_gets_the_picture_itself():
    with dg.DagsterInstance.ephemeral() as instance:
        shown = metadata(StageResult(pictures={"importance": DRAWING}), instance)
    assert address_in(shown, "importance").startswith("data:image/png;base64,")
