"""What setup compiles beyond the tiny chain: each step runs on a market, and reaches the kernels that
it is there for.
"""

from importlib import import_module
from inspect import getmembers, isfunction

import pytest
from numba.extending import is_jitted

from harmony_pipeline.cli import compile_kernels as setup

ON_A_MARKET = {
    "_make_signals": ("strategies.rule_kernels", "strategies.cointegration"),
    "_label_every_way": ("labels.trend_scanning", "labels.resolution"),
    "_fill_a_machine": ("backtest.loop",),
    "_make_bars_of_trades": ("market.ticks.kernels", "market.simulation.trades_and_quotes"),
    "_measure_bars_by_ticks": ("features.tick_columns",),
    "_rest_orders": ("execution.limit_order_replay",),
    "_match_tickets": ("execution.bar_matching", "execution.quote_matching"),
    "_quote_a_machine": ("backtest.quote_books",),
}
ALONE = {
    "_match_orders": ("execution.order_book_kernels",),
    "_draw_events": ("models.sequential_bootstrap",),
    "_fold_every_indicator": (
        "features.wilder",
        "features.cross_section",
        "features.news_kernels",
        "features.bar_fold",
    ),
    "_predict_a_sequence": ("models.gated_recurrence",),
    "_look_at_a_trade": ("risk.policy_kernels",),
    "_predict_by_trees": ("models.tree_margins",),
    "_meet_a_close": ("execution.exchange", "portfolio.moments"),
}


def compiled(module):
    """Names of the kernels of a module of which there is machine code in this process."""
    found = import_module(f"harmony_pipeline.{module}")
    return [name for name, kernel in getmembers(found, is_jitted) if kernel.signatures]


def test_every_step_on_a_market_reaches_its_kernels(copied):
    for name, modules in ON_A_MARKET.items():  # in the order of setup: later ones read the ticks
        getattr(setup, name)(copied)
        for module in modules:
            assert compiled(module), (name, module)
    assert copied.lake.read("quote_ticks").height > 100


@pytest.mark.parametrize("name", ALONE)
def test_every_step_of_its_own_reaches_its_kernels(name):
    getattr(setup, name)()
    for module in ALONE[name]:
        assert compiled(module), module


def test_no_step_is_forgotten_and_those_on_the_market_wait_for_its_bars():
    done = [step.__name__ for one in setup.STEPS.values() for step in one.run.args[0]]
    assert {*done} == {*ON_A_MARKET, *ALONE, "_make_bars", "_run_the_chain"}
    assert len(done) == len({*done})
    for title, one in setup.STEPS.items():
        assert one.after == (
            "bars" if one.run.func is setup._on_the_market and title != "bars" else None
        )
    defined = {name for name, _ in getmembers(setup, isfunction) if name.startswith("_")}
    assert {*done} == defined - {"_on_the_market", "_alone"}
