"""The terms of what is traded: inferred by market, told by the source, read from the data, decided
by settings.
"""

from datetime import date
from fractions import Fraction
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from harmony_pipeline.config import load_settings
from harmony_pipeline.errors import ConfigError
from harmony_pipeline.market.instrument_defaults import (
    FUTURES,
    apply_terms,
    default_terms,
    future_root,
)
from harmony_pipeline.market.instruments import BEFORE_ALL, Instrument, Instruments
from harmony_pipeline.market.price_steps import price_steps
from harmony_pipeline.market.settings import InstrumentTerms, MarketSettings
from harmony_pipeline.schemas import INSTRUMENTS


def terms(symbol, **market):
    return default_terms(symbol, MarketSettings(**market))


@pytest.mark.parametrize(
    ("symbol", "market", "expected"),
    # asset class, currency, tick, lot, multiplier, fee unit, volume, whether the data say the tick
    [
        ("AAPL", {}, ("us_equity", "USD", 0.01, 1.0, 1.0, 0.01, "traded", False)),
        (
            "BRK.B",
            {"calendar": "XNAS"},
            ("us_equity", "USD", 0.01, 1.0, 1.0, 0.01, "traded", False),
        ),
        ("EURUSD", {"calendar": "FX"}, ("fx", "USD", 0.00001, 1.0, 1.0, 0.01, "indicative", False)),
        ("USD/JPY", {"calendar": "FX"}, ("fx", "JPY", 0.001, 1.0, 1.0, 1.0, "indicative", False)),
        (
            "GBPJPY=X",
            {"calendar": "24/5"},
            ("fx", "JPY", 0.001, 1.0, 1.0, 1.0, "indicative", False),
        ),
        (
            "OANDA:EUR_CHF",
            {"calendar": "FX"},
            ("fx", "CHF", 0.00001, 1.0, 1.0, 0.01, "indicative", False),
        ),
        ("XAUUSD", {"calendar": "FX"}, ("fx", "USD", 0.00001, 1.0, 1.0, 0.01, "indicative", True)),
        ("BTC-USD", {"calendar": "24/7"}, ("crypto", "USD", 0.01, 1e-8, 1.0, 0.01, "traded", True)),
        (
            "SHIBUSDT",
            {"calendar": "24/7"},
            ("crypto", "USDT", 0.01, 1e-8, 1.0, 0.01, "traded", True),
        ),
        (
            "ETH/BTC",
            {"source": "crypto", "calendar": "24/7"},
            ("crypto", "BTC", 0.01, 1e-8, 1.0, 0.0001, "traded", True),
        ),
        ("ES=F", {"calendar": "CMES"}, ("future", "USD", 0.25, 1.0, 50.0, 0.01, "traded", False)),
        (
            "CME_MINI:NQ1!",
            {"calendar": "CMES"},
            ("future", "USD", 0.25, 1.0, 20.0, 0.01, "traded", False),
        ),
        (
            "ZBM2024",
            {"calendar": "CBOT"},
            ("future", "USD", 0.03125, 1.0, 1000.0, 0.01, "traded", False),
        ),
        ("QQQQQQ", {"calendar": "CMES"}, ("future", None, 0.01, 1.0, 1.0, 0.01, "traded", True)),
        ("RELIANCE", {"calendar": "XBOM"}, ("equity", "INR", 0.05, 1.0, 1.0, 0.01, "traded", True)),
        ("7203", {"calendar": "XTKS"}, ("equity", "JPY", 1.0, 100.0, 1.0, 1.0, "traded", True)),
        ("^GSPC", {}, ("index", None, 0.01, 1.0, 1.0, 0.01, "indicative", True)),
    ],
)
def test_terms_by_market(symbol, market, expected):
    found, from_data = terms(symbol, **market)
    names = ("asset_class", "currency", "tick_size", "lot_size", "multiplier", "fee_unit", "volume")
    assert (*(getattr(found, name) for name in names), from_data) == expected


@pytest.mark.parametrize(
    ("symbol", "root"),
    [
        ("ESZ4", "ES"),
        ("ESZ2024", "ES"),
        ("/CL", "CL"),
        ("@GC", "GC"),
        ("6EH25", "6E"),
        ("ZN1!", "ZN"),
        ("VX=F", "VX"),
        ("HG", "HG"),
    ],
)
def test_the_root_of_a_future_however_it_is_written(symbol, root):
    assert future_root(symbol) == root
    assert root in FUTURES


def bars(symbol, prices):
    return pl.DataFrame(
        {"symbol": symbol, **dict.fromkeys(("open", "high", "low", "close"), prices)}
    )


def walk(step, price, count, seed=1):
    return (
        np.round(price / step + np.cumsum(np.random.default_rng(seed).integers(-9, 10, count)))
        * step
    )


@pytest.mark.parametrize(
    ("step", "price", "count"),
    [
        (0.01, 60_000.0, 80),
        (0.1, 60_000.0, 500),
        (0.05, 2450.0, 300),
        (0.25, 4800.0, 300),
        (1e-8, 0.00001234, 60),
        (0.5, 2500.0, 300),
        (0.005, 1.2, 200),
        (0.0001, 0.52, 80),
    ],
)
@pytest.mark.parametrize("single", [False, True])
def test_the_step_is_read_from_the_prices(step, price, count, single):
    prices = walk(step, price, count)
    if single:  # as a file of 32-bit floats has them
        if price / step > 1e6:
            pytest.skip("32-bit floats do not hold so many steps")
        prices = prices.astype(np.float32).astype(np.float64)
    assert price_steps(bars("A", prices))["step"].to_list() == [step]


def test_a_few_prices_say_little_and_a_bad_print_says_nothing():
    # whole dollars by chance
    assert price_steps(bars("A", [101.0, 102.0]))["step"].to_list() == [0.01]
    assert price_steps(bars("A", [0.00001234, 0.0000124]))["step"].to_list() == [1e-8]
    assert price_steps(bars("A", [*walk(0.01, 50.0, 999), 50.12345]))["step"].to_list() == [0.01]
    assert price_steps(bars("A", walk(0.01, 50.0, 200) * 1.0473829))["step"].to_list() in (
        [],
        [1e-9],
        [1e-10],
    )  # adjusted prices are on no tick


def test_terms_change_from_a_date_on_and_the_first_hold_before_it():
    rows = [
        Instrument("A", date(2024, 3, 1), tick_size=0.05),
        Instrument("A", date(2024, 6, 1)),
        Instrument("B"),
    ]
    found = Instruments.of(reversed(rows))
    assert [found.at("A", date(2024, month, 1)).tick_size for month in (1, 3, 5, 6, 7)] == [
        0.05,
        0.05,
        0.05,
        0.01,
        0.01,
    ]
    assert found.changes(["A", "B"]) == [date(2024, 6, 1)]
    assert found.changes(["B"]) == []
    assert found.at("NEW", date(2024, 1, 1)) == Instrument("NEW")
    assert Instruments.of_table(found.table()) == found
    assert found.table()["price_precision"].to_list() == [2, 2, 2]
    assert INSTRUMENTS.columns.keys() == set(found.table().columns)


@pytest.mark.parametrize(
    "changed",
    [
        {"tick_size": 0.05},
        {"lot_size": 100.0},
        {"multiplier": 50.0},
        {"shortable": False},
        {"volume": "indicative"},
    ],
)
def test_what_results_depend_on_changes_with_the_terms_of_all_symbols_alike(changed):
    plain = Instruments.of([Instrument("A"), Instrument("B")])
    other = Instruments.of(
        [Instrument(name, **changed) for name in ("A", "B")], Instrument("", **changed)
    )
    assert other.unusual() != plain.unusual()
    assert Instruments.of([*plain.rows, Instrument("C")]).unusual() == plain.unusual()


def test_settings_have_the_last_word():
    changed = apply_terms(
        Instrument("A"), InstrumentTerms(tick_size=0.05, lot_size=10.0), "settings"
    )
    assert (changed.tick_size, changed.small_tick_size, changed.lot_size) == (0.05, None, 10.0)
    assert changed.origin.endswith("tick_size, lot_size: settings")
    assert apply_terms(Instrument("A"), InstrumentTerms(), "settings") == Instrument("A")
    assert (
        apply_terms(Instrument("A"), InstrumentTerms(shortable=False), "settings").shortable
        is False
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[market.instruments.defaults]\ntick_sise = 0.05", "did you mean 'tick_size'"),
        ("[market.instruments.defaults]\ntick_size = 0.0", "tick_size"),
        ("[market.instruments.defaults]\ntick_size = 0.3333333333333333", "no step of prices"),
        ("[market.instruments.defaults]\nvolume = 'some'", "volume"),
        ("[market.instruments.symbols.'BTC/USD']\nlot_size = -1.0", "lot_size"),
        ("[market.instruments.symbols.A]\nsmall_tick_size = 0.0001", "belong together"),
        (
            (
                "[market.instruments.symbols.A]\ntick_size = 0.05\nsmall_tick_size ="
                " 0.01\nsmall_tick_below = 1.02"
            ),
            "no price on both ticks",
        ),
    ],
)
def test_wrong_terms_are_refused_by_name(tmp_path, text, message):
    file = tmp_path / "harmony.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_settings(file, {})


def test_a_symbol_of_the_settings_may_have_any_name(tmp_path):
    file = tmp_path / "harmony.toml"
    file.write_text('[market.instruments.symbols."BTC/USD"]\ntick_size = 0.01\nlot_size = 0.0001\n')
    chosen = load_settings(file, {}).market.instruments.symbols["BTC/USD"]
    assert (chosen.tick_size, chosen.lot_size) == (0.01, 0.0001)


def test_the_first_day_of_all_is_before_every_market():
    assert Instrument("A").valid_from == BEFORE_ALL < date(1980, 1, 1)


def test_the_page_shows_every_future_as_it_is_known():
    page = (Path(__file__).resolve().parents[2] / "docs" / "instruments.md").read_text()
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in page.splitlines()
        if line.startswith("|") and line.count("|") == 10
    ]
    shown = {
        root.strip(): (cells_of[at + 1], cells_of[at + 2])
        for cells_of in cells[2:]
        for at in (0, 3, 6)
        for root in cells_of[at].split(",")
        if root
    }
    assert shown.keys() == FUTURES.keys()
    for root, (tick, point) in shown.items():
        assert float(Fraction(tick)) == FUTURES[root].tick, root
        assert float(point.replace(",", "")) == FUTURES[root].multiplier, root
