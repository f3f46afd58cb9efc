"""Laws of the simulator that hold on every market: conservation, the chain of days, no look-ahead,
keyed luck, limits, nothing from nothing.
"""

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from backtest.random_markets import (
    CALENDAR,
    FIRST,
    SYMBOLS,
    Market,
    random_market,
    rules,
    run,
    shuffled_names,
    with_lives,
)
from hypothesis import example, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from harmony_pipeline import schemas
from harmony_pipeline.errors import DataError
from harmony_pipeline.portfolio.kernel_types import BEFORE_EVERYTHING
from harmony_pipeline.portfolio.state import TradingState

SEEDS = st.integers(0, 10**6)
EXITS = st.sampled_from(["barriers", "signal"])
ENTRIES = st.sampled_from([{}, {"entry": "close"}])
CHANCE = {"reject_probability": 0.1, "partial_fill_probability": 0.2}
LATE = datetime(2100, 1, 1, tzinfo=UTC)


# --- conservation ---------------------------------------------------------------------------------


def replayed(market, result, cash):
    """Cash, shares and equity after every bar, from the fills table and the corporate actions
    alone; money in 1/10000.
    """
    cash, shares, last, last_date, curve = round(cash * 10_000), {}, {}, {}, []
    fills = result.fills.partition_by("symbol", "timestamp", as_dict=True)
    for (_, at), group in sorted(
        market.bars.group_by("symbol", "timestamp"), key=lambda item: (item[0][1], item[0][0])
    ):
        bar = group.row(0, named=True)
        symbol = bar["symbol"]
        due = market.actions.filter(
            (pl.col("symbol") == symbol)
            & (pl.col("date") <= at.date())
            & (pl.col("date") > last_date.get(symbol, at.date() - timedelta(days=9999)))
        )
        for action in due.sort("date", "kind").iter_rows(named=True):
            held = shares.get(symbol, 0.0)
            if action["kind"] == "dividend":
                cash += round(held * action["value"] * 10_000)
            elif held:
                exact = abs(held) * action["value"]
                whole = int(exact + 1e-9)
                sign = 1 if held > 0 else -1
                cash += sign * round(bar["open"] * max(0.0, exact - whole) * 10_000)
                shares[symbol] = float(sign * whole)
        for fill in fills.get((symbol, at), pl.DataFrame()).iter_rows(named=True):
            sign = 1 if fill["side"] == "buy" else -1
            shares[symbol] = shares.get(symbol, 0.0) + sign * fill["quantity"]
            cash -= sign * round(fill["price"] * fill["quantity"] * 10_000) + round(
                fill["fee"] * 10_000
            )
        last[symbol], last_date[symbol] = bar["close"], at.date()
        value = sum(round(last[name] * held * 10_000) for name, held in shares.items())
        if curve and curve[-1][0] == at:
            curve.pop()
        curve.append((at, (cash + value) / 10_000, cash / 10_000))
    return curve, shares


@given(seed=SEEDS, exits=EXITS, entry=ENTRIES)
def test_cash_shares_and_equity_follow_from_the_fills_to_the_cent(seed, exits, entry):
    market = random_market(seed)
    result = run(market, rules(luck=CHANCE, exits=exits, labels=entry))
    curve, shares = replayed(market, result, 100_000.0)
    assert result.equity.select("timestamp", "equity", "cash").rows() == curve
    held = {
        symbol: row["quantity"]
        for symbol, row in zip(result.state.symbols, result.state.portfolio.positions, strict=True)
    }
    assert held == {symbol: shares.get(symbol, 0.0) for symbol in result.state.symbols}


@given(seed=SEEDS, exits=EXITS, entry=ENTRIES)
def test_profits_of_trades_add_up_to_the_change_of_equity(seed, exits, entry):
    result = run(random_market(seed), rules(luck=CHANCE, exits=exits, labels=entry))
    positions = result.state.portfolio.positions
    closed = sum(round(pnl * 10_000) for pnl in result.trades["pnl"].drop_nulls())
    still_open = int((positions["cash_flow"] + positions["value"]).sum())
    assert closed + still_open == round((result.equity["equity"][-1] - 100_000.0) * 10_000)


@given(seed=SEEDS, exits=EXITS, entry=ENTRIES)
def test_every_fill_belongs_to_an_order_and_never_exceeds_it_or_the_volume(seed, exits, entry):
    market = random_market(seed)
    # a split would change what an order holds
    market = Market(market.bars, market.signals, market.actions.clear())
    result = run(market, rules(luck=CHANCE, exits=exits, labels=entry))
    filled = result.fills.group_by("order_id").agg(
        pl.col("quantity").sum().alias("filled"), pl.col("side").first().alias("fill_side")
    )
    both = result.orders.join(filled, on="order_id", how="full", coalesce=True).with_columns(
        pl.col("filled").fill_null(0.0)
    )
    assert both["symbol"].null_count() == 0
    assert (both["filled"] <= both["quantity"]).all()
    assert both.filter(pl.col("fill_side") != pl.col("side")).is_empty()
    assert both.filter(
        (pl.col("status") == "filled")
        != ((pl.col("filled") == pl.col("quantity")) & (pl.col("status") != "refused"))
    ).is_empty()
    volumes = result.fills.join(
        market.bars.select("symbol", "timestamp", "volume"), on=["symbol", "timestamp"]
    )
    assert (volumes["quantity"] <= volumes["volume"] * 0.05).all()


@settings(max_examples=10)
@given(seed=SEEDS, over=st.sampled_from(["resize", "refuse"]))
def test_the_orders_table_tells_what_the_risk_engine_answered(seed, over):
    tight = {"max_position": 0.04, "max_gross_exposure": 0.1, "over_limit": over}
    orders = run(random_market(seed), rules(risk={**tight, "max_orders_per_minute": 1})).orders
    entries = orders.filter(pl.col("parent_id").is_null())
    others = orders.filter(pl.col("parent_id").is_not_null())
    assert others.select("verdict", "risk_limit", "wanted_quantity").null_count().row(0) == (
        (others.height,) * 3
    )
    for order in entries.iter_rows(named=True):
        wanted, quantity = order["wanted_quantity"] or 0.0, order["quantity"]
        if order["status"] == "refused":
            assert (order["verdict"], quantity) in (("refuse", 0.0), ("halt", 0.0))
            assert order["risk_limit"] == order["reason"]
            assert wanted == 0.0 or order["risk_limit"] not in ("allow_short", "bad_input")
        else:
            assert order["verdict"] in ("approve", "resize", "queue")
            assert (order["risk_limit"] is None) == (quantity == wanted)
            assert 0.0 < quantity <= wanted
            assert order["verdict"] != "approve" or quantity == wanted
            assert order["verdict"] != "resize" or quantity < wanted


@given(seed=SEEDS)
def test_a_price_we_take_is_never_better_than_its_reference(seed):
    fills = run(random_market(seed), rules(luck=CHANCE)).fills
    sign = pl.when(pl.col("side") == "buy").then(1.0).otherwise(-1.0)
    assert fills.filter(
        (pl.col("liquidity") == "taker")
        & (sign * (pl.col("price") - pl.col("reference_price")) < -1e-9)
    ).is_empty()
    assert all(price == round(price, 2 if price >= 1.0 else 4) for price in fills["price"])
    # a profit level that a dividend moved off the tick is filled less than a tick against us
    worse = (
        fills.filter(pl.col("liquidity") == "maker")
        .select(sign * (pl.col("price") - pl.col("reference_price")))
        .to_series()
    )
    assert worse.is_between(-1e-9, 0.01).all()
    assert (fills["slippage"] >= 0.0).all()


@settings(max_examples=20)
@given(
    seed=SEEDS, exits=EXITS, recovery=st.sampled_from([1.0, 0.2]), patience=st.sampled_from([0, 1])
)
def test_cash_and_shares_follow_from_the_tables_through_splits_dividends_renames_and_delistings(
    seed, exits, recovery, patience
):
    market = with_lives(random_market(seed), seed, events=6)
    result = run(
        market,
        rules(
            luck=CHANCE,
            exits=exits,
            delisting_recovery=recovery,
            presume_delisted_after_sessions=patience,
        ),
    )
    cash, shares = 1_000_000_000, dict.fromkeys(result.state.symbols, 0.0)
    told = [
        (row["timestamp"], 0, row["sequence"], row)
        for row in result.position_actions.iter_rows(named=True)
    ]
    told += [(row["timestamp"], 1, 0, row) for row in result.fills.iter_rows(named=True)]
    for _, is_fill, _, row in sorted(told, key=lambda item: item[:3]):
        if is_fill:
            sign = 1 if row["side"] == "buy" else -1
            shares[row["symbol"]] += sign * row["quantity"]
            cash -= sign * round(row["price"] * row["quantity"] * 10_000) + round(
                row["fee"] * 10_000
            )
            continue
        assert shares[row["symbol"]] == row["quantity_before"]
        shares[row["symbol"]] = 0.0 if row["successor"] else row["quantity_after"]
        cash += round(row["cash"] * 10_000)
        if row["successor"]:
            assert shares[row["successor"]] == 0.0  # never held twice
            shares[row["successor"]] = row["quantity_after"]
    assert cash == result.state.portfolio.account["cash"][0]
    held = {
        symbol: row["quantity"]
        for symbol, row in zip(result.state.symbols, result.state.portfolio.positions, strict=True)
    }
    assert held == shares
    positions = result.state.portfolio.positions
    closed = sum(round(pnl * 10_000) for pnl in result.trades["pnl"].drop_nulls())
    assert closed + int((positions["cash_flow"] + positions["value"]).sum()) == round(
        (result.equity["equity"][-1] - 100_000.0) * 10_000
    )


# --- the chain of days ----------------------------------------------------------------------------


def upserted(frames, key):
    """Later rows replace earlier ones."""
    return pl.concat(frames).unique(subset=key, keep="last", maintain_order=True)


def chain(market, chosen, cuts):
    """One run from cut to cut, each from the state that the one before left, after a journey
    through JSON.
    """
    state, results = None, []
    for first, end in zip([datetime(1990, 1, 1, tzinfo=UTC), *cuts], [*cuts, LATE], strict=True):
        state = (
            TradingState.opening(SYMBOLS, chosen.initial_cash)
            if state is None
            else TradingState.from_dict(json.loads(json.dumps(state.to_dict())))
        )
        results.append(run(market.only(first, end), chosen, state))
        state = results[-1].state
    return results


def assert_chain(market, chosen, cuts):
    whole, parts = run(market, chosen), chain(market, chosen, cuts)
    for name in ("fills", "equity"):
        table = schemas.TABLES[name]
        assert_frame_equal(
            table.conform(pl.concat([getattr(part, name) for part in parts])),
            getattr(whole, name),
            check_exact=True,
        )
    for name, key in (("orders", "order_id"), ("trades", "trade_id")):
        table = schemas.TABLES[name]
        assert_frame_equal(
            table.conform(upserted([getattr(part, name) for part in parts], key)),
            getattr(whole, name),
            check_exact=True,
        )
    assert of_traded(parts[-1].state) == of_traded(whole.state)
    return whole


def of_traded(state):
    """What a state says of the symbols that had a bar: of others, runs know only those that their
    own events name.
    """
    traded = np.flatnonzero(state.portfolio.positions["last_date"] > BEFORE_EVERYTHING)
    return state.only(traded).to_dict()


@settings(max_examples=15)
@given(seed=SEEDS, exits=EXITS, entry=ENTRIES)
def test_a_chain_of_days_equals_one_long_run(seed, exits, entry):
    market = random_market(seed)
    days = [
        CALENDAR.session_open(day)
        for day in CALENDAR.sessions(FIRST, FIRST + timedelta(days=20))[1:7]
    ]
    assert_chain(
        market,
        rules(luck=CHANCE, exits=exits, labels=entry),
        [day.replace(minute=0) for day in days],
    )


@settings(max_examples=15)
@given(
    seed=SEEDS,
    exits=EXITS,
    entry=ENTRIES,
    hours=st.lists(st.integers(1, 300), min_size=1, max_size=4, unique=True),
)
def test_a_run_can_be_cut_anywhere(seed, exits, entry, hours):
    start = datetime(2024, 6, 27, 13, tzinfo=UTC)
    assert_chain(
        random_market(seed),
        rules(luck=CHANCE, exits=exits, labels=entry),
        [start + timedelta(hours=hour) for hour in sorted(hours)],
    )


# a dividend on the day of a change of symbol, booked after the cut, for a symbol without bars
@example(seed=9891, exits="barriers", entry={}, hours=[25])
@settings(max_examples=15)
@given(
    seed=SEEDS,
    exits=EXITS,
    entry=ENTRIES,
    hours=st.lists(st.integers(1, 300), min_size=1, max_size=4, unique=True),
)
def test_a_run_over_renames_and_delistings_can_be_cut_anywhere(seed, exits, entry, hours):
    start = datetime(2024, 6, 27, 13, tzinfo=UTC)
    market = with_lives(random_market(seed, missing=0.0), seed)
    assert_chain(
        market,
        rules(luck=CHANCE, exits=exits, labels=entry, presume_delisted_after_sessions=2),
        [start + timedelta(hours=hour) for hour in sorted(hours)],
    )


def test_trades_that_span_days_are_in_the_chain():
    market = random_market(3, volume=50_000.0)
    whole = assert_chain(
        market,
        rules(horizon=12),
        [datetime(2024, 6, 28, tzinfo=UTC), datetime(2024, 7, 2, tzinfo=UTC)],
    )
    spanning = whole.trades.filter(
        pl.col("exit_timestamp").dt.date() > pl.col("entry_timestamp").dt.date()
    )
    assert spanning.height > 3


def test_a_run_leaves_the_state_that_it_started_from_alone():
    market, chosen = random_market(5), rules()
    opening = run(market.before(datetime(2024, 7, 1, tzinfo=UTC)), chosen).state
    saved = json.dumps(opening.to_dict())
    run(market.only(datetime(2024, 7, 1, tzinfo=UTC), LATE), chosen, opening)
    assert json.dumps(opening.to_dict()) == saved


# --- no look-ahead --------------------------------------------------------------------------------


@given(seed=SEEDS, exits=EXITS, entry=ENTRIES, bars=st.integers(3, 40))
def test_changing_the_future_moves_nothing_that_was_known(seed, exits, entry, bars):
    market, chosen = random_market(seed), rules(luck=CHANCE, exits=exits, labels=entry)
    stamps = market.bars["timestamp"].unique().sort()
    cut = stamps[min(bars, len(stamps) - 1)]
    later, other = pl.col("timestamp") >= cut, random_market(seed + 1)
    changed = Market(
        market.bars.with_columns(
            pl.when(later).then(pl.col(name) * 1.37).otherwise(name).alias(name)
            for name in ("open", "high", "low", "close", "volume")
        ),
        pl.concat([market.signals.filter(~later), other.signals.filter(later)]),
        pl.concat(
            [
                market.actions.filter(pl.col("date") < cut.date()),
                other.actions.filter(pl.col("date") > cut.date()),
                market.actions.filter(pl.col("date") == cut.date()),
            ]
        ),
    )
    before, after = run(market, chosen), run(changed, chosen)
    known = pl.col("timestamp") < cut
    assert_frame_equal(after.fills.filter(known), before.fills.filter(known), check_exact=True)
    assert_frame_equal(after.equity.filter(known), before.equity.filter(known), check_exact=True)
    # a decision at the end of the bar before the cut bears the cut's own time
    decided = pl.col("timestamp") <= cut
    placed = [name for name in before.orders.columns if name != "status"]
    legs = pl.col("kind") == "market"
    assert_frame_equal(
        after.orders.filter(decided, legs).select(placed),
        before.orders.filter(decided, legs).select(placed),
        check_exact=True,
    )
    closed = pl.col("exit_timestamp") < cut
    assert_frame_equal(after.trades.filter(closed), before.trades.filter(closed), check_exact=True)


@given(seed=SEEDS, entry=ENTRIES)
def test_no_order_fills_before_its_decision_and_no_signal_within_its_own_bar(seed, entry):
    result = run(random_market(seed), rules(labels=entry))
    both = result.fills.join(
        result.orders.select("order_id", "signal_timestamp", decided="timestamp"), on="order_id"
    )
    assert (both["timestamp"] >= both["decided"]).all()
    assert (both["decided"] > both["signal_timestamp"]).all()


# --- luck, limits, nothing from nothing -----------------------------------------------------------

FREE = {
    "max_position": 9.0,
    "max_gross_exposure": 99.0,
    "max_net_exposure": 99.0,
    "max_open_positions": 99,
    "max_daily_loss": 1.0,
    "max_drawdown": 1.0,
}


@given(seed=SEEDS)
def test_the_luck_of_a_symbol_does_not_depend_on_the_others(seed):
    """Whatever the other symbols are called, and so in whichever order they come."""
    market = random_market(seed)
    equity_blind = market.signals.with_columns(
        strength=pl.lit(1.0), probability=pl.lit(None, dtype=pl.Float64)
    )
    market = Market(market.bars, equity_blind, market.actions)
    chosen = rules(
        {**FREE, "target_trade_volatility": 1e-9, "minimum_order_value": 0.0},
        {"max_participation": 1.0},
        CHANCE,
        cash=3e10,
    )
    renamed = run(shuffled_names(market, {"AAA": "ZZZ", "CCC": "AAB"}), chosen)
    plain = run(market, chosen)
    for name in ("orders", "fills"):
        own = pl.col("symbol").is_in(["BBB", "DDD"])
        columns = [
            column
            for column in getattr(plain, name).columns
            if column not in ("quantity", "price", "fee", "slippage")
        ]  # sizes follow the common equity
        assert_frame_equal(
            getattr(renamed, name).filter(own).select(columns),
            getattr(plain, name).filter(own).select(columns),
        )


@settings(max_examples=30)
@given(
    seed=SEEDS,
    exits=EXITS,
    position=st.floats(0.01, 1.5),
    gross=st.floats(0.05, 2.0),
    net=st.floats(0.02, 2.0),
    most=st.integers(1, 4),
    target=st.sampled_from([0.004, 0.05]),
)
def test_no_entry_is_accepted_beyond_a_limit(seed, exits, position, gross, net, most, target):
    limits = {
        "max_position": position,
        "max_gross_exposure": gross,
        "max_net_exposure": net,
        "max_open_positions": most,
        "target_trade_volatility": target,
    }
    market, chosen = random_market(seed), rules(limits, {"max_participation": 1.0}, exits=exits)
    result = run(market, chosen)
    accepted = result.orders.filter(
        (pl.col("kind") == "market")
        & pl.col("parent_id").is_null()
        & ~pl.col("status").is_in(["refused"])
    )
    closes = market.bars.select("symbol", signal_timestamp="timestamp", close="close")
    accepted = accepted.join(closes, on=["symbol", "signal_timestamp"], how="left").with_columns(
        value=pl.col("close") * pl.col("quantity")
    )
    held = dict(zip(result.equity["timestamp"], result.equity.iter_rows(named=True), strict=True))
    assert (accepted["quantity"] > 0.0).all()
    for at, group in accepted.group_by("signal_timestamp"):
        account = held[at[0]]
        entering = set(group["symbol"])
        exiting = set(
            result.orders.filter(
                (pl.col("timestamp") == group["timestamp"][0])
                & pl.col("order_id").str.ends_with("-exit")
            )["symbol"]
        )
        assert (group["value"] <= position * account["equity"] + 1e-3).all()
        if not entering & exiting:  # a reversal takes the place of its own position
            signed = group.select(
                value=pl.when(pl.col("side") == "buy").then("value").otherwise(-pl.col("value"))
            )["value"]
            assert (
                account["gross_exposure"] + group["value"].sum() <= gross * account["equity"] + 1e-2
            )
            if not exiting:
                assert (
                    account["net_exposure"] + signed.clip(lower_bound=0).sum()
                    <= net * account["equity"] + 1e-2
                    or not (signed > 0).any()
                )
                assert (
                    account["net_exposure"] + signed.clip(upper_bound=0).sum()
                    >= -net * account["equity"] - 1e-2
                    or not (signed < 0).any()
                )
        assert len(entering) <= most


@given(seed=SEEDS, exits=EXITS, most=st.integers(1, 3))
def test_never_more_positions_than_allowed(seed, exits, most):
    result = run(random_market(seed), rules({"max_open_positions": most}, exits=exits))
    marks = pl.concat(
        [
            result.trades.select(timestamp="entry_timestamp", step=pl.lit(1)),
            result.trades.filter(pl.col("exit_timestamp").is_not_null()).select(
                timestamp="exit_timestamp", step=pl.lit(-1)
            ),
        ]
    )
    after_each_bar = (
        marks.group_by("timestamp").agg(pl.col("step").sum()).sort("timestamp")["step"].cum_sum()
    )
    assert after_each_bar.is_empty() or after_each_bar.max() <= most


@given(seed=SEEDS, exits=EXITS)
def test_without_signals_equity_stays_flat(seed, exits):
    market = random_market(seed)
    silent = [market.signals.clear(), market.signals.with_columns(side=pl.lit(0, dtype=pl.Int8))]
    for signals in silent:
        result = run(Market(market.bars, signals, market.actions), rules(exits=exits))
        assert result.equity["equity"].unique().to_list() == [100_000.0]
        assert result.orders.is_empty()
        assert result.trades.is_empty()
        assert result.metrics["total_return"] == 0.0
        assert result.metrics["sharpe"] is None


def test_extended_hours_do_not_trade():
    market = random_market(4)
    early = market.bars.with_columns(
        session=pl.lit("pre"), timestamp=pl.col("timestamp") - timedelta(hours=9)
    )
    assert_frame_equal(
        run(Market(pl.concat([market.bars, early]), market.signals, market.actions), rules()).fills,
        run(market, rules()).fills,
    )


def test_bars_may_come_in_any_order():
    market = random_market(6)
    mixed = Market(
        market.bars.sample(fraction=1.0, shuffle=True, seed=1),
        market.signals.reverse(),
        market.actions.reverse(),
    )
    assert_frame_equal(run(mixed, rules()).orders, run(market, rules()).orders)


def test_a_duplicate_bar_or_signal_is_named():
    market = random_market(7)
    with pytest.raises(DataError, match="AAA at 2024-06-27"):
        run(
            Market(pl.concat([market.bars.head(1), market.bars]), market.signals, market.actions),
            rules(),
        )
    with pytest.raises(DataError, match="1 rows too many"):
        run(
            Market(
                market.bars, pl.concat([market.signals.head(1), market.signals]), market.actions
            ),
            rules(),
        )


def test_a_side_that_is_none_is_named():
    market = random_market(7)
    with pytest.raises(DataError, match="side 2 for AAA"):
        run(
            Market(
                market.bars,
                market.signals.with_columns(side=pl.lit(2, dtype=pl.Int8)),
                market.actions,
            ),
            rules(),
        )


def test_a_run_over_nothing_is_empty():
    market = random_market(8)
    result = run(Market(market.bars.clear(), market.signals.clear(), market.actions), rules())
    assert result.orders.is_empty()
    assert result.equity.is_empty()
    assert result.row.height == 1
