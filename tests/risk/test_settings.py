"""What `[risk]` accepts, what kernels make of it, and that what is off leaves no trace."""

from datetime import date

import numpy as np
import pytest
from pydantic import ValidationError

from harmony_pipeline.portfolio.kernel_types import RULES
from harmony_pipeline.risk.settings import SIZINGS, RiskSettings

OFF = (
    "refuse_over_limit", "usable_cash", "max_sector_exposure", "max_weekly_loss",
    "drawdown_cooldown_sessions", "rearm_on", "max_consecutive_losses", "symbol_pause",
    "trading_state", "price_collar", "duplicate_window", "max_orders_per_minute", "stale_after",
    "tracks_prices", "sizing",
)  # fmt: skip


def test_by_default_every_new_limit_is_off_and_size_is_the_volatility_target():
    values = RiskSettings().kernel_values()
    assert {name: float(values[name]) for name in OFF} == dict.fromkeys(OFF, 0.0)
    assert SIZINGS[0] == "volatility_target"
    record = np.zeros(1, RULES)
    for name, value in values.items():
        if name in RULES.names:
            record[name] = value
    assert not np.isnan(record["assumed_probability"][0])


@pytest.mark.parametrize(
    "name",
    [
        "max_position", "max_gross_exposure", "max_net_exposure", "max_open_positions",
        "max_daily_loss", "max_weekly_loss", "max_drawdown", "max_sector_exposure", "price_collar",
        "symbol_cooldown_minutes", "duplicate_window_minutes", "stale_after_minutes",
        "size_fraction", "size_shares", "size_value", "risk_per_trade", "target_wealth",
    ],
)  # fmt: skip
@pytest.mark.parametrize("value", [0, -0.1, float("nan"), float("inf")])
def test_a_limit_of_zero_or_less_or_without_a_number_is_refused(name, value):
    with pytest.raises(ValidationError, match=name):
        RiskSettings(**{name: value})


def test_a_rule_that_does_not_exist_is_refused_with_those_that_do():
    with pytest.raises(ValidationError, match="volatility_target"):
        RiskSettings(sizing="martingale")


def test_ids_made_from_settings_do_not_know_what_is_off():
    """The JSON form of the settings that there were at first, key by key."""
    assert set(RiskSettings().model_dump(mode="json")) == {
        "allow_short", "target_trade_volatility", "kelly_fraction", "max_position",
        "max_gross_exposure", "max_net_exposure", "max_open_positions", "max_daily_loss",
        "max_drawdown", "minimum_order_value",
    }  # fmt: skip
    used = RiskSettings(price_collar=0.1, rearm_on=(date(2024, 7, 3),)).model_dump(mode="json")
    assert used["price_collar"] == 0.1
    assert used["rearm_on"] == ["2024-07-03"]
    assert RiskSettings(**used) == RiskSettings(price_collar=0.1, rearm_on=(date(2024, 7, 3),))


def test_a_breaker_is_re_armed_by_the_latest_date_that_has_come():
    settings = RiskSettings(rearm_on=(date(2024, 7, 3), date(2024, 7, 10)))
    days = {
        day: settings.kernel_values(date(2024, 7, day))["rearm_on"] for day in (2, 3, 9, 10, 11)
    }
    third, tenth = 19_907, 19_914
    assert days == {2: 0, 3: third, 9: third, 10: tenth, 11: tenth}
