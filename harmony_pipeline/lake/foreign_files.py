"""Files in the lake's folders that the lake did not write.

The lake reads `TABLE/partition=KEY/TABLE.parquet` and the earlier versions below `_history`, and so
do its views: any other file is never read. What lies beside them is named here, so that nobody
believes it to be part of a table, and so is a file under one of those names that Harmony cannot
read or did not write.
"""

import re
from dataclasses import dataclass

from harmony_pipeline.errors import DataError
from harmony_pipeline.lake.history import SCHEMA_PARTITION
from harmony_pipeline.lake.lake import Lake
from harmony_pipeline.lake.manifest import parsed
from harmony_pipeline.lake.store import Store

_NOT_OURS = "it was not written by Harmony and is never read: move it out of the lake"
_BESIDE = {"manifest.json", "pruned_before.txt"}


@dataclass(frozen=True)
class ForeignFile:
    """A file by its name in the lake, and what to do about it."""

    name: str
    what: str


def foreign_files(lake: Lake) -> list[ForeignFile]:
    """Files of the tables' folders that the lake did not write, in order of their names."""
    found = []
    for table in sorted(lake.tables):
        inside = rf"{table}/partition=[^/]+"
        ours = re.compile(rf"({inside}|_history/{inside}/known_since=[^/]+)/{table}\.parquet")
        for file in (*lake.store.files(table), *lake.store.files(f"_history/{table}")):
            name = file.name.rsplit("/", 1)[-1]
            if not ours.fullmatch(file.name):
                found += [] if name in _BESIDE else [ForeignFile(file.name, _NOT_OURS)]
            elif f"/partition={SCHEMA_PARTITION}/" not in file.name and (
                what := _without_manifest(lake.store, file.name)
            ):
                found.append(ForeignFile(file.name, what))
    return sorted(found, key=lambda one: one.name)


def _without_manifest(store: Store, name: str) -> str | None:
    """What is wrong with a file under a name that the lake reads; None when the lake wrote it."""
    try:
        footer = store.footer(name)
    except DataError as error:
        return str(error)
    if footer is None:  # taken away meanwhile
        return None
    manifest = parsed(footer) or {}
    *_, folder, _file = (
        name.split("/") if not name.startswith("_history/") else name.split("/")[:-1]
    )
    if manifest and folder == f"partition={manifest.get('partition')}":
        return None
    return (
        "it stands under a name that the lake reads, and Harmony did not write it there: move it"
        " away and make the partition again"
    )
