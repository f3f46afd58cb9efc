"""Events and what became of them: triple barriers, uniqueness weights."""
