"""Harmony's domain library: plain functions and small types, free of Dagster.

The rooms import downwards, in the order that the import contract in pyproject.toml names.
Orchestration lives outside, in `assets/`; connections are handed out by `resources/`.
"""

__version__ = "0.1.0"
