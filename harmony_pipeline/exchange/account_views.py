"""The account, its positions, activities, assets, clock and calendar in Alpaca's fields."""

from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal
from uuid import NAMESPACE_URL, uuid5

from harmony_pipeline.exchange import wire
from harmony_pipeline.exchange.admission import (
    buying_power,
    dollars,
    equity,
    held_for_orders,
    market_value,
)
from harmony_pipeline.exchange.books import Posting
from harmony_pipeline.exchange.orders import (
    Json,
    asset_class,
    asset_id,
    exact,
    nanoseconds_of,
    plain,
    stamp,
)
from harmony_pipeline.exchange.refusals import NOT_FOUND, Refused, invalid
from harmony_pipeline.exchange.venue import Venue
from harmony_pipeline.execution.coins import base_of, is_pair, position_name
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.portfolio.kernel_types import MONEY

_SHARES = "XNYS"
_MOST_ACTIVITIES = 100


def account_id(venue: Venue) -> str:
    """The account's id; the same for a seed."""
    return str(uuid5(NAMESPACE_URL, f"harmony exchange {venue.seed} account"))


def account_json(venue: Venue) -> Json:
    """GET /v2/account. The fields that Alpaca took away on 2026-07-06 are absent."""
    holdings = [(name, market_value(venue, name)) for name, _ in venue.books.holdings()]
    long_value = sum((value for _, value in holdings if value > 0), Decimal(0))
    short_value = sum((value for _, value in holdings if value < 0), Decimal(0))
    worth, power = equity(venue), buying_power(venue)
    amounts = {
        "cash": dollars(venue.books.cash), "equity": worth, "portfolio_value": worth,
        "last_equity": worth, "buying_power": power, "regt_buying_power": power,
        "non_marginable_buying_power": max(dollars(venue.books.cash), Decimal(0)),
        "long_market_value": long_value, "short_market_value": short_value,
        "initial_margin": (long_value - short_value) / 2,
        "maintenance_margin": (long_value - short_value) * Decimal("0.3"),
        "last_maintenance_margin": Decimal(0), "sma": Decimal(0), "accrued_fees": Decimal(0),
    }  # fmt: skip
    return {
        "id": account_id(venue),
        "account_number": "PA0000000001",
        "status": "ACTIVE",
        "crypto_status": "ACTIVE" if venue.market.is_crypto else "INACTIVE",
        "currency": "USD",
        **{name: plain(value) for name, value in amounts.items()},
        "multiplier": str(venue.multiplier),
        "trading_blocked": venue.blocked,
        "transfers_blocked": False,
        "account_blocked": venue.blocked,
        "trade_suspended_by_user": venue.configurations["suspend_trade"],
        "shorting_enabled": not venue.configurations["no_shorting"],
        "created_at": stamp(venue.market.start * 1000),
    }


def position_json(venue: Venue, symbol: str) -> Json:
    """One position. Raises Refused where there is none."""
    symbol = venue.market.symbol_of(symbol)
    held = venue.books.shares(symbol) if symbol in venue.market.symbols else Decimal(0)
    if not held:
        raise Refused(404, NOT_FOUND, "position does not exist")
    price, entry = exact(venue.marks.get(symbol, 0.0)), venue.entry_prices[symbol]
    value, cost = held * price, held * entry
    gain = value - cost
    available = abs(held) - held_for_orders(venue, symbol)
    share = gain / abs(cost) if cost else Decimal(0)
    return {
        "asset_id": asset_id(symbol),
        "symbol": position_name(symbol),
        "exchange": "CRYPTO" if is_pair(symbol) else "NYSE",
        "asset_class": asset_class(symbol),
        "asset_marginable": not is_pair(symbol),
        "side": "long" if held > 0 else "short",
        "qty": plain(held),
        "qty_available": plain(available if held > 0 else -available),
        "avg_entry_price": plain(entry),
        "market_value": plain(value),
        "cost_basis": plain(cost),
        "unrealized_pl": plain(gain),
        "unrealized_plpc": plain(share),
        "unrealized_intraday_pl": plain(gain),
        "unrealized_intraday_plpc": plain(share),
        "current_price": plain(price),
        "lastday_price": plain(entry),
        "change_today": "0",
    }


def positions_json(venue: Venue) -> list[Json]:
    """Every position that is not zero."""
    return [position_json(venue, symbol) for symbol, _ in venue.books.holdings()]


def close_position(venue: Venue, symbol: str, query: Mapping[str, str]) -> Json:
    """DELETE /v2/positions/{symbol}: the order that closes it. Raises Refused, as POST does."""
    held = Decimal(position_json(venue, symbol)["qty"])
    quantity = abs(held)
    if query.get("qty"):
        quantity = Decimal(query["qty"])
    elif query.get("percentage"):
        quantity = (quantity * Decimal(query["percentage"]) / 100).quantize(Decimal("1e-9"))
    if not 0 < quantity <= abs(held):
        raise invalid("qty must be > 0 and not more than is held")
    return venue.submit(
        {
            "symbol": symbol,
            "qty": str(quantity),
            "side": "sell" if held > 0 else "buy",
            "type": "market",
            "time_in_force": "gtc" if venue.market.is_crypto else "day",
        }
    )


def close_all_positions(venue: Venue, *, cancel_orders: bool) -> list[Json]:
    """DELETE /v2/positions: {symbol, status, body} of each."""
    if cancel_orders:
        venue.cancel_all()
    answers: list[Json] = []
    for symbol, _ in list(venue.books.holdings()):
        answer: Json = {"symbol": position_name(symbol)}
        try:
            answer |= {"status": 200, "body": close_position(venue, symbol, {})}
        except Refused as refused:
            answer |= {"status": refused.status, "body": refused.body}
        answers.append(answer)
    return answers


def activities_json(venue: Venue, kinds: set[str], query: Mapping[str, str]) -> list[Json]:
    """GET /v2/account/activities: fills, the fees of each, and what corporate actions paid;
    `page_token` is the last id read.
    """
    rows: list[Json] = []
    for update in venue.updates:
        if update["event"] in {"fill", "partial_fill"}:
            rows.append(_fill_activity(venue, update))
    rows += [
        {
            "id": f"{_day(posting.at * 1000)}::{uuid5(NAMESPACE_URL, f'fee {posting.number}')}",
            "account_id": account_id(venue),
            "activity_type": "FEE",
            "date": (stamp(posting.at * 1000) or "")[:10],
            "net_amount": plain(-Decimal(posting.amount) / int(MONEY)),
            "description": f"fee of execution {posting.execution_id}",
            "status": "executed",
            "at": posting.at * 1000,
        }
        for posting in venue.books.postings
        if posting.debit == "fees"
    ]
    rows += [_coin_fee_activity(venue, each) for each in venue.books.postings if _in_coins(each)]
    rows += [_payment(venue, each) for each in venue.books.postings if _of_action(each)]
    rows = [row for row in rows if not kinds or row["activity_type"] in kinds]
    for name, keeps in (("after", 1), ("until", -1)):
        if query.get(name):
            bound = nanoseconds_of(query[name])
            rows = [row for row in rows if (row["at"] - bound) * keeps > 0]
    rows.sort(key=lambda row: row["at"], reverse=query.get("direction", "desc") == "desc")
    token = query.get("page_token")
    if token:
        place = next((i for i, row in enumerate(rows) if row["id"] == token), len(rows))
        rows = rows[place + 1 :]
    size = min(int(query.get("page_size", _MOST_ACTIVITIES)), _MOST_ACTIVITIES)
    return [{name: value for name, value in row.items() if name != "at"} for row in rows[:size]]


def _in_coins(posting: Posting) -> bool:
    return posting.debit.startswith("fees:")


def _of_action(posting: Posting) -> bool:
    return posting.credit.startswith("actions:")


def _payment(venue: Venue, posting: Posting) -> Json:
    """What a corporate action paid, of the type that it was paid as."""
    at = posting.at * 1000
    return {
        "id": f"{_day(at)}::{uuid5(NAMESPACE_URL, f'payment {posting.number}')}",
        "account_id": account_id(venue),
        "activity_type": posting.note,
        "date": (stamp(at) or "")[:10],
        "net_amount": plain(Decimal(posting.amount) / int(MONEY)),
        "symbol": posting.credit.removeprefix("actions:"),
        "status": "executed",
        "at": at,
    }


def _coin_fee_activity(venue: Venue, posting: Posting) -> Json:
    """CFEE: coins that a purchase did not bring."""
    at = posting.at * 1000
    return {
        "id": f"{_day(at)}::{uuid5(NAMESPACE_URL, f'fee {posting.number}')}",
        "account_id": account_id(venue),
        "activity_type": "CFEE",
        "date": (stamp(at) or "")[:10],
        "net_amount": "0",
        "symbol": posting.unit,
        "qty": plain(-Decimal(posting.amount)),
        "description": f"Coin Pair Transaction Fee ({base_of(posting.unit)})",
        "status": "executed",
        "at": at,
    }


def _fill_activity(venue: Venue, update: Json) -> Json:
    order, at = update["order"], nanoseconds_of(update["timestamp"])
    total = Decimal(order["filled_qty"])
    return {
        "id": f"{_day(at)}::{update['execution_id']}",
        "account_id": account_id(venue),
        "activity_type": "FILL",
        "type": update["event"],
        "transaction_time": update["timestamp"],
        "price": update["price"],
        "qty": update["qty"],
        "side": order["side"],
        "symbol": order["symbol"],
        "leaves_qty": plain(Decimal(venue.orders[order["id"]].qty) - total),
        "order_id": order["id"],
        "cum_qty": plain(total),
        "order_status": order["status"],
        "at": at,
    }


def _day(nanoseconds: int) -> str:
    text = stamp(nanoseconds) or ""
    return text.translate(str.maketrans("", "", "-T:Z"))[:17].replace(".", "")


def assets_json(venue: Venue) -> list[Json]:
    """The replayed symbols."""
    if not venue.market.is_crypto:
        return wire.asset_rows(list(venue.market.symbols))
    return [
        wire.pair_row(symbol, *map(plain, venue.matcher.coin_terms(symbol)))
        for symbol in venue.market.symbols
    ]


def asset_json(venue: Venue, name: str) -> Json:
    """One asset by symbol or id. Raises Refused."""
    name = venue.market.symbol_of(name)
    for row in assets_json(venue):
        if name in (row["symbol"], row["id"]):
            return row
    raise Refused(404, NOT_FOUND, f"asset not found for {name}")


def clock_json(venue: Venue) -> Json:
    """GET /v2/clock."""
    day = venue.now.date()
    schedule = _calendar_of(venue).schedule(day - timedelta(days=10), day + timedelta(days=10))
    return wire.clock_row(schedule, venue.now)


def calendar_json(venue: Venue, query: Mapping[str, str]) -> list[Json]:
    """GET /v2/calendar."""
    today = venue.now.date()
    first = date.fromisoformat(query.get("start", (today - timedelta(days=30)).isoformat())[:10])
    last = date.fromisoformat(query.get("end", (today + timedelta(days=30)).isoformat())[:10])
    return wire.day_rows(_calendar_of(venue).schedule(first, last + timedelta(days=1)))


def _calendar_of(venue: Venue) -> Calendar:
    """Alpaca's clock and calendar are those of shares, whatever an account trades."""
    return Calendar.of(_SHARES) if venue.market.is_crypto else venue.market.calendar


def quote_of(venue: Venue, symbol: str) -> Json | None:
    """A quote at the last price, as the matching rules trade: no depth, half a spread of zero."""
    price = venue.marks.get(symbol)
    if price is None:
        return None
    return {
        "t": stamp(venue.marked_at[symbol] * 1000), "ax": "V", "ap": price, "as": 1, "bx": "V",
        "bp": price, "bs": 1, "c": ["R"], "z": "C",
    }  # fmt: skip
