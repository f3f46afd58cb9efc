"""What a unit is worth, by the terms of the session that a row belongs to."""

from datetime import UTC, date, datetime

import polars as pl
import pytest

from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.instruments import Instrument, Instruments
from harmony_pipeline.market.multipliers import contract_multipliers, with_multiplier

CHANGED = Instruments.of(
    [
        Instrument("ES", multiplier=50.0),
        Instrument("ES", valid_from=date(2024, 3, 5), multiplier=5.0),
    ]
)


def rows(*moments, symbol="ES"):
    stamps = pl.Series(moments, dtype=pl.Datetime("us", "UTC"))
    return pl.DataFrame({"timestamp": stamps}).with_columns(symbol=pl.lit(symbol))


def test_nothing_is_made_where_every_unit_is_worth_its_price():
    calendar = Calendar.of("XNYS")
    assert contract_multipliers(Instruments(), ["AAPL", "IBM"], calendar, "1Hour") is None
    assert with_multiplier(rows(datetime(2024, 3, 5, tzinfo=UTC)), None)["multiplier"][0] == 1.0


def test_terms_change_with_the_session_that_begins_the_evening_before():
    worth = contract_multipliers(CHANGED, ["CL", "ES"], Calendar.of("CMES"), "1Hour")
    found = with_multiplier(
        # the session of 5 March begins at 17:00 in Chicago on the 4th; the rows keep their order
        rows(
            datetime(2024, 3, 4, 23, tzinfo=UTC),
            datetime(2024, 3, 4, 21, tzinfo=UTC),
            datetime(1999, 1, 4, 21, tzinfo=UTC),
        ),
        worth,
    )
    assert found.columns == ["timestamp", "symbol", "multiplier"]
    assert found["multiplier"].to_list() == [5.0, 50.0, 50.0]
    assert (
        with_multiplier(rows(datetime(2024, 3, 6, tzinfo=UTC), symbol="CL"), worth)["multiplier"][0]
        == 1.0
    )
    assert (
        with_multiplier(rows(datetime(2024, 3, 6, tzinfo=UTC), symbol="X"), worth)["multiplier"][0]
        == 1.0
    )


@pytest.mark.parametrize(("day", "worth"), [(1, 50.0), (4, 50.0), (5, 5.0), (6, 5.0)])
def test_daily_bars_change_at_their_date(day, worth):
    table = contract_multipliers(CHANGED, ["ES"], Calendar.of("CMES"), "1Day")
    found = with_multiplier(rows(datetime(2024, 3, day, tzinfo=UTC)), table)
    assert found["multiplier"][0] == worth
