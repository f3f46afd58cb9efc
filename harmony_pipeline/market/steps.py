"""The step of a price or a quantity as an exact decimal number.

No kernels here: settings use it too.
"""

from fractions import Fraction
from functools import cache

_LARGEST_TERM = 10**10


@cache
def tick_fraction(step: float) -> Fraction:
    """The step as the exact fraction of its decimal text. Raises ValueError if it is
    no valid step.
    """
    fraction = Fraction(str(step))
    if fraction <= 0 or fraction.denominator > _LARGEST_TERM or fraction.numerator > _LARGEST_TERM:
        raise ValueError(
            f"{step} is no step of prices: use a decimal number above 0 of at most 10 digits, like"
            " 0.01 or 0.03125"
        )
    return fraction


def decimals_of(step: float) -> int:
    """Decimals of a step written in full: 2 of 0.01, 5 of 0.03125, 0 of 5."""
    denominator = tick_fraction(step).denominator
    decimals = 0
    while 10**decimals % denominator:
        decimals += 1
    return decimals
