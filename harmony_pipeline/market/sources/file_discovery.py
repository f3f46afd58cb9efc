"""Which files a setting means: files, folders and globs, with $VARIABLES, and the name by which
each file is known in the lake.

That name (`origin`) never holds a machine's path: it is the file's path below the folder that was
named, so that two machines make the same rows.
"""

import errno
import glob
import os
import re
import stat
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from harmony_pipeline.errors import ConfigError, DataError
from harmony_pipeline.market.sources.table_sniffing import SNIFFED, looks_like_bars
from harmony_pipeline.settings_base import absolute_path
from harmony_pipeline.text import NAME, excerpt

PARQUET = (".parquet", ".pq")
TEXT = (".csv", ".zip", ".gz", ".zst", ".tsv", ".txt", ".dbn")
# in a folder a .txt is as likely a note as a table: its first lines tell
_FOLDER_TEXT = (".csv", ".zip", ".gz", ".zst", ".tsv", ".dbn")
_READ = ".csv, .tsv, .txt, .dbn (plain, .gz, .zst or .zip) and .parquet"
_NO_TABLE = "a text without columns of bars in its first lines"


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
    return re.sub(r"(?i)(\.(csv|tsv|txt|dbn|parquet|pq))?(\.(gz|zip|zst))?$", "", Path(name).name)


def expand_path(text: str, base: Path, key: str) -> Path:
    """`text` as an absolute path, with $NAME and ${NAME} taken from the environment; a link at its
    end is kept. Raises ConfigError for one that cannot be a path.
    """
    if not text.strip():
        raise ConfigError(
            f"{key} holds an empty path: name a file, a folder or a glob, or take it out"
        )
    if "\x00" in text:
        raise ConfigError(
            f"{key} is '{excerpt(text)}', which holds a null character: write the path without it"
        )
    for name in (found[0] or found[1] for found in re.findall(r"\$(?:(\w+)|\{([^}]*)\})", text)):
        if name not in os.environ:
            raise ConfigError(
                f"{key} is '{text}', but the environment variable {name} is not set: set it, or"
                " write the path out"
            )
    try:
        path = absolute_path(".", base) / Path(os.path.expandvars(text)).expanduser()
        return path.resolve() if path.name in {"", "..", "."} else path.parent.resolve() / path.name
    except (RuntimeError, OSError) as error:  # a loop of links; an unknown home
        raise DataError(
            f"{key} has '{excerpt(text)}', which cannot be followed ({excerpt(error)}): correct the"
            " path or the link"
        ) from None


def obstacle(path: Path) -> str | None:
    """Why `path` is no plain file or folder that can be opened; None where nothing is in the way. A
    pipe or device is never opened.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return "a link that leads nowhere" if path.is_symlink() else "not there"
    except RuntimeError:
        return "a link that leads back to itself"
    except OSError as error:
        if error.errno == errno.ELOOP:
            return "a link that leads back to itself"
        return f"not to be reached ({error.strerror})"
    if stat.S_ISREG(mode):
        return None if os.access(path, os.R_OK) else "not readable for this user"
    if stat.S_ISDIR(mode):
        return (
            None if os.access(path, os.R_OK | os.X_OK) else "a folder that this user may not read"
        )
    kinds = (
        (stat.S_ISFIFO, "a pipe"),
        (stat.S_ISSOCK, "a socket"),
        (stat.S_ISCHR, "a device"),
        (stat.S_ISBLK, "a device"),
    )
    return next((f"{name}, no file" for test, name in kinds if test(mode)), "no plain file")


def reference_paths(text: str, base: Path, key: str) -> list[Path]:
    """Files that a setting of reference data means: a file, the tables in a folder, or a glob;
    sorted, empty when there is none.
    """
    path = expand_path(text, base, key)
    if path.is_dir():
        return sorted(
            each
            for each in _list_folder(path, text, key)
            if each.name.lower().endswith(_FOLDER_TEXT) and obstacle(each) is None
        )
    return (
        [path]
        if path.is_file()
        else [Path(each) for each in sorted(glob.glob(str(path))) if obstacle(Path(each)) is None]
    )


def _list_folder(folder: Path, text: str, key: str) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise DataError(
            f"{key} has the folder '{excerpt(text)}', which cannot be read ({error.strerror}): let"
            " this user read it"
        ) from None


def find_files(
    paths: Sequence[str],
    base: Path,
    without: Collection[Path],
    notes: list[str],
    key: str = "market.files.paths",
) -> list[Located]:
    """Every file that `paths` (the setting `key`) mean, in the order of their origins; `without`
    are left out, and a folder's strangers are noted.

    Raises DataError when a path leads to no file or to a type that cannot be read.
    """
    if not paths:
        raise ConfigError(
            f'{key} is empty: name a file, a folder or a glob, such as ["bars/*.csv"]'
        )
    # resolved -> (path, folder that its origin is relative to)
    found: dict[Path, tuple[Path, Path]] = {}
    for text in paths:
        path = expand_path(text, base, key)
        for each, root in _matches(text, path, notes, key):
            resolved = each.resolve()
            if resolved not in without:
                found.setdefault(resolved, (each, root))
    if not found:
        raise DataError(
            f"{key} ({', '.join(paths)}) leads only to the files of corporate actions and universe:"
            " name a file of bars"
        )
    return _name_origins(list(found.values()))


def _matches(text: str, path: Path, notes: list[str], key: str) -> list[tuple[Path, Path]]:
    hindrance = obstacle(path)
    if hindrance is None:
        return (
            _in_folder(text, path, notes, key)
            if path.is_dir()
            else [(_check_type(path), path.parent)]
        )
    if hindrance == "not there" and glob.has_magic(str(path)):
        return _in_glob(text, path, notes, key)
    if hindrance == "not there":
        raise DataError(
            f"{key} has '{excerpt(text)}', which does not exist (looked for {path}): correct the"
            " path, or put a file there"
        )
    raise DataError(
        f"{key} has '{excerpt(text)}', which is {hindrance}: name a plain file or a folder that can"
        " be read"
    )


def _in_glob(text: str, path: Path, notes: list[str], key: str) -> list[tuple[Path, Path]]:
    matched = [
        Path(name)
        for name in sorted(glob.glob(str(path), recursive=True))
        if not Path(name).is_dir()
    ]
    files = []
    for each in matched:
        if hindrance := obstacle(each):
            notes.append(_not_read(each.name, hindrance))
        else:
            files.append(each)
    if not files:
        found = (
            f"which matches no file that can be read ({matched[0].name} is {obstacle(matched[0])})"
            if matched
            else "which matches no file"
        )
        raise DataError(
            f"{key} has '{excerpt(text)}', {found}: correct the pattern, or put files there"
        )
    root = next(parent for parent in path.parents if not glob.has_magic(str(parent)))
    return [(_check_type(each), root) for each in files]


def _in_folder(text: str, folder: Path, notes: list[str], key: str) -> list[tuple[Path, Path]]:
    matched: list[Path] = []
    strangers: list[str] = []
    for path in _walk(folder, folder, notes):
        hindrance = obstacle(path) or _foreign(path)
        if hindrance is None:
            matched.append(path)
        else:
            strangers.append(path.name)
            notes.append(_not_read(path.relative_to(folder).as_posix(), hindrance))
    if not matched:
        there = ", ".join(excerpt(name, NAME) for name in strangers[:5]) or "nothing"
        why = f"; {notes[0]}" if notes and not strangers else ""
        raise DataError(
            f"{key} has the folder '{excerpt(text)}', which holds no file of bars (there is"
            f" {there}{why}): Harmony reads {_READ}"
        )
    return [(path, folder) for path in matched]


def _foreign(path: Path) -> str | None:
    """Why a file in a folder is no file of bars; None where it may be one."""
    name = path.name.lower()
    if name.endswith((*PARQUET, *_FOLDER_TEXT)):
        return None
    if not name.endswith(".txt"):
        return f"no {_READ.replace(' and', ' or')}"
    try:
        with path.open("rb") as file:
            return None if looks_like_bars(file.read(SNIFFED)) else _NO_TABLE
    except OSError as error:
        return f"not to be read ({error.strerror})"


def _walk(folder: Path, root: Path, notes: list[str]) -> Iterator[Path]:
    """Everything below a folder that is no folder, in order; hidden names are left out, and folders
    that cannot be entered are noted.
    """
    folders = []
    for path in sorted(folder.iterdir()):
        if path.name.startswith((".", "_")):
            continue
        if not path.is_dir() or obstacle(path) is not None:
            yield path
        elif path.is_symlink():
            notes.append(
                _not_read(
                    path.relative_to(root).as_posix(),
                    "a link to a folder (name that folder in the settings)",
                )
            )
        else:
            folders.append(path)
    for path in folders:
        yield from _walk(path, root, notes)


def _not_read(name: str, reason: str) -> str:
    return f"{excerpt(name)} was not read: it is {reason}"


def _check_type(path: Path) -> Path:
    if not path.name.lower().endswith((*PARQUET, *TEXT)):
        raise DataError(
            f"{excerpt(path.name)} is of an unknown type '{excerpt(path.suffix, NAME)}': "
            f"Harmony reads {_READ}; convert it"
        )
    return path


def _name_origins(files: list[tuple[Path, Path]]) -> list[Located]:
    """Origins relative to the named folders; where two files would share one, as many parent
    folders as tell them apart.
    """
    origins = [path.relative_to(root).as_posix() for path, root in files]
    depth = 1
    while len(set(origins)) < len(origins) and depth < max(len(path.parts) for path, _ in files):
        depth += 1
        shared = {origin for origin in origins if origins.count(origin) > 1}
        origins = [
            Path(*path.parts[-depth:]).as_posix() if origin in shared else origin
            for origin, (path, _) in zip(origins, files, strict=True)
        ]
    return sorted(
        (Located(path, origin) for origin, (path, _) in zip(origins, files, strict=True)),
        key=lambda each: each.origin,
    )
