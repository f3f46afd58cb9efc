"""The parts of an exchange's day as numbers: in kernels, in the simulated market and in `Calendar`'s words."""

OUTSIDE, PRE, REGULAR, POST = 0, 1, 2, 3
PARTS = (None, "pre", "regular", "post")
