"""What sale conditions let a trade set."""

import polars as pl
import pytest
from ticks.tapes import at, trades

from harmony_pipeline.errors import ConfigError
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.ticks.bars import BarKind, trade_bars
from harmony_pipeline.market.ticks.conditions import HIGH_LOW, LAST, VOLUME, eligibility

NYSE = Calendar.of("XNYS")
EVERYTHING = HIGH_LOW | LAST | VOLUME


def sets(conditions, codes="sip", *, session="regular", suspicious=False):
    row = pl.DataFrame(
        {"conditions": [conditions], "session": [session], "suspicious": [suspicious]},
        schema_overrides={"conditions": pl.String},
    )
    return eligibility(row, codes)[0]


@pytest.mark.parametrize(
    ("conditions", "session", "expected"),
    [
        (None, "regular", EVERYTHING),
        ("@", "regular", EVERYTHING),
        ("F", "regular", EVERYTHING),  # intermarket sweep
        ("O", "regular", EVERYTHING),  # opening print
        ("6", "post", EVERYTHING),  # closing print
        ("I", "regular", VOLUME),  # odd lot
        ("@ TI", "pre", VOLUME),
        ("@ T", "pre", EVERYTHING),  # before the open the form T is what everything is
        ("@ T", "post", EVERYTHING),
        ("@ T", "regular", VOLUME),  # in the regular session it is a late report
        ("W", "regular", VOLUME),  # average price
        ("4", "regular", HIGH_LOW | VOLUME),  # derivatively priced
        ("4,W", "regular", VOLUME),  # what all conditions allow
        ("M", "post", 0),  # the official close repeats the auction
        ("Q", "regular", 0),
    ],
)
def test_the_tapes_rules(conditions, session, expected):
    assert sets(conditions, session=session) == expected


@pytest.mark.parametrize(
    ("conditions", "session", "expected"),
    [
        ("1", "regular", EVERYTHING),
        ("20000020", "regular", EVERYTHING),  # a sweep, exempt from trade-through
        ("2000", "pre", EVERYTHING),
        ("2000", "regular", VOLUME),
        ("20100200", "regular", VOLUME),  # average price
        ("20000200", "regular", HIGH_LOW | VOLUME),  # derivatively priced
        ("4000000", "regular", 0),  # official open
        ("1000000", "post", 0),  # official close
        ("80000000", "regular", VOLUME),  # odd lot
        ("no number", "regular", EVERYTHING),
    ],
)
def test_the_flags_of_lean(conditions, session, expected):
    assert sets(conditions, "lean", session=session) == expected


def test_a_suspicious_trade_counts_and_sets_no_price():
    assert sets("@", suspicious=True) == VOLUME
    assert sets("M", suspicious=True) == 0


def test_conditions_can_be_ignored_and_nothing_else_is_guessed():
    assert sets("I", "none") == EVERYTHING
    with pytest.raises(ConfigError, match=r"market\.ticks\.condition_codes is 'nyse'"):
        sets("I", "nyse")


def test_a_derivatively_priced_trade_gives_open_and_close_only_while_no_other_can():
    kind = BarKind.of("1Min")
    alone = trade_bars(trades((at(1), 12.0, 1.0, "4"), (at(2), 11.0, 1.0, "4")), kind, NYSE)
    assert alone.select("open", "high", "low", "close").row(0) == (12.0, 12.0, 11.0, 11.0)
    beside = trade_bars(
        trades((at(1), 12.0, 1.0, "4"), (at(2), 10.0, 1.0), (at(3), 9.0, 1.0, "4")), kind, NYSE
    )
    assert beside.select("open", "high", "low", "close").row(0) == (10.0, 12.0, 9.0, 10.0)


def test_a_stretch_in_which_nothing_sets_a_price_has_volume_and_no_prices():
    bars = trade_bars(trades((at(1), 12.0, 7.0, "I")), BarKind.of("1Min"), NYSE)
    assert bars.select("open", "high", "low", "close", "vwap", "volume", "trade_count").row(0) == (
        None,
        None,
        None,
        None,
        None,
        7.0,
        1.0,
    )
