"""What earlier releases wrote is read, or made anew from what can be read."""

import re
import tarfile
from pathlib import Path

import msgspec
import pytest

from search import backup, verification
from search.corpus import CatalogSource
from search.engines.embedded import EmbeddedEngine, generation
from search.errors import BackupDamaged
from search.library import Library
from tests.crash.fixture import RELEASES
from tests.crash.workload import MODELS, Held, answers, held


@pytest.fixture(params=sorted(RELEASES.iterdir()), ids=lambda path: path.name)
def released(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """What a release wrote: a library, a backup of it, and what it holds."""
    with tarfile.open(request.param) as tar:
        tar.extractall(tmp_path / "released", filter="data")
    return tmp_path / "released"


@pytest.mark.parametrize("restored", [False, True])
def test_a_library_of_each_release_opens(released: Path, restored: bool, tmp_path: Path) -> None:
    directory = released / "library"
    if restored:
        directory = tmp_path / "restored"
        backup.restore(released / "backup.tar", directory)
    library = Library(directory)
    assert held(library) == msgspec.json.decode((released / "held.json").read_bytes(), type=Held)
    assert library.catalog.first_broken_audit_line() is None
    with library.writer():
        engine = library.engine(MODELS)
        library.catch_up(engine, MODELS)
    whole = EmbeddedEngine(tmp_path / "whole", dict(MODELS))
    whole.publish(CatalogSource(library.catalog, MODELS).corpus())
    assert answers(engine, library) == answers(whole, library) and any(answers(engine, library))
    library.close()


def test_an_index_of_another_format_is_made_anew(released: Path, caplog: pytest.LogCaptureFixture) -> None:
    library = Library(released / "library")
    numbers = generation.numbers(library.generations)
    for number in numbers:
        manifest = library.generations / f"{number:08d}" / "manifest.json"
        manifest.write_text(re.sub(r'"format": \d+', '"format": 1', manifest.read_text()))
    said = list(verification.wrong(library))
    assert len(said) == len(numbers)
    assert all("Its format is 1" in line and "loupe rebuild" in line for line in said)
    engine = library.engine(MODELS)
    assert engine.generation == 0
    with library.writer():
        library.catch_up(engine, MODELS)
    assert engine.generation == max(numbers) + 1
    assert "Its format is 1" in caplog.text
    library.close()


def test_a_backup_of_another_format_says_so(released: Path, tmp_path: Path) -> None:
    file = released / "backup.tar"
    file.write_bytes(file.read_bytes().replace(b'{"format":1,', b'{"format":9,'))
    with pytest.raises(BackupDamaged, match="has format 9; this release reads format 1"):
        backup.restore(file, tmp_path / "restored")
