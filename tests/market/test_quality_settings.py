"""Severities and allowances: chosen by rule, by symbol, for a while; refused by name when they make
no sense.
"""

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from market.raw_rows import NO_ACTIONS, NOTHING_BEFORE, bar, raw, utc

from harmony_pipeline.config import described, load_settings
from harmony_pipeline.errors import ConfigError
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.quality_settings import QualitySettings
from harmony_pipeline.market.settings import MarketSettings
from harmony_pipeline.market.validation.catalog import CHOOSABLE, RULES
from harmony_pipeline.market.validation.validate import Validated, validate

NYSE = Calendar.of("XNYS")
OPEN = utc(2024, 1, 2, 14, 30)
MISPRINTED = raw(
    *(
        one
        for symbol in ("AAA", "BBB")
        for one in (
            bar(OPEN, symbol=symbol),
            bar(OPEN + timedelta(days=1), symbol=symbol, high=300.0),
            bar(OPEN + timedelta(days=2), symbol=symbol, high=300.0),
        )
    )
)


def quality(tmp_path: Path, text: str) -> QualitySettings:
    file = tmp_path / "harmony.toml"
    file.write_text(text)
    return load_settings(file, {}).market.quality


def judged(**chosen: Any) -> Validated:
    return validate(
        MISPRINTED,
        NOTHING_BEFORE,
        NO_ACTIONS,
        NYSE,
        "15Min",
        MarketSettings(quality=QualitySettings(**chosen)),
    )


def test_a_rule_quarantines_warns_or_is_off() -> None:
    assert judged().counts["rules"] == {"bad_print": 4}
    warned = judged(rules={"bad_print": "warn"})
    assert (warned.counts["rules"], warned.counts["warnings"], warned.bars.height) == (
        {},
        {"bad_print": 4},
        6,
    )
    assert "high is 300.0, more than 60%" in warned.warnings["reason"][0]
    assert judged(rules={"bad_print": "off"}).counts["warnings"] == {}


def test_a_symbol_can_have_its_own_severity() -> None:
    found = judged(symbols={"AAA": {"bad_print": "off"}})
    assert found.quarantine["symbol"].unique().to_list() == ["BBB"]


def test_an_allowance_lets_a_rule_pass_from_a_date_to_another(tmp_path: Path) -> None:
    text = (
        '[[market.quality.allow]]\nsymbol = "AAA"\nrule = "bad_print"\nfrom = 2024-01-03\nto ='
        ' 2024-01-04\nwhy = "looked at it: a real auction"\n'
    )
    allowed = judged(allow=quality(tmp_path, text).allow)
    assert allowed.quarantine.select("symbol", "timestamp").rows() == [
        ("AAA", OPEN + timedelta(days=2)), ("BBB", OPEN + timedelta(days=1)),
        ("BBB", OPEN + timedelta(days=2)),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[market.quality.rules]\nbad_prnt = "warn"', r"'bad_prnt' is no rule; the rules are misaligned_timestamp, .*bad_print"),
        ('[market.quality.rules]\nmissing_price = "off"', "'missing_price' has one severity only, since a row that breaks it cannot be a bar"),
        ('[market.quality.rules]\nchanged_unit = "quarantine"', "'changed_unit' cannot be 'quarantine'; choose warn, off"),
        ('[market.quality.rules]\nbad_print = "ignore"', "market.quality.rules.bad_print = 'ignore'"),
        ('[market.quality.symbols.IBM]\nbad_prints = "off"', r"symbols.IBM: 'bad_prints' is no rule"),
        ('[[market.quality.allow]]\nsymbol = "A"\nrule = "nosuch"\nfrom = 2024-01-03\nto = 2024-01-04\nwhy = "because"', "'nosuch' is no rule"),
        ('[[market.quality.allow]]\nsymbol = "A"\nrule = "outlier"\nfrom = 2024-01-03\nto = 2024-01-03\nwhy = "because"', "2024-01-03 is not after from"),
        ('[[market.quality.allow]]\nsymbol = "A"\nrule = "outlier"\nfrom = 2024-01-03\nto = 2024-01-04', "market.quality.allow.0.why"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_by_name_with_what_does(
    tmp_path: Path, text: str, said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        quality(tmp_path, text)


def test_the_doctor_shows_what_was_chosen(tmp_path: Path) -> None:
    shown = {
        key: str(value)
        for key, value, _ in described(
            load_settings(_file(tmp_path, '[market.quality.rules]\noutlier = "off"'), {})
        )
    }
    assert shown["market.quality.rules"] == "{'outlier': 'off'}"
    assert "market.quality.symbols" in shown
    assert "market.quality.allow" in shown


def _file(tmp_path: Path, text: str) -> Path:
    (tmp_path / "shown.toml").write_text(text)
    return tmp_path / "shown.toml"


def test_every_rule_is_explained_in_the_docs() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "quality.md").read_text()
    for rule in RULES:
        assert f"| `{rule.name}` | {rule.severity} |" in page, rule.name


def test_a_late_rule_can_only_warn() -> None:
    assert all(
        "quarantine" not in rule.choices for rule in RULES if rule.family in {"late", "source"}
    )
    assert set(CHOOSABLE) == {rule.name for rule in RULES if rule.choices}


def test_allowed_dates_are_exchange_dates(tmp_path: Path) -> None:
    """The last quarter hour of after-hours trading is the next day in UTC."""
    evening = utc(2024, 1, 4, 0, 45)
    rows = raw(bar(OPEN), bar(evening, high=300.0))
    text = (
        '[[market.quality.allow]]\nsymbol = "AAA"\nrule = "bad_print"\nfrom = 2024-01-03\nto ='
        f' {date(2024, 1, 4)}\nwhy = "seen on the tape"\n'
    )
    assert (
        validate(rows, NOTHING_BEFORE, NO_ACTIONS, NYSE, "15Min", MarketSettings()).bars.height == 1
    )
    assert (
        validate(
            rows,
            NOTHING_BEFORE,
            NO_ACTIONS,
            NYSE,
            "15Min",
            MarketSettings(quality=quality(tmp_path, text)),
        ).bars.height
        == 2
    )
