"""The step of a symbol's prices, inferred from the prices, where its tick is not stated.

The step is the power of ten, times 1, 2, 2.5 or 5, on which nearly every price lies. The coarser
multiples are used from `MANY` different prices on, since a few prices lie on any grid by chance. A
few whole prices (a day of whole dollars) give no information about decimals. The step is then a
ten-thousandth of the price's order of magnitude.
"""

import polars as pl

_DECIMALS = range(-1, 11)
_FACTORS = (1.0, 2.0, 2.5, 5.0)
_FITTING = 0.995  # a bad print may have more decimals than its neighbours
MANY = 50
_SINGLE_PRECISION = 6e-8  # relative: prices that passed through 32-bit floats
_CLOSE = 0.05  # of a step
PRICES = ("open", "high", "low", "close")


def price_steps(bars: pl.DataFrame) -> pl.DataFrame:
    """symbol, step, prices: one row a symbol of `bars` whose prices lie on a decimal grid.

    `prices` counts the different ones.
    """
    prices = pl.concat(bars.select("symbol", price=pl.col(name)) for name in PRICES).filter(
        pl.col("price") > 0.0
    )
    grids = [(10.0**-decimals * factor, factor) for decimals in _DECIMALS for factor in _FACTORS]
    fits = prices.group_by("symbol").agg(
        pl.col("price").n_unique().alias("prices"),
        pl.col("price").median().alias("median"),
        *(
            _fits(10.0**decimals / factor).mean().alias(f"{decimals} {factor}")
            for decimals in _DECIMALS
            for factor in _FACTORS
        ),
    )
    columns = [f"{decimals} {factor}" for decimals in _DECIMALS for factor in _FACTORS]
    order = sorted(range(len(grids)), key=lambda at: -grids[at][0])  # the coarsest grid that fits
    few = pl.col("prices") < MANY
    step = pl.coalesce(
        pl.when(
            (pl.col(columns[at]) >= _FITTING) & (~few if grids[at][1] > 1.0 else pl.lit(value=True))
        ).then(pl.lit(float(f"{grids[at][0]:.12g}")))
        for at in order
    )
    most = 10.0 ** (pl.col("median").log10().floor() - 4.0)
    exact = pl.when(few & (step >= 1.0) & (step > most)).then(most).otherwise(step)
    return (
        fits.select("symbol", "prices", step=exact)
        .filter(pl.col("step").is_not_null())
        .sort("symbol")
    )


def _fits(steps_a_unit: float) -> pl.Expr:
    steps = pl.col("price") * steps_a_unit
    error = (steps * _SINGLE_PRECISION).clip(1e-9, _CLOSE)
    return (steps - steps.round()).abs() <= error
