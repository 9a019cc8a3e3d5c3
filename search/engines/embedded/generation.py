"""Generations: derived files published as a whole, numbered, checksummed, and verified before use.

A generation is written aside, every file fsynced, sealed with a manifest of SHA-256 sums, its own among them, and
renamed into place, so a crash leaves the one before it. FAISS opens most damaged files without a word, hence the sums:
nothing is parsed before its bytes are known to be those that were written. Who reads a generation holds it, by a shared
lock on its manifest that ends with the process at the latest; old ones that nobody holds are swept away when the next
one is published.
"""

import fcntl
import hashlib
import logging
import os
import shutil
import weakref
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import msgspec

from search import durable
from search.errors import GenerationDamaged

_log = logging.getLogger(__name__)

FORMAT: Final = 6
_MANIFEST: Final = "manifest.json"
_UNFINISHED: Final = "unfinished-"
_LOCK: Final = ".lock"

#: The newest is read; the one before stays as a fallback.
_KEEP: Final = 2


#: Device, inode, size, and when it was last written to, in nanoseconds.
Identity = tuple[int, int, int, int]


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a generation is: the journal number it reflects, the model of each space, and each file's SHA-256; under a
    seal, the SHA-256 of all that."""

    format: int
    head: int
    models: Mapping[str, str]
    files: Mapping[str, str]
    seal: str = ""

    def sealed(self) -> "Manifest":
        """The same with the seal that belongs to it."""
        bare = msgspec.json.encode(msgspec.structs.replace(self, seal=""), order="deterministic")
        return msgspec.structs.replace(self, seal=hashlib.sha256(bare).hexdigest())


class Hold:
    """Keeps a generation from being swept away, until it is forgotten. Raises OSError when the generation is gone."""

    def __init__(self, directory: Path) -> None:
        descriptor = os.open(directory / _MANIFEST, os.O_RDONLY)
        weakref.finalize(self, os.close, descriptor)
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        if not os.fstat(descriptor).st_nlink:
            raise FileNotFoundError(directory)


class Generation(msgspec.Struct, frozen=True):
    """A generation whose every file was verified. `sums` are its files' SHA-256, by `identity`."""

    number: int
    directory: Path
    head: int
    models: Mapping[str, str]
    sums: Mapping[Identity, str]
    hold: Hold


def numbers(parent: Path) -> list[int]:
    """The numbers of all published generations, oldest first."""
    try:
        return sorted(int(entry.name) for entry in os.scandir(parent) if entry.name.isdecimal())
    except FileNotFoundError:
        return []


def publish(
    parent: Path,
    fill: Callable[[Path], None],
    *,
    head: int,
    models: Mapping[str, str],
    before: Generation | None = None,
) -> int:
    """Have `fill` write files into a new directory, then seal and publish it. One writer at a time (see `Library`).

    Files that were taken over from `before` are not read again.
    """
    durable.folder(parent)
    _clear(parent)
    number = max(numbers(parent), default=0) + 1
    aside = parent / f"{_UNFINISHED}{number}"
    aside.mkdir()
    fill(aside)
    known = before.sums if before else {}
    sums = {name: known.get(identity(aside / name)) or _sum(aside / name) for name in _file_names(aside)}
    manifest = aside / _MANIFEST
    manifest.write_bytes(msgspec.json.format(msgspec.json.encode(Manifest(FORMAT, head, models, sums).sealed())))
    for path in aside.rglob("*"):
        durable.sync(path)
    durable.move(aside, parent / f"{number:08d}")
    for old in numbers(parent)[:-_KEEP]:
        _sweep(parent / f"{old:08d}")
    return number


def keep_only(parent: Path, number: int) -> None:
    """Remove all other generations, also those that are held, for who reads one has what it needs open; and what a
    process left that was killed while it wrote one or removed one."""
    _clear(parent)
    for other in numbers(parent):
        if other != number:
            _remove(parent / f"{other:08d}")


def _clear(parent: Path) -> None:
    """Remove what is not published, or no more."""
    for leftover in parent.glob(f"{_UNFINISHED}*"):
        shutil.rmtree(leftover)


def _sweep(directory: Path) -> None:
    """Remove a generation, unless somebody holds it: then it is for a later publishing to do."""
    with ExitStack() as stack:
        try:
            manifest = stack.enter_context((directory / _MANIFEST).open("rb"))
            fcntl.flock(manifest, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        except FileNotFoundError:
            _log.warning("%s has no manifest, so that nobody reads it.", directory)
        _remove(directory)


def _remove(directory: Path) -> None:
    aside = directory.with_name(f"{_UNFINISHED}{directory.name}")
    directory.rename(aside)  # at once, so that nobody meets half of it
    shutil.rmtree(aside)


def open_verified(parent: Path, number: int, before: Generation | None = None) -> Generation:
    """Hold a generation and check every file of it against its manifest. Raises GenerationDamaged, naming the file, and
    FileNotFoundError when it was swept away.

    Files that are links to ones of `before`, a generation that is open, were checked when it was opened.
    """
    directory = parent / f"{number:08d}"
    try:
        hold = Hold(directory)
        manifest = msgspec.json.decode((directory / _MANIFEST).read_bytes(), type=Manifest)
    except (OSError, UnicodeDecodeError, msgspec.DecodeError) as error:
        if not directory.exists():
            raise FileNotFoundError(f"Generation {number} was swept away.") from error
        raise GenerationDamaged(f"Its manifest cannot be read ({error}).") from error
    if manifest.format != FORMAT:
        raise GenerationDamaged(f"Its format is {manifest.format}; this release reads format {FORMAT}.")
    if manifest != manifest.sealed():
        raise GenerationDamaged("Its manifest is not as it was written.")
    if missing := manifest.files.keys() ^ _file_names(directory):
        raise GenerationDamaged(f"Files are missing or do not belong: {', '.join(sorted(missing))}.")
    checked = before.sums if before else {}
    sums = {}
    for name, expected in manifest.files.items():
        file = identity(directory / name)
        sums[file] = checked.get(file) or _sum(directory / name)
        if sums[file] != expected:
            raise GenerationDamaged(f"The file {name} is not as it was written.")
    return Generation(number, directory, manifest.head, manifest.models, sums, hold)


def folders(opened: Generation) -> list[Path]:
    """What a generation is made of, in the order of the numbers that it was given when it was filled."""
    return sorted((path for path in opened.directory.iterdir() if path.is_dir()), key=lambda path: int(path.name))


def take_over(opened: Generation, directory: Path, to: Path) -> None:
    """Give a folder of a generation a second place, by links to its files, or by copies where links cannot be had.

    Raises GenerationDamaged, naming the file, when one is not what it was when the generation was opened.
    """
    for path in directory.rglob("*"):
        if path.is_file() and not path.name.endswith(_LOCK) and identity(path) not in opened.sums:
            raise GenerationDamaged(f"The file {path.name} was changed while it was in use.")
    shutil.copytree(directory, to, copy_function=_linked, ignore=shutil.ignore_patterns(f"*{_LOCK}"))


def _linked(file: str, to: str) -> None:
    try:
        os.link(file, to)
    except OSError:
        shutil.copy2(file, to)


def identity(path: Path) -> Identity:
    """What tells a file from all others and from what it was before, whatever names it has."""
    about = path.stat()
    return about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns


def _file_names(directory: Path) -> set[str]:
    """All files but the manifest itself and the locks that Tantivy leaves, which carry nothing."""
    return {
        path.relative_to(directory).as_posix()
        for path in directory.rglob("*")
        if path.is_file() and path.name != _MANIFEST and not path.name.endswith(_LOCK)
    }


def _sum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
