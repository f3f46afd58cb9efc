"""Cash that a corporate action owes: in our books since its day, at the broker later or never.

A dividend is booked on its ex-date, as in the backtest; the broker pays it on the payment date,
weeks later. What a split leaves of a share and what a delisting pays come later, too, and at the
broker's own price. Below zero it is owed by us: dividends of what is sold short.

    broker's cash = cash in our books - what is open + what was settled otherwise than booked

holds after every step here. A payment is recognised by the broker's account activities, where it
has them, else by its cash. What its cash shows first is a guess until its activity comes: another
activity than the one that it awaits takes it back, and the cash that this leaves is guessed anew.

What the broker pays otherwise than it was booked (a tax, a rounding, its own price of a fraction;
all of it, once written off) is in `unbooked` until the session ends: the next one opens with it, so
a session's equity is that of the backtest of its day.

Fees are in our books with each execution, as in the backtest, by an estimate; a broker that tells
its activities may book them at the end of the day, each kind rounded, or never. So its cash may be
higher than that by what is `uncharged`, and not by more. Its activities tell what it took, and the
difference to the estimate is in `unbooked`, too.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import combinations
from typing import Any, Literal

import msgspec

from harmony_pipeline.execution.brokers.base import CashActivity
from harmony_pipeline.portfolio.kernel_types import MONEY

State = Literal["open", "paid", "written_off"]
READ_BACK = timedelta(days=30)
"""Activities are told late, with an earlier date, by at most so much."""
_REMEMBERED = timedelta(days=120)  # after its day, what is settled may still be told or paid
_CENT = 100  # money units; brokers pay whole cents
_SLACK = 0.2  # of cash whose price the broker makes: shares in lieu, delisted shares
_MOST_COMBINED = 12
_FEES_BOOKED = timedelta(days=5)  # after this no fee of a day is booked any more
FEES = "fees"
_KIND_OF = {"dividend": "dividend", "split": "split"}  # every other action pays out


class Receivable(msgspec.Struct, frozen=True, kw_only=True):
    """What one corporate action of a day owes for a symbol, all positions together, in money units.
    `paid`: the broker's cash showed it, its activity is yet to come; `shown`: how much of it, and
    `was`: its state before. `part`: 0, and one more for what was booked after the others had been
    paid or written off.
    """

    symbol: str
    action: str
    date: date
    amount: int
    state: State = "open"
    shown: int = 0
    was: State = "open"
    part: int = 0

    @property
    def key(self) -> str:
        """Unique within an account."""
        name = f"{self.action}:{self.symbol}:{self.date}"
        return f"{name}:{self.part}" if self.part else name

    @property
    def kind(self) -> str:
        """The kind of the account activity that pays it."""
        return _KIND_OF.get(self.action, "payout")

    @property
    def booked(self) -> int:
        """What of it our books have, beyond the broker's."""
        return self.amount if self.state == "open" else 0

    @property
    def slack(self) -> float:
        """By how much its payment may differ."""
        return _CENT / 2 if self.kind == "dividend" else max(_CENT, _SLACK * abs(self.amount))


@dataclass(frozen=True)
class Settlement:
    """A payment by the broker: of `receivable`, or for nothing that our books have (a tax). Fees of
    a day are together: `activity` is the last of them, None when no more are expected.
    """

    receivable: Receivable | None
    paid: int
    activity: CashActivity | None = None


class Receivables:
    """Those of an account. One owner."""

    def __init__(
        self,
        items: Iterable[Receivable] = (),
        unbooked: int = 0,
        since: date | None = None,
        seen: Mapping[str, date] | None = None,
        fees: Mapping[date, int] | None = None,
    ) -> None:
        self._fees = dict(fees or {})  # in our books, not known to be taken by the broker
        self._items = {item.key: item for item in items}
        self.unbooked = unbooked
        self.since = since
        """Activities from this day on are ours; None: nobody has looked yet."""
        self._seen = dict(seen or {})  # activities whose cash is accounted for -> their dates

    @property
    def open(self) -> list[Receivable]:
        """Neither paid nor written off, oldest first."""
        found = (item for item in self._items.values() if item.state == "open")
        return sorted(found, key=lambda item: (item.date, item.key))

    @property
    def pending(self) -> int:
        """Sum of what is open."""
        return sum(item.amount for item in self.open)

    @property
    def uncharged(self) -> int:
        """Fees of which nobody has told that the broker took them; money units."""
        return sum(self._fees.values())

    def broker_cash(self, cash: int) -> int:
        """What the broker has, where our books have `cash` and all fees are taken; money units."""
        return cash - self.pending + self.unbooked

    # --- what happens -----------------------------------------------------------------------------

    def accrue(self, symbol: str, action: str, day: date, amount: int) -> None:
        """Our books took this in. Several positions in a symbol are paid together."""
        item = Receivable(symbol=symbol, action=action, date=day, amount=amount)
        while (before := self._items.get(item.key)) is not None:
            if before.state == "open":
                item = msgspec.structs.replace(before, amount=before.amount + amount)
                break
            item = msgspec.structs.replace(item, part=before.part + 1)
        self._items[item.key] = item
        if not item.amount:
            del self._items[item.key]

    def accrue_fees(self, day: date, amount: int) -> None:
        """Our books took this in for executions of a day."""
        if amount:
            self._fees[day] = self._fees.get(day, 0) + amount

    def are_fees_due(self, today: date) -> bool:
        """Whether fees of a day before are not known to be taken."""
        return any(day < today for day in self._fees)

    def close_fees(self, today: date, more: int) -> list[Settlement]:
        """End waiting for fees of days long ago. `more`: what the broker has above `broker_cash`;
        as far as that is more than younger fees explain, the old ones were never taken.
        """
        old = sorted(day for day in self._fees if today - day >= _FEES_BOOKED)
        left = more - sum(amount for day, amount in self._fees.items() if day not in old)
        found = []
        for day in old:
            booked = self._fees.pop(day)
            kept = min(max(left, 0), booked)
            left -= kept
            self.unbooked += kept
            item = Receivable(symbol="", action=FEES, date=day, amount=-booked)
            found.append(Settlement(item, kept - booked))
        return found

    def write_off(self, item: Receivable) -> None:
        """The broker does not pay it. It is still recognised, should it come."""
        self.unbooked -= item.booked
        self._items[item.key] = msgspec.structs.replace(item, state="written_off")

    def overdue(self, today: date, days: int) -> list[Receivable]:
        """What is open `days` calendar days after its own."""
        return [item for item in self.open if (today - item.date).days >= days]

    def began(self, today: date, activities: Iterable[CashActivity]) -> None:
        """What the account was told before its first session here is in its opening cash."""
        self.since = today - READ_BACK
        self._seen = {each.activity_id: each.date for each in activities}

    def forget(self, today: date) -> None:
        """Drop what can no longer come."""
        self._items = {
            key: item
            for key, item in self._items.items()
            if item.state == "open" or today - item.date < _REMEMBERED
        }

    # --- payments ---------------------------------------------------------------------------------

    def settle_told(self, activities: Sequence[CashActivity]) -> list[Settlement]:
        """Take in account activities, each once. Fees as they were booked are no news."""
        unseen = {
            each.activity_id: each for each in activities if each.activity_id not in self._seen
        }
        told = sorted(unseen.values(), key=lambda each: each.date)
        fees = [each for each in told if each.kind == "fee"]
        new = [each for each in told if each.kind != "fee" and not self._awaited(each)]
        if new:
            self._take_back()
        taken = self._settle_fees(fees)
        other = [each for each in taken if each.receivable and each.paid != each.receivable.booked]
        return [*map(self._settle_told, new), *other]

    def read_until(self, today: date) -> None:
        """Every activity up to this day is known."""
        self.since = max(self.since or today - READ_BACK, today - READ_BACK)
        self._seen = {name: day for name, day in self._seen.items() if day >= self.since}

    def settle_shown(self, difference: int) -> list[Settlement]:
        """What the broker's cash alone shows, which is `difference` above `broker_cash`: the fewest
        payments that make it up; none where none do.
        """
        chosen = self._paid_by(difference)
        left = difference
        found = []
        for number, item in enumerate(chosen, 1):
            paid = left if number == len(chosen) else item.amount
            left -= paid
            found.append(self._show(item, paid))
        return found

    def settle_beside(self, difference: int, uncertain: int) -> list[Settlement]:
        """What cash shows beside something else that moved it, known to within `uncertain` money
        units: the nearest payments, to the cent as they are owed; none where the difference may as
        well be of the other.
        """
        if abs(difference) <= 2 * uncertain:
            return []
        chosen = self._paid_by(difference, uncertain)
        return [self._show(item, round(item.amount / _CENT) * _CENT) for item in chosen]

    def _show(self, item: Receivable, paid: int) -> Settlement:
        """Take an item for paid, by cash alone."""
        self.unbooked += paid - item.booked
        self._items[item.key] = msgspec.structs.replace(
            item, state="paid", shown=paid, was=item.state
        )
        return Settlement(item, paid)

    def _awaited(self, activity: CashActivity) -> bool:
        """Whether an activity is that of cash that was seen before, which is no news then."""
        paid = round(activity.amount * MONEY)
        for item in self._items.values():
            of_it = item.kind == activity.kind and item.symbol == activity.symbol
            if item.state == "paid" and of_it and abs(item.shown - paid) <= _CENT:
                del self._items[item.key]
                self._seen[activity.activity_id] = activity.date
                self.unbooked += paid - item.shown
                return True
        return False

    def _take_back(self) -> None:
        """What cash alone has shown, and no activity yet, is as it was before."""
        for item in self._items.values():
            if item.state == "paid":
                before = msgspec.structs.replace(item, state=item.was, shown=0)
                self.unbooked -= item.shown - before.booked
                self._items[item.key] = before

    def _settle_told(self, activity: CashActivity) -> Settlement:
        self._seen[activity.activity_id] = activity.date
        paid = round(activity.amount * MONEY)
        item = self._owed_by(activity, paid)
        if item is not None:
            del self._items[item.key]
        self.unbooked += paid - (item.booked if item is not None else 0)
        return Settlement(item, paid, activity)

    def _settle_fees(self, told: Sequence[CashActivity]) -> list[Settlement]:
        """Take in fees, those of one day together."""
        by_day: dict[date, list[CashActivity]] = {}
        for each in told:
            self._seen[each.activity_id] = each.date
            by_day.setdefault(each.traded_on or each.date, []).append(each)
        found = []
        for day, activities in sorted(by_day.items()):
            paid = sum(round(each.amount * MONEY) for each in activities)
            booked = self._charged(day, -paid)
            self.unbooked += paid + booked
            item = Receivable(symbol="", action=FEES, date=day, amount=-booked)
            found.append(Settlement(item, paid, activities[-1]))
        return found

    def _charged(self, day: date, amount: int) -> int:
        """What of `amount` is for fees in our books, of that day or the nearest before."""
        taken = 0
        for each in sorted((one for one in self._fees if one <= day), reverse=True):
            part = min(self._fees[each], amount - taken)
            if part <= 0:
                break
            self._fees[each] -= part
            taken += part
            if not self._fees[each]:
                del self._fees[each]
        return taken

    def _owed_by(self, activity: CashActivity, paid: int) -> Receivable | None:
        """What an activity pays: of its kind and symbol that amount, else what is open, else what
        was written off, the oldest; of another symbol that amount alone.
        """
        owed = [
            item
            for item in self._items.values()
            if item.kind == activity.kind and item.amount * paid > 0 and item.date <= activity.date
        ]
        owed.sort(key=lambda item: (item.state == "written_off", item.date, item.key))
        exact = [item for item in owed if abs(item.amount - paid) <= _CENT]
        for among in (exact, owed):
            for item in among:
                if item.symbol == activity.symbol:
                    return item
        return exact[0] if len(exact) == 1 else None  # a symbol may have changed since

    def _paid_by(self, difference: int, uncertain: float = _CENT / 2) -> tuple[Receivable, ...]:
        """The fewest that make it up, one of all or several of the oldest; of those the nearest to
        it by more than a cent, or the oldest.
        """
        unpaid = (item for item in self._items.values() if item.state != "paid")
        items = sorted(unpaid, key=lambda item: (item.date, item.key))
        for size in range(1, min(len(items), _MOST_COMBINED) + 1):
            found = list[tuple[int, tuple[Receivable, ...]]]()
            for chosen in combinations(items if size == 1 else items[:_MOST_COMBINED], size):
                error = abs(sum(item.amount for item in chosen) - difference)
                if error <= sum(item.slack for item in chosen) + uncertain:
                    found.append((max(error - _CENT, 0), chosen))
            if found:
                return min(found, key=lambda each: each[0])[1]
        return ()

    # --- what is kept -----------------------------------------------------------------------------

    def checkpoint(self) -> dict[str, Any]:
        """What a snapshot keeps, and the next session begins with."""
        return {
            "items": [msgspec.to_builtins(item) for item in self._items.values()],
            "unbooked": self.unbooked,
            "since": None if self.since is None else self.since.isoformat(),
            "seen": {name: day.isoformat() for name, day in self._seen.items()},
            "fees": {day.isoformat(): amount for day, amount in self._fees.items()},
        }

    @staticmethod
    def restored(saved: Mapping[str, Any] | None) -> "Receivables":
        """The inverse of `checkpoint`; snapshots of earlier code have None."""
        if saved is None:
            return Receivables()
        return Receivables(
            msgspec.convert(saved["items"], list[Receivable]),
            int(saved["unbooked"]),
            None if saved["since"] is None else date.fromisoformat(saved["since"]),
            {name: date.fromisoformat(day) for name, day in saved["seen"].items()},
            {date.fromisoformat(day): amount for day, amount in saved.get("fees", {}).items()},
        )
