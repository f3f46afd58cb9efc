"""How big a position may be, and when none may be taken: sizing, limits, circuit breakers."""
