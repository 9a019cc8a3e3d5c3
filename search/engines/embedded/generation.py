"""Generations: derived files published as a whole, numbered, checksummed, and verified before use.

A generation is written aside, every file fsynced, sealed with a manifest of SHA-256 sums, and renamed into place, so a
crash leaves the one before it. FAISS opens most damaged files without a word, hence the sums: nothing is parsed before
its bytes are known to be those that were written.
"""

import hashlib
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from search.errors import GenerationDamaged

FORMAT: Final = 3
_MANIFEST: Final = "manifest.json"
_UNFINISHED: Final = "unfinished-"

#: The newest is read; the one before stays for readers that are just moving on, and as a fallback.
_KEEP: Final = 2


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a generation is: the journal number it reflects, the model of each space, and each file's SHA-256."""

    format: int
    head: int
    models: Mapping[str, str]
    files: Mapping[str, str]


class Generation(msgspec.Struct, frozen=True):
    """A generation whose every file was verified. `sums` are its files' SHA-256, by device and inode."""

    number: int
    directory: Path
    head: int
    models: Mapping[str, str]
    sums: Mapping[tuple[int, int], str]


def numbers(parent: Path) -> list[int]:
    """The numbers of all published generations, oldest first."""
    try:
        return sorted(int(entry.name) for entry in os.scandir(parent) if entry.name.isdecimal())
    except FileNotFoundError:
        return []


def publish(parent: Path, fill: Callable[[Path], None], *, head: int, models: Mapping[str, str]) -> int:
    """Have `fill` write files into a new directory, then seal and publish it. One writer at a time (see `Library`)."""
    parent.mkdir(parents=True, exist_ok=True)
    for leftover in parent.glob(f"{_UNFINISHED}*"):
        shutil.rmtree(leftover)
    number = max(numbers(parent), default=0) + 1
    aside = parent / f"{_UNFINISHED}{number}"
    aside.mkdir()
    fill(aside)
    known = _known(parent)
    sums = {name: known.get(_identity(aside / name)) or _sum(aside / name) for name in _file_names(aside)}
    manifest = aside / _MANIFEST
    manifest.write_bytes(msgspec.json.format(msgspec.json.encode(Manifest(FORMAT, head, models, sums))))
    for path in sorted(aside.rglob("*"), reverse=True):
        _fsync(path)
    _fsync(aside)
    aside.rename(parent / f"{number:08d}")
    _fsync(parent)
    for old in numbers(parent)[:-_KEEP]:
        shutil.rmtree(parent / f"{old:08d}")
    return number


def open_verified(parent: Path, number: int, before: Generation | None = None) -> Generation:
    """Check every file of a generation against its manifest. Raises GenerationDamaged, naming the file.

    Files that are links to ones of `before`, a generation that is open, were checked when it was opened.
    """
    directory = parent / f"{number:08d}"
    try:
        manifest = msgspec.json.decode((directory / _MANIFEST).read_bytes(), type=Manifest)
    except (OSError, msgspec.DecodeError) as error:
        raise GenerationDamaged(f"Its manifest cannot be read ({error}).") from error
    if manifest.format != FORMAT:
        raise GenerationDamaged(f"Its format is {manifest.format}; this release reads format {FORMAT}.")
    if missing := manifest.files.keys() ^ _file_names(directory):
        raise GenerationDamaged(f"Files are missing or do not belong: {', '.join(sorted(missing))}.")
    checked = before.sums if before else {}
    sums = {}
    for name, expected in manifest.files.items():
        identity = _identity(directory / name)
        sums[identity] = checked.get(identity) or _sum(directory / name)
        if sums[identity] != expected:
            raise GenerationDamaged(f"The file {name} is not as it was written.")
    return Generation(number, directory, manifest.head, manifest.models, sums)


def _known(parent: Path) -> dict[tuple[int, int], str]:
    """The sums of the newest generation's files, which a new one may take over as links: they need not be read again.

    They are not checked here: if one is damaged, it is found so in the new generation as well.
    """
    directory = parent / f"{max(numbers(parent), default=0):08d}"
    try:
        manifest = msgspec.json.decode((directory / _MANIFEST).read_bytes(), type=Manifest)
        return {_identity(directory / name): digest for name, digest in manifest.files.items()}
    except (OSError, msgspec.DecodeError):
        return {}


def _identity(path: Path) -> tuple[int, int]:
    """What tells a file from all others, whatever names it has: its device and its inode."""
    about = path.stat()
    return about.st_dev, about.st_ino


def _file_names(directory: Path) -> set[str]:
    """All files but the manifest itself and the locks that Tantivy leaves, which carry nothing."""
    return {
        path.relative_to(directory).as_posix()
        for path in directory.rglob("*")
        if path.is_file() and path.name != _MANIFEST and not path.name.endswith(".lock")
    }


def _sum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
