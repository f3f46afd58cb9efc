"""Fees of regulators and venues: the dated tables, what they make of a fill, and presets."""

from datetime import date, timedelta
from decimal import ROUND_CEILING, Decimal
from itertools import pairwise

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harmony_pipeline.backtest.simulator import run_backtest
from harmony_pipeline.errors import ConfigError
from harmony_pipeline.execution.costs import fee, taker_price
from harmony_pipeline.execution.fee_rates import (
    AUDIT_TRAIL_FEES,
    SEC_FEES,
    TRADING_ACTIVITY_FEES,
    VENUES,
    rate_on,
    regulatory_changes,
)
from harmony_pipeline.execution.settings import CostSettings, ExecutionNoiseSettings
from harmony_pipeline.labels.settings import LabelSettings
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.instruments import INDICATIVE, Instrument, Instruments
from harmony_pipeline.portfolio.kernel_types import RULES
from harmony_pipeline.portfolio.parameters import TradingRules
from harmony_pipeline.portfolio.settings import BacktestSettings
from harmony_pipeline.risk.settings import RiskSettings
from harmony_pipeline.strategies.settings import StrategySettings

COIN = Instrument("BTCUSD", asset_class="crypto", lot_size=1e-8, small_tick_size=None)
PAIR = Instrument(
    "EURUSD",
    asset_class="fx",
    volume=INDICATIVE,
    tick_size=0.00001,
    small_tick_size=None,
    small_tick_below=None,
)
YEN = Instrument(
    "USDJPY", asset_class="fx", volume=INDICATIVE, currency="JPY", tick_size=0.001, small_tick_size=None,
    small_tick_below=None,
)  # fmt: skip


def trading_rules(*instruments, **costs):
    return TradingRules.of(
        RiskSettings(),
        CostSettings(**costs),
        ExecutionNoiseSettings(),
        LabelSettings(),
        StrategySettings(use="tests:none"),
        BacktestSettings(),
        Instruments.of(instruments),
    )


def record(day=date.max, symbol="AAA", instruments=(), **costs):
    return trading_rules(*instruments, **costs).records([symbol], day)[0]


@pytest.mark.parametrize("rates", [SEC_FEES, TRADING_ACTIVITY_FEES, AUDIT_TRAIL_FEES])
def test_the_rates_stand_in_order_of_their_dates_and_say_where_they_were_read(rates):
    days = [rate.valid_from for rate in rates]
    assert days == sorted(set(days))
    assert all(rate.source for rate in rates)
    assert all(not rate.verified for rate in rates if rate.source == "not looked up")


@pytest.mark.parametrize(
    ("day", "per_million"),
    [
        (date(2018, 5, 21), 23.10),
        (date(2018, 5, 22), 13.00),
        (date(2020, 2, 18), 22.10),
        (date(2021, 2, 24), 22.10),
        (date(2021, 2, 25), 5.10),
        (date(2025, 5, 13), 27.80),
        (date(2025, 5, 14), 0.00),
        (date(2026, 4, 3), 0.00),
        (date(2026, 4, 4), 20.60),
        (date(1998, 1, 2), 11.00),
    ],
)
def test_the_sec_fee_of_a_day_is_that_of_the_notices(day, per_million):
    assert rate_on(SEC_FEES, day).per_million == per_million


@pytest.mark.parametrize("tiers", VENUES.values(), ids=VENUES)
def test_a_higher_tier_never_costs_more(tiers):
    for lower, higher in pairwise(tiers):
        assert lower.volume < higher.volume
        assert lower.maker_bps >= higher.maker_bps
        assert lower.taker_bps >= higher.taker_bps
        assert higher.maker_bps <= higher.taker_bps


def test_a_sale_pays_each_fee_up_to_the_next_cent_and_a_purchase_the_audit_trail_alone():
    rules = record(date(2025, 3, 3), preset="alpaca")
    # 10,000 at 27.80 a million: 0.278 -> 0.28; 200 shares at 0.000166: 0.0332 -> 0.04;
    # 200 at 0.000046: 0.0092 -> 0.01
    assert fee(rules, -1, 50.0, 200.0) == 2800 + 400 + 100
    assert fee(rules, 1, 50.0, 200.0) == 100


def test_the_trading_activity_fee_has_a_cap_for_each_trade():
    rules = record(date(2024, 7, 1), preset="alpaca")
    assert fee(rules, -1, 0.01, 49_999.0) == 200 + 83_000  # 8.2998 -> 8.30; 499.99: 0.0139 -> 0.02
    assert fee(rules, -1, 0.01, 1_000_000.0) == 2800 + 83_000  # and not 166


def test_an_amount_that_is_whole_cents_already_is_not_rounded_up():
    rules = record(date(2024, 7, 1), preset="alpaca")
    assert fee(rules, -1, 1_000.0, 1_000.0) == 278_000 + 1_700  # 27.80 and 0.166


@given(
    day=st.dates(date(2008, 1, 1), date(2027, 12, 31)),
    price=st.integers(1, 10**6),
    quantity=st.integers(1, 10**6),
    side=st.sampled_from([-1, 1]),
)
def test_regulatory_fees_are_what_decimal_arithmetic_says(day, price, quantity, side):
    cent = Decimal("0.01")

    def up(amount):
        nearest = amount.quantize(cent)
        return (
            nearest
            if abs(amount - nearest) < Decimal("1e-8")
            else amount.quantize(cent, ROUND_CEILING)
        )

    sec, taf, cat = (
        rate_on(rates, day) for rates in (SEC_FEES, TRADING_ACTIVITY_FEES, AUDIT_TRAIL_FEES)
    )
    expected = up(Decimal(str(cat.per_share)) * quantity)
    if side < 0:
        expected += up(Decimal(price) / 100 * quantity * Decimal(str(sec.per_million)) / 10**6)
        expected += min(up(Decimal(str(taf.per_share)) * quantity), Decimal(str(taf.cap)))
    rules = record(day, preset="alpaca")
    assert fee(rules, side, price / 100, float(quantity)) == int(expected * 10_000)


def test_a_maker_pays_its_own_fee_and_may_be_paid():
    rules = record(fee_bps=10.0, maker_fee_bps=-1.0, sell_fee_bps=0.0)
    assert fee(rules, 1, 100.0, 10.0, False) == 10_000
    assert fee(rules, 1, 100.0, 10.0, True) == -1_000
    assert fee(record(fee_bps=10.0), 1, 100.0, 10.0, True) == 10_000  # none: as everyone


@pytest.mark.parametrize(
    ("preset", "tier", "taker", "maker"),
    [("alpaca", 1, 25, 15), ("alpaca", 8, 10, 0), ("kraken", 2, 24, 14), ("coinbase", 1, 60, 40)],
)
def test_a_venue_takes_its_maker_and_taker_fees_of_coins(preset, tier, taker, maker):
    rules = record(
        symbol="BTCUSD", instruments=(COIN,), preset=preset, fee_tier=tier, sell_fee_bps=3.0
    )
    assert fee(rules, -1, 20_000.0, 1.0, False) == taker * 20_000
    assert fee(rules, -1, 20_000.0, 1.0, True) == maker * 20_000


def test_a_tier_that_the_venue_has_not_is_refused_by_name():
    with pytest.raises(ConfigError, match=r"costs.fee_tier: 9 is no tier of alpaca; choose 1 to 8"):
        record(symbol="BTCUSD", instruments=(COIN,), preset="alpaca", fee_tier=9)


def test_a_currency_pair_pays_half_of_a_spread_in_pips_and_no_fee():
    rules = record(symbol="EURUSD", instruments=(PAIR,), preset="fx", impact_coefficient=0.0)
    assert taker_price(rules, 1, 1.1, 0.01, 1000.0, 0.0) == 1.10005
    assert taker_price(rules, -1, 1.1, 0.01, 1000.0, 0.0) == 1.09995
    assert fee(rules, -1, 1.1, 100_000.0) == 0
    yen = record(symbol="USDJPY", instruments=(YEN,), spread_pips=2.0, impact_coefficient=0.0)
    assert taker_price(yen, 1, 150.0, 0.01, 1000.0, 0.0) == 150.01
    own = record(
        symbol="EURUSD", instruments=(PAIR,), preset="fx",
        symbols={"EURUSD": {"half_spread_bps": 10.0}}, impact_coefficient=0.0,
    )  # fmt: skip
    assert taker_price(own, 1, 1.1, 0.01, 1000.0, 0.0) == 1.1011


def test_costs_of_one_symbol_go_before_those_of_all():
    rules = trading_rules(
        half_spread_bps=3.0,
        borrow_rate=0.02,
        symbols={"BBB": {"half_spread_bps": 9.0, "impact_coefficient": 0.1}, "CCC": {}},
    ).records(["AAA", "BBB", "CCC"])
    assert rules["half_spread_bps"].tolist() == [3.0, 9.0, 3.0]
    assert rules["impact_coefficient"].tolist() == [0.5, 0.1, 0.5]
    assert rules["borrow_rate"].tolist() == [0.02, 0.02, 0.02]


def test_without_a_word_in_the_settings_nothing_new_is_charged():
    rules = record()
    assert (rules["fee_bps"], rules["maker_fee_bps"], rules["sell_fee_bps"]) == (0.0, 0.0, 0.278)
    off = [
        "half_spread_price", "sec_fee_per_million", "taf_per_share", "taf_cap", "cat_per_share",
        "borrow_rate", "interest_rate", "debit_rate", "latency_us", "latency_bars",
        "late_bar_probability",
    ]  # fmt: skip
    assert set(off) <= set(RULES.names)
    assert [rules[name] for name in off] == [0] * len(off)


def test_rules_change_on_the_dates_of_the_notices_where_shares_pay_them():
    assert trading_rules().changes(["AAA"]) == []
    assert trading_rules(COIN, preset="alpaca").changes(["BTCUSD"]) == []
    assert trading_rules(PAIR, preset="kraken").changes(["EURUSD"]) == []
    assert trading_rules(COIN, regulatory_fees=True).changes(["BTCUSD", "AAA"]) == (
        regulatory_changes()
    )
    assert date(2025, 5, 14) in regulatory_changes()


def test_a_backtest_charges_each_sale_by_its_own_day():
    """Round trips through May 2025: the SEC fee ends on the 14th."""
    calendar = Calendar.of("XNYS")
    days = calendar.sessions(date(2025, 5, 1), date(2025, 5, 30))
    stamps = pl.Series(days).cast(pl.Datetime("us", "UTC"))
    bars = pl.DataFrame({"timestamp": stamps}).with_columns(
        symbol=pl.lit("AAA"), session=pl.lit("regular"), open=100.0, high=100.5, low=99.5,
        close=100.0, volume=1e7, adjustment_factor=1.0,
    )  # fmt: skip
    signals = pl.DataFrame(
        {"symbol": "AAA", "timestamp": stamps, "side": [1, 0] * (len(days) // 2) + [0] * (len(days) % 2)}
    ).with_columns(
        pl.col("side").cast(pl.Int8), strength=1.0, volatility=0.01,
        probability=pl.lit(None, pl.Float64), model_id=pl.lit(None, pl.String),
    )  # fmt: skip
    actions = pl.DataFrame(
        schema={"symbol": pl.String, "date": pl.Date, "kind": pl.String, "value": pl.Float64}
    )
    rules = TradingRules.of(
        RiskSettings(max_daily_loss=1.0),
        CostSettings(preset="alpaca"),
        ExecutionNoiseSettings(),
        LabelSettings(),
        StrategySettings(use="tests:none", exits="signal"),
        BacktestSettings(),
    )
    fills = run_backtest(bars, signals, actions, rules, calendar, "1Day").fills
    sales = fills.filter(pl.col("side") == "sell")
    assert sales["timestamp"].min().date() < date(2025, 5, 14) - timedelta(days=3)
    assert sales["timestamp"].max().date() > date(2025, 5, 14) + timedelta(days=3)
    for fill in fills.iter_rows(named=True):
        shares, value = Decimal(fill["quantity"]), Decimal(fill["price"] * fill["quantity"])
        sold = fill["side"] == "sell"
        rate = Decimal("27.80") if fill["timestamp"].date() < date(2025, 5, 14) else Decimal(0)
        parts = [
            shares * Decimal("0.000046"),
            value * rate / 10**6 * sold,
            shares * Decimal("0.000166") * sold,
        ]
        paid = sum(part.quantize(Decimal("0.01"), ROUND_CEILING) for part in parts)
        assert Decimal(str(fill["fee"])) == paid
