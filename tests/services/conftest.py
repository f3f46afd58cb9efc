"""One market for all tests of services."""

from services.evaluated_market import markets

__all__ = ["markets"]
