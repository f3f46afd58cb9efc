"""The rule library against a plain implementation, and what it may know when it chooses."""

import math
from datetime import UTC, date, datetime

import numpy as np
import polars as pl
import pytest

from harmony_pipeline.errors import ConfigError
from harmony_pipeline.strategies import rule_kernels as kernels
from harmony_pipeline.strategies.base import Learner
from harmony_pipeline.strategies.registry import build_strategy
from harmony_pipeline.strategies.rule_library import _KINDS, RuleLibrary, _rule_bars
from harmony_pipeline.strategies.settings import StrategySettings
from harmony_pipeline.testing.edge_markets import bars_of_market
from harmony_pipeline.testing.strategy_contract import StrategyContract

USE = "harmony_pipeline.strategies.rule_library:RuleLibrary"


def library(**parameters):
    return build_strategy(StrategySettings(use=USE, parameters=parameters))


def rows_of(bars):
    volatility = (pl.col("close").log().diff().rolling_std(20)).over("symbol")
    return (
        bars.sort("symbol", "timestamp")
        .with_columns(
            session=pl.lit("regular"),
            adjustment_factor=pl.lit(1.0),
            volatility_20=volatility,
            timestamp=pl.col("timestamp").cast(pl.Datetime("us", "UTC")),
        )
        .filter(pl.col("volatility_20").is_finite())
    )


def market(edge="none", sharpe=0.0, seed=1, years=1.5):
    return rows_of(bars_of_market(edge, sharpe, seed, years))


class TestRuleLibrary(StrategyContract):
    def strategy(self):
        return library(formation_days=40, refit="month", lookbacks=(1, 3, 8), minimum_t=-9.0)

    def bars(self, seed=1):
        whole = bars_of_market("none", 0.0, seed, years=0.5)
        return whole.filter(pl.int_range(pl.len()) % 23 != 0).with_columns(  # some are missing
            timeframe=pl.lit("1Hour"),
            session=pl.when(pl.col("timestamp").dt.hour() == 14).then(pl.lit("pre"))
            .otherwise(pl.lit("regular")),
            adjustment_factor=pl.lit(1.0),
            timestamp=pl.col("timestamp").cast(pl.Datetime("us", "UTC")),
        )  # fmt: skip


# --- against a plain implementation ---------------------------------------------------------------


def naive_score(family, bars, rows, symbol, i, lookback):
    """Score of row `i` of one symbol's rows; rows: symbol -> list of dicts."""
    own = rows[symbol]
    if family in {"momentum", "others", "relative"}:
        if i < lookback:
            return 0.0
        mine = math.log(own[i]["close"] / own[i - lookback]["close"])
        if family == "momentum":
            return mine
        others = [
            math.log(path[i]["close"] / path[i - lookback]["close"])
            for name, path in rows.items()
            if name != symbol
        ]
        mean = sum(others) / len(others)
        return mean if family == "others" else mine - mean
    day = own[i]["timestamp"].date()
    first = next(k for k in range(i + 1) if own[k]["timestamp"].date() == day)
    if family == "gap":
        return math.log(own[first]["open"] / own[first - 1]["close"]) if first else 0.0
    if family == "opening":
        end = first + lookback - 1
        return math.log(own[end]["close"] / own[first]["open"]) if i >= end else 0.0
    usual, terms = math.log(own[0]["volume"] + 1.0), [0.0]
    for k in range(1, i + 1):
        usual += 2.0 / (kernels.SURPRISE_BARS + 1.0) * (
            math.log(own[k - 1]["volume"] + 1.0) - usual
        )  # fmt: skip
        move = math.log(own[k]["close"] / own[k - 1]["close"])
        terms.append(move * (math.log(own[k]["volume"] + 1.0) - usual))
    return sum(terms[i - lookback + 1 :]) if i >= lookback else 0.0


@pytest.mark.parametrize("family", _KINDS)
def test_scores_are_those_of_a_plain_loop(family):
    frame = market(years=0.2)
    bars, _dates = _rule_bars(frame)
    rows = {
        name: part.to_dicts() for (name,), part in frame.group_by("symbol", maintain_order=True)
    }
    for lookback in (1, 4):
        found = kernels.scores(bars, _KINDS[family], lookback)
        for place, symbol in enumerate(rows):
            start = int(bars.starts[place])
            for i in (0, 1, 5, 6, 7, 30, 80):
                wanted = naive_score(family, bars, rows, symbol, i, lookback)
                assert found[start + i] == pytest.approx(wanted, abs=1e-12), (symbol, i, lookback)


@pytest.mark.parametrize("entry", ["open", "close"])
def test_a_days_profit_is_that_of_the_prices_it_was_held_between(entry):
    frame = market(years=0.2)
    bars, dates = _rule_bars(frame)
    score = kernels.scores(bars, _KINDS["momentum"], 3)
    held = kernels.holding(bars, getattr(bars, entry), 0.001)
    found = kernels.daily_profit(bars, held, score, len(dates))
    wanted = np.zeros((2, len(dates)))
    for (_name,), part in frame.with_columns(score=pl.Series(score)).group_by(
        "symbol", maintain_order=True
    ):
        filled, scale = part[entry].to_numpy(), part["volatility_20"].to_numpy()
        side, before = np.sign(part["score"].to_numpy()), 0.0
        days = [dates.to_list().index(stamp.date()) for stamp in part["timestamp"]]
        for i in range(part.height - 2):
            move = math.log(filled[i + 2] / filled[i + 1])
            paid = abs(side[i] - before) * 0.001
            wanted[0, days[i + 2]] += (side[i] * move - paid) / scale[i]
            wanted[1, days[i + 2]] += (-side[i] * move - paid) / scale[i]
            before = side[i]
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-9)


# --- what is chosen -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("edge", "family", "direction"),
    [("momentum", "momentum", 1), ("reversal", "momentum", -1), ("opening", "opening", 1)],
)
def test_a_strong_planted_rule_is_found(edge, family, direction):
    chosen = library(families=("momentum", "opening")).chosen_by_period(market(edge, 5.0, years=3))
    assert len(chosen) == 8, "a quarter each, after the first year"
    rules = [found[0].rule for found in chosen.values()]
    assert {(rule.family, rule.direction) for rule in rules} == {(family, direction)}
    assert all(sum(one.weight for one in found) == pytest.approx(1.0) for found in chosen.values())


def test_rules_are_compared_at_the_price_at_which_orders_fill():
    rows = market("momentum", 4.0, years=1.6)
    momentum = {"families": ("momentum",), "formation_days": 120}
    at_opens, at_closes = library(**momentum), library(**momentum, entry="close")
    chosen = at_closes.chosen_by_period(rows)
    assert any(chosen.values())
    assert chosen == at_opens.chosen_by_period(rows.with_columns(open="close"))
    assert chosen != at_opens.chosen_by_period(rows)
    # what a close of the period's own first day would tell is not read
    begin = max(chosen)
    later = pl.col("timestamp").dt.date() >= begin
    other = rows.with_columns(
        pl.when(later).then(pl.col("close") * 3.0).otherwise("close").alias("close")
    )
    assert at_closes.chosen_by_period(other)[begin] == chosen[begin]
    assert "entry" not in RuleLibrary().model_dump(mode="json"), "plans keep their names"


def test_a_rule_votes_with_the_odds_of_its_t_statistic():
    found = max(library().chosen_by_period(market("momentum", 3.0)).values(), key=len)
    assert len(found) > 3
    first, *rest = found
    for one in rest:
        odds = math.exp((one.t**2 - first.t**2) / 2.0)
        assert one.weight / first.weight == pytest.approx(odds)
        assert odds >= 1e-3


def test_what_is_chosen_is_traded_in_its_period_alone():
    rows = market("momentum", 5.0)
    strategy = library(families=("momentum",), lookbacks=(21,))
    table = strategy.signals(rows)
    moved = pl.col("close").log() - pl.col("close").log().shift(21).over("symbol")
    wanted = rows.select("symbol", "timestamp", wanted=moved.sign().fill_null(0.0))
    begin = min(strategy.chosen_by_period(rows))
    both = table.join(wanted, on=["symbol", "timestamp"])
    first = pl.col("timestamp").dt.date() >= begin
    assert (both.filter(~first)["side"] == 0).all()
    assert both.filter(first, pl.col("side") != pl.col("wanted")).is_empty()
    assert (both.filter(first)["side"] != 0).sum() > 1000


def test_a_choice_reads_nothing_of_its_own_period():
    rows = market("momentum", 3.0, years=1.6)
    strategy = library(formation_days=120, refit="month")
    chosen = strategy.chosen_by_period(rows)
    begin = date(2019, 2, 1)
    assert len(chosen[begin]) > 1
    inside = pl.col("timestamp").dt.date() >= begin
    twisted = rows.with_columns(
        [pl.when(inside).then(pl.col(name) ** 2).otherwise(name) for name in ("open", "close")]
    )
    absent = rows.filter(pl.col("timestamp") <= datetime(2019, 2, 1, 14, tzinfo=UTC))
    for other in (twisted, absent):
        assert strategy.chosen_by_period(other)[begin] == chosen[begin]


def test_its_record_begins_with_the_first_period_that_it_has_learned_for():
    strategy, rows = library(), market()
    days = rows["timestamp"].dt.date().unique().sort()
    assert isinstance(strategy, Learner)
    assert strategy.first_day(days) == days.filter(days >= min(strategy.chosen_by_period(rows)))[0]
    assert strategy.first_day(days.head(200)) is None


def test_nothing_is_traded_where_no_rule_earned_enough():
    rows = market(years=1.5)
    strategy = library(minimum_t=9.0)
    assert not any(strategy.chosen_by_period(rows).values())
    assert (strategy.signals(rows)["side"] == 0).all()


def test_a_rule_is_compared_after_its_costs():
    rows = market("reversal", 3.0, years=1.5)
    free, dear = library(cost_bps=0.0), library(cost_bps=50.0)
    assert any(free.chosen_by_period(rows).values())
    assert not any(dear.chosen_by_period(rows).values())


def test_old_days_fall_out_of_a_rolling_window():
    rows = market("momentum", 4.0, years=3)
    whole, rolling = library(), library(window_days=60)
    assert whole.chosen_by_period(rows) != rolling.chosen_by_period(rows)


def test_extended_hours_keep_the_side_of_the_last_regular_bar():
    rows = market("momentum", 5.0)
    late = pl.col("timestamp").dt.hour() == 20
    rows = rows.with_columns(
        session=pl.when(late).then(pl.lit("post")).otherwise(pl.lit("regular"))
    )
    table = library(formation_days=60, refit="month").signals(rows)
    before = table.with_columns(pl.col("side").shift().over("symbol").alias("before")).filter(late)
    assert (before["side"] == before["before"]).all()
    assert (before["side"] != 0).any()


@pytest.mark.parametrize(
    ("parameters", "words"),
    [({"families": ("luck",)}, "families"), ({"formation_days": 3}, "formation_days")],
)
def test_parameters_that_cannot_be_are_refused(parameters, words):
    with pytest.raises(ConfigError, match=words):
        library(**parameters)


def test_the_library_has_each_rule_in_both_directions():
    rules = RuleLibrary(families=("momentum", "gap"), lookbacks=(2, 5)).rules()
    assert len(rules) == len(set(rules)) == 2 * (2 + 1)
