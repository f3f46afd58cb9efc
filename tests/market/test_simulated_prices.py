"""The simulated prices: fair where no edge was planted, predictable by volume where one was, and
shaped like equities.
"""

from datetime import date

import numpy as np
import polars as pl
import pytest
from market.simulated_worlds import everything, marked, world
from scipy.stats import kstest, norm

from harmony_pipeline.market.simulation.companies import LOW_FLOAT, symbol_name
from harmony_pipeline.market.simulation.price_process import DRIFT
from harmony_pipeline.market.simulation.random_keys import key_of, normal, uniform
from harmony_pipeline.market.simulation.volatility import LEVELS, STAYS, market_volatility

SEEDS = range(20)
LIMIT = 3.5  # standard errors; the seeds are fixed, so a pass stays a pass


def returns(source: object) -> pl.DataFrame:
    rows = marked(source)
    last = pl.col("close").shift(1).over("symbol")
    return rows.with_columns(
        gap=pl.col("open") / last - 1.0,
        inside=pl.col("close") / pl.col("open") - 1.0,
        change=pl.col("close") / last - 1.0,
    ).drop_nulls("change")


@pytest.fixture(scope="module")
def fair() -> list[pl.DataFrame]:
    """One market a seed, all without an edge."""
    return [
        returns(
            world(
                seed=seed,
                symbols=8,
                low_float_symbols=3,
                start=date(2022, 1, 3),
                end=date(2022, 7, 1),
            )
        )
        for seed in SEEDS
    ]


def errors_from_zero(values: list[float]) -> float:
    """Mean over its standard error, one value an independent market."""
    return float(np.mean(values) / (np.std(values, ddof=1) / np.sqrt(len(values))))


FIRST = pl.col("first")
REGULAR = pl.col("session") == "regular"


@pytest.mark.parametrize(
    ("part", "column"),
    [
        (FIRST, "gap"),
        (~FIRST, "gap"),
        (REGULAR, "inside"),
        (~REGULAR, "inside"),
        (~FIRST, "change"),
    ],
    ids=["overnight", "between bars", "regular bars", "extended bars", "close to close"],
)
def test_without_an_edge_the_mean_return_is_zero_everywhere(
    fair: list[pl.DataFrame], part: pl.Expr, column: str
) -> None:
    assert abs(errors_from_zero([rows.filter(part)[column].mean() for rows in fair])) < LIMIT


def scaled(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(
        z=(pl.col("change") / pl.col("change").std().over("symbol", "session")).clip(-5, 5)
    )


def correlation(rows: pl.DataFrame, left: pl.Expr, right: pl.Expr) -> float:
    pair = rows.select(left=left, right=right).drop_nulls().to_numpy()
    return float(np.corrcoef(pair.T)[0, 1])


@pytest.mark.parametrize("lag", [1, 2, 5, 20])
def test_without_an_edge_past_returns_say_nothing(fair: list[pl.DataFrame], lag: int) -> None:
    found = [
        correlation(scaled(rows), pl.col("z"), pl.col("z").shift(lag).over("symbol"))
        for rows in fair
    ]
    assert abs(errors_from_zero(found)) < LIMIT


def surprise() -> pl.Expr:
    """Log volume against its last 20 bars, in deviations."""
    volume = pl.col("volume").log()
    return ((volume - volume.rolling_mean(20)) / volume.rolling_std(20)).clip(-2, 2).over("symbol")


def flow_correlation(rows: pl.DataFrame, lag: int) -> float:
    regular = scaled(rows).filter(REGULAR).with_columns(flow=pl.col("z") * surprise())
    return correlation(regular, pl.col("z"), pl.col("flow").shift(lag).over("symbol"))


@pytest.mark.parametrize("lag", [1, 4])
def test_without_an_edge_past_volume_says_nothing(fair: list[pl.DataFrame], lag: int) -> None:
    assert abs(errors_from_zero([flow_correlation(rows, lag) for rows in fair])) < LIMIT


def test_without_an_edge_no_symbol_leads_another(fair: list[pl.DataFrame]) -> None:
    found = []
    for rows in fair:
        z = scaled(rows)
        market = (
            z.group_by("timestamp")
            .agg(market=pl.col("z").mean())
            .sort("timestamp")
            .with_columns(earlier=pl.col("market").shift(1))
        )
        found.append(
            correlation(
                z.join(market, on="timestamp", maintain_order="left"),
                pl.col("z"),
                pl.col("earlier"),
            )
        )
    assert abs(errors_from_zero(found)) < LIMIT


def test_without_an_edge_the_first_movers_of_a_night_say_nothing_about_the_later_ones(
    fair: list[pl.DataFrame],
) -> None:
    found = []
    for rows in fair:
        gaps = rows.filter(FIRST).with_columns(
            early=pl.col("timestamp") == pl.col("timestamp").min().over("session_date")
        )
        early = gaps.filter("early").group_by("session_date").agg(told=pl.col("gap").mean())
        found.append(
            correlation(
                gaps.filter(~pl.col("early")).join(early, on="session_date"),
                pl.col("gap").clip(-0.1, 0.1),
                pl.col("told").clip(-0.1, 0.1),
            )
        )
    assert abs(errors_from_zero(found)) < LIMIT


def test_without_an_edge_trades_with_a_near_stop_and_a_far_target_earn_nothing(
    fair: list[pl.DataFrame],
) -> None:
    """Barriers at -1 and +2 bar deviations from each 20th open, stop first: the fairness of highs
    and lows.
    """
    found = []
    for rows in fair:
        earned = []
        for _, bars in rows.filter(REGULAR).group_by("symbol", maintain_order=True):
            o, h, l, c = (bars[name].to_numpy() for name in ("open", "high", "low", "close"))
            h, l = (values * bars["adjustment_factor"].to_numpy() for values in (h, l))
            width = 0.004 * max(1.0, bars["inside"].std() / 0.004)
            for entry in range(0, len(o) - 12, 20):
                earned.append(
                    walk_out(o, h, l, c, entry, o[entry] * (1 - width), o[entry] * (1 + 2 * width))
                    / width
                )
        found.append(float(np.mean(earned)))
    assert abs(errors_from_zero(found)) < LIMIT


def walk_out(
    o: np.ndarray, h: np.ndarray, l: np.ndarray, c: np.ndarray, entry: int, stop: float, take: float
) -> float:
    for bar in range(entry, entry + 12):
        if o[bar] <= stop or o[bar] >= take:
            return o[bar] / o[entry] - 1
        if l[bar] <= stop:
            return stop / o[entry] - 1
        if h[bar] >= take:
            return take / o[entry] - 1
    return c[entry + 11] / o[entry] - 1


# --- a planted edge -------------------------------------------------------------------------------

PLANTED = {
    "edge": "planted",
    "symbols": 24,
    "low_float_symbols": 0,
    "start": date(2022, 1, 3),
    "end": date(2023, 1, 1),
}


@pytest.mark.parametrize("strength", [0.1, 0.3])
def test_a_planted_drift_correlates_with_the_next_return_as_strongly_as_asked(
    strength: float,
) -> None:
    source = world(edge_strength=strength, timeframe="1Hour", extended_hours=False, **PLANTED)
    rows = returns(source).filter(FIRST)
    sessions = {day: number for number, day in enumerate(source._clock.dates)}
    drift = [
        source._states[symbol][sessions[day], DRIFT]
        for symbol, day in rows.select("symbol", "session_date").iter_rows()
    ]
    z = (rows["inside"] / rows.select(pl.col("inside").std().over("symbol"))["inside"]).to_numpy()
    assert np.corrcoef(drift, z)[0, 1] == pytest.approx(strength, abs=0.04)
    assert np.std(drift) == pytest.approx(1.0, abs=0.1)


def test_a_planted_edge_shows_in_moves_weighed_by_volume_and_fades_over_bars() -> None:
    rows = returns(world(edge_strength=0.2, **PLANTED))
    near, far, gone = (flow_correlation(rows, lag) for lag in (1, 8, 60))
    assert near > 0.035
    assert 0.01 < far < near
    assert abs(gone) < 0.01


def test_a_planted_edge_hardly_shows_in_prices_alone() -> None:
    rows = scaled(returns(world(edge_strength=0.2, **PLANTED))).filter(REGULAR)
    assert abs(correlation(rows, pl.col("z"), pl.col("z").shift(1).over("symbol"))) < 0.04


# --- the shape of equities ------------------------------------------------------------------------

SMALL = [symbol_name(LOW_FLOAT + number) for number in range(6)]


@pytest.fixture(scope="module")
def year() -> pl.DataFrame:
    return returns(
        world(symbols=24, low_float_symbols=6, start=date(2022, 1, 3), end=date(2023, 1, 1))
    )


@pytest.fixture(scope="module")
def ordinary(year: pl.DataFrame) -> pl.DataFrame:
    return year.filter(~pl.col("symbol").is_in(SMALL))


@pytest.fixture(scope="module")
def daily(ordinary: pl.DataFrame) -> pl.DataFrame:
    closes = (
        ordinary.filter(REGULAR)
        .group_by("symbol", "session_date", maintain_order=True)
        .agg(pl.col("close").last())
    )
    return closes.with_columns(change=pl.col("close").log().diff().over("symbol")).drop_nulls()


def test_ordinary_names_are_as_volatile_as_asked(daily: pl.DataFrame) -> None:
    assert daily.group_by("symbol").agg(pl.col("change").std())["change"].mean() * np.sqrt(
        252
    ) == pytest.approx(0.28, rel=0.25)


def test_returns_have_fat_tails_and_volatility_clusters(
    ordinary: pl.DataFrame, daily: pl.DataFrame
) -> None:
    assert ordinary.filter(REGULAR)["inside"].kurtosis() > 1.0
    size = pl.col("change").abs()
    assert correlation(daily, size, size.shift(1).over("symbol")) > 0.03


def test_symbols_move_together_and_sectors_more_so(daily: pl.DataFrame) -> None:
    wide = (
        daily.pivot(on="symbol", index="session_date", values="change")
        .drop_nulls()
        .drop("session_date")
    )
    together = np.corrcoef(wide.to_numpy().T)
    assert 0.1 < together[np.triu_indices(len(together), 1)].mean() < 0.5


def test_volume_and_volatility_are_high_at_the_open_and_volume_at_the_close(
    ordinary: pl.DataFrame,
) -> None:
    clock = pl.col("timestamp").dt.convert_time_zone("America/New_York").dt.strftime("%H:%M")
    by_bar = (
        ordinary.filter(REGULAR)
        .group_by(clock.alias("clock"))
        .agg(pl.col("volume").mean(), pl.col("inside").std())
        .sort("clock")
    )
    volume, swing = by_bar["volume"].to_list(), by_bar["inside"].to_list()
    assert volume[0] > 1.5 * volume[12]
    assert volume[-1] > 1.5 * volume[12]
    assert swing[0] > 1.3 * swing[12]


def test_extended_hours_are_thin(year: pl.DataFrame, ordinary: pl.DataFrame) -> None:
    volume = dict(ordinary.group_by("session").agg(pl.col("volume").sum()).iter_rows())
    assert volume["pre"] + volume["post"] < 0.1 * volume["regular"]
    small = year.filter(pl.col("symbol").is_in(SMALL)).group_by("session").len()
    possible = {"pre": 22, "regular": 26, "post": 16}
    seen = {part: count / possible[part] for part, count in small.iter_rows()}
    assert seen["pre"] < 0.8 * seen["regular"]


def test_low_float_names_gap_on_news_days_with_many_times_their_usual_premarket_volume(
    year: pl.DataFrame,
) -> None:
    small = year.filter(pl.col("symbol").is_in(SMALL) & (pl.col("session") != "post"))
    days = small.group_by("symbol", "session_date", maintain_order=True).agg(
        early=pl.col("volume").filter(pl.col("session") == "pre").sum(),
        opened=pl.col("open").filter(REGULAR).first(),
        closed=pl.col("close").filter(REGULAR).last(),
    )
    days = days.with_columns(
        gap=pl.col("opened") / pl.col("closed").shift(1).over("symbol") - 1,
        usual=pl.col("early").median().over("symbol"),
    )
    gappers = days.filter(pl.col("gap").abs() > 0.12)
    assert gappers.height >= 10
    assert (gappers["early"] / gappers["usual"]).median() > 10


# --- chance ---------------------------------------------------------------------------------------


def test_normal_numbers_are_the_inverse_distribution_of_the_uniform_ones() -> None:
    keys = [key_of(3, number) for number in range(3000)]
    u, z = (np.array([draw(key, 1) for key in keys]) for draw in (uniform, normal))
    assert np.abs(z - norm.ppf(u)).max() < 1e-7
    assert kstest(u, "uniform").pvalue > 0.01


def test_compiled_and_plain_chance_agree() -> None:
    with np.errstate(over="ignore"):
        for number in range(50):
            assert normal.py_func(key_of(9, number), number) == normal(key_of(9, number), number)


def test_the_market_s_volatility_has_mean_variance_one_and_lasts() -> None:
    found = market_volatility(key_of(1), np.arange(60_000), LEVELS, STAYS)
    assert np.mean(found**2) == pytest.approx(1.0, abs=0.08)
    logs = np.log(found)
    assert np.corrcoef(logs[1:], logs[:-1])[0, 1] > 0.9


def test_a_market_without_an_end_goes_up_to_yesterday() -> None:
    bars = everything(world(start=date(2026, 1, 5), end=None, timeframe="1Day"))
    assert bars.height == 0 or bars["timestamp"].max().date() < date.today()  # noqa: DTZ011 - the test's own clock
