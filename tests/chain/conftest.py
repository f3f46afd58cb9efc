"""One market for tests of other ways of making it."""

from chain.retrained_market import retrained

__all__ = ["retrained"]
