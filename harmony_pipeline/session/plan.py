"""Everything a session is pinned to before it starts. It never changes while the session lives, and
a restart must bring the same one.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import date, datetime, timedelta
from functools import cached_property
from typing import Any

import polars as pl

from harmony_pipeline.errors import DataError
from harmony_pipeline.features.catalog import FeatureSet
from harmony_pipeline.features.news_columns import NewsTotals
from harmony_pipeline.features.state import State
from harmony_pipeline.hashing import short_hash
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.lives import empty_events, relevant_events
from harmony_pipeline.market.sectors import Sectors
from harmony_pipeline.market.timeframes import LONG_TIMEFRAMES, TIMEFRAME_SECONDS
from harmony_pipeline.models.samples import RegimeHistory
from harmony_pipeline.models.trained import TrainedModel
from harmony_pipeline.portfolio.parameters import TradingRules
from harmony_pipeline.portfolio.sleeves import SharedRules, Sleeves, name_in_ids
from harmony_pipeline.portfolio.state import TradingState
from harmony_pipeline.scanner.intraday import IntradayScan
from harmony_pipeline.schemas import CORPORATE_ACTIONS
from harmony_pipeline.session.ledger_rows import SessionRow
from harmony_pipeline.strategies.base import Stepwise, Strategy, remembers_the_market
from harmony_pipeline.strategies.own_rules import StrategyRiskSettings

SCALE = "volatility_20"  # the feature that sizes trades and sets barriers
_LONGEST_CLIENT_ORDER_ID = 128  # Alpaca's limit


@dataclass(frozen=True)
class MemberPlan:
    """One strategy of a portfolio, pinned as `SessionPlan` pins the only one of a session.

    rules: its own, which are like the other members' in what is the account's. symbols: those in
    which it takes sides; None: all of the session's. stopped: why it trades nothing today, like one
    that was stopped during the day; empty: it trades.
    """

    name: str
    strategy: Strategy
    rules: TradingRules
    uses_model: bool = False
    model: TrainedModel | None = None
    threshold: float = 0.0
    history: pl.DataFrame | None = None
    symbols: tuple[str, ...] | None = None
    stopped: str = ""

    @property
    def parts(self) -> list[Any]:
        """What of it could change a decision, its rules apart."""
        own = [self.name, _described(self.strategy), self.uses_model, self.threshold]
        history = None if self.history is None else _content(self.history)
        return [
            *own,
            self.model.model_id if self.model else None,
            history,
            self.symbols,
            self.stopped,
        ]


@dataclass(frozen=True)
class SessionPlan:
    """One trading day of one account.

    symbols: what is traded; symbols that are held or have a working order belong to it whether or
    not they were chosen today. opening: portfolio and working orders at the start; feature_states:
    kernel states after each symbol's last bar before the day. actions: CORPORATE_ACTIONS, those
    after a position's last bar are applied. lives: events of market/lives.py that name one of the
    symbols, those behind the opening too. model: the pinned one, needed when `uses_model`; a
    candidate is taken when its probability reaches `threshold`. regimes: REGIMES known before the
    day. history: bars before the day with the strategy's features, for a strategy that remembers
    the market, else None. factors: adjustment factor of each symbol as the day begins; needed at a
    real broker only, whose first fills may come before the first bar.

    members: the strategies of a portfolio (portfolio/sleeves.py), in order; none: one strategy has
    the account. Of a portfolio `opening` has slots, `rules` are its shared ones, `strategy_name` is
    its name, and what else a member has of its own is that of the first one: ask `alone`.

    selected: the symbols that may be entered as the day begins; None: all. scans: those of the day
    that choose anew (session/watch_list.py).

    stop_limit_bps: at a broker that takes no brackets the stop rests there alone, as a stop-limit
    order whose limit lies so far behind it (session/single_stops.py); None: it takes brackets.

    news: headlines of the symbols, those of a replayed day with the moments at which they became
    known in it; needed where the feature set reads news. sectors: those of the symbols as known on
    the day; needed where it reads sectors.
    """

    date: date
    account: str
    symbols: tuple[str, ...]
    strategy_name: str
    strategy: Strategy
    rules: TradingRules
    feature_set: FeatureSet
    feature_states: Mapping[str, State]
    opening: TradingState
    calendar: Calendar
    timeframe: str
    actions: pl.DataFrame = field(default_factory=CORPORATE_ACTIONS.empty)
    lives: pl.DataFrame = field(default_factory=empty_events)
    uses_model: bool = False
    model: TrainedModel | None = None
    threshold: float = 0.0
    regimes: pl.DataFrame | None = None
    history: pl.DataFrame | None = None
    factors: Mapping[str, float] = field(default_factory=dict)
    flatten_at_close: bool = False
    previous_session_id: str | None = None
    members: tuple[MemberPlan, ...] = ()
    selected: tuple[str, ...] | None = None
    scans: tuple[IntradayScan, ...] = ()
    stop_limit_bps: float | None = None
    news: NewsTotals | None = None
    sectors: Sectors | None = None

    def __post_init__(self) -> None:
        for plan in self.by_strategy.values():
            plan._check_strategy()
            if self.members and plan.hears_quotes:
                raise DataError(
                    f"strategy {plan.strategy_name} acts on quotes, which strategies of a portfolio"
                    f" do not hear: take it out of {self.strategy_name}, and trade it alone"
                )
        if self.slots != self.opening.symbols:
            raise DataError(
                "the plan's symbols are not those of its opening state, in order: build plans with"
                " session.replay.plan_day"
            )

    def _check_strategy(self) -> None:
        known = set(self.feature_set.names)
        missing = [
            name for name in (*self.strategy.required_features(), SCALE) if name not in known
        ]
        if missing:
            raise DataError(
                f"the session's feature set lacks {', '.join(missing)}, which strategy"
                f" {self.strategy_name} needs: add them to features.names"
            )
        if remembers_the_market(self.strategy) and self.history is None:
            raise DataError(
                f"strategy {self.strategy_name} remembers the whole market: its plan needs the bars"
                " before the day (history)"
            )

    # --- a portfolio ------------------------------------------------------------------------------

    @cached_property
    def sleeves(self) -> Sleeves:
        """The strategies that share the account; none where one has it."""
        return Sleeves(tuple(member.name for member in self.members))

    @cached_property
    def slots(self) -> tuple[str, ...]:
        """The symbols of `opening`: a slot for each strategy and symbol, else the symbols."""
        return self.sleeves.slots(self.symbols) if self.members else tuple(self.symbols)

    @cached_property
    def slot_names(self) -> tuple[str, ...]:
        """`slots` as orders name them: `rsi_momentum/AAPL`, or `AAPL`."""
        return tuple(map(name_in_ids, self.slots)) if self.members else self.slots

    def strategy_of(self, row: int) -> str | None:
        """Whose row of the opening's positions it is; None where one strategy has the account."""
        return self.members[row // len(self.symbols)].name if self.members else None

    @cached_property
    def by_strategy(self) -> dict[str | None, "SessionPlan"]:
        """The plan of each member by itself; the plan under None where one strategy has the
        account.
        """
        if not self.members:
            return {None: self}
        return {member.name: self.alone(member) for member in self.members}

    def alone(self, member: MemberPlan) -> "SessionPlan":
        """The plan with this member as its only strategy and nothing held: what its signals are
        made by.
        """
        names = ("strategy", "rules", "uses_model", "model", "threshold", "history")
        return replace(
            self,
            strategy_name=member.name,
            opening=TradingState.opening(self.symbols, 0.0),
            members=(),
            **{name: getattr(member, name) for name in names},
        )

    @cached_property
    def hash(self) -> str:
        """Changes with anything that could change a decision, except the bars."""
        parts = {
            "date": self.date.isoformat(),
            "account": self.account,
            "symbols": self.symbols,
            "strategy": [self.strategy_name, _described(self.strategy)],
            "rules": _rules(self.rules.only(self.slots)),
            "features": self.feature_set.hash,
            "states": {
                symbol: [state.timestamp.isoformat(), short_hash(state.vector.tobytes(), 8)]
                for symbol, state in sorted(self.feature_states.items())
            },
            "opening": self.opening.to_dict(),
            "calendar": [self.calendar.name, self.timeframe],
            "actions": self.actions.sort(self.actions.columns).rows(),
            "lives": self.lives.rows(),
            "model": [self.uses_model, self.model.model_id if self.model else None, self.threshold],
            "flatten": self.flatten_at_close,
            "factors": dict(sorted(self.factors.items())),
            **({} if self.history is None else {"history": _content(self.history)}),
            **({"members": [member.parts for member in self.members]} if self.members else {}),
            **({"selected": self.selected} if self.selected is not None and not self.scans else {}),
            **(
                {"scans": [self.selected, *(scan.hash for scan in self.scans)]}
                if self.scans
                else {}
            ),
            **({} if self.stop_limit_bps is None else {"stop_limit": self.stop_limit_bps}),
            **({} if self.news is None else {"news": self.news.hash}),
            **({} if self.sectors is None else {"sectors": self.sectors.rows}),
        }
        text = json.dumps(parts, sort_keys=True, default=_plain)
        return short_hash(text, 8)

    @cached_property
    def due_lives(self) -> pl.DataFrame:
        """Delistings and changes of symbol that the day's first regular bar meets."""
        since = self.opening.booked_until(self.date)
        return relevant_events(self.lives.filter(pl.col("date") > since), self.symbols, self.date)

    @cached_property
    def regime_history(self) -> RegimeHistory | None:
        """The regimes as inputs of the model."""
        return None if self.regimes is None else RegimeHistory.of(self.regimes)

    @property
    def session_id(self) -> str:
        """`2024-03-05-meta_labelled-1f3a9c0e`: a pure function of the plan, so the same plan is the
        same session.
        """
        return f"{self.date.isoformat()}-{self.strategy_name}-{self.hash[:8]}"

    @property
    def model_id(self) -> str | None:
        """The pinned model."""
        return self.model.model_id if self.model else None

    @property
    def hears_quotes(self) -> bool:
        """Whether the strategy is a machine with `on_quote`."""
        return (
            not self.members and isinstance(self.strategy, Stepwise) and self.strategy.hears_quotes
        )

    @property
    def conflates_quotes(self) -> bool:
        """Whether the strategy wants only the latest unread quote of a symbol."""
        return isinstance(self.strategy, Stepwise) and self.strategy.conflates_quotes

    @property
    def bar(self) -> timedelta:
        """Length of a bar."""
        return timedelta(seconds=TIMEFRAME_SECONDS[self.timeframe])

    @property
    def flatten_from(self) -> datetime | None:
        """Bars that end then or later decide to close everything, in time for the day's last open;
        None: positions stay overnight.
        """
        # a day's bar has no later open on the same day
        if not self.flatten_at_close or self.timeframe in LONG_TIMEFRAMES:
            return None
        return self.calendar.session_close(self.date) - self.bar

    def row(self) -> SessionRow:
        """The session as the ledger opens it."""
        return SessionRow(
            self.session_id,
            self.date,
            self.account,
            self.strategy_name,
            self.model_id,
            self.hash,
            previous_session_id=self.previous_session_id,
        )


def client_order_id(session_id: str, intent: str) -> str:
    """Name of an intent at the broker: a pure function of session and intent, short enough for any
    broker.
    """
    plain = f"{session_id}-{intent}"
    if len(plain) <= _LONGEST_CLIENT_ORDER_ID:
        return plain
    return f"{short_hash(session_id, 16)}-{intent}"[:_LONGEST_CLIENT_ORDER_ID]


def _described(strategy: Strategy) -> str:
    built: Any = strategy.machine() if isinstance(strategy, Stepwise) else strategy
    chosen = getattr(built, "chosen", built)
    if hasattr(chosen, "model_dump"):
        parameters = chosen.model_dump(mode="json")
    else:
        parameters = {
            name: value
            for name, value in vars(chosen).items()
            if isinstance(value, str | int | float | bool | tuple | None)
        }
    return json.dumps(
        [f"{type(built).__module__}:{type(built).__qualname__}", parameters], sort_keys=True
    )


def _rules(rules: TradingRules) -> dict[str, Any]:
    """Every number of the rules; a policy of size, limits and terms of single strategies only where
    there are any.
    """
    parts = asdict(rules)
    if not rules.policies:
        parts.pop("policies")
    if rules.own == StrategyRiskSettings():
        parts.pop("own")
    if isinstance(rules, SharedRules) and not rules.terms:
        parts.pop("terms")
    return parts


def _content(rows: pl.DataFrame) -> str:
    """A hash of every value of a frame."""
    columns = [
        b"\0".join(text.encode() for text in column.cast(pl.String).fill_null(""))
        if column.dtype == pl.String
        else column.to_physical().to_numpy().tobytes()
        for column in rows.iter_columns()
    ]
    return short_hash(b"\0".join(columns), 8)


def _plain(value: Any) -> Any:
    return value.model_dump(mode="json") if hasattr(value, "model_dump") else str(value)
