"""An import path in the settings leads to what it names; one that leads nowhere is refused in the
same words by everybody.
"""

import sys

import pytest

from harmony_pipeline.errors import ConfigError
from harmony_pipeline.import_paths import import_object
from harmony_pipeline.market.settings import MarketSettings
from harmony_pipeline.market.sources.registry import build_source
from harmony_pipeline.models.base import forecaster_class
from harmony_pipeline.scanner.registry import build_scanner
from harmony_pipeline.scanner.settings import ScannerSettings
from harmony_pipeline.strategies.registry import strategy_class


def test_a_path_leads_to_what_it_names():
    assert import_object("harmony_pipeline.errors:ConfigError", "x") is ConfigError


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("", "is no import path: write package.module:Name"),
        ("module", "is no import path"),
        (":Name", "is no import path"),
        ("module:", "is no import path"),
        ("two words:Name", "is no import path"),
        ("..:Name", "is no import path"),
        ("nowhere:Name", "there is no module nowhere"),
        ("harmony_pipeline.nowhere:Name", "there is no module harmony_pipeline.nowhere"),
        ("harmony_pipeline.errors:Nothing", "harmony_pipeline.errors has no Nothing"),
        ("needs_more:Name", "needs_more itself imports nowhere_installed, which is not installed"),
        ("half:Name", "half cannot be imported (cannot import name 'Nothing'"),
    ],
)
def test_a_path_that_leads_nowhere_is_refused_in_one_line(path, words, tmp_path, monkeypatch):
    (tmp_path / "needs_more.py").write_text("import nowhere_installed\n")
    (tmp_path / "half.py").write_text("from harmony_pipeline.errors import Nothing\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError) as caught:
        import_object(path, "a.setting")
    assert str(caught.value).startswith(f"a.setting = '{path}': ")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    for name in ("needs_more", "half"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("load", "setting"),
    [
        (strategy_class, "strategies.use"),
        (forecaster_class, "model.forecaster"),
        (lambda path: build_scanner(ScannerSettings(use=path)), "scanner.use"),
        (lambda path: build_source(MarketSettings(source=path), None), "market.source"),
    ],
    ids=["strategy", "forecaster", "scanner", "source"],
)
def test_every_setting_that_names_a_class_refuses_in_the_same_words(load, setting):
    with pytest.raises(
        ConfigError, match=rf"^{setting} = 'nowhere:Thing': there is no module nowhere"
    ):
        load("nowhere:Thing")
    with pytest.raises(
        ConfigError,
        match=(
            rf"^{setting} = 'harmony_pipeline.errors:Nothing': harmony_pipeline.errors has no"
            r" Nothing"
        ),
    ):
        load("harmony_pipeline.errors:Nothing")
