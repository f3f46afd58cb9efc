"""How big a trade wants to be."""

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.optimize import brentq, minimize_scalar
from scipy.stats import norm

from harmony_pipeline.portfolio.kernel_types import ACCOUNT, MONEY
from harmony_pipeline.portfolio.kernel_types import RULES as RULES_RECORD
from harmony_pipeline.risk import sizing as S
from harmony_pipeline.risk.kelly import (
    kelly_bet,
    normal_quantile,
    ruin_bounded_bet,
    target_bet,
    utility_bet,
)
from harmony_pipeline.risk.settings import SIZINGS, RiskSettings
from harmony_pipeline.risk.sizing import kelly_size, volatility_target_size, wanted_size

SOUND = st.floats(1e-4, 0.2)
RULES = {
    "risk_aversion": 1.0,
    "horizon": 16,
    "target_trade_volatility": 0.004,
    "kelly_fraction": 0.25,
    "profit_take": 2.0,
    "stop_loss": 1.0,
}


def test_one_deviation_over_the_horizon_costs_the_target():
    size = volatility_target_size(100_000.0, 0.01, 16, 1.0, 0.004)
    assert size == pytest.approx(10_000.0)
    assert size * 0.01 * math.sqrt(16) == pytest.approx(0.004 * 100_000.0)


@given(volatility=SOUND, factor=st.floats(1.01, 9.0))
def test_more_volatility_means_less_size_and_strength_scales_it(volatility, factor):
    assert volatility_target_size(1e5, volatility * factor, 8, 1.0, 0.004) < volatility_target_size(
        1e5, volatility, 8, 1.0, 0.004
    )
    assert volatility_target_size(1e5, volatility, 8, 0.5, 0.004) == pytest.approx(
        volatility_target_size(1e5, volatility, 8, 1.0, 0.004) / 2
    )


@given(p=st.floats(0.0, 1.0), gain=st.floats(0.2, 5.0), loss=st.floats(0.2, 5.0))
@example(p=math.nextafter(1.0, 0.0), gain=5.0, loss=0.2)
@example(p=math.nextafter(1.0, 0.0), gain=0.25, loss=0.25)
def test_full_kelly_is_the_bet_that_maximises_expected_growth(p, gain, loss):
    """Grid search over the fraction of equity put at risk, for a bet that wins gain / loss times
    its stake.
    """
    # size times the distance to the stop
    staked = kelly_size(1.0, 0.01, 4, p, 1.0, gain, loss) * loss * 0.01 * 2.0
    odds = gain / loss
    if staked == 0.0:
        assert p * odds <= (1 - p) + 1e-9
        return
    growth = lambda f: p * math.log1p(f * odds) + (1 - p) * (math.log1p(-f) if f < 1 else -math.inf)  # noqa: E731
    if staked < 1:  # p within a rounding of 1 stakes all
        assert all(
            growth(staked) >= growth(min(max(staked * wiggle, 0.0), 0.999)) - 1e-12
            for wiggle in (0.5, 0.9, 0.99, 1.01, 1.1, 2.0)
        )


def wanted(
    probability=math.nan, *, account=None, price=50.0, volatility=0.01, strength=1.0, **rules
):
    """`wanted_size` of one entry at an equity of 100 000."""
    record, state = np.zeros(1, RULES_RECORD), np.zeros(1, ACCOUNT)
    for name, value in {**RULES, "multiplier": 1.0, **rules}.items():
        record[name] = value
    for name, value in {"equity": 1e5, "peak": 1e5, **(account or {})}.items():
        state[name] = round(value * MONEY) if state[name].dtype == np.int64 else value
    return wanted_size(record[0], state[0], price, volatility, strength, probability)


def test_without_edge_the_cap_is_zero_and_without_a_model_there_is_no_cap():
    assert wanted(1 / 3) == pytest.approx(0.0, abs=1e-9)
    assert wanted(0.2) == 0.0
    assert wanted() == pytest.approx(10_000.0)


@given(p=st.floats(0.0, 1.0), strength=st.floats(0.01, 1.0), volatility=SOUND)
def test_a_model_can_only_make_a_trade_smaller(p, strength, volatility):
    asked = {"strength": strength, "volatility": volatility}
    assert wanted(p, **asked) <= wanted(**asked)


# --- the other rules, each against its closed form or an optimum found by other means -------------


def test_fixed_sizes_are_fixed():
    fraction = {"sizing": S.FIXED_FRACTION, "size_fraction": 0.07}
    shares = {"sizing": S.FIXED_SHARES, "size_shares": 130.0}
    value = {"sizing": S.FIXED_VALUE, "size_value": 4_321.0}
    for asked in ({}, {"strength": 0.2}, {"volatility": 0.2}, {"probability": 0.01}):
        assert wanted(**fraction, **asked) == pytest.approx(7_000.0)
        assert wanted(**shares, **asked) == 130.0 * 50.0
        assert wanted(**value, **asked) == 4_321.0


def test_at_the_stop_the_risk_is_lost():
    size = wanted(sizing=S.STOP_DISTANCE, risk_per_trade=0.005, stop_loss=1.5)
    assert size * (1.5 * 0.01 * math.sqrt(16)) == pytest.approx(500.0)
    # never nearer than the least distance of a barrier
    near = wanted(sizing=S.STOP_DISTANCE, risk_per_trade=0.005, minimum_barrier_bps=1_000.0)
    assert near * 0.10 == pytest.approx(500.0)


BETS = {
    "p": st.floats(0.05, 0.95),
    "gain": st.floats(0.005, 0.3),
    "loss": st.floats(0.005, 0.3),
}


def growth_optimum(p, gain, loss, utility):
    """The best bet by scipy, over everything that cannot lose it all."""
    most = 1.0 / loss
    found = minimize_scalar(
        lambda v: -(p * utility(1 + v * gain) + (1 - p) * utility(1 - v * loss)),
        bounds=(0.0, most * (1 - 1e-9)),
        method="bounded",
        options={"xatol": 1e-10 * most, "maxiter": 2_000},
    )
    return float(found.x)


@given(**BETS)
def test_kelly_grows_fastest(p, gain, loss):
    bet, best = kelly_bet(p, gain, loss), growth_optimum(p, gain, loss, math.log)
    assert bet * loss == pytest.approx(best * loss, abs=1e-5)


@given(**BETS, cost=st.floats(0.0, 0.004), aversion=st.sampled_from([1.0, 2.0, 5.0]))
def test_the_bet_of_a_utility_is_its_optimum_after_costs(p, gain, loss, cost, aversion):
    power = lambda w: math.log(w) if aversion == 1.0 else w ** (1 - aversion) / (1 - aversion)  # noqa: E731
    bet = utility_bet(p, gain, loss, cost, aversion)
    best = growth_optimum(p, gain - cost, loss + cost, power)
    assert bet * (loss + cost) == pytest.approx(best * (loss + cost), abs=1e-4)
    assert bet <= kelly_bet(p, gain, loss) + 1e-12


def test_a_certain_win_stakes_all_and_a_cost_above_the_gain_nothing():
    assert utility_bet(1.0, 0.02, 0.01, 0.0, 1.0) == pytest.approx(100.0)
    assert utility_bet(1.0, 0.02, 0.01, 0.03, 1.0) == 0.0
    assert wanted(0.6, sizing=S.LOG_UTILITY) == pytest.approx(1e5 * kelly_bet(0.6, 0.08, 0.04))
    dear = wanted(0.6, sizing=S.LOG_UTILITY, half_spread_bps=10.0, fee_bps=2.0, fee_per_share=0.05)
    assert dear == pytest.approx(1e5 * utility_bet(0.6, 0.08, 0.04, 24e-4 + 0.1 / 50.0, 1.0))
    assert 0.0 < dear < wanted(0.6, sizing=S.LOG_UTILITY)


def test_without_a_model_the_assumed_probability_is_the_bets():
    for method in (S.KELLY, S.KELLY_RUIN, S.LOG_UTILITY):
        rules = {"sizing": method, "ruin_wealth": 0.5, "ruin_probability": 0.1}
        assert wanted(**rules) == 0.0
        assert wanted(0.55, **rules) == wanted(**rules, assumed_probability=0.55) > 0.0
    assert wanted(0.55, sizing=S.KELLY) == pytest.approx(
        kelly_size(1e5, 0.01, 16, 0.55, 0.25, 2.0, 1.0)
    )


@given(**BETS, ruin=st.floats(0.1, 0.9), chance=st.floats(0.001, 0.5))
def test_the_bound_of_ruin_is_met_as_an_equation_or_kelly_is_safe(p, gain, loss, ruin, chance):
    bet, best = ruin_bounded_bet(p, gain, loss, ruin, chance), kelly_bet(p, gain, loss)
    power = math.log(chance) / math.log(ruin)
    risk = lambda v: p * (1 + v * gain) ** -power + (1 - p) * (1 - v * loss) ** -power  # noqa: E731
    assert 0.0 <= bet <= best
    if 0.0 < bet < best:
        assert risk(bet) == pytest.approx(1.0, abs=1e-9)
        below = (
            brentq(lambda v: risk(v) - 1.0, best * 1e-6, best * (1 - 1e-12)) if best > 1e-3 else bet
        )
        assert bet == pytest.approx(below, rel=1e-6)
    elif bet > 0.0:
        assert risk(bet) <= 1.0


def test_for_small_bets_the_bound_is_thorps_formula():
    """A Wiener process at c times Kelly falls to the part x of its wealth with probability x^(2 / c
    - 1) (Thorp 2006, section 7.3).
    """
    p, distance, ruin, chance = 0.505, 0.01, 0.6, 0.05
    bet, best = (
        ruin_bounded_bet(p, distance, distance, ruin, chance),
        kelly_bet(p, distance, distance),
    )
    c = 2.0 / (1.0 + math.log(chance) / math.log(ruin))
    assert bet / best == pytest.approx(c, rel=1e-3)


def test_gamblers_who_keep_to_the_bound_are_ruined_no_more_often():
    """Paths of a few thousand bets: the shares that were ruined with the bound and with Kelly."""
    p, gain, loss, ruin, chance = 0.55, 0.05, 0.05, 0.5, 0.1
    generator = np.random.default_rng(11)
    wins = generator.random((4_000, 2_000)) < p
    ruined = {}
    for name, bet in {
        "bounded": ruin_bounded_bet(p, gain, loss, ruin, chance),
        "kelly": kelly_bet(p, gain, loss),
    }.items():
        steps = np.where(wins, math.log1p(bet * gain), math.log1p(-bet * loss))
        ruined[name] = (np.cumsum(steps, axis=1).min(axis=1) <= math.log(ruin)).mean()
    assert 0.03 < ruined["bounded"] <= chance < 0.3 < ruined["kelly"]


@given(u=st.one_of(st.floats(1e-12, 1 - 1e-12), st.floats(0.01, 0.99)))
def test_the_normal_quantile_is_scipys(u):
    assert normal_quantile(u) == pytest.approx(norm.ppf(u), rel=1e-9, abs=1e-12)


@given(u=st.floats(0.05, 0.99), deviation=st.floats(0.005, 0.1), trades=st.integers(1, 500))
def test_the_bet_on_a_target_is_the_slope_of_its_probability(u, deviation, trades):
    """Browne's value function Phi(Phi^-1(u) + theta sqrt(T)) solves the equation of Hamilton,
    Jacobi and Bellman with -theta V_u / (s V_uu) as the sum that is invested: by differences.
    """
    theta, span = 0.2, math.sqrt(trades)
    value = lambda w: -norm.sf(norm.ppf(w) + theta * span)  # noqa: E731 - exact where it is near 1
    step = 1e-3 * min(u, 1 - u)
    first = (value(u + step) - value(u - step)) / (2 * step)
    second = (value(u + step) - 2 * value(u) + value(u - step)) / step**2
    invested = -theta * first / (deviation * second)
    assert target_bet(u, deviation, trades) * u == pytest.approx(invested, rel=1e-3)


def test_no_share_of_the_same_wealth_reaches_the_target_more_often():
    """Against every fixed share of wealth, 60 trades: the policy, recomputed at each trade, wins."""
    generator, u, deviation, mean, trades = np.random.default_rng(5), 0.8, 0.02, 0.004, 60
    draws = generator.normal(mean, deviation, (6_000, trades))
    wealth = np.full(len(draws), u)
    for k in range(trades):
        left = np.array([target_bet(w, deviation, trades - k) * w for w in wealth])
        wealth = np.clip(wealth + left * draws[:, k], 1e-6, 1.0)
    reached = (wealth >= 0.99).mean()
    fixed = max(
        (u * np.prod(1 + share * draws, axis=1) >= 1.0).mean()
        for share in np.linspace(0.2, 12.0, 60)
    )
    bound = norm.cdf(norm.ppf(u) + mean / deviation * math.sqrt(trades))
    assert fixed < reached < bound + 0.01
    assert reached == pytest.approx(bound, abs=0.05)


def test_a_target_that_is_reached_wants_nothing_more():
    rules = {"sizing": S.TARGET_UTILITY, "target_trades": 100}
    assert wanted(**rules, target_wealth=99_999.0) == 0.0
    size = wanted(**rules, target_wealth=125_000.0)
    expected = 125_000.0 * norm.pdf(norm.ppf(0.8)) / (0.04 * 10.0)
    assert size == pytest.approx(expected)


def test_sharpe_to_kelly_is_the_growth_optimum_of_normal_returns():
    sharpe, trades, deviation = 1.5, 200.0, 0.04
    size = wanted(
        sizing=S.SHARPE_KELLY, kelly_fraction=1.0, assumed_sharpe=sharpe, trades_per_year=trades
    )
    mean = sharpe / math.sqrt(trades) * deviation
    growth = lambda v: -(v * mean - v * v * deviation**2 / 2)  # noqa: E731 - of a Wiener process
    assert size / 1e5 == pytest.approx(minimize_scalar(growth).x, rel=1e-6)
    # and its growth over a year is half the squared Sharpe ratio
    assert -growth(size / 1e5) * trades == pytest.approx(sharpe**2 / 2)


def test_a_stormy_account_trades_smaller_and_a_calm_one_no_bigger():
    rules = {"sizing": S.REGIME_ADAPTIVE, "target_session_volatility": 0.01}
    for recent, part in {0.0: 1.0, 0.005: 1.0, 0.01: 1.0, 0.02: 0.5, 0.04: 0.25}.items():
        assert wanted(**rules, account={"variance": recent**2}) == pytest.approx(part * 10_000.0)


def test_size_follows_what_is_left_until_the_drawdown_limit():
    rules = {"sizing": S.PERFORMANCE_ADAPTIVE, "max_drawdown": 0.25}
    for peak in (1e5, 1.1e5, 1.2e5, 1e5 / 0.75, 2e5):
        cushion = max(0.0, (1e5 - 0.75 * peak) / 1e5) / 0.25
        assert wanted(**rules, account={"peak": peak}) == pytest.approx(
            cushion * 10_000.0, abs=1e-4
        )
    lowered = {"peak": 2e5, "rearmed_peak": 1e5}
    assert wanted(**rules, account=lowered) == pytest.approx(10_000.0)


def test_the_size_that_follows_the_drawdown_never_meets_it():
    """Grossman and Zhou's policy on a losing walk: the floor is neared and not crossed."""
    equity = peak = 1e5
    for _ in range(3_000):
        size = wanted(
            sizing=S.PERFORMANCE_ADAPTIVE,
            max_drawdown=0.25,
            account={"equity": equity, "peak": peak},
        )
        equity -= size * 0.02
    assert 0.75 * peak < equity < 0.751 * peak


@given(
    method=st.sampled_from(range(len(SIZINGS))),
    p=st.one_of(st.just(math.nan), st.floats(0.0, 1.0)),
    volatility=st.floats(1e-4, 0.5),
    equity=st.floats(1.0, 1e7),
    strength=st.floats(0.01, 1.0),
)
def test_no_rule_of_size_is_negative_or_without_a_number(method, p, volatility, equity, strength):
    rules = RiskSettings(target_wealth=2e5, assumed_probability=0.6).kernel_values() | RULES
    names = {name: value for name, value in rules.items() if name in RULES_RECORD.names}
    size = wanted(
        p, **(names | {"sizing": method}), account={"equity": equity, "peak": 2 * equity},
        volatility=volatility, strength=strength,
    )  # fmt: skip
    assert 0.0 <= size < math.inf


def test_a_target_must_be_said():
    with pytest.raises(ValueError, match=r"set risk\.target_wealth"):
        RiskSettings(sizing="target_utility")
