"""Which files a setting means: files, folders and globs, with $VARIABLES, and the name by which each file is known in the lake.

That name (`origin`) never holds a machine's path: it is the file's path below the folder that was named, so that two machines make the same rows.
"""

import glob
import os
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from harmony_pipeline.errors import ConfigError, DataError
from harmony_pipeline.market.settings import lake_path

PARQUET = (".parquet", ".pq")
TEXT = (".csv", ".csv.gz", ".csv.zip", ".zip", ".gz", ".tsv", ".txt")
_FOLDER_TEXT = (".csv", ".csv.gz", ".zip", ".gz")  # in a folder a .txt is as likely a note as a table


@dataclass(frozen=True)
class Located:
    """One file of bars: where it is, and what it is called in `origin`."""

    path: Path
    origin: str

    @property
    def is_parquet(self) -> bool:
        """Whether it is read as Parquet; everything else is text."""
        return self.path.name.lower().endswith(PARQUET)

    @property
    def stem(self) -> str:
        """File name without the suffixes that say how it is packed."""
        return stem_of(self.path.name)


def stem_of(name: str) -> str:
    """`AAPL` of `AAPL.csv.gz`; dots of the symbol itself stay: `BRK.B` of `BRK.B.csv`."""
    return re.sub(r"(?i)(\.(csv|tsv|txt|parquet|pq))?(\.(gz|zip))?$", "", Path(name).name)


def expand_path(text: str, base: Path, key: str) -> Path:
    """`text` as an absolute path, with $NAME and ${NAME} taken from the environment. Raises ConfigError for an undefined one."""
    for name in (found[0] or found[1] for found in re.findall(r"\$(?:(\w+)|\{([^}]*)\})", text)):
        if name not in os.environ:
            raise ConfigError(f"{key} is '{text}', but the environment variable {name} is not set: set it, or write the path out")
    return lake_path(os.path.expandvars(text), base)


def reference_paths(text: str, base: Path, key: str) -> list[Path]:
    """Files that a setting of reference data means: a file, the tables in a folder, or a glob; sorted, empty when there is none."""
    path = expand_path(text, base, key)
    if path.is_dir():
        return sorted(each for each in path.iterdir() if each.name.lower().endswith(_FOLDER_TEXT))
    return [path] if path.is_file() else sorted(Path(each) for each in glob.glob(str(path)))


def find_files(paths: Sequence[str], base: Path, without: Collection[Path], notes: list[str], key: str = "market.files.paths") -> list[Located]:
    """Every file that `paths` (the setting `key`) mean, in the order of their origins; `without` are left out, and a folder's strangers are noted.

    Raises DataError when a path leads to no file or to a type that cannot be read.
    """
    if not paths:
        raise ConfigError(f'{key} is empty: name a file, a folder or a glob, such as ["bars/*.csv"]')
    found: dict[Path, tuple[Path, Path]] = {}  # resolved -> (path, folder that its origin is relative to)
    for text in paths:
        path = expand_path(text, base, key)
        for each, root in _matches(text, path, notes, key):
            resolved = each.resolve()
            if resolved not in without:
                found.setdefault(resolved, (each, root))
    if not found:
        raise DataError(f"{key} ({', '.join(paths)}) leads only to the files of corporate actions and universe: name a file of bars")
    return _named(list(found.values()))


def _matches(text: str, path: Path, notes: list[str], key: str) -> list[tuple[Path, Path]]:
    if path.is_file():
        return [(_readable(path), path.parent)]
    if path.is_dir():
        return _in_folder(text, path, notes, key)
    if glob.has_magic(str(path)):
        matched = [Path(name) for name in sorted(glob.glob(str(path), recursive=True)) if Path(name).is_file()]
        if not matched:
            raise DataError(f"{key} has '{text}', which matches no file: correct the pattern, or put files there")
        root = next(parent for parent in path.parents if not glob.has_magic(str(parent)))
        return [(_readable(each), root) for each in matched]
    raise DataError(f"{key} has '{text}', which does not exist (looked for {path}): correct the path, or put a file there")


def _in_folder(text: str, folder: Path, notes: list[str], key: str) -> list[tuple[Path, Path]]:
    matched: list[Path] = []
    strangers: list[Path] = []
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith((".", "_")) for part in path.relative_to(folder).parts)
        if hidden or not path.is_file():
            continue
        (matched if path.name.lower().endswith((*PARQUET, *_FOLDER_TEXT)) else strangers).append(path)
    if not matched:
        there = ", ".join(path.name for path in strangers[:5]) or "nothing"
        raise DataError(f"{key} has the folder '{text}', which holds no file of bars (there is {there}): Harmony reads .csv, .csv.gz, .zip and .parquet")
    notes.extend(f"{path.relative_to(folder).as_posix()} was not read: it is no .csv, .csv.gz, .zip or .parquet" for path in strangers)
    return [(path, folder) for path in matched]


def _readable(path: Path) -> Path:
    if not path.name.lower().endswith((*PARQUET, *TEXT)):
        raise DataError(f"{path.name} is of an unknown type '{path.suffix}': Harmony reads .csv, .tsv, .txt (also as .gz or .zip) and .parquet; convert it")
    return path


def _named(files: list[tuple[Path, Path]]) -> list[Located]:
    """Origins relative to the named folders; where two files would share one, as many parent folders as tell them apart."""
    origins = [path.relative_to(root).as_posix() for path, root in files]
    depth = 1
    while len(set(origins)) < len(origins) and depth < max(len(path.parts) for path, _ in files):
        depth += 1
        shared = {origin for origin in origins if origins.count(origin) > 1}
        origins = [Path(*path.parts[-depth:]).as_posix() if origin in shared else origin for origin, (path, _) in zip(origins, files, strict=True)]
    return sorted((Located(path, origin) for origin, (path, _) in zip(origins, files, strict=True)), key=lambda each: each.origin)
