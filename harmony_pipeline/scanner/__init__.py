"""Selection of the symbols to watch today, with a reason for every other symbol."""
