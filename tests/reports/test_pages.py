"""Pages hold what was put in, need nothing but themselves, and escape whatever comes from data."""

import re
from datetime import UTC, date, datetime
from functools import cache
from html.parser import HTMLParser

import polars as pl
import pytest
from jinja2 import UndefinedError
from reports import report_samples as samples

from harmony_pipeline import schemas
from harmony_pipeline.reports.daily_report import DailyReport, daily_report, divergence_line
from harmony_pipeline.reports.page import render
from harmony_pipeline.reports.tear_sheet import TearSheet, tear_sheet
from harmony_pipeline.robustness.sensitivity import stability

VOID = {"meta", "img", "br", "link"}
MONTE_CARLO = samples.monte_carlo()
EVIL = '<script>alert("x")</script>&'


class Reader(HTMLParser):
    """Checks that tags close in order, and gathers words and what is loaded."""

    def __init__(self):
        super().__init__()
        self.open, self.words, self.sources, self.tags = [], [], [], set()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.sources += [value for name, value in attrs if name in {"src", "href"}]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.words.append(data)


def read(markup: str) -> Reader:
    reader = Reader()
    reader.feed(markup)
    reader.close()
    assert reader.open == []
    return reader


def words_of(markup: str) -> str:
    return re.sub(r"\s+", " ", " ".join(read(markup).words))


def full(**changes) -> TearSheet:
    parts = {
        "strategy": "moving_average_crossover",
        "backtest": samples.backtest_row(),
        "sharpe_interval": (0.21, 2.41),
        "equity": samples.equity(),
        "trades": samples.trades(),
        "monte_carlo": MONTE_CARLO.table,
        "overfitting": samples.overfitting(),
        "folds": samples.folds(),
        "promotions": samples.promotions(),
        "regimes": samples.regimes(),
        "fan": MONTE_CARLO.fan(),
        "sensitivity": stability(samples.trials()).table,
        "benchmark": samples.benchmark(),
    }
    return TearSheet(**{**parts, **changes})


@cache
def whole_page() -> str:
    """The page of everything: its pictures take seconds to draw."""
    return tear_sheet(full())


def test_a_tear_sheet_holds_what_was_put_in():
    found = words_of(whole_page())
    for expected in (
        "moving_average_crossover", "2023-01-03", "+18.4%", "1.31", "95%: 0.21 to 2.41", "-9.4%",
        "120", "56% won", "0.710", "412", "not measurable",
        "Not promoted: model-5 fails on deflated sharpe, drawdown p95.", "all of it together",
        "2023-04", "Largest gains", "Largest losses", '{"fast": 10, "slow": 40}',
    ):  # fmt: skip
        assert expected in found, expected


def test_a_page_needs_nothing_but_itself():
    reader = read(whole_page())
    assert len(reader.sources) == 7
    assert all(source.startswith("data:image/png;base64,") for source in reader.sources)
    assert not reader.tags & {"script", "link", "iframe"}
    assert "url(" not in whole_page()


def test_the_same_input_gives_the_same_page():
    assert tear_sheet(full()) == whole_page()


def test_the_monte_carlo_table_is_made_of_the_paths():
    stressed = MONTE_CARLO.table.filter(pl.col("scenario") == "stressed")
    worst = stressed["final_equity"].quantile(0.05, "linear") / samples.CASH - 1.0
    row = re.search(r"all of it together</td>(.*?)</tr>", whole_page()).group(1)
    assert f"{worst:+.1%}" in row
    assert f"{(stressed['final_equity'] < samples.CASH).mean():.0%}" in row


def test_only_the_latest_decision_of_the_gate_is_shown():
    old = samples.promotions().with_columns(
        model_id=pl.lit("ancient"), decided_at=pl.col("decided_at") - pl.duration(days=90)
    )
    found = words_of(gate(pl.concat([old, samples.promotions()])))
    assert "model-5" in found
    assert "ancient" not in found
    for asked in ("at least 0.95", "at most 0.5", "closed trades"):
        assert asked in found
    kept = samples.promotions().with_columns(promoted=pl.lit(value=True), passed=pl.lit(value=True))
    assert "Promoted: model-5 passed every rule." in words_of(gate(kept))


def gate(promotions: pl.DataFrame) -> str:
    """The page with what the gate decided, and without the other parts."""
    return tear_sheet(TearSheet("trend", samples.backtest_row(), promotions=promotions))


def test_a_strategy_that_never_traded_still_has_a_page():
    row = {**samples.backtest_row(), **dict.fromkeys(schemas.METRICS)}
    markup = tear_sheet(TearSheet("idle", row))
    found = words_of(markup)
    assert "idle" in found
    for heading in ("Monte Carlo", "Walk-forward", "Promotion gate", "Largest gains", "Regimes"):
        assert heading not in found
    bare = TearSheet("idle", {"backtest_id": "b"}, monte_carlo=MONTE_CARLO.table)
    assert "idle" in words_of(tear_sheet(bare))


def test_text_from_data_is_escaped_everywhere():
    row = {**samples.backtest_row(), "parameters": EVIL, "backtest_id": EVIL}
    trades = samples.trades().with_columns(symbol=pl.lit(EVIL), exit_reason=pl.lit(EVIL))
    rules = samples.promotions().with_columns(
        model_id=pl.lit(EVIL), rule=pl.lit(EVIL), previous_model_id=pl.lit(EVIL)
    )
    folds = samples.folds().with_columns(period=pl.lit(EVIL))
    markup = tear_sheet(
        full(strategy=EVIL, backtest=row, trades=trades, promotions=rules, folds=folds)
    )
    assert "script" not in read(markup).tags
    assert EVIL in words_of(markup)
    orders = samples.session_orders().with_columns(reason=pl.lit(EVIL), symbol=pl.lit(EVIL))
    report = daily_report(
        DailyReport(
            date(2024, 3, 4), EVIL, orders=orders, events=samples.session_events(), notes=[EVIL]
        )
    )
    assert "script" not in read(report).tags
    assert '{"note": "<b>raw</b>"}' in words_of(report)


def session(**changes) -> DailyReport:
    parts = {
        "orders": samples.session_orders(),
        "fills": samples.session_fills(),
        "positions": samples.session_positions(),
        "equity": samples.session_equity(),
        "events": samples.session_events(),
        "divergence": samples.divergence(),
        "notes": ("The stream was stale for 12 s.",),
    }
    return DailyReport(date(2024, 3, 4), "2024-03-04-demo", **{**parts, **changes})


def test_a_daily_report_holds_the_day():
    found = words_of(daily_report(session()))
    for expected in (
        "Session of 2024-03-04",
        "1 refused",
        "max open positions",
        "14:45:00",
        "SYM00",
        "order filled",
        "differs from the backtest in 1 of 6 rows: 1 order.",
        "stale for 12 s",
        "0.25 fees",
    ):
        assert expected in found, expected
    last = samples.session_equity()["equity"][-1]
    assert f"{last:,.2f}" in found


def test_the_days_result_is_counted_from_what_the_session_began_with():
    rows = samples.session_equity()
    began_with = float(rows["equity"].max()) * 1.02
    found = words_of(daily_report(session(opening_equity=began_with)))
    change = float(rows.sort("timestamp")["equity"][-1]) / began_with - 1.0
    deepest = float(rows["equity"].min()) / began_with - 1.0
    assert f"{change:+.2%} since the session began" in found
    assert f"{deepest:+.2%}" in found


def test_an_order_of_another_day_has_its_date():
    orders = samples.session_orders()
    early = orders.head(1).with_columns(timestamp=datetime(2024, 3, 1, 21, tzinfo=UTC))
    found = words_of(daily_report(session(orders=pl.concat([early, orders.tail(-1)]))))
    assert "2024-03-01 21:00:00" in found
    assert "2024-03-04 14:45:00" not in found
    assert "14:45:00" in found


@pytest.mark.parametrize(
    ("divergence", "expected"),
    [
        (None, "Not compared with a backtest."),
        (
            schemas.DIVERGENCE.empty(),
            "Neither the session nor the backtest of the day did anything.",
        ),
        (
            samples.divergence(0),
            (
                "The session did exactly what the backtest did: 6 orders, fills and equity rows are"
                " equal."
            ),
        ),
        (
            samples.divergence(3),
            "The session differs from the backtest in 3 of 6 rows: 1 fill, 2 orders.",
        ),
    ],
)
def test_the_divergence_line_says_whether_the_session_did_what_the_backtest_did(
    divergence, expected
):
    assert divergence_line(divergence) == expected
    assert expected in words_of(daily_report(session(divergence=divergence)))


def test_a_day_without_anything_has_a_page_too():
    found = words_of(daily_report(DailyReport(date(2024, 3, 4), "s")))
    for expected in ("No orders.", "No fills.", "None.", "Not compared with a backtest."):
        assert expected in found


def test_a_value_that_a_template_names_and_nobody_gave_is_an_error():
    with pytest.raises(UndefinedError, match="strategy"):
        render(
            "trade_page.html.j2", backtest_id="b", choice="", clocks=[], tear_sheet=None, trades=[]
        )
