"""Harmony's domain library: plain functions and small types, free of Dagster.

The rooms import one way: `market <- features <- labels <- models`, and `market <- risk, execution <- backtest, session`.
Orchestration lives outside, in `assets/`; connections are handed out by `resources/`.
"""

__version__ = "0.1.0"
