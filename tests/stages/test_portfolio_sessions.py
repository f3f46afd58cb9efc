"""Sessions of a portfolio of the settings: what they are planned from, who is stopped, and what the
lake has of them.
"""

from datetime import UTC, date, datetime

import polars as pl
import pytest

from harmony_pipeline.config import Settings, load_settings
from harmony_pipeline.errors import ConfigError, NotReady
from harmony_pipeline.execution import events as ev
from harmony_pipeline.schemas import DIVERGENCE
from harmony_pipeline.session.ledger import COMPLETED, SessionRow
from harmony_pipeline.session.result import read_session
from harmony_pipeline.stages import backtest_runs, live
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.preparation import prepare
from harmony_pipeline.stages.session_plans import (
    PAPER,
    diverging_strategies,
    open_ledger,
    plan_of,
    replay_account,
    session_members,
)
from harmony_pipeline.testing.tiny import tiny_settings

MEMBERS = ("moving_average_crossover", "rsi_momentum", "bollinger_reversion")
PORTFOLIOS = {
    "mix": {
        "strategies": MEMBERS, "allocation": "inverse_volatility", "window_sessions": 8,
        "rebalance_sessions": 4,
    },
    "waiting": {"strategies": ("meta_labelled", "rsi_momentum")},
    "model": {"strategies": ("meta_labelled",)},
}  # fmt: skip


def trading(settings, portfolio, **session):
    values = settings.model_dump() | {
        "portfolios": PORTFOLIOS,
        "session": settings.session.model_dump()
        | {"portfolio": portfolio, "watch": "universe", **session},
        "file": settings.file,
    }
    return PipelineContext(Settings.model_validate(values))


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    folder = tmp_path_factory.mktemp("portfolio_sessions")
    made = trading(tiny_settings(folder, end=date(2024, 2, 10)), "mix")
    prepare(made)
    return made


def test_replayed_days_of_a_portfolio_are_its_backtests_strategy_by_strategy(pipeline):
    days = pipeline.sessions()[-3:]
    made = live.paper_session(pipeline, days, require_promoted=False, own_process=False)
    assert not made.nothing
    assert live.reconciliation(pipeline, days).facts["books agree"]
    compared = live.divergence(pipeline, days)
    assert {compared.facts[day.isoformat()] for day in days} == {"none"}
    lake = pipeline.lake
    rows = lake.read("divergence")
    assert set(rows["strategy"].drop_nulls()) == set(MEMBERS)
    assert rows.filter(pl.col("kind") == "equity")["strategy"].null_count() > 0
    for table in ("session_orders", "session_fills", "session_positions"):
        assert set(lake.read(table)["strategy"]) <= set(MEMBERS)
    assert lake.read("session_fills")["strategy"].n_unique() > 1
    live.daily_report(pipeline, days[-1:])
    page = pipeline.settings.state_root / "reports" / f"session-{days[-1]}.html"
    assert "- rsi_momentum" in page.read_text()
    with open_ledger(pipeline) as ledger:
        session = ledger.sessions(replay_account(pipeline))[-1]
        assert session.strategy == "mix"
        assert read_session(ledger, session.session_id).strategies == MEMBERS


def test_the_weights_of_a_day_are_those_of_the_portfolios_backtest(pipeline):
    account = backtest_runs.shared_account(pipeline, "mix", backtest_runs.regular_bars(pipeline))
    seen = set()
    with open_ledger(pipeline) as ledger:
        for day in pipeline.sessions()[11::7]:
            plan, _ = plan_of(pipeline, ledger, day, "elsewhere")
            expected = [shares for since, shares in account.weights if since <= day][-1]
            assert plan.rules.weights == ((day, expected),)
            seen.add(expected)
    assert len(seen) > 1


def test_a_strategy_without_a_model_is_stopped_and_the_others_trade(pipeline):
    waiting = trading(pipeline.settings, "waiting")
    day = waiting.sessions()[5]  # no retraining period has a model yet
    live.paper_session(waiting, [day], require_promoted=False, own_process=False)
    with open_ledger(waiting) as ledger:
        row = ledger.sessions(replay_account(waiting), day)[-1]
        result = read_session(ledger, row.session_id)
    assert result.stopped == ("meta_labelled",)
    stopped = result.tables["session_events"].filter(pl.col("kind") == "strategy_stopped")
    assert "has no model yet" in stopped["detail"][0]
    assert set(result.orders["strategy"]) == {"rsi_momentum"}
    assert live.divergence(waiting, [day]).facts[day.isoformat()] == "none"
    with open_ledger(pipeline) as ledger, pytest.raises(NotReady, match="no model yet"):
        plan_of(trading(pipeline.settings, "model"), ledger, day, "elsewhere")


def test_a_strategy_that_leaves_its_backtests_is_stopped_until_it_is_readmitted(pipeline, tmp_path):
    own = pipeline.settings.model_copy(
        update={"paths": pipeline.settings.paths.model_copy(update={"state": str(tmp_path)})}
    )
    paper, at = trading(own, "mix"), datetime(2024, 1, 20, tzinfo=UTC)
    days = paper.sessions()[10:14]
    with open_ledger(paper) as ledger:
        for number, day in enumerate(days[:3]):
            name = f"s{number}"
            ledger.open_session(SessionRow(name, day, PAPER, "mix", None, "abc"))
            ledger.end_session(name, COMPLETED, None)
            rows = [
                (name, day, "order", f"{strategy}{n:02d}", "X", at, None, None, equal, strategy)
                for strategy, differing in (
                    ("rsi_momentum", 4),
                    ("bollinger_reversion", 3 * number),
                )
                for n in range(20)
                for equal in [n >= differing]
            ]
            frame = pl.DataFrame(rows, schema=DIVERGENCE.dtypes, orient="row")
            paper.lake.write("divergence", day.isoformat(), frame, {})
        assert set(diverging_strategies(paper, ledger, days[3])) == {"rsi_momentum"}
        assert diverging_strategies(paper, ledger, days[2]) == {}
        members = session_members(paper, ledger, days[3], PAPER, None)
        stopped = {member.name: member.stopped for member in members}
        assert "differed from its backtest in over 5%" in stopped.pop("rsi_momentum")
        assert set(stopped.values()) == {""}
        again = trading(own, "mix", readmit={"rsi_momentum": days[1]})
        assert diverging_strategies(again, ledger, days[3]) == {}


def test_the_portfolio_of_a_session_is_part_of_the_name_of_its_account(pipeline):
    alone = trading(pipeline.settings, "")
    others = {replay_account(trading(pipeline.settings, name)) for name in ("", *PORTFOLIOS)}
    assert len(others) == 1 + len(PORTFOLIOS)
    values = alone.settings.model_dump() | {"portfolios": {}, "file": alone.settings.file}
    assert replay_account(PipelineContext(Settings.model_validate(values))) == replay_account(alone)


def test_a_session_of_what_is_no_portfolio_is_refused(tmp_path):
    file = tmp_path / "harmony.toml"
    file.write_text('[session]\nportfolio = "mixx"')
    with pytest.raises(ConfigError, match="'mixx' is no active portfolio; choose of none: add one"):
        load_settings(file, environment={})


def test_old_events_know_no_strategy():
    terms = ev.OrderTerms(
        client_order_id="c", order_id="o", symbol="BTC/USD", role="entry", side="buy", quantity=1.0,
        decided_at=datetime(2024, 1, 2, tzinfo=UTC),
    )  # fmt: skip
    assert (terms.slot, ev.slot_name("trend", "BTC/USD")) == ("BTC/USD", "trend/BTC/USD")


def test_a_session_scans_again_during_the_day(pipeline):
    """By the settings alone, single strategy and portfolio; what it trades is its backtest."""
    from harmony_pipeline.stages import scanner

    for portfolio in ("", "mix"):
        paper = trading(
            pipeline.settings, portfolio, watch="scanner", strategy="rsi_momentum",
            rescan_at=("11:00", "13:30"),
        )  # fmt: skip
        day = paper.sessions()[-1]
        scanner.scan(paper, [day])
        picks = set(paper.lake.read("scan_selections", [day.isoformat()])["symbol"])
        made = live.paper_session(paper, [day], require_promoted=False, own_process=False)
        assert not made.nothing
        assert live.divergence(paper, [day]).facts[day.isoformat()] == "none"
        with open_ledger(paper) as ledger:
            row = ledger.sessions(replay_account(paper), day)[-1]
            events = ledger.table("session_events", session_id=row.session_id)
        scans = events.filter(pl.col("kind") == "symbols_watched")
        assert scans.height == 2
        assert paper.settings.scanner.maximum_selections >= len(picks) > 0


def test_a_session_of_the_universe_has_nothing_to_scan(tmp_path):
    file = tmp_path / "harmony.toml"
    file.write_text('[session]\nwatch = "universe"\nrescan_at = ["11:00"]')
    with pytest.raises(
        ConfigError, match=r"session\.rescan_at: a session that watches the universe"
    ):
        load_settings(file, environment={})


def test_a_model_of_another_strategy_is_refused(pipeline):
    with pytest.raises(ValueError, match=r"session\.portfolio: meta_labelled uses the model"):
        trading(pipeline.settings, "waiting", strategy="rsi_momentum")
