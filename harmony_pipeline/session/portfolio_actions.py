"""What splits, dividends, and the ends and changes of symbols do to the books of a session: the
rules of portfolio/corporate_actions.py over one live portfolio.
"""

from collections.abc import Callable, Iterator
from datetime import date

from harmony_pipeline.market.lives import actions_by_new_symbol
from harmony_pipeline.portfolio.corporate_actions import (
    apply_action,
    apply_unseen_action,
    cancel_working,
    endings_of,
    first_actions,
    next_due,
    packed_actions,
    packed_lives,
    presumed_ending,
    settle_ending,
)
from harmony_pipeline.portfolio.decisions import close_position
from harmony_pipeline.portfolio.intents import place_legs
from harmony_pipeline.portfolio.kernel_types import APPLIED, ENDING, Record, records
from harmony_pipeline.session.live_portfolio import LivePortfolio
from harmony_pipeline.session.order_requests import OrderRequest
from harmony_pipeline.session.plan import SessionPlan

_EPOCH = date(1970, 1, 1)


class PortfolioActions:
    """Applies a plan's actions and lives to one portfolio. One owner."""

    def __init__(self, plan: SessionPlan, portfolio: LivePortfolio) -> None:
        self._day, self._portfolio = plan.date, portfolio
        actions, lives = actions_by_new_symbol(plan.actions, plan.lives), plan.due_lives
        if plan.members:
            actions = plan.sleeves.frame(actions)
            lives = plan.sleeves.frame(lives, ("symbol", "successor"))
            # of one day, in the order in which they happen to a symbol
            lives = lives.sort("date", maintain_order=True)
        symbols = plan.opening.portfolio.symbols
        self._actions = packed_actions(actions, symbols)
        self._next_action = first_actions(self._actions, len(symbols))
        self._lives = packed_lives(lives, symbols)
        self._applied = records(1, APPLIED)
        self._endings = records(2, ENDING)

    @property
    def may_come(self) -> bool:
        """Whether a split or dividend may come due in this session."""
        return len(self._actions) > 0

    # --- splits and dividends ---------------------------------------------------------------------

    def due(self, row: int, until: int) -> Iterator[Record]:
        """ACTION records that have come due for the row by the date `until`, each applied before
        the next is asked for.
        """
        position = self._portfolio.positions[row]
        while (k := next_due(self._actions, self._next_action, position, row, until)) >= 0:
            yield self._actions[k]

    def apply(self, action: Record, bar: Record) -> Record:
        """Apply an action before the BAR record; returns what it did (APPLIED)."""
        return self._apply(apply_action, action, bar["open"], bar["at"])

    def apply_unseen(self, action: Record, at: int) -> Record:
        """Apply an action of a symbol that has had no bar since; returns what it did (APPLIED)."""
        return self._apply(apply_unseen_action, action, at)

    def apply_over_night(self, row: int, at: int) -> Iterator[Record]:
        """Apply all that is due by the session's day to what is held, before its first bar; yields
        what each action did (APPLIED). The row is in the shares of the day from then on.
        """
        if self._portfolio.held(row) == 0.0:
            return
        for action in self.due(row, (self._day - _EPOCH).days):
            applied = self.apply_unseen(action, at)
            if applied["before"] != 0.0:
                yield applied
        self._portfolio.put_actions_behind(row, self._day)

    def _apply(self, kernel: Callable[..., int], action: Record, *more: float) -> Record:
        portfolio, row, applied = self._portfolio, action["symbol"], self._applied[0]
        closed = kernel(
            portfolio.positions[row], portfolio.account, portfolio.rules[row], action, *more,
            applied, portfolio.closed, 0,
        )  # fmt: skip
        portfolio.keep_trades(closed)
        return applied

    # --- ends and changes of symbols --------------------------------------------------------------

    def endings_of_lives(self) -> Iterator[Record]:
        """ENDING records of securities that ended since the last session, each settled before the
        next is asked for.
        """
        positions = self._portfolio.positions
        for life in self._lives:
            yield from self._endings[: endings_of(positions, life, self._endings)].copy()

    def endings(self, day: int) -> Iterator[Record]:
        """Those, and then what has had no bar for too many sessions by the date `day`."""
        yield from self.endings_of_lives()
        portfolio, ending = self._portfolio, self._endings[0]
        for row, position in enumerate(portfolio.positions):
            if presumed_ending(position, portfolio.rules[row], row, day, ending):
                yield ending.copy()

    def cancel_working(self, ending: Record, at: int) -> list[OrderRequest]:
        """Cancel whatever works for the ending's symbol."""
        portfolio, row = self._portfolio, int(ending["symbol"])
        position, canceled = portfolio.positions[row], ending["canceled"]
        return portfolio.requests(cancel_working(position, row, canceled, at, portfolio.intents, 0))

    def working(self, row: int) -> tuple[int, int]:
        """Whether an exit and whether a bracket works for the row."""
        position = self._portfolio.positions[row]
        return int(position["exit_working"]), int(position["legs_working"])

    def has_levels(self, row: int) -> bool:
        """Whether a bracket should protect what is held, whether or not one works."""
        position = self._portfolio.positions[row]
        if self._portfolio.rules[row]["close_touch"] == 1:
            return False
        leaves = position["exit_reason"] != 0 or position["exit_working"] == 1
        return bool(not leaves and (position["stop_level"] != 0.0 or position["take_level"] != 0.0))

    def settle(
        self, ending: Record, at: int, worked: tuple[int, int]
    ) -> tuple[Record, list[OrderRequest]]:
        """Pay out what is held, or hold it under the new symbol: what was done (APPLIED), and what
        to send. `worked`: see `working`, before the orders were canceled.
        """
        portfolio, applied = self._portfolio, self._applied[0]
        count, closed = settle_ending(
            portfolio.positions, portfolio.account, portfolio.rules, ending, at, *worked, applied,
            portfolio.intents, 0, portfolio.closed, 0,
        )  # fmt: skip
        portfolio.keep_trades(closed)
        return applied, portfolio.requests(count)

    def place_again(self, row: int, at: int, worked: tuple[int, int]) -> list[OrderRequest]:
        """The orders that worked for what the row holds now: an exit, and a bracket at its levels.
        `worked`: as of `settle`.
        """
        portfolio, count = self._portfolio, 0
        position = portfolio.positions[row]
        if position["quantity"] == 0.0:
            return []
        exit_worked, legs_worked = worked
        if legs_worked:
            count = place_legs(position, row, at, portfolio.intents, count)
        if exit_worked:
            reason, signal_at = position["exit_reason"], position["entry_signal_at"]
            count = close_position(
                position, portfolio.account, row, reason, signal_at, at, portfolio.intents, count
            )
        return portfolio.requests(count)
