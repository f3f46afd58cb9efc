"""The parts of an exchange's day as integers, for kernels and for the names in `Calendar`."""

OUTSIDE, PRE, REGULAR, POST = 0, 1, 2, 3
PARTS = (None, "pre", "regular", "post")
