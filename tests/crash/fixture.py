"""Writes a small library and a backup of it as this release does: `python -m tests.crash.fixture`, at each release.

The files under `releases/` are kept, one a release, so that every later one is held to opening them (`test_formats`).
"""

import shutil
import tarfile
import tempfile
from importlib.metadata import version
from pathlib import Path

import msgspec

from search import backup
from search.engines.embedded import EmbeddedEngine
from search.library import Library
from tests.crash.workload import MODELS, done, held

RELEASES = Path(__file__).parent / "releases"

#: What happens to the library.
SEED, OPERATIONS = 3, 25


def main() -> None:
    """Write the file of this release."""
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch) / "library"
        library = Library(directory, create=True)
        with library.writer():
            engine: EmbeddedEngine = library.engine(MODELS)
            for number in range(OPERATIONS):
                done(library, engine, SEED, number)
            library.catch_up(engine, MODELS, settle=False)
        for number in range(3):
            library.catalog.audit("ann", "download", str(number))
        (Path(scratch) / "held.json").write_bytes(msgspec.json.encode(held(library)))
        backup.write(library, Path(scratch) / "backup.tar")
        library.close()
        shutil.rmtree(directory / "staging", ignore_errors=True)
        RELEASES.mkdir(exist_ok=True)
        with tarfile.open(RELEASES / f"{version('loupe-search')}.tar.gz", "w:gz") as tar:
            for name in ("library", "backup.tar", "held.json"):
                tar.add(Path(scratch) / name, name, filter=_nobodys)


def _nobodys(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Without the owner's name; locks carry nothing."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return None if member.name.endswith(".lock") else member


if __name__ == "__main__":
    main()
