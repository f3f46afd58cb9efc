"""Rules of a strategy's own through the chain: labels, backtests, portfolios, trials and ids."""

from dataclasses import replace
from datetime import date, timedelta

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from harmony_pipeline import api
from harmony_pipeline.config import Settings
from harmony_pipeline.errors import ConfigError, NotReady
from harmony_pipeline.session.ledger import Ledger
from harmony_pipeline.stages import (
    backtest_inputs,
    backtests,
    live,
    research,
    robustness,
    sensitivity,
)
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.models import training_recipe
from harmony_pipeline.stages.preparation import prepare
from harmony_pipeline.stages.session_plans import open_ledger, plan_of, replay_account
from harmony_pipeline.stages.trade_pages import latest_closed, trade_views
from harmony_pipeline.stages.trials import configuration
from harmony_pipeline.strategies.own_rules import BracketSettings
from harmony_pipeline.strategies.rule_library import RuleLibrary
from harmony_pipeline.testing.tiny import tiny_settings

OWN = {
    "bollinger_reversion": {
        "horizon_bars": 4,
        "bracket": {"profit_take": 0.8, "stop_loss": 1.6},
        "risk": {"sizing": "stop_distance", "risk_per_trade": 0.002, "max_position": 0.06},
    },
    "rsi_momentum": {
        "risk": {"sizing": "fixed_fraction", "size_fraction": 0.04, "max_daily_loss": 0.004,
                 "max_open_positions": 3},
    },
}  # fmt: skip
MEMBERS = tuple(OWN)
PORTFOLIOS = {"mix": {"strategies": MEMBERS}, "alone": {"strategies": ("rsi_momentum",)}}


def with_own(settings, own=OWN, **parts):
    values = settings.model_dump()
    for name, rules in own.items():
        values["strategies"][name] |= rules
    values["strategies"]["meta_labelled"]["enabled"] = False
    values["session"] |= {"strategy": "bollinger_reversion", "watch": "universe"}
    values |= {"portfolios": PORTFOLIOS, "file": settings.file, **parts}
    return PipelineContext(Settings.model_validate(values))


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own_rules")
    settings = tiny_settings(folder, end=date(2024, 2, 10))
    # every order finds its volume, so that nothing but the bracket ends a trade
    costs = {"zero_volume": "fill", "max_participation": 1.0}
    made = with_own(settings, execution_stress={"draws": 2}, costs=costs)
    prepare(made)
    research.labels(made, made.trading_periods())
    backtests.backtest(made, [*MEMBERS, "mix", "alone"])
    return made


def test_the_label_of_the_traded_strategy_is_the_trade_by_its_own_bracket(pipeline):
    """How and when each closed trade was left, where its exit was filled whole."""
    labels = pipeline.lake.read("labels").filter(pl.col("horizon") == 4)
    trades = pipeline.lake.read("trades", ["bollinger_reversion"])
    fills = pipeline.lake.read("fills", ["bollinger_reversion"])
    orders = pipeline.lake.read("orders", ["bollinger_reversion"])
    entries = orders.filter(pl.col("parent_id").is_null())
    # an exit that found too little volume went on at later bars
    left = fills.join(orders.select("order_id", "parent_id"), on="order_id")
    at_once = left.group_by("parent_id").len().filter(pl.col("len") == 1)["parent_id"]
    closed = (
        trades.filter(pl.col("exit_timestamp").is_not_null())
        .with_columns(order_id=pl.col("trade_id") + "-entry")
        .join(entries.select("order_id", timestamp="signal_timestamp"), on="order_id", how="inner")
        .filter(
            pl.col("exit_reason").is_in(["stop", "take", "vertical"])
            & pl.col("order_id").is_in(at_once.drop_nulls().to_list())
        )
        .join(labels, on=["symbol", "timestamp"], suffix="_label")
        .filter(pl.col("end_timestamp").is_not_null())
    )
    assert closed.height > 20
    step = pl.lit(timedelta(minutes=30))
    touched = (
        pl.when(pl.col("exit_reason") == "vertical")
        .then(pl.lit("vertical"))
        .when((pl.col("exit_reason") == "take") == (pl.col("side") == "long"))
        .then(pl.lit("upper"))
        .otherwise(pl.lit("lower"))
    )
    differing = closed.filter(
        (touched != pl.col("touched"))
        | (pl.col("exit_timestamp") + step != pl.col("end_timestamp"))
    )
    assert differing.is_empty()
    assert {"stop", "take"} <= {*closed["exit_reason"]}
    wide = closed.filter(touched == pl.col("touched")).select(
        up=(pl.col("upper_barrier") / pl.col("entry_price_label") - 1.0).abs(),
        down=(pl.col("lower_barrier") / pl.col("entry_price_label") - 1.0).abs(),
        side="side",
    )
    ratio = wide.select(
        pl.when(pl.col("side") == "long")
        .then(pl.col("down") / pl.col("up"))
        .otherwise(pl.col("up") / pl.col("down"))
    ).to_series()
    assert ratio.median() == pytest.approx(2.0, rel=0.05)  # 1.6 to 0.8


def test_an_entry_at_closes_within_a_day_is_a_configuration_that_no_session_trades(
    pipeline, tmp_path
):
    settings, name = pipeline.settings, "bollinger_reversion"
    chosen = settings.strategies[name]
    own = chosen.model_copy(update={"bracket": BracketSettings(entry="close")})
    known = PipelineContext(
        settings.model_copy(update={"strategies": {**settings.strategies, name: own}})
    )
    result = backtests.simulated(known, name)
    entries = result.orders.filter(pl.col("parent_id").is_null())
    assert set(entries["time_in_force"]) == {"cls"}
    bars = pipeline.lake.read("bars").select("symbol", "timestamp", "close")
    filled = result.fills.join(entries, on="order_id").join(bars, on=["symbol", "timestamp"])
    assert filled.height > 20
    assert filled["reference_price"].equals(filled["close"])
    assert configuration(known, name) != configuration(pipeline, name)
    assert backtest_inputs.backtest_id(known, name, {}) != backtest_inputs.backtest_id(
        pipeline, name, {}
    )
    assert training_recipe(known, 4) != training_recipe(pipeline, 4)
    day = known.sessions()[5]
    with pytest.raises(ConfigError, match="and none for that of a bar of 30Min"):
        plan_of(known, Ledger(tmp_path / "ledger.db"), day, "paper")


def test_a_portfolio_of_one_of_them_is_its_own_backtest(pipeline):
    for table in ("equity", "trades", "fills", "orders"):
        alone, own = (pipeline.lake.read(table, [name]) for name in ("alone", "rsi_momentum"))
        ids = [name for name in own.columns if name.endswith("_id") and name != "model_id"]
        assert_frame_equal(alone.drop(ids), own.drop(ids))


def test_members_trade_by_their_own_rules(pipeline):
    orders = pipeline.lake.read("orders", ["mix"])
    legs = orders.filter(pl.col("kind") != "market")
    assert set(legs["strategy"]) == {"bollinger_reversion"}
    said = orders.group_by("strategy").agg(pl.col("risk_limit").unique())
    limits = {name: set(values) - {None} for name, values in said.iter_rows()}
    assert "strategy_max_open_positions" in limits["rsi_momentum"]
    assert "strategy_max_position" not in limits["rsi_momentum"]
    equity = pipeline.lake.read("equity", ["mix"])["equity"]
    sizes = orders.filter(
        (pl.col("strategy") == "rsi_momentum") & (pl.col("wanted_quantity") > 0.0)
    ).join(
        pipeline.lake.read("bars").select("symbol", signal_timestamp="timestamp", close="close"),
        on=["symbol", "signal_timestamp"],
    )
    value = (sizes["wanted_quantity"] * sizes["close"]).median()
    assert value == pytest.approx(0.04 * equity.mean() / 2, rel=0.05)


def test_everything_that_is_made_of_a_backtest_is_made_with_them(pipeline):
    for stage in (
        robustness.monte_carlo,
        robustness.execution_stress,
        sensitivity.parameter_sensitivity,
    ):
        result = stage(pipeline, ["mix", "rsi_momentum"])
        assert all(rows > 0 for rows in result.rows.values())
    grid = pipeline.lake.read("trials", ["rsi_momentum"])
    assert grid.height == 6
    backtests.backtest(pipeline, ["mix"])
    assert backtests.backtest(pipeline, ["mix"]).unchanged_since is not None


def test_other_rules_are_another_trial_another_backtest_and_another_recipe(pipeline):
    changes = [
        {**OWN, "rsi_momentum": {"risk": {**OWN["rsi_momentum"]["risk"], "max_daily_loss": 0.003}}},
        {**OWN, "rsi_momentum": {**OWN["rsi_momentum"], "bracket": {"stop_loss": 3.0}}},
        {**OWN, "rsi_momentum": {**OWN["rsi_momentum"], "horizon_bars": 7}},
    ]
    seen = set()
    for own in (OWN, *changes):
        other = with_own(pipeline.settings, own)
        for name in ("rsi_momentum", "mix"):
            seen |= {
                configuration(other, name),
                backtest_inputs.backtest_id(other, name, {}),
                str(backtest_inputs.backtest_inputs(other, name)),
            }
        assert training_recipe(other, 4) == training_recipe(pipeline, 4)
    assert len(seen) == 4 * 6
    taught = {**OWN, "bollinger_reversion": {"bracket": {"profit_take": 0.9}}}
    assert training_recipe(with_own(pipeline.settings, taught), 4) != training_recipe(pipeline, 4)
    text = backtest_inputs.trading_rules_text(pipeline, "mix")
    assert text["rsi_momentum"]["risk"] == OWN["rsi_momentum"]["risk"]


def test_a_replayed_day_of_the_portfolio_is_its_backtest(pipeline):
    values = pipeline.settings.model_dump() | {"file": pipeline.settings.file}
    values["session"]["portfolio"] = "mix"
    trading = PipelineContext(Settings.model_validate(values))
    days = trading.sessions()[-2:]
    made = live.paper_session(trading, days, require_promoted=False, own_process=False)
    assert not made.nothing
    compared = live.divergence(trading, days)
    assert {compared.facts[day.isoformat()] for day in days} == {"none"}
    assert set(trading.lake.read("session_fills")["strategy"]) == set(MEMBERS)
    with open_ledger(trading) as ledger:
        assert ledger.sessions(replay_account(trading))[-1].strategy == "mix"


def test_trades_are_drawn_with_the_horizon_of_their_own_strategy(pipeline):
    """Of a portfolio too, whose other strategy has a longer one."""
    lake = api.open_lake(pipeline.settings)
    for strategy in ("bollinger_reversion", "mix"):
        result = lake.backtest(strategy).result
        mine = result.trades.filter(strategy="bollinger_reversion", exit_reason="vertical")
        view = latest_closed(pipeline, strategy, replace(result, trades=mine))
        assert view.limit == view.of_kind("entry")[0].place + 4 - 1
    assert trade_views(pipeline, "mix")
    settings = pipeline.settings
    labels = settings.labels.model_dump() | {"vertical": "sessions", "horizons_bars": (1, 2)}
    own = {"bollinger_reversion": {"horizon_bars": 1, "bracket": {}}}
    by_sessions = with_own(settings, own, labels=labels)
    result = api.open_lake(by_sessions.settings).backtest("bollinger_reversion").result
    ended = result.trades.filter(pl.col("exit_reason") == "vertical")
    view = latest_closed(by_sessions, "bollinger_reversion", replace(result, trades=ended))
    dates, entered = view.bars["session_date"], view.of_kind("entry")[0].place
    assert dates[entered : view.limit + 1].unique().len() == 2
    assert dates[view.limit] != dates[view.limit - 1]


def test_from_python_they_are_given_with_the_call(pipeline):
    lake = api.open_lake(pipeline.settings)
    before = lake.read("trials").height
    found = lake.backtest("moving_average_crossover", risk=OWN["rsi_momentum"]["risk"])
    assert "strategy_max_open_positions" in set(found.orders["risk_limit"])
    legs = lake.backtest(
        "moving_average_crossover", exits="barriers", bracket={"touch": "close"}
    ).orders
    assert set(legs["kind"]) == {"market"}
    assert lake.read("trials").height == before + 2
    with pytest.raises(ConfigError, match=r"risk\.max_position: 0.9 is looser than"):
        lake.backtest("rsi_momentum", risk={"max_position": 0.9})
    with pytest.raises(ConfigError, match=r"strategies\.rsi_momentum\.bracket\.stop_loss"):
        lake.backtest("rsi_momentum", bracket={"stop_loss": -1.0})
    with pytest.raises(ConfigError, match=r"rsi_momentum\.bracket: stop_loss ends no trade"):
        lake.backtest("rsi_momentum", bracket={"stop_loss": 2.0})
    late = lake.backtest("moving_average_crossover", bracket={"entry": "close"}).orders
    assert set(late.filter(pl.col("parent_id").is_null())["time_in_force"]) == {"cls"}
    with pytest.raises(ConfigError, match=r"parameters\.entry: orders fill where labels\.entry"):
        lake.backtest(RuleLibrary, entry="close")
    with pytest.raises(ConfigError, match="start and end are dates or moments, and 'text' is none"):
        lake.read("bars", start="text")
    with pytest.raises(ConfigError, match="'2024-01-03' is none"):
        lake.backtest_quotes("rsi_momentum", start="2024-01-03")


def test_entries_that_are_too_small_are_said_with_their_number_and_the_reasons(pipeline):
    lake = api.open_lake(pipeline.settings)
    assert lake.backtest("bollinger_reversion").notes == []
    found = lake.backtest("bollinger_reversion", bracket={"minimum_barrier_bps": 1e6})
    entries = found.orders.height
    assert found.trades.is_empty() and entries > 100
    (said,) = found.notes
    counts = dict(found.orders["reason"].value_counts().iter_rows())
    assert said.startswith(f"no trade: of {entries} orders none filled: ")
    assert all(f"{count} refused ({reason})" in said for reason, count in counts.items())
    assert "no barrier is nearer than minimum_barrier_bps = 1,000,000" in said
    some = lake.backtest("bollinger_reversion", bracket={"minimum_barrier_bps": 9e3})
    entries = some.orders.filter(pl.col("parent_id").is_null())
    small = entries.filter(pl.col("reason") == "minimum_order_value").height
    assert some.trades.height > 0 and entries.height / 2 < small < entries.height
    (said,) = some.notes
    assert said == (
        f"{small} of {entries.height} entries were too small to be sent: {small} refused"
        " (minimum_order_value)"
    )


def test_from_python_the_model_forecasts_no_other_bracket_than_its_labels(pipeline):
    learned = {**OWN["bollinger_reversion"], "uses_model": True}
    asked = with_own(pipeline.settings, OWN | {"bollinger_reversion": learned})
    lake = api.open_lake(asked.settings)
    other = OWN["bollinger_reversion"]["bracket"] | {"stop_loss": 0.4}
    with pytest.raises(ConfigError, match=r"bollinger_reversion\.bracket: .* uses the model"):
        lake.backtest("bollinger_reversion", bracket=other)
    with pytest.raises(NotReady, match="no model"):
        lake.backtest("bollinger_reversion", bracket=OWN["bollinger_reversion"]["bracket"])


def test_from_python_a_key_is_changed_and_the_others_stay(pipeline):
    lake = api.open_lake(pipeline.settings)
    own = OWN["bollinger_reversion"]
    for key, change, whole in (
        ("bracket", {"stop_loss": 1.0}, own["bracket"] | {"stop_loss": 1.0}),
        ("risk", {"max_open_positions": 1}, own["risk"] | {"max_open_positions": 1}),
        ("risk", {"sizing": None}, {"risk_per_trade": 0.002, "max_position": 0.06}),
    ):
        alone = lake.backtest("bollinger_reversion", **{key: change})
        values = pipeline.settings.model_dump() | {"file": pipeline.settings.file}
        values["strategies"]["bollinger_reversion"][key] = whole
        in_settings = api.open_lake(Settings.model_validate(values))
        assert_frame_equal(alone.trades, in_settings.backtest("bollinger_reversion").trades)
