"""All of Dagster: the list of assets and jobs, the definitions made from it, what starts runs, and
what a run shows.

An asset is an entry of `groups.py` and a function in `harmony_pipeline/stages`. Modules here never
use `from __future__ import annotations`: Dagster reads annotations at run time.
"""
