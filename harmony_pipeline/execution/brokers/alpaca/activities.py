"""Cash that Alpaca moved for corporate actions and fees, from the account's activities.

Alpaca books a dividend on its payment date, the part of it that a country taxes as an activity of
its own, and cash in lieu when the clearing house has paid it. Paper accounts are said to get no
dividends (https://docs.alpaca.markets/docs/paper-trading).

Fees of regulators are booked once a day, each kind rounded up to a cent; the description of one
names the day: "TAF fee for proceed of 10 shares (2 trades) on 2024-03-05 by ...". Interest and what
a depositary charges (`PTC`) come as they come.
"""

import re
from datetime import date
from decimal import Decimal
from typing import Any, Literal

from harmony_pipeline.execution.brokers.alpaca.client import TradingRest
from harmony_pipeline.execution.brokers.base import CashActivity

Json = dict[str, Any]
KINDS: dict[str, Literal["dividend", "split", "payout", "fee", "other"]] = {
    "DIV": "dividend", "DIVCGL": "dividend", "DIVCGS": "dividend", "DIVROC": "dividend",
    "DIVTXEX": "dividend", "DIVNRA": "other", "DIVWH": "other", "DIVFT": "other", "DIVTW": "other",
    "DIVFEE": "other", "CIL": "split", "MA": "payout", "REORG": "payout", "FEE": "fee",
    "INT": "other", "INTNRA": "other", "INTTW": "other", "PTC": "other",
}  # fmt: skip
"""Activity types: dividends, gains that are paid out, return of capital, tax-exempt dividends;
taxes withheld, and the fee of a depositary; cash in lieu; mergers and reorganisations; fees;
interest and its taxes; charges that are passed on. Deposits, withdrawals and the like are none of
them: a person moved that money.
"""
_TRADED_ON = re.compile(r"\bon (\d{4}-\d{2}-\d{2})\b")
_PAGE = 100
_TAKEN_BACK = "canceled"


def cash_activities(rest: TradingRest, since: date) -> list[CashActivity]:
    """Those of KINDS since a day, every page, oldest first. Raises BrokerUnavailable."""
    asked: Json = {
        "activity_types": ",".join(KINDS), "after": f"{since}T00:00:00Z", "page_size": _PAGE,
        "direction": "asc",
    }  # fmt: skip
    rows: list[Json] = []
    while True:
        token = {"page_token": rows[-1]["id"]} if rows else {}
        page = rest.get("/account/activities", {**asked, **token})
        rows += page
        if len(page) < _PAGE:
            break
    return [
        cash_activity(row)
        for row in rows
        if row["activity_type"] in KINDS and row.get("status") != _TAKEN_BACK
    ]


def cash_activity(row: Json) -> CashActivity:
    """One of KINDS, as Alpaca shows it."""
    name = str(row["activity_type"])
    return CashActivity(
        str(row["id"]),
        KINDS[name],
        name,
        row.get("symbol"),
        date.fromisoformat(str(row["date"])[:10]),
        float(Decimal(str(row["net_amount"]))),
        _traded_on(str(row.get("description") or "")) if name == "FEE" else None,
    )


def _traded_on(description: str) -> date | None:
    """The day that it names, where it names one."""
    told = _TRADED_ON.search(description)
    try:
        return None if told is None else date.fromisoformat(told[1])
    except ValueError:  # "on 2024-02-30"
        return None
