"""A library as one file, made while it is in use, and a library from such a file.

A backup is a tar of what cannot be derived: the catalog as it stood at one moment, the previews and proxies, and the
few files beside them. Its last member names every other with its SHA-256, so that a file cut short is told from a whole
one. Indexes are not in it (they are made again from the catalog), nor are the originals, which stay where they are.
"""

import hashlib
import io
import os
import shutil
import sqlite3
import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import IO, Final

import msgspec

from search import durable, serving
from search.errors import BackupDamaged, BadSettings, NotWritten
from search.library import CATALOG, Library

FORMAT: Final = 1
_CONTENTS: Final = "contents.json"
_UNFINISHED: Final = ".unfinished"

#: What is derived, or means nothing elsewhere.
_LEFT_OUT: Final = frozenset({"generations", "staging", "staging-model", "writer.lock", serving.LOCK})

#: Pages of the catalog, 4 KB each, that are copied at a time.
_PAGES: Final = 4096

_REMEDY: Final = "See that the folder is there, may be written to, and has room."

#: What is told of the work: how many bytes are done, and of how many.
Progress = Callable[[int, int], None]


class Contents(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is in a backup: each file's SHA-256."""

    format: int
    files: Mapping[str, str]


def write(library: Library, file: Path, progress: Progress = lambda *_: None) -> Contents:
    """Write a backup, which is there in full or not at all.

    Raises BadSettings where there is a file already or that is in the library itself, and NotWritten.
    """
    if file.exists():
        raise BadSettings(f"{file} is there already.", "Name another file, or remove it.")
    if file.resolve().is_relative_to(library.directory):
        raise BadSettings(f"{file} would be a part of what it is a backup of.", "Name a file outside the library.")
    aside = file.with_name(f"{file.name}{_UNFINISHED}")
    snapshot = file.with_name(f"{file.name}.catalog{_UNFINISHED}")
    sums: dict[str, str] = {}
    try:
        # The catalog first: what it speaks of was there before, and nothing that is taken in later is missed in it.
        _copy(library.directory / CATALOG, snapshot)
        files = {CATALOG: snapshot} | dict(_files(library.directory))
        total, done = sum(path.stat().st_size for path in files.values()), 0
        with aside.open("wb") as out, tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for name, path in files.items():
                sums[name] = _add(tar, name, path)
                done += path.stat().st_size
                progress(done, total)
            contents = Contents(FORMAT, sums)
            encoded = msgspec.json.encode(contents)
            last = tarfile.TarInfo(_CONTENTS)
            last.size = len(encoded)
            tar.addfile(last, io.BytesIO(encoded))
        durable.move(aside, file)
    except (OSError, sqlite3.Error) as error:
        raise NotWritten(f"{file} could not be written: {error}.", _REMEDY) from error
    finally:
        for unfinished in (aside, snapshot):
            with suppress(OSError):  # there is no such folder
                unfinished.unlink(missing_ok=True)
    return contents


def restore(file: Path, directory: Path, progress: Progress = lambda *_: None) -> Contents:
    """Make a library of a backup where there is none; it is there in full or not at all.

    Raises BackupDamaged, naming the file, BadSettings where there is a library already, and NotWritten.
    """
    directory = directory.resolve()
    aside = directory.with_name(f"{directory.name}{_UNFINISHED}")
    try:
        if directory.exists() and any(directory.iterdir()):
            raise BadSettings(f"{directory} is not empty.", "Name another --data-dir.")
        durable.folder(directory.parent)
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(mode=0o700)
        contents = _unpacked(file, aside, progress)
        if directory.exists():
            directory.rmdir()
        durable.move(aside, directory)
    except OSError as error:
        raise NotWritten(f"{file} could not be restored to {directory}: {error}.", _REMEDY) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return contents


def _copy(catalog: Path, to: Path) -> None:
    """The catalog as it is at this moment, whoever writes to it meanwhile."""
    to.unlink(missing_ok=True)
    with (
        closing(sqlite3.connect(f"{catalog.as_uri()}?mode=ro", uri=True, isolation_level=None)) as source,
        closing(sqlite3.connect(to)) as copy,
    ):
        source.execute("BEGIN")
        source.execute("SELECT 1 FROM sqlite_master").fetchone()  # from here on it sees no change
        source.backup(copy, pages=_PAGES)


def _files(directory: Path) -> Iterator[tuple[str, Path]]:
    """The files of a library, but for its catalog and what is left out, by name."""
    for path in sorted(directory.rglob("*")):
        name = path.relative_to(directory).as_posix()
        first = name.partition("/")[0]
        if path.is_file() and first not in _LEFT_OUT and not first.startswith(CATALOG):
            yield name, path


def _add(tar: tarfile.TarFile, name: str, path: Path) -> str:
    """Add one file; returns its SHA-256."""
    with path.open("rb") as opened:
        about = tarfile.TarInfo(name)
        about.size, about.mode = os.fstat(opened.fileno()).st_size, 0o600
        read = _Summed(opened)
        tar.addfile(about, read)
    return read.digest.hexdigest()


def _unpacked(file: Path, directory: Path, progress: Progress) -> Contents:
    """Unpack a backup and check every file of it."""
    sums: dict[str, str] = {}
    contents = None
    try:
        with file.open("rb") as opened, tarfile.open(fileobj=opened, mode="r:") as tar:
            total = file.stat().st_size
            for member in tar:
                data = tar.extractfile(member) if member.isreg() else None
                if data is None or contents:
                    raise BackupDamaged(f"{file}: {member.name} does not belong there.")
                if member.name == _CONTENTS:
                    contents = msgspec.json.decode(data.read(), type=Contents)
                else:
                    sums[member.name] = _written(data, _inside(directory, member.name))
                    progress(opened.tell(), total)
    except (tarfile.TarError, msgspec.DecodeError, ValueError) as error:  # the last: no UTF-8, no name of a file
        raise BackupDamaged(f"{file} cannot be read: {error}.") from error
    if contents is None:
        raise BackupDamaged(f"{file} has no end.", "It was cut short: copy it again from where it was made.")
    if contents.format != FORMAT:
        raise BackupDamaged(f"{file} has format {contents.format}; this release reads format {FORMAT}.")
    names = contents.files.keys() | sums.keys()
    if wrong := sorted(name for name in names if contents.files.get(name) != sums.get(name)):
        raise BackupDamaged(f"{file}: {wrong[0]} is not as it was written.", "Copy it again from where it was made.")
    return contents


def _inside(directory: Path, name: str) -> Path:
    """Where a file of this name goes; nowhere outside the directory."""
    path = (directory / name).resolve()
    if not path.is_relative_to(directory):
        raise BackupDamaged(f"The name {name!r} leads elsewhere.")
    durable.folder(path.parent)
    return path


def _written(data: IO[bytes], to: Path) -> str:
    """Write a file; returns its SHA-256."""
    read = _Summed(data)
    with to.open("xb") as file:
        to.chmod(0o600)
        shutil.copyfileobj(read, file)
    durable.sync(to)
    return read.digest.hexdigest()


class _Summed(io.RawIOBase):
    """What is read, summed on its way."""

    def __init__(self, source: IO[bytes]) -> None:
        self.digest = hashlib.sha256()
        self._source = source

    def read(self, size: int = -1) -> bytes:
        part = self._source.read(size)
        self.digest.update(part)
        return part
