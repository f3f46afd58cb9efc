"""The market data lake at scale: `python -m benchmarks.lake --help`."""
