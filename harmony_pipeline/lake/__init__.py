"""The lake: plain Parquet files with their history, read and written through `Lake`.

Belongs here: files, their footers and versions, the places where they lie, and SQL over them. Does
not belong here: what a table means, which is `schemas/`.
"""

from harmony_pipeline.lake.history import Version
from harmony_pipeline.lake.lake import Lake
from harmony_pipeline.lake.manifest import WALL_CLOCK_COLUMNS, code_version, content_hash
from harmony_pipeline.lake.streaming import Written

__all__ = [
    "WALL_CLOCK_COLUMNS",
    "Lake",
    "Version",
    "Written",
    "code_version",
    "content_hash",
]
