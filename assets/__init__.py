"""The graph: one file a stage, each asset a few lines that name inputs and outputs and call `harmony_pipeline.stages`.

Modules here never use `from __future__ import annotations`: Dagster reads annotations at run time.
"""
