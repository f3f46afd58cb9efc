"""A MetaTrader 5 terminal as a source: times of its server, a history that fills by and by, a
connection that breaks, and the account that nobody may read.
"""

import sys
from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from market.venues.clocks import Hours
from market.venues.metatrader import RATES, TICKS, Fault, MetaTrader5, SymbolInfo, server_reading
from polars.testing import assert_frame_equal
from pydantic import ValidationError

from harmony_pipeline.errors import ConfigError, DataError
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.settings import MarketSettings
from harmony_pipeline.market.source_settings import Mt5Settings
from harmony_pipeline.market.sources.mt5 import Mt5Source
from harmony_pipeline.market.sources.registry import build_source
from harmony_pipeline.market.sources.retry import RetriesExhausted
from harmony_pipeline.market.sources.server_clock import ServerClock
from harmony_pipeline.schemas import TIME
from harmony_pipeline.testing.source_contract import SourceContract

START, END = datetime(2024, 3, 4, tzinfo=UTC), datetime(2024, 3, 16, tzinfo=UTC)
NOW = datetime(2024, 3, 20, 12, 0, 30, tzinfo=UTC)
FX = Calendar.of("FX")
ACCOUNT = {"MT5_LOGIN": "5012345", "MT5_PASSWORD": "s3cret", "MT5_SERVER": "Broker-Demo"}


def open_hours(start: datetime, end: datetime) -> list[datetime]:
    """Starts of the hours in which gold is quoted: the currencies' week without its hour of pause,
    17:00 to 18:00 in New York.
    """
    hours = [start + timedelta(hours=at) for at in range((end - start) // timedelta(hours=1))]
    parts = FX.parts(pl.Series(hours, dtype=TIME))
    local = pl.Series(hours, dtype=TIME).dt.convert_time_zone("America/New_York").dt.hour()
    kept = parts["session"].is_not_null() & (local != 17)
    return [hour for hour, keep in zip(hours, kept.to_list(), strict=True) if keep]


def rates_of(hours: list[datetime], seed: int, reading=server_reading):
    random = np.random.default_rng(seed)
    close = np.round(2100.0 + np.cumsum(random.normal(0.0, 2.0, len(hours))), 2)
    table = np.zeros(len(hours), RATES)
    table["time"] = [reading(hour) for hour in hours]
    table["close"], table["open"] = close, np.round(close - random.normal(0.0, 1.0, len(hours)), 2)
    table["high"] = np.maximum(table["open"], close) + 1.5
    table["low"] = np.minimum(table["open"], close) - 1.5
    table["tick_volume"] = random.integers(100, 9_000, len(hours))
    table["spread"] = 18
    return table


def days_of(first: date, count: int):
    table = np.zeros(count, RATES)
    stamps = [first + timedelta(days=at) for at in range(3 * count)]
    weekdays = [day for day in stamps if day.weekday() < 5][:count]
    table["time"] = [
        int(datetime(d.year, d.month, d.day, tzinfo=UTC).timestamp()) for d in weekdays
    ]
    table["open"], table["close"], table["high"], table["low"] = 2100.0, 2101.0, 2102.0, 2099.0
    table["tick_volume"] = 1000
    return table


def ticks_of(start: datetime, count: int, seed: int = 5):
    random = np.random.default_rng(seed)
    table = np.zeros(count, TICKS)
    moments = np.sort(random.integers(0, 3 * 3_600_000, count))
    table["time_msc"] = server_reading(start) * 1000 + moments
    table["time"] = table["time_msc"] // 1000
    table["bid"] = np.round(2100.0 + np.cumsum(random.normal(0, 0.05, count)), 2)
    table["ask"] = table["bid"] + 0.18
    table["flags"] = random.choice([2, 4, 6], count)
    return table


def broker(**changes) -> MetaTrader5:
    # the last hours are still to come: a stream meets them as time goes by
    hours = open_hours(datetime(2024, 2, 1, tzinfo=UTC), NOW + timedelta(days=1))
    module = MetaTrader5(
        [SymbolInfo("XAUUSD"), SymbolInfo("XAGUSD", digits=3, point=0.001, trade_tick_size=0.001,
         trade_contract_size=5000.0), SymbolInfo("GBPJPY", visible=False)],
        accounts={5012345: ("s3cret", "Broker-Demo")},
        **changes,
    )  # fmt: skip
    for number, symbol in enumerate(("XAUUSD", "XAGUSD", "GBPJPY")):
        module.rates[symbol, module.TIMEFRAME_H1] = rates_of(hours, number)
        module.rates[symbol, module.TIMEFRAME_D1] = days_of(date(2024, 2, 1), 35)
        module.ticks[symbol] = ticks_of(START + timedelta(hours=9), 500, number)
    for info in module.symbols:
        info.time = server_reading(NOW) - 2
    return module


def source_of(module, hours=None, symbols=(), environment=ACCOUNT, retry=None, **mt5) -> Mt5Source:
    hours = hours or Hours(NOW)
    market = MarketSettings(
        source="mt5", calendar="FX", timeframe="1Hour", symbols=symbols, mt5=Mt5Settings(**mt5)
    )
    return Mt5Source(market, module, retry or hours.retry(), hours.now, hours.sleep, environment)


class TestATerminalIsASource(SourceContract):
    timeframe, start, end = "1Hour", START, END
    symbols = ("XAGUSD", "XAUUSD")
    tick_start, tick_end = START + timedelta(hours=8), START + timedelta(hours=13)
    lacks = {  # noqa: RUF012 - as the contract has it
        "corporate actions": "currencies and metals have no splits and pay no dividends",
    }

    @pytest.fixture
    def source(self):
        return source_of(broker(), page_rows=100)


# --- times ----------------------------------------------------------------------------------------


def test_bars_are_those_of_the_terminal_at_their_true_times():
    module = broker()
    found = source_of(module).bars(["XAUUSD"], START, END, "1Hour")
    expected = open_hours(START, END)
    assert found["timestamp"].to_list() == expected
    table = module.rates["XAUUSD", module.TIMEFRAME_H1]
    there = np.isin(table["time"], [server_reading(hour) for hour in expected])
    for name in ("open", "high", "low", "close"):
        assert found[name].to_list() == table[name][there].tolist()
    assert found["volume"].to_list() == table["tick_volume"][there].tolist()
    assert FX.parts(found["timestamp"])["session"].to_list() == ["regular"] * found.height


@given(
    st.datetimes(datetime(2005, 1, 1), datetime(2034, 1, 1)),  # noqa: DTZ001 - made UTC below
    st.sampled_from(
        ["America/New_York+7", "America/New_York", "Europe/Athens", "Etc/GMT-3", "UTC"]
    ),
)
def test_the_server_clock_is_read_back(moment, text):
    clock, instant = ServerClock.of(text), moment.replace(microsecond=0, tzinfo=UTC)
    reading = clock.seconds(instant)
    back = clock.utc(pl.Series([reading]))[0]
    # the second pass of an hour that the clock repeats reads as the first
    assert back == instant or instant - back == timedelta(hours=1)
    assert clock.seconds(back) == reading
    assert clock.utc(pl.Series([reading * 1000]), 1000)[0] == back


def test_the_usual_server_is_two_hours_ahead_in_winter_and_three_while_new_york_has_summer():
    clock = ServerClock.of("America/New_York + 7")
    ahead = [
        clock.offset(datetime(2024, *day, 12, tzinfo=UTC)) / timedelta(hours=1)
        for day in ((1, 10), (3, 9), (3, 11), (3, 28), (10, 30), (11, 4))
    ]
    assert ahead == [2.0, 2.0, 3.0, 3.0, 3.0, 2.0]


def test_a_clock_that_is_none_is_refused():
    with pytest.raises(ValidationError, match=r"America/New_York\+7"):
        Mt5Settings(server_clock="Mars+1")


def test_a_bar_of_an_hour_that_the_clock_leaves_out_has_that_defect():
    module = broker()
    table = module.rates["XAUUSD", module.TIMEFRAME_H1]
    # 02:30 in New York on the Sunday of spring, as a server on another clock would write it
    odd = table[:1].copy()
    odd["time"] = int(datetime(2024, 3, 10, 9, 0, tzinfo=UTC).timestamp())
    whole = np.concatenate([table, odd])
    module.rates["XAUUSD", module.TIMEFRAME_H1] = whole[np.argsort(whole["time"])]
    found = source_of(module).bars(["XAUUSD"], START, END, "1Hour")
    assert found.filter(pl.col("defect").is_not_null()).height == 1
    assert "server_clock" in found["defect"].drop_nulls()[0]
    assert found.height == len(open_hours(START, END)) + 1


def test_the_running_bar_is_held_back_until_it_settled():
    hours = Hours(datetime(2024, 3, 19, 15, 0, 3, tzinfo=UTC))
    source = source_of(broker(), hours, settle_seconds=5.0)
    ask = (["XAUUSD"], START, datetime(2025, 1, 1, tzinfo=UTC), "1Hour")
    assert source.bars(*ask)["timestamp"].max() == datetime(2024, 3, 19, 13, tzinfo=UTC)
    hours.sleep(3)
    assert source.bars(*ask)["timestamp"].max() == datetime(2024, 3, 19, 14, tzinfo=UTC)


def test_days_bear_the_date_of_the_server_and_end_with_it():
    hours = Hours(datetime(2024, 3, 19, 20, 59, tzinfo=UTC))
    source = source_of(broker(), hours)
    ask = (["XAUUSD"], START, datetime(2025, 1, 1, tzinfo=UTC), "1Day")
    found = source.bars(*ask)["timestamp"]
    assert [found.min(), found.max()] == [START, datetime(2024, 3, 18, tzinfo=UTC)]
    # 17:00 in New York
    hours.sleep(120)
    assert source.bars(*ask)["timestamp"].max() == datetime(2024, 3, 19, tzinfo=UTC)


@settings(max_examples=25)
@given(st.integers(100, 700), st.integers(0, 200), st.integers(1, 300))
def test_pages_lose_and_repeat_nothing(page_rows, offset, length):
    module = broker()
    start = START + timedelta(minutes=17 * offset)
    end = start + timedelta(hours=length)
    source = source_of(module, page_rows=page_rows)
    found = source.bars(["XAUUSD"], start, end, "1Hour")
    expected = [hour for hour in open_hours(START, NOW) if start <= hour < end]
    assert found["timestamp"].to_list() == expected
    pieces = [
        source.bars(each.symbols, each.start, each.end, "1Hour")
        for each in source.requests(["XAUUSD"], start, end, "1Hour")
    ]
    assert_frame_equal(pl.concat(pieces), found, check_exact=True)


# --- history that is not there yet ----------------------------------------------------------------


@pytest.mark.parametrize(
    "filling", [[None, 0.0, 0.3, 0.8, 1.0], [0.0, 0.1, 1.0], [None, None, 1.0], [0.5, 1.0]]
)
def test_a_history_that_fills_is_asked_for_until_it_no_longer_grows(filling):
    hours = Hours(NOW)
    found = source_of(broker(filling=list(filling)), hours).read_bars(
        ["XAUUSD"], START, END, "1Hour"
    )
    assert found.rows["timestamp"].to_list() == open_hours(START, END)
    assert found.notes == ()
    assert len(hours.slept) == len(filling)
    assert hours.slept == sorted(hours.slept)


def test_a_history_that_goes_on_filling_ends_with_the_cure():
    growing = [number / 100 for number in range(1, 50)]
    with pytest.raises(DataError, match="still filling after 5 answers; run the same command"):
        source_of(broker(filling=growing), history_attempts=5).bars(["XAUUSD"], START, END, "1Hour")


def test_what_lies_before_the_history_is_no_rows_and_a_note():
    module = broker(max_bars=300)
    before = source_of(module).read_bars(["XAUUSD"], START - timedelta(days=60), START, "1Hour")
    shown = module.rates["XAUUSD", module.TIMEFRAME_H1][-300:]["time"]
    assert server_reading(START) > shown[0] or before.rows.is_empty()
    long_ago = (datetime(2015, 1, 1, tzinfo=UTC), datetime(2016, 1, 1, tzinfo=UTC))
    nothing = source_of(module).read_bars(["XAUUSD"], *long_ago, "1Hour")
    assert nothing.rows.is_empty()
    assert "Max bars in chart" in nothing.notes[0]


def test_a_weekend_of_which_the_terminal_says_nothing_is_no_error():
    friday_night, sunday = datetime(2024, 3, 15, 22, tzinfo=UTC), datetime(2024, 3, 17, tzinfo=UTC)
    found = source_of(broker(filling=[None] * 9)).read_bars(
        ["XAUUSD"], friday_night, sunday, "1Hour"
    )
    assert found.rows.is_empty()
    assert found.notes == ()
    with pytest.raises(DataError, match="no 1Hour bars of XAUUSD"):
        source_of(broker(filling=[None] * 9)).bars(
            ["XAUUSD"], datetime(2024, 3, 15, tzinfo=UTC), sunday, "1Hour"
        )


def test_a_terminal_without_ticks_says_nothing_of_a_day():
    module = broker()
    module.ticks["XAUUSD"] = np.empty(0, TICKS)
    with pytest.raises(DataError, match="no ticks of XAUUSD"):
        source_of(module).quotes(["XAUUSD"], START, START + timedelta(days=1))


def test_a_symbol_without_any_history_is_an_error():
    module = broker()
    module.rates["XAUUSD", module.TIMEFRAME_H1] = np.empty(0, RATES)
    for start in (START, datetime(2015, 1, 1, tzinfo=UTC)):
        with pytest.raises(DataError, match="no 1Hour bars of XAUUSD"):
            source_of(module).bars(["XAUUSD"], start, start + timedelta(days=9), "1Hour")


# --- a connection that breaks ---------------------------------------------------------------------


@pytest.mark.parametrize("function", ["copy_rates_range", "symbols_get", "symbol_info",
    "symbol_select", "initialize"])  # fmt: skip
@pytest.mark.parametrize(
    ("code", "text"), [(-10004, "No IPC connection"), (-10005, "IPC timeout"),
    (-10001, "IPC send failed"), (-10002, "IPC recv failed")]
)  # fmt: skip
def test_a_broken_connection_is_made_anew_and_nothing_is_lost(function, code, text):
    module = broker(faults=[Fault(function, code, text, lost=True)] * 3)
    found = source_of(module).read_bars(["XAUUSD"], START, END, "1Hour")
    assert found.rows["timestamp"].to_list() == open_hours(START, END)
    assert found.retries == 3
    assert module.calls["initialize"] == 4


def test_a_terminal_that_does_not_run_is_told_in_one_line():
    faults = [Fault("initialize", -10003, "IPC initialize failed, Process create failed")] * 50
    with pytest.raises(RetriesExhausted, match="is the terminal running") as error:
        source_of(broker(faults=faults)).bars(["XAUUSD"], START, END, "1Hour")
    assert "\n" not in str(error.value)


def test_a_refusal_is_not_asked_again():
    module = broker(faults=[Fault("symbols_get", -7, "Unsupported")])
    with pytest.raises(DataError, match="refuses its symbols: Unsupported"):
        source_of(module).bars(["XAUUSD"], START, END, "1Hour")
    assert module.calls["symbols_get"] == 1


# --- the account ----------------------------------------------------------------------------------


def test_the_account_comes_from_the_environment_and_is_in_no_message():
    module = broker()
    source = source_of(module)
    assert source.bars(["XAUUSD"], START, END, "1Hour").height
    assert module.logged_in is not None
    assert (module.logged_in.login, module.logged_in.server) == (5012345, "Broker-Demo")
    assert "Broker-Demo" in source.identity
    wrong = source_of(broker(), environment={**ACCOUNT, "MT5_PASSWORD": "wr0ng"})
    with pytest.raises(ConfigError, match="refuses the login") as error:
        wrong.bars(["XAUUSD"], START, END, "1Hour")
    assert "wr0ng" not in str(error.value)
    assert "5012345" not in str(error.value)


def test_a_terminal_in_another_account_is_logged_in_to_ours():
    module = broker()
    module.accounts[7] = ("x", "Broker-Demo")
    module.connected = True
    assert module.login(7, password="x", server="Broker-Demo")
    source_of(module).bars(["XAUUSD"], START, END, "1Hour")
    assert module.logged_in is not None
    assert module.logged_in.login == 5012345


def test_without_an_account_the_one_of_the_terminal_is_used():
    module = broker()
    with pytest.raises(ConfigError, match="refuses the login"):
        source_of(module, environment={}).bars(["XAUUSD"], START, END, "1Hour")
    module.connected = True
    module.login(5012345, password="s3cret", server="Broker-Demo")
    logins = module.calls["login"]
    assert source_of(module, environment={}).bars(["XAUUSD"], START, END, "1Hour").height
    assert module.calls["login"] == logins


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({"MT5_LOGIN": "1"}, "MT5_PASSWORD and MT5_SERVER"),
        ({**ACCOUNT, "MT5_LOGIN": "me"}, "digits"),
    ],
)
def test_half_an_account_is_refused(environment, named):
    with pytest.raises(ConfigError, match=named):
        source_of(broker(), environment=environment).bars(["XAUUSD"], START, END, "1Hour")


def test_without_the_package_one_line_says_where_it_runs(monkeypatch):
    monkeypatch.setitem(sys.modules, "MetaTrader5", None)
    source = build_source(MarketSettings(source="mt5", symbols=("XAUUSD",)), None)
    with pytest.raises(ConfigError, match=r"on Windows, pip install 'harmony-pipeline\[mt5\]'"):
        source.bars(["XAUUSD"], START, END, "1Hour")


# --- symbols, terms, quotes -----------------------------------------------------------------------


def test_a_symbol_that_is_not_shown_is_put_into_market_watch():
    module = broker()
    assert source_of(module).bars(["GBPJPY"], START, END, "1Hour").height
    assert module.symbols[2].visible


def test_no_symbols_are_those_of_market_watch_or_of_the_group():
    everything = (None, START, START + timedelta(days=1), "1Hour")
    shown = source_of(broker()).bars(*everything)
    assert shown["symbol"].unique().sort().to_list() == ["XAGUSD", "XAUUSD"]
    group = source_of(broker(), group="*JPY*").bars(*everything)
    assert group["symbol"].unique().to_list() == ["GBPJPY"]
    with pytest.raises(ConfigError, match=r"market.mt5.group is '\*ZZZ\*'"):
        source_of(broker(), group="*ZZZ*").bars(*everything)
    nothing = broker()
    nothing.symbols = nothing.symbols[2:]
    with pytest.raises(ConfigError, match="Market Watch"):
        source_of(nothing).bars(*everything)


def test_an_unknown_symbol_is_answered_with_names_like_it():
    module = broker()
    module.symbols[0].name = "XAUUSD.m"
    with pytest.raises(DataError, match=r"no symbol 'XAUUSD'.*'XAUUSD.m'"):
        source_of(module).bars(["XAUUSD"], START, END, "1Hour")


def test_terms_are_the_brokers_in_lots():
    rows = source_of(broker(), symbols=("XAUUSD", "XAGUSD")).instruments().sort("symbol")
    assert rows.select(
        "symbol", "currency", "tick_size", "lot_size", "minimum_quantity", "multiplier"
    ).rows() == [
        ("XAGUSD", "USD", 0.001, 0.01, 0.01, 5000.0),
        ("XAUUSD", "USD", 0.01, 0.01, 0.01, 100.0),
    ]
    assert rows["valid_from"].unique().to_list() == [NOW.date()]


def test_ticks_are_quotes_with_their_flags_and_a_side_of_zero_is_none():
    module = broker()
    module.ticks["XAUUSD"]["bid"][3] = 0.0
    table = module.ticks["XAUUSD"]
    found = source_of(module).read_quotes(["XAUUSD"], START, START + timedelta(days=1))
    assert found.rows.height == len(table)
    assert found.rows["bid"].null_count() == 1
    assert found.rows["ask"].to_list() == table["ask"].tolist()
    assert found.rows["conditions"].to_list() == [str(flag) for flag in table["flags"]]
    first = START + timedelta(hours=9, milliseconds=int(table["time_msc"][0] % (3 * 3_600_000)))
    assert found.rows["timestamp"][0].microsecond % 1000 == 0
    assert found.rows["timestamp"][0] >= START + timedelta(hours=9)
    assert first.tzinfo is UTC
    early = source_of(module).read_quotes(["XAUUSD"], START - timedelta(days=3), START)
    assert early.rows.is_empty()
    assert "no ticks of XAUUSD" in early.notes[0]


def test_real_volume_where_an_exchange_tells_it():
    module = broker()
    module.rates["XAUUSD", module.TIMEFRAME_H1]["real_volume"] = 77
    found = source_of(module, volume="real").bars(["XAUUSD"], START, END, "1Hour")
    assert found["volume"].unique().to_list() == [77.0]


# --- the check of the clock -----------------------------------------------------------------------


def test_the_check_says_that_the_clock_is_right():
    told = source_of(broker(), symbols=("XAUUSD",)).self_check()
    assert "100.0% of" in told
    assert "last quote is of 2024-03-20 12:00 UTC" in told


@pytest.mark.parametrize("clock", ["UTC", "America/New_York+4"])
def test_a_clock_that_is_behind_shows_quotes_of_the_future(clock):
    with pytest.raises(ConfigError, match=r"still to come: the server is at least 3 hours ahead"):
        source_of(broker(), symbols=("XAUUSD",), server_clock=clock).self_check()


def test_a_clock_that_is_ahead_shows_bars_outside_the_week():
    with pytest.raises(ConfigError, match=r"lie inside sessions of FX, moved by \+\d hours 100.0%"):
        source_of(broker(), symbols=("XAUUSD",), server_clock="America/New_York+13").self_check()


def test_too_few_bars_prove_nothing():
    module = broker(max_bars=60)
    told = source_of(module, symbols=("XAUUSD",)).self_check()
    assert "too few to compare" in told


def test_the_stream_goes_on_with_the_next_bar():
    hours = Hours(datetime(2024, 3, 19, 14, 30, tzinfo=UTC))
    frames = source_of(broker(), hours, symbols=("XAUUSD",)).stream(None)
    assert [next(frames)["timestamp"][0].hour for _ in range(3)] == [14, 15, 16]
