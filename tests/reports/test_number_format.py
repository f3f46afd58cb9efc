"""Numbers in reports have the decimals of their instrument."""

from dataclasses import replace

import polars as pl
import pytest
from backtest.instrument_markets import BOND, BTC, ES, EURUSD, PENNY, SHIB, TOKYO, US, USDJPY
from reports import report_samples as samples
from reports.test_pages import session, words_of

from harmony_pipeline.market.instruments import Instruments
from harmony_pipeline.reports.daily_report import daily_report
from harmony_pipeline.reports.number_format import money_text, price_text, quantity_text, with_texts


@pytest.mark.parametrize(
    ("traded", "price", "expected"),
    [
        (US, 1234.5, "1,234.50"),
        (PENNY, 0.7321, "0.7321"),
        (PENNY, 1.5, "1.50"),
        (EURUSD, 1.08778, "1.08778"),
        (EURUSD, 1.1, "1.10000"),
        (USDJPY, 151.2, "151.200"),
        (SHIB, 0.00002345, "0.00002345"),
        (ES, 4790.25, "4,790.25"),
        (BOND, 118.03125, "118.03125"),
        (TOKYO, 2850.5, "2,850.5"),
        (US, 42.016, "42.016"),  # off the tick, as a split leaves a level
        (US, 187.23000000000002, "187.23"),
    ],
)
def test_a_price_has_the_decimals_of_its_tick(traded, price, expected):
    assert price_text(traded.terms, price) == expected


def test_quantities_and_money():
    assert [
        quantity_text(US.terms, 1500.0),
        quantity_text(BTC.terms, 0.0123),
        quantity_text(BTC.terms, 2.0),
    ] == ["1,500", "0.0123", "2"]
    assert [
        money_text(US.terms, 1.5),
        money_text(USDJPY.terms, 130.0),
        money_text(SHIB.terms, 0.0123),
    ] == ["1.50", "130", "0.0123"]
    assert (
        price_text(US.terms, None),
        quantity_text(US.terms, None),
        money_text(US.terms, float("nan")),
    ) == (None, None, None)


def test_each_row_of_a_table_by_its_own_symbol():
    frame = pl.DataFrame(
        {
            "symbol": ["EURUSD", "SHIB/USDT", "NEW"],
            "price": [1.08778, 0.00002345, 12.3],
            "quantity": [1000.0, 1e6, 5.0],
        }
    )
    found = with_texts(
        frame,
        Instruments.of([EURUSD.terms, SHIB.terms]),
        prices=("price", "absent"),
        quantities=("quantity",),
    )
    assert found["price"].to_list() == ["1.08778", "0.00002345", "12.30"]
    assert found["quantity"].to_list() == ["1,000", "1,000,000", "5"]


def test_the_page_of_a_session_in_currencies():
    fills = samples.session_fills()
    symbol = fills["symbol"][0]
    fills = fills.with_columns(price=pl.lit(1.08778), quantity=pl.lit(12_345.0))
    terms = Instruments.of([replace(EURUSD.terms, symbol=symbol)])
    page = words_of(daily_report(session(fills=fills, instruments=terms)))
    assert "1.08778" in page
    assert "12,345" in page
