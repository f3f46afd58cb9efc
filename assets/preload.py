"""Everything that a step imports, imported once in the process that steps are forked from: a
Celery worker, or the fork server of processes. Nothing is computed here, so no thread is running
when it forks.

What is imported stays until the process ends: Python's collector need not walk over it, here and in
every fork. That was a fifth of the time, and shares less of the memory.
"""

import gc
import importlib

from harmony_pipeline.models.openmp import lightgbm

MODULES = (
    "alembic.config", "matplotlib.backends.backend_agg", "matplotlib.figure", "pandera.polars",
    "pyarrow.parquet", "scipy.optimize", "scipy.special", "harmony_pipeline.features.averages",
    "harmony_pipeline.features.cusum", "harmony_pipeline.features.lag_window",
    "harmony_pipeline.features.returns", "harmony_pipeline.features.stochastic",
    "harmony_pipeline.features.volume", "harmony_pipeline.features.wilder",
    "harmony_pipeline.market.sources.files",
)  # fmt: skip

gc.disable()
try:
    for _name in ("assets.definitions", *MODULES):
        importlib.import_module(_name)
    lightgbm()
    gc.freeze()
finally:
    gc.enable()
