"""Fees that regulators, brokers and venues publish, each from a date on; `costs.preset` chooses.

Every row names where its number was read. `verified` is False where the date or the number was
taken from memory or from a secondary text alone: compare such a row with the notice before money
depends on it. A rate holds from its date until the next row; before the first row the first one
holds. Sales pay the SEC fee (Section 31 of the Securities Exchange Act of 1934) on their proceeds
and FINRA's Trading Activity Fee (Schedule A to the By-Laws, section 1) by the share, with a cap for
each trade. The fee of the Consolidated Audit Trail is charged by the share on both sides.

To follow a change of rate, add a row; nothing else knows the numbers.
"""

from collections.abc import Sequence
from datetime import date
from typing import NamedTuple, Protocol, TypeVar


class SecFee(NamedTuple):
    """Dollars on a million dollars of sales."""

    valid_from: date
    per_million: float
    source: str
    verified: bool


class TradingActivityFee(NamedTuple):
    """Dollars on a share sold, and the most that one trade pays."""

    valid_from: date
    per_share: float
    cap: float
    source: str
    verified: bool


class AuditTrailFee(NamedTuple):
    """Dollars on a share bought or sold, as Alpaca passes them on."""

    valid_from: date
    per_share: float
    source: str
    verified: bool


class VenueTier(NamedTuple):
    """Fees in basis points of the value, from a volume of the last 30 days in dollars on."""

    volume: float
    maker_bps: float
    taker_bps: float


SEC_FEES = (
    SecFee(date(2007, 10, 1), 11.00, "FINRA information notice 3/10/08 (rate)", False),
    SecFee(date(2008, 4, 1), 5.60, "FINRA information notice 3/10/08", True),
    SecFee(date(2009, 4, 10), 25.70, "not looked up", False),
    SecFee(date(2010, 1, 15), 12.70, "not looked up", False),
    SecFee(date(2010, 4, 1), 16.90, "not looked up", False),
    SecFee(date(2011, 1, 21), 19.20, "not looked up", False),
    SecFee(date(2012, 2, 21), 18.00, "not looked up", False),
    SecFee(date(2012, 4, 1), 22.40, "SEC release 2012-232 (rate)", False),
    SecFee(date(2013, 5, 25), 17.40, "FINRA information notice 3/3/14 (rate)", False),
    SecFee(date(2014, 3, 18), 22.10, "FINRA information notice 3/3/14", True),
    SecFee(date(2015, 2, 14), 18.40, "not looked up", False),
    SecFee(date(2016, 2, 16), 21.80, "FINRA information notice 3/15/16 (rate)", False),
    SecFee(date(2017, 7, 4), 23.10, "FINRA information notice 5/7/18 (rate)", False),
    SecFee(date(2018, 5, 22), 13.00, "FINRA information notice 5/7/18", True),
    SecFee(date(2019, 4, 16), 20.70, "SEC fee rate advisory #2 for fiscal year 2019", True),
    SecFee(date(2020, 2, 18), 22.10, "FINRA information notice 2/3/20", True),
    SecFee(date(2021, 2, 25), 5.10, "FINRA information notice 2/16/21", True),
    SecFee(date(2022, 5, 14), 22.90, "not looked up", False),
    SecFee(date(2023, 2, 27), 8.00, "Alpaca, REG/TAF fee updates (rate)", False),
    SecFee(date(2024, 5, 22), 27.80, "SEC release 34-99973; Alpaca regulatory fees (rate)", False),
    SecFee(date(2025, 5, 14), 0.00, "FINRA information notice 4/24/25", True),
    SecFee(date(2026, 4, 4), 20.60, "SEC release 34-104909 of 2026-02-27", True),
)

TRADING_ACTIVITY_FEES = (
    TradingActivityFee(date(2008, 1, 1), 0.000075, 3.75, "FINRA notice 11-27 (rate)", False),
    TradingActivityFee(date(2011, 7, 1), 0.000090, 4.50, "FINRA notice 11-27", True),
    TradingActivityFee(date(2012, 3, 1), 0.000095, 4.75, "FINRA notice 12-06", True),
    TradingActivityFee(date(2012, 7, 1), 0.000119, 5.95, "a broker's fee page (rate)", False),
    TradingActivityFee(date(2022, 1, 1), 0.000130, 6.49, "SR-FINRA-2020-032", False),
    TradingActivityFee(date(2023, 1, 1), 0.000145, 7.27, "SR-FINRA-2020-032", False),
    TradingActivityFee(
        date(2024, 1, 1), 0.000166, 8.30, "Alpaca regulatory fees (rate, cap)", True
    ),
    TradingActivityFee(date(2026, 1, 1), 0.000195, 9.79, "SR-FINRA-2024-019", True),
    TradingActivityFee(
        date(2026, 10, 1), 0.0, 9.79, "SR-FINRA-2026-021, no fee until the year's end", False
    ),
    TradingActivityFee(date(2027, 1, 1), 0.000232, 11.61, "SR-FINRA-2024-019", False),
    TradingActivityFee(date(2028, 1, 1), 0.000240, 12.05, "SR-FINRA-2024-019", False),
)

AUDIT_TRAIL_FEES = (
    AuditTrailFee(date(2008, 1, 1), 0.0, "no such fee before September 2024", True),
    AuditTrailFee(date(2024, 9, 1), 0.000035, "CAT NMS Plan FAQ V6: CAT Fee 2024-1", True),
    AuditTrailFee(
        date(2024, 10, 1), 0.000048, "CAT NMS Plan FAQ V6: and Historical Assessment 1", True
    ),
    AuditTrailFee(date(2025, 1, 1), 0.000046, "Alpaca regulatory fees (rate)", False),
    AuditTrailFee(date(2025, 7, 1), 0.0000265, "Alpaca regulatory fees: CAT Fee 2025-2", True),
    AuditTrailFee(date(2025, 12, 1), 0.0, "no invoices until further notice", False),
    AuditTrailFee(date(2026, 5, 1), 0.000003, "CAT Fee 2026-1 and Historical Assessment 1A", False),
)

ALPACA_CRYPTO = (  # Alpaca, crypto maker and taker fees, from 2023-03-13; the same in ccxt 4.5.90
    VenueTier(0, 15.0, 25.0),
    VenueTier(100_000, 12.0, 22.0),
    VenueTier(500_000, 10.0, 20.0),
    VenueTier(1_000_000, 8.0, 18.0),
    VenueTier(10_000_000, 5.0, 15.0),
    VenueTier(25_000_000, 2.0, 13.0),
    VenueTier(50_000_000, 2.0, 12.0),
    VenueTier(100_000_000, 0.0, 10.0),
)
VENUES: dict[str, tuple[VenueTier, ...]] = {
    "alpaca": ALPACA_CRYPTO,
    # The numbers that ccxt 4.5.90 holds, but for Kraken's last (0.10 %; ccxt says 0.01 %). Venues
    # change them without notice.
    "binance": (VenueTier(0, 10.0, 10.0),),
    "coinbase": (
        VenueTier(0, 40.0, 60.0),
        VenueTier(10_000, 25.0, 40.0),
        VenueTier(50_000, 15.0, 25.0),
        VenueTier(100_000, 10.0, 20.0),
        VenueTier(1_000_000, 8.0, 18.0),
        VenueTier(15_000_000, 6.0, 16.0),
        VenueTier(75_000_000, 3.0, 12.0),
        VenueTier(250_000_000, 0.0, 8.0),
        VenueTier(400_000_000, 0.0, 5.0),
    ),
    "kraken": (
        VenueTier(0, 16.0, 26.0),
        VenueTier(50_000, 14.0, 24.0),
        VenueTier(100_000, 12.0, 22.0),
        VenueTier(250_000, 10.0, 20.0),
        VenueTier(500_000, 8.0, 18.0),
        VenueTier(1_000_000, 6.0, 16.0),
        VenueTier(2_500_000, 4.0, 14.0),
        VenueTier(5_000_000, 2.0, 12.0),
        VenueTier(10_000_000, 0.0, 10.0),
    ),
}


class _Dated(Protocol):
    @property
    def valid_from(self) -> date: ...


D = TypeVar("D", bound=_Dated)


def rate_on(rates: Sequence[D], day: date) -> D:
    """The row that holds on `day`: the last one from a date not after it, else the first."""
    known = [rate for rate in rates if rate.valid_from <= day]
    return known[-1] if known else rates[0]


def regulatory_changes() -> list[date]:
    """Dates on which a fee of US shares changes, in order."""
    rates = (*SEC_FEES[1:], *TRADING_ACTIVITY_FEES[1:], *AUDIT_TRAIL_FEES[1:])
    return sorted({rate.valid_from for rate in rates})
