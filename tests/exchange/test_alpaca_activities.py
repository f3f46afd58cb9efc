"""Account activities as Alpaca shows them, and what is read from them."""

from datetime import date
from typing import Any

import pytest

from harmony_pipeline.execution.brokers.alpaca.activities import cash_activity
from harmony_pipeline.execution.brokers.base import CashActivity

TAF = "TAF fee for proceed of 10 shares (2 trades) on 2024-03-05 by 123456789"


def row(kind: str, amount: str, **more: Any) -> dict[str, Any]:
    return {
        "id": "20240306000000000::8ab5", "activity_type": kind, "date": "2024-03-06",
        "net_amount": amount, "status": "executed", **more,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("description", "day"),
    [
        (TAF, date(2024, 3, 5)),
        ("REG fee for proceed of $5120.35 on 2024-03-05 by 123456789", date(2024, 3, 5)),
        ("Regulatory fees", None),
        ("CAT fee on 2024-02-30", None),
        ("", None),
        (None, None),
    ],
)
def test_a_fee_is_for_the_day_that_its_description_names(
    description: str | None, day: date | None
) -> None:
    told = cash_activity(row("FEE", "-0.02", description=description))
    assert told == CashActivity(
        "20240306000000000::8ab5", "fee", "FEE", None, date(2024, 3, 6), -0.02, day
    )


def test_a_fee_without_a_description_is_one_too() -> None:
    assert cash_activity(row("FEE", "-0.02")).traded_on is None


@pytest.mark.parametrize("name", ["INT", "INTNRA", "INTTW", "PTC"])
def test_interest_and_charges_are_owed_by_nobody(name: str) -> None:
    told = cash_activity(row(name, "-1.23", symbol="AAPL", description=TAF))
    assert (told.kind, told.symbol, told.amount, told.traded_on) == ("other", "AAPL", -1.23, None)
