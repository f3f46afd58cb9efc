"""The price process of one company, bar by bar, and its trading.

With `edge="none"` the total-return price is a martingale. At every print - overnight, in extended
hours, across splits, dividends, jumps and halts - the expected next price, given everything that
any symbol has shown so far, is the last price. Five choices make that exact:
- The size of a return is drawn apart from its sign, and exp(shock) is divided by its mean.
- Prices are rounded to the tick at random (up with the probability of the fraction), which keeps
  the mean and leaves no bounce.
- A bar without a trade moves no price, so no symbol lags behind another.
- Overnight news shared by all companies show in the first bar of the session or not at all, for the
  same reason.
- Jumps come between two bars, where no resting order can be filled at a better price than the jump
  left.

High and low are the extremes of a Brownian bridge from open to close (Siegmund 1985, exact for
each), so trades with barriers are fair as well. Only the *size* of moves is predictable: volatility
clusters, by day and by bar.

The edge of `edge="planted"` is one more term in the return of each regular bar (Campbell, Grossman
and Wang 1993; Llorente, Michaely, Saar and Wang 2002):

    r[t+1] = scale[t+1] * (strength * m[t] + sqrt(1 - strength^2) * z[t+1])
    m[t]   = persistence * m[t-1] + sqrt(1 - persistence^2) * z[t] * g(v[t])

z is the standard shock, v the standardised surprise of log volume, and g = tanh(2 v) with unit mean
square: a move on high volume continues, a move on low volume reverses. m has mean 0 and variance 1,
so `strength` is the correlation of m with the next regular bar's return. As g has mean 0, prices
alone have almost no information: their own autocorrelation is strength^2 * persistence^lag, about
0.01.
"""

import math
from typing import NamedTuple

import numpy as np

from harmony_pipeline.arrays import FloatArray, IntArray
from harmony_pipeline.kernel import kernel
from harmony_pipeline.market.session_parts import POST, PRE, REGULAR
from harmony_pipeline.market.simulation.companies import Company
from harmony_pipeline.market.simulation.market_clock import ClockArrays
from harmony_pipeline.market.simulation.random_keys import fold, normal, uniform

# What is carried from session to session (and kept, so that any session can be recomputed alone).
(
    PRICE,
    REGULAR_CLOSE,
    DRIFT,
    DAY_VOLATILITY,
    BAR_VOLATILITY,
    DAY_ACTIVITY,
    BAR_ACTIVITY,
    SPLITS,
    SPLIT,
    DIVIDEND,
) = range(10)
STATE_SIZE = 10
OPEN, HIGH, LOW, CLOSE, VOLUME, TRADES, VWAP = range(7)

QUARTER = 63  # sessions
LEAST_PRICE = 0.002  # below this a company no longer moves: the tick would be coarse
# beyond these a company splits at its next quarter, as exchanges and boards do
_LOW_PRICE, _HIGH_PRICE = 1.0, 900.0
_JUMPS_A_YEAR = 8.0
_OPEN_STEP = 0.02  # of a bar's variance, between a close and the next open
# Branches of the key tree.
_COMMON, _SECTOR, _COMPANY = 1, 2, 3
_NIGHT_BAR, _OPENING_BAR, _DAY_DRAWS = -1, -2, -3


class Rules(NamedTuple):
    """Parameters of the whole market. strength 0 plants nothing; bar_memory: autocorrelation of a
    bar's volatility.
    """

    key: np.uint64
    strength: float
    persistence: float
    surprise_scale: float
    bar_memory: float
    halt_probability: float
    sessions_per_year: float


class News(NamedTuple):
    """From `bar` on, volume and volatility are multiples of the usual; `jump` is the log price
    factor at its first print.
    """

    bar: int
    jump: float
    volume: float
    volatility: float


class Day(NamedTuple):
    """The draws of one company's day. Jumps are log price factors with mean 1 after exp."""

    volatility: float
    common: float
    residual: float
    volume: float
    news: "News"
    halt_begin: float
    halt_end: float
    halt_jump: float
    jump_bar: int
    jump: float


@kernel
def fair_jump(size: float, shock: float) -> float:
    """Log of a lognormal price factor with mean 1."""
    return size * shock - 0.5 * size * size


@kernel
def tick_of(price: float) -> float:
    """Ticks per currency unit: cents, and hundredths of cents below 1.00 (SEC rule 612)."""
    return 100.0 if price >= 1.0 else 10_000.0


@kernel
def fair_round(price: float, chance: float) -> float:
    """A tick next to `price`: the upper one with the probability that keeps the mean."""
    ticks = tick_of(price)
    return max(math.floor(price * ticks + chance), 1.0) / ticks


@kernel
def corporate_action(company: Company, state: FloatArray, session: int) -> None:
    """Split or dividend before the first print of a session.

    REGULAR_CLOSE and PRICE become those of the new share.
    """
    state[SPLIT], state[DIVIDEND] = 0.0, 0.0
    if session == company.listed:
        return
    ratio, quarter_day = 0.0, (session + company.phase) % QUARTER
    if session == company.split_session:
        ratio = company.split_ratio
    elif quarter_day == 20 and state[REGULAR_CLOSE] < _LOW_PRICE:
        ratio = 0.1
    elif quarter_day == 20 and state[REGULAR_CLOSE] > _HIGH_PRICE:
        ratio = 4.0
    if ratio > 0.0:
        state[SPLIT] = ratio
        state[SPLITS] *= ratio
        state[PRICE] /= ratio
        state[REGULAR_CLOSE] /= ratio
    elif company.dividend > 0.0 and quarter_day == 40:
        cash = math.floor(state[REGULAR_CLOSE] * company.dividend * 100.0) / 100.0
        if cash > 0.0:
            state[DIVIDEND] = cash
            state[PRICE] *= (state[REGULAR_CLOSE] - cash) / state[REGULAR_CLOSE]


@kernel
def draw_news(
    company: Company, draws: np.uint64, session: int, first: int, early: int, last: int
) -> News:
    """News of a low-float company on one day in 25, before the open; earnings of others once a
    quarter, overnight.
    """
    if company.low_float and uniform(draws, 2) < 0.04:
        # Three times in four good news: the two factors 1.12 and 0.64 average to 1, then a spread
        # around each.
        jump = math.log(1.12 if uniform(draws, 3) < 0.75 else 0.64) + fair_jump(
            0.10, normal(draws, 4)
        )
        return News(
            first + int(0.7 * early * uniform(draws, 6)),
            jump,
            math.exp(1.5 + 1.3 * uniform(draws, 5)),
            1.8,
        )
    if not company.low_float and (session + company.phase) % QUARTER == 0:
        return News(
            first, fair_jump(0.035, normal(draws, 4)), math.exp(0.6 + 0.4 * uniform(draws, 5)), 1.3
        )
    return News(last, 0.0, 1.0, 1.0)


@kernel
def extremes(
    opening: float, close: float, deviation: float, upper_chance: float, lower_chance: float
) -> tuple[float, float]:
    """High and low of a Brownian path from open to close in log price: the outermost ticks that it
    reached.
    """
    change, spread = math.log(close / opening), 2.0 * deviation * deviation
    upper = opening * math.exp(
        0.5 * (change + math.sqrt(change * change - spread * math.log(upper_chance)))
    )
    lower = opening * math.exp(
        0.5 * (change - math.sqrt(change * change - spread * math.log(lower_chance)))
    )
    high = math.floor(upper * tick_of(upper)) / tick_of(upper)
    low = math.ceil(lower * tick_of(lower)) / tick_of(lower)
    return max(opening, close, high), min(opening, close, low)


@kernel
def draw_day(
    company: Company,
    rules: Rules,
    key: np.uint64,
    state: FloatArray,
    session: int,
    market: float,
    clock: ClockArrays,
) -> Day:
    """The day's volatility, volume, news, halt and jump. The slow processes in `state` advance by
    one session.
    """
    draws = fold(key, _DAY_DRAWS)
    state[DAY_VOLATILITY] = 0.90 * state[DAY_VOLATILITY] + 0.30 * math.sqrt(1.0 - 0.81) * normal(
        draws, 0
    )
    state[DAY_ACTIVITY] = 0.85 * state[DAY_ACTIVITY] + 0.25 * math.sqrt(1.0 - 0.7225) * normal(
        draws, 1
    )
    own_volatility = math.exp(state[DAY_VOLATILITY] - 0.09)
    first, last = clock.bounds[clock.day[session]], clock.bounds[clock.day[session] + 1]
    early = 0
    while first + early < last and clock.part[first + early] == PRE:
        early += 1
    regular = 0
    while first + early + regular < last and clock.part[first + early + regular] == REGULAR:
        regular += 1
    halt_begin, halt_end, halt_jump = 1.0e9, 1.0e9, 0.0
    if uniform(draws, 7) < rules.halt_probability:
        halt_begin = uniform(draws, 8) * clock.end[first + early + regular - 1]
        halt_end = halt_begin + 30.0 + 90.0 * uniform(draws, 9)
        halt_jump = fair_jump(0.02, normal(draws, 10))
    jump_bar, jump = last, 0.0
    if uniform(draws, 11) < _JUMPS_A_YEAR / rules.sessions_per_year:
        jump_bar = first + early + int(uniform(draws, 12) * regular)
        jump = fair_jump(0.7 * company.daily_volatility * market, normal(draws, 13))
    # More is traded on nervous days, and more shares when they are cheap; residual volatility
    # follows the market's mood half-way.
    cheapness = company.price / (state[PRICE] * state[SPLITS])
    volume = (
        company.volume
        * state[SPLITS]
        * cheapness**0.7
        * math.exp(state[DAY_ACTIVITY] + 0.4 * math.log(own_volatility * market))
    )
    news = draw_news(company, draws, session, first, early, last)
    return Day(
        company.daily_volatility,
        market,
        math.sqrt(market) * own_volatility,
        volume,
        news,
        halt_begin,
        halt_end,
        halt_jump,
        jump_bar,
        jump,
    )


@kernel
def shared_shock(company: Company, rules: Rules, ordinal: int, bar: int) -> float:
    """The shock of market and sector to this company in one bar, before volatility.

    Its variance is market^2 + sector_load^2.
    """
    common = normal(fold(fold(fold(rules.key, _COMMON), ordinal), bar), 0)
    sector = normal(fold(fold(fold(fold(rules.key, _SECTOR), ordinal), bar), company.sector), 0)
    return company.market * common + company.sector_load * sector


@kernel
def gap_return(
    company: Company,
    rules: Rules,
    day: Day,
    ordinal: int,
    bar: int,
    share: float,
    own: float,
    together: bool,
) -> float:
    """Log return between two bars with the `share` of a day's variance.

    Without `together` it has the same size and is all the company's own.
    """
    loading = company.market * company.market + company.sector_load * company.sector_load
    shared, residual = (
        day.common * day.common * loading,
        day.residual * day.residual * company.residual * company.residual,
    )
    variance = day.volatility * day.volatility * share
    if not together:
        return math.sqrt(variance * (shared + residual)) * own - 0.5 * variance * (
            shared + residual
        )
    shock = day.common * shared_shock(company, rules, ordinal, bar) + math.sqrt(residual) * own
    return math.sqrt(variance) * shock - 0.5 * variance * (shared + residual)


@kernel
def simulate_prices(
    company: Company,
    rules: Rules,
    clock: ClockArrays,
    market: FloatArray,
    states: FloatArray,
    begin: int,
    end: int,
    emit: int,
    stamps: IntArray,
    values: FloatArray,
) -> int:
    """Simulate sessions `begin <= session < end` from `states[begin]`; write `states[session + 1]`
    after each.

    Bars of sessions from `emit` on go to `stamps` [bars] and `values` [bars, 7] (open, high, low,
    close, volume, trades, vwap). Returns the number of bars written. States of sessions before the
    listing are those of the listing.

    Over 60 lines because a bar is one recursion: its open, its way and its volume share the draws,
    the scale and the news of the bar, and leave the price and four flags to the next bar. The
    comments name the four steps.
    """
    row = 0
    company_key = fold(fold(rules.key, _COMPANY), company.number)
    loading = company.market * company.market + company.sector_load * company.sector_load
    innovation = 0.25 * math.sqrt(1.0 - rules.bar_memory * rules.bar_memory)
    for session in range(begin, end):
        states[session + 1] = states[session]
        if session < company.listed or session >= company.delisted:
            continue
        state = states[session + 1]
        ordinal = clock.ordinal[session]
        key = fold(company_key, ordinal)
        corporate_action(company, state, session)
        day = draw_day(company, rules, key, state, session, market[session], clock)
        shared = day.common * day.common * loading
        own_size = day.residual * company.residual
        total = math.sqrt(shared + own_size * own_size)
        first, last = clock.bounds[clock.day[session]], clock.bounds[clock.day[session] + 1]
        auction = clock.opening[first:last].sum()  # only the first regular bar of a day has a share
        price = state[PRICE]
        traded, traded_regular, published, halted = False, False, False, False
        for bar in range(first, last):
            draws = fold(key, bar - first)
            regular = clock.part[bar] == REGULAR
            # --- does it trade, and how much ------------------------------------------------------
            surprise = normal(draws, 0)
            state[BAR_VOLATILITY] = rules.bar_memory * state[BAR_VOLATILITY] + innovation * normal(
                draws, 1
            )
            state[BAR_ACTIVITY] = rules.bar_memory * state[BAR_ACTIVITY] + innovation * normal(
                draws, 2
            )
            news = bar >= day.news.bar
            expected = day.volume * clock.volume[bar] * math.exp(state[BAR_ACTIVITY])
            if news:
                expected *= day.news.volume * (1.0 if regular or clock.part[bar] == POST else 6.0)
            open_part = 1.0 - max(
                0.0, min(day.halt_end, clock.end[bar]) - max(day.halt_begin, clock.begin[bar])
            ) / (clock.end[bar] - clock.begin[bar])
            halted = halted or (open_part <= 1.0e-9 and traded)
            silent = uniform(draws, 3) < math.exp(-expected / company.lot)
            if (
                open_part <= 1.0e-9
                or silent
                or uniform(draws, 4) < clock.absent[bar]
                or price < LEAST_PRICE
            ):
                continue
            # --- from the last price to this bar's open -------------------------------------------
            scale = (
                day.volatility
                * total
                * math.sqrt(clock.variance[bar])
                * math.exp(state[BAR_VOLATILITY] - 0.0625)
            )
            scale *= day.news.volatility if news else 1.0
            own = normal(draws, 5)
            if not traded:
                step = gap_return(
                    company,
                    rules,
                    day,
                    ordinal,
                    _NIGHT_BAR,
                    clock.night[session],
                    own,
                    bar == first,
                )
            else:
                step = fair_jump(scale * math.sqrt(_OPEN_STEP), own)
            if regular and not traded_regular:
                step += gap_return(
                    company,
                    rules,
                    day,
                    ordinal,
                    _OPENING_BAR,
                    auction,
                    normal(draws, 6),
                    clock.opening[bar] > 0.0,
                )
            if news and not published:
                step += day.news.jump
            if halted:
                step += day.halt_jump
            if bar == day.jump_bar:
                step += day.jump
            opening = fair_round(price * math.exp(step), uniform(draws, 7))
            # --- through the bar ------------------------------------------------------------------
            strength = rules.strength if regular else 0.0
            own = normal(draws, 8)
            shock = (
                day.common * shared_shock(company, rules, ordinal, bar - first) + own_size * own
            ) / total
            noise = scale * math.sqrt(1.0 - strength * strength)
            close = fair_round(
                opening
                * math.exp(scale * strength * state[DRIFT] + noise * shock - 0.5 * noise * noise),
                uniform(draws, 9),
            )
            high, low = extremes(opening, close, noise, uniform(draws, 10), uniform(draws, 11))
            if rules.strength > 0.0 and regular:
                memory = rules.persistence
                state[DRIFT] = (
                    memory * state[DRIFT]
                    + math.sqrt(1.0 - memory * memory)
                    * shock
                    * math.tanh(2.0 * surprise)
                    * rules.surprise_scale
                )
            price, traded, published, halted = close, True, published or news, False
            if regular:
                traded_regular = True
                state[REGULAR_CLOSE] = close
            if session < emit:
                continue
            # --- the bar on the tape --------------------------------------------------------------
            volume = max(
                1.0,
                math.floor(
                    expected * open_part * math.exp(0.7 * surprise + 0.2 * (abs(shock) - 0.8))
                ),
            )
            average = 0.25 * (opening + high + low + close) + 0.1 * (high - low) * (
                uniform(draws, 12) - 0.5
            )
            stamps[row] = clock.stamp[session] + clock.offset[bar]
            values[row, OPEN], values[row, HIGH], values[row, LOW], values[row, CLOSE] = (
                opening,
                high,
                low,
                close,
            )
            values[row, VOLUME] = volume
            values[row, TRADES] = min(
                volume,
                max(1.0, math.floor(volume / company.lot * (0.75 + 0.5 * uniform(draws, 13)))),
            )
            values[row, VWAP] = min(high, max(low, math.floor(average * 10_000.0 + 0.5) / 10_000.0))
            row += 1
        state[PRICE] = price
    return row
