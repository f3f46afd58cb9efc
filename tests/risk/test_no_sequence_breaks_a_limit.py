"""Whatever is signalled, in whatever order, in whatever market: no limit is broken.

A hostile strategy speaks to the portfolio and the exchange in the order of portfolio/decisions.py,
and its sizes, strengths and probabilities are whatever it likes. The limits are recomputed here
from the orders that left, the fills and the prices alone, without the sums that the account keeps.
"""

import math

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from harmony_pipeline.execution.exchange import (
    MAX_REPORTS,
    ExchangeState,
    match_open,
    match_range,
    submit,
)
from harmony_pipeline.execution.settings import CostSettings, ExecutionNoiseSettings
from harmony_pipeline.labels.settings import LabelSettings
from harmony_pipeline.market.sectors import Sectors
from harmony_pipeline.portfolio.decisions import INTENTS_A_DECISION, decide
from harmony_pipeline.portfolio.kernel_types import (
    BAR,
    CANCELED,
    ENTRY,
    FILL,
    MONEY,
    NO_MODEL,
    NO_SIGNAL,
    ORDER,
    ORDER_OPEN,
    REASON_NAMES,
    REPORT,
    TRADE,
    VERDICT_NAMES,
    records,
)
from harmony_pipeline.portfolio.moments import mark
from harmony_pipeline.portfolio.parameters import TradingRules
from harmony_pipeline.portfolio.portfolio_state import PortfolioState
from harmony_pipeline.portfolio.position_accounting import apply_report
from harmony_pipeline.portfolio.settings import BacktestSettings
from harmony_pipeline.risk.breakers import check_breakers, open_session
from harmony_pipeline.risk.settings import SIZINGS, RiskSettings
from harmony_pipeline.risk.strategy_limits import begin_strategies
from harmony_pipeline.risk.strategy_terms import looser_limits
from harmony_pipeline.strategies.own_rules import StrategyRiskSettings
from harmony_pipeline.strategies.settings import StrategySettings

SYMBOLS = ("AAA", "BBB", "CCC", "DDD")
SECTOR = {"AAA": "energy", "BBB": "energy", "CCC": "metals"}
MINUTE, DAY = 60_000_000, 86_400_000_000
BAR_LENGTH = 10 * MINUTE
FIRST_DAY = 19_900  # 2024-06-26, a Wednesday
CENT = 2 * len(SYMBOLS)  # money units of rounding

ALWAYS = st.fixed_dictionaries(
    {
        "sizing": st.sampled_from(SIZINGS),
        "size_fraction": st.sampled_from([0.05, 2.0]),
        "size_value": st.sampled_from([1_000.0, 1e9]),
        "size_shares": st.sampled_from([1.0, 1e7]),
        "risk_per_trade": st.sampled_from([0.002, 1.0]),
        "kelly_fraction": st.sampled_from([0.25, 1.0]),
        "assumed_probability": st.sampled_from([None, 0.9, 0.9]),
        "target_wealth": st.sampled_from([101_000.0, 1e9]),
        "target_trade_volatility": st.sampled_from([0.004, 0.5]),
        "max_position": st.sampled_from([0.05, 0.4, 3.0]),
        "max_gross_exposure": st.sampled_from([0.3, 1.0, 3.0]),
        "max_net_exposure": st.sampled_from([0.2, 1.0, 3.0]),
        "max_open_positions": st.sampled_from([1, 4, 20, 20]),
        "max_daily_loss": st.sampled_from([0.005, 1.0, 1.0]),
        "max_drawdown": st.sampled_from([0.02, 1.0, 1.0]),
        "minimum_order_value": st.sampled_from([0.0, 500.0]),
        "allow_short": st.sampled_from([True, True, True, False]),
        "over_limit": st.sampled_from(["resize", "refuse"]),
    }
)
OPTIONAL = {
    "cash_buffer": st.sampled_from([0.0, 0.8, 0.9]),
    "max_sector_exposure": st.sampled_from([0.1, 0.3]),
    "max_weekly_loss": st.sampled_from([0.002, 0.02]),
    "drawdown_cooldown_sessions": st.sampled_from([1, 3]),
    "max_consecutive_losses": st.sampled_from([1, 3]),
    "consecutive_loss_cooldown_minutes": st.sampled_from([25.0, 3_000.0]),
    "symbol_cooldown_minutes": st.sampled_from([25.0, 3_000.0]),
    "price_collar": st.sampled_from([0.005, 0.03]),
    "duplicate_window_minutes": st.sampled_from([15.0, 200.0]),
    "max_orders_per_minute": st.sampled_from([1, 2]),
    "over_rate": st.sampled_from(["queue", "refuse"]),
    "stale_after_minutes": st.sampled_from([15.0, 25.0]),
}
# a few at a time, so that each is met alone, too
SETTINGS = st.builds(
    lambda always, some: always | some,
    ALWAYS,
    st.lists(st.sampled_from(sorted(OPTIONAL)), max_size=4, unique=True).flatmap(
        lambda names: st.fixed_dictionaries({name: OPTIONAL[name] for name in names})
    ),
)

# limits of the strategy's own, as parts of those of the account
OWN = st.fixed_dictionaries(
    {},
    optional={
        "max_position": st.sampled_from([0.3, 1.0]),
        "max_gross_exposure": st.sampled_from([0.2, 0.9]),
        "max_net_exposure": st.sampled_from([0.2, 0.9]),
        "max_open_positions": st.just(0.3),
        "max_daily_loss": st.sampled_from([0.002, 0.5]),
        "symbol_cooldown_minutes": st.sampled_from([2.0, 60.0]),
        "allow_short": st.just(0.0),
    },
)

WRONG = st.sampled_from([math.nan, math.inf, -math.inf, 0.0, -1.0, 2.0, 1e300, 5e-324])


def mostly(*sound):
    """One of these values, or now and then nonsense."""
    return st.integers(0, 15).flatmap(lambda n: WRONG if n == 0 else st.sampled_from(sound))


SIGNAL = st.tuples(
    st.sampled_from([-1, 1, 1, 1, -1, 0, NO_SIGNAL, 7]),
    mostly(0.1, 0.7, 1.0),
    mostly(0.01, 0.001, 1e-12),
    mostly(math.nan, math.nan, 0.6, 0.95),
)
# a return of each symbol's bar, None where it has none; and what is said about it
MOVE = st.sampled_from([0.0, 0.0, 0.0, 0.001, -0.001, 0.01, -0.01, 0.08, -0.08])
SAID = st.tuples(MOVE, SIGNAL)
MOMENT = st.tuples(*(st.one_of(st.none(), SAID, SAID, SAID) for _ in SYMBOLS))


class AnyIntents(RuleBasedStateMachine):
    """Two books side by side: the kernels', and a plain one of what was let through."""

    @initialize(
        chosen=SETTINGS, own=OWN, participation=st.sampled_from([0.02, 1.0]), bad=st.booleans()
    )
    def begin(self, chosen, own, participation, bad):
        self.risk = RiskSettings(**chosen)
        self.own = own_limits(self.risk, own)
        noise = ExecutionNoiseSettings(
            reject_probability=0.2 if bad else 0.0, partial_fill_probability=0.3 if bad else 0.0
        )
        sectors = Sectors(
            tuple((name, _date(0), sector) for name, sector in sorted(SECTOR.items()))
        )
        rules = TradingRules.of(
            self.risk, CostSettings(max_participation=participation), noise,
            LabelSettings(horizons_bars=(3,)), StrategySettings(use="tests:none", risk=self.own),
            BacktestSettings(), sectors=sectors,
        )  # fmt: skip
        self.rules = rules.records(SYMBOLS)
        state, exchange = PortfolioState.opening(SYMBOLS, 1e5), ExchangeState.empty(SYMBOLS)
        self.positions, self.account = state.positions, state.account[0]
        self.orders, self.keys = exchange.orders, exchange.keys
        self.intents = records(INTENTS_A_DECISION * len(SYMBOLS) + 2, ORDER)
        self.reports, self.trades = records(MAX_REPORTS, REPORT), records(8, TRADE)
        self.prices = dict.fromkeys(range(len(SYMBOLS)), 50.0)
        self.day, self.now = FIRST_DAY, FIRST_DAY * DAY
        # the plain book
        self.cash, self.shares, self.pending = round(1e5 * MONEY), {}, {}
        self.left, self.sent, self.closed = [], {}, []
        self.curve, self.week_base, self.day_base = [], self.cash, self.cash
        self.previous, self.seen = {}, {}
        self.stop_day = self.stop_week = self.stop_own = False
        self.session_from = self.now

    # --- the market -------------------------------------------------------------------------------

    @rule(moment=MOMENT)
    def live_through(self, moment):
        bars = self.bars_of(moment)
        if not len(bars):
            return
        begin_strategies(self.positions, self.account, self.rules[0], self.day)
        open_session(self.account, self.day)
        for bar in bars:
            symbol = int(bar["symbol"])
            for match in (match_open, match_range):
                n = match(self.orders, self.keys, self.rules[symbol], bar, self.reports, 0)
                self.hear(n)
            mark(self.positions[symbol], self.account, self.rules[symbol], bar)
            self.seen[symbol] = int(bar["end"])
        check_breakers(self.rules[0], self.account)
        self.judge_curve()
        count = decide(
            self.positions, self.account, self.rules, bars, 0, len(bars), self.intents, 0
        )
        self.judge(self.intents[:count].copy(), bars)
        for intent in self.intents[:count].copy():
            n = submit(
                self.orders, self.keys, self.rules[intent["symbol"]], intent, self.reports, 0
            )
            self.hear(n)
        self.now += BAR_LENGTH

    @precondition(lambda self: self.now > self.day * DAY + 3 * BAR_LENGTH)
    @rule(days=st.sampled_from([1, 1, 2, 4]))
    def sleep(self, days):
        self.day += days
        self.now = self.session_from = self.day * DAY
        self.previous.clear()
        if (self.day + 3) // 7 > (self.day - days + 3) // 7:
            self.week_base, self.stop_week = self.equity, False
        self.day_base, self.stop_day, self.stop_own = self.equity, False, False

    def bars_of(self, moment):
        rows = [(symbol, part) for symbol, part in enumerate(moment) if part is not None]
        bars = np.zeros(len(rows), BAR)
        for bar, (symbol, (move, (side, strength, volatility, probability))) in zip(
            bars, rows, strict=True
        ):
            opened = self.prices[symbol]
            close = max(round(opened * (1 + move), 2), 0.05)
            bar["at"], bar["end"], bar["date"] = self.now, self.now + BAR_LENGTH, self.day
            bar["symbol"], bar["open"], bar["close"] = symbol, opened, close
            bar["high"], bar["low"] = max(opened, close), min(opened, close)
            bar["volume"], bar["factor"] = 20_000.0, 1.0
            bar["signal"], bar["strength"], bar["volatility"] = side, strength, volatility
            bar["probability"], bar["model"] = probability, NO_MODEL
            self.prices[symbol] = close
        return bars

    # --- the plain book ---------------------------------------------------------------------------

    def hear(self, count):
        for report in self.reports[:count].copy():
            symbol = int(report["symbol"])
            if report["kind"] == FILL:
                value = round(report["price"] * report["quantity"] * MONEY)
                self.cash -= int(report["side"]) * value + int(report["fee"])
                held = self.shares.get(symbol, 0.0) + report["side"] * report["quantity"]
                self.shares[symbol] = held
            if report["role"] == ENTRY and report["closed"] == 1:
                del self.pending[symbol]
            n, closed = apply_report(
                self.positions, self.account, self.rules[symbol], report, self.intents, 0,
                self.trades, 0,
            )  # fmt: skip
            legs, trades = self.intents[:n].copy(), self.trades[:closed].copy()
            self.closed += [(int(t["symbol"]), int(t["exit_bar"]), int(t["pnl"])) for t in trades]
            for leg in legs:
                assert (
                    submit(self.orders, self.keys, self.rules[symbol], leg, records(1, REPORT), 0)
                    == 0
                )

    @property
    def values(self):
        return {
            symbol: round(self.prices[symbol] * held * MONEY)
            for symbol, held in self.shares.items()
            if held != 0.0
        }

    @property
    def equity(self):
        return self.cash + sum(self.values.values())

    def judge_curve(self):
        """Latch what the curve alone says: losses of the day and the week."""
        self.stop_day |= self.equity < self.day_base * (1 - self.risk.max_daily_loss)
        if self.own.max_daily_loss:
            self.stop_own |= self.equity < self.day_base * (1 - self.own.max_daily_loss)
        if self.risk.max_weekly_loss:
            self.stop_week |= self.equity < self.week_base * (1 - self.risk.max_weekly_loss)
        self.curve.append(self.equity)

    def judge(self, intents, bars):
        """Every entry that is let through, against every limit."""
        values, equity = self.values, self.equity
        left = [i for i in intents if i["role"] == ENTRY and i["status"] == ORDER_OPEN]
        end = int(bars[0]["end"])
        leaving = {int(i["symbol"]) for i in intents if i["role"] != ENTRY}
        canceled = {
            int(i["symbol"]) for i in intents if i["role"] == ENTRY and i["status"] == CANCELED
        }
        for intent in intents:
            if intent["role"] == ENTRY and intent["status"] != CANCELED:
                self.judge_answer(intent)
        closes = {int(bar["symbol"]): bar for bar in bars}
        before = dict(self.pending)
        for intent in left:
            symbol, side = int(intent["symbol"]), int(intent["side"])
            assert symbol not in canceled
            bar = closes[symbol]
            self.pending[symbol] = side * round(bar["close"] * intent["quantity"] * MONEY)
            self.judge_alone(intent, bar, symbol in leaving, end, equity, values)
        if left:
            self.judge_together(left, values, equity, before)
        for symbol, bar in closes.items():
            self.previous[symbol] = float(bar["close"])

    def judge_answer(self, intent):
        answer, reason = VERDICT_NAMES[intent["verdict"]], REASON_NAMES[intent["limit"]]
        enters = intent["status"] == ORDER_OPEN
        assert (answer in ("approve", "resize", "queue")) == enters
        assert (intent["release_at"] > 0) == (answer == "queue")
        assert (reason == "") == (answer == "approve") or answer == "queue"

    def judge_alone(self, intent, bar, is_reversal, end, equity, values):
        risk, symbol, side = self.risk, int(intent["symbol"]), int(intent["side"])
        assert not self.stop_day and not self.stop_week and self.account["halted"] == 0
        assert not self.stop_own
        self.judge_by_own_limits(symbol, side, end, equity)
        assert equity > 0 and side in (1, -1) and (side > 0 or risk.allow_short)
        assert math.isfinite(bar["volatility"]) and 0 < bar["strength"] <= 1
        assert symbol not in values or is_reversal
        worth = abs(self.pending[symbol])
        assert worth <= risk.max_position * equity + CENT
        assert worth >= (risk.minimum_order_value - 1e-9) * MONEY
        last = self.previous.get(symbol, float(bar["open"]))
        if risk.price_collar:
            assert abs(bar["close"] / last - 1) <= risk.price_collar + 1e-12
        if risk.symbol_cooldown_minutes:
            lost = [at for other, at, pnl in self.closed if other == symbol and pnl < 0]
            assert all(end >= at + risk.symbol_cooldown_minutes * MINUTE for at in lost)
        if risk.max_consecutive_losses and len(self.closed) >= risk.max_consecutive_losses:
            latest = self.closed[-risk.max_consecutive_losses :]
            pause = risk.consecutive_loss_cooldown_minutes * MINUTE
            assert any(pnl >= 0 for *_, pnl in latest) or end >= latest[-1][1] + pause
        if risk.duplicate_window_minutes:
            before = self.sent.get((symbol, side), -math.inf)
            opposite = self.sent.get((symbol, -side), -math.inf)
            if before > opposite:
                assert end >= before + risk.duplicate_window_minutes * MINUTE
        self.sent[symbol, side] = end
        if risk.stale_after_minutes:
            for other in values:
                age = end - max(self.seen[other], self.first_of_session())
                assert age <= risk.stale_after_minutes * MINUTE
        if risk.max_orders_per_minute:
            at = int(intent["release_at"]) or end
            assert not self.left or at >= self.left[-1]
            self.left.append(at)
            recent = [other for other in self.left if at - MINUTE < other <= at]
            assert len(recent) <= risk.max_orders_per_minute

    def judge_by_own_limits(self, symbol, side, end, equity):
        own = self.own
        assert side > 0 or own.allow_short is not False
        assert abs(self.pending[symbol]) <= (own.max_position or 1e9) * equity + CENT
        if own.symbol_cooldown_minutes:
            lost = [at for other, at, pnl in self.closed if other == symbol and pnl < 0]
            assert all(end >= at + own.symbol_cooldown_minutes * MINUTE for at in lost)

    def first_of_session(self):
        return int(self.account["session_from"])

    def judge_together(self, left, values, equity, before):
        """Sums over all symbols, whichever of the working orders fill; an entry comes in the stead
        of what its symbol holds.
        """
        risk, own = self.risk, self.own
        outcomes = {
            symbol: [self.pending[symbol]]
            if symbol in self.pending and symbol not in before
            else [
                values.get(symbol, 0),
                *([self.pending[symbol]] if symbol in self.pending else []),
            ]
            for symbol in {*values, *self.pending}
        }
        for symbol, worths in outcomes.items():
            if self.positions[symbol]["exit_working"] == 1 or symbol in self.pending:
                worths.append(0)
        gross = sum(max(map(abs, worths)) for worths in outcomes.values())
        assert gross <= risk.max_gross_exposure * equity + CENT
        assert gross <= (own.max_gross_exposure or 1e9) * equity + CENT
        if any(intent["side"] > 0 for intent in left):
            highest = sum(max(worths) for worths in outcomes.values())
            assert highest <= risk.max_net_exposure * equity + CENT
            assert highest <= (own.max_net_exposure or 1e9) * equity + CENT
            if risk.cash_buffer is not None:
                bought = sum(max(0, *worths) for worths in outcomes.values())
                assert equity - bought >= risk.cash_buffer * equity - CENT
        if any(intent["side"] < 0 for intent in left):
            lowest = sum(min(worths) for worths in outcomes.values())
            assert -lowest <= risk.max_net_exposure * equity + CENT
            assert -lowest <= (own.max_net_exposure or 1e9) * equity + CENT
        assert len(outcomes) <= min(risk.max_open_positions, own.max_open_positions or 99)
        if risk.max_sector_exposure:
            for sector in {SECTOR.get(SYMBOLS[intent["symbol"]]) for intent in left}:
                kin = [w for s, w in outcomes.items() if SECTOR.get(SYMBOLS[s]) == sector]
                worst = sum(max(map(abs, worths)) for worths in kin)
                assert worst <= risk.max_sector_exposure * equity + CENT

    @invariant()
    def the_books_agree(self):
        if hasattr(self, "account"):
            assert int(self.account["cash"]) == self.cash
            assert {s: p["quantity"] for s, p in enumerate(self.positions) if p["quantity"]} == {
                s: held for s, held in self.shares.items() if held
            }


def own_limits(risk, parts):
    """Limits of the strategy that are so many parts of the account's, none of them looser."""
    limits = {name: getattr(risk, name) * part for name, part in parts.items() if name in TIGHTER}
    if "max_open_positions" in limits:
        limits["max_open_positions"] = max(1, int(limits["max_open_positions"]))
    if "symbol_cooldown_minutes" in parts:
        shared = risk.symbol_cooldown_minutes or 20.0
        limits["symbol_cooldown_minutes"] = shared * parts["symbol_cooldown_minutes"]
    if "allow_short" in parts:
        limits["allow_short"] = False
    own = StrategyRiskSettings(**limits)
    assert not [*looser_limits(risk, own)]
    return own


TIGHTER = (
    "max_position", "max_gross_exposure", "max_net_exposure", "max_open_positions",
    "max_daily_loss",
)  # fmt: skip


def _date(day):
    return np.datetime64(day, "D").astype(object)


TestAnyIntents = AnyIntents.TestCase
TestAnyIntents.settings = settings(max_examples=25, stateful_step_count=40, deadline=None)
