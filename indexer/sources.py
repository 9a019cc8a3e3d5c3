"""Which files there are to index: folders walked, sidecars told from assets, links kept inside.

A file is taken for an asset by what its name promises or, where the name promises nothing, left to the decoder to
sniff. Text files of every kind are not assets: they are sidecars, manifests, or none of our business.
"""

import os
import stat
from collections.abc import Iterable, Iterator
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


def find(paths: Iterable[Path]) -> Iterator[Source]:
    """All candidates under the given files and folders, each once, in name order. Raises BadSettings."""
    seen: set[Path] = set()
    for path in paths:
        root = path.resolve()
        if not root.exists():
            raise BadSettings(f"There is no {path}.", "Name a folder or file that exists.")
        for found in _walk(root) if root.is_dir() else (root,):
            if found not in seen and (source := _source(found, root if root.is_dir() else root.parent)):
                seen.add(found)
                yield source


def _walk(folder: Path) -> Iterator[Path]:
    """Every file below the folder that is not hidden, in name order; links to folders are not entered."""
    for here, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
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
