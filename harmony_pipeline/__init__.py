"""Harmony's domain library: plain functions and small types, free of Dagster.

The rooms import downwards, in the order that the import contract in pyproject.toml names.
Orchestration lives outside, in `assets/`; connections are handed out by `resources/`. What a
notebook or a script needs is here, and importing it costs nothing (`api.py`):

>>> import harmony_pipeline as h
>>> lake = h.open_lake("harmony.toml").prepare()
>>> lake.backtest("moving_average_crossover", fast=5).report("crossover.html")
"""

from harmony_pipeline.api import Backtest, Comparison, OpenLake, open_lake, settings, show
from harmony_pipeline.version import __version__

__all__ = [
    "Backtest",
    "Comparison",
    "OpenLake",
    "__version__",
    "open_lake",
    "settings",
    "show",
]
