"""The parts of `python -m harmony_pipeline.testing.recompute_backtests`."""
