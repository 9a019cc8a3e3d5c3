"""Which files there are to index: folders walked, sidecars told from assets, links kept inside.

A file is taken for an asset by what its name promises or, where the name promises nothing, left to the decoder to
sniff. Text files of every kind are not assets: they are sidecars, manifests, or none of our business.
"""

import os
import stat
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Final

import msgspec

from search.errors import BadSettings

#: Files beside an asset that speak of it: NAME.vtt for NAME.mp4.
TRANSCRIPTS: Final = (".vtt", ".srt", ".txt")
SIDECARS: Final = (*TRANSCRIPTS, ".xmp", ".json")

#: Names that promise no media, so that a library folder with notes in it is not a folder full of errors.
_NOT_MEDIA: Final = frozenset(
    [
        ".cfg",
        ".conf",
        ".csv",
        ".css",
        ".db",
        ".doc",
        ".docx",
        ".htm",
        ".html",
        ".ini",
        ".jsonl",
        ".js",
        ".key",
        ".log",
        ".md",
        ".ndjson",
        ".numbers",
        ".odp",
        ".ods",
        ".odt",
        ".pages",
        ".ppt",
        ".pptx",
        ".py",
        ".rst",
        ".rtf",
        ".sh",
        ".sql",
        ".sqlite",
        ".tex",
        ".toml",
        ".ts",
        ".tsv",
        ".xls",
        ".xlsx",
        ".xml",
        ".yaml",
        ".yml",
        ".zip",
        ".gz",
        ".tar",
    ]
) | frozenset(SIDECARS)


class Source(msgspec.Struct, frozen=True):
    """A file that should become an asset. `trouble` says why it cannot even be opened."""

    path: Path
    root: Path
    byte_size: int = 0
    mtime_ns: int = 0
    trouble: str = ""

    def sidecars(self) -> Iterator[Path]:
        """The files beside it that speak of it: NAME.ext or NAME.jpg.ext."""
        for suffix in SIDECARS:
            for beside in (self.path.with_suffix(suffix), self.path.with_name(self.path.name + suffix)):
                if beside != self.path and beside.is_file():
                    yield beside


def find(
    paths: Iterable[Path], *, without: Path | None = None, among: Iterable[Path] | None = None
) -> Iterator[Source]:
    """All candidates under the given files and folders, each once, in name order. Raises BadSettings.

    The folder `without` is not entered. Of `among`, only what is at or below one of these paths is looked for.
    """
    seen: set[Path] = set()
    for path in paths:
        root = path.resolve()
        if not root.exists():
            raise BadSettings(f"There is no {path}.", "Name a folder or file that exists.")
        starts = [root] if among is None else [start for start in sorted(among) if _reached(start, root, without)]
        for found in chain.from_iterable(_files(start, without) for start in starts):
            if found not in seen and (source := _source(found, root if root.is_dir() else root.parent)):
                seen.add(found)
                yield source


def of_no_kind(path: Path) -> bool:
    """Whether it is a file whose name promises neither media nor what speaks of media, so that a walk passes it by."""
    suffix = path.suffix.lower()
    return suffix in _NOT_MEDIA and suffix not in SIDECARS and path.is_file()


def stamp(path: Path) -> tuple[int, int]:
    """The size and time of a file, which change when it does; zeros when there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return 0, 0
    return found.st_size, found.st_mtime_ns


def spoken_of(path: Path) -> Iterator[Path]:
    """The files that a sidecar speaks of, or spoke of while it was there; of any other file none."""
    if path.suffix.lower() in SIDECARS and path.parent.is_dir():
        for beside in path.parent.iterdir():
            if path.stem in (beside.stem, beside.name) and beside.suffix.lower() not in _NOT_MEDIA:
                yield beside


def _reached(path: Path, root: Path, without: Path | None) -> bool:
    """Whether a walk of the root comes to this path: it is below it, not hidden, and not behind a link."""
    if not path.is_relative_to(root) or (without and path.is_relative_to(without)):
        return False
    between = [path, *path.parents][: len(path.relative_to(root).parts)]
    return not any(here.name.startswith(".") or (here != path and here.is_symlink()) for here in between)


def _files(start: Path, without: Path | None) -> Iterable[Path]:
    if start.is_dir() and not start.is_symlink():
        return _walk(start, without)
    return (start,) if os.path.lexists(start) else ()


def _walk(folder: Path, without: Path | None) -> Iterator[Path]:
    """Every file below the folder that is not hidden, in name order; links to folders are not entered."""
    for here, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and Path(here) / name != without)
        for name in sorted(files):
            if not name.startswith("."):
                yield Path(here) / name
        for name in folders:
            if (link := Path(here) / name).is_symlink():
                yield link


def _source(path: Path, root: Path) -> Source | None:
    if path.suffix.lower() in _NOT_MEDIA:
        return None
    try:
        if path.is_symlink():
            return _linked(path, root)
        found = path.stat()
    except OSError as error:
        return Source(path, root, trouble=f"It cannot be read: {error.strerror}.")
    if not stat.S_ISREG(found.st_mode):
        return Source(path, root, trouble="It is not a regular file.")
    return Source(path, root, found.st_size, found.st_mtime_ns)


def _linked(path: Path, root: Path) -> Source | None:
    """A link to what lies in the same folder tree is passed over: its target is found by itself."""
    target = path.resolve()
    if not target.exists():
        return Source(path, root, trouble="It is a link to a file that is not there. Remove or mend the link.")
    if target.is_relative_to(root):
        return None
    return Source(path, root, trouble="It is a link that leads out of the folder. Index the place it leads to instead.")
