"""Events and their outcomes: triple barriers, uniqueness weights."""
