"""A library comes back from a backup as it was, or the backup is refused."""

import io
import json
import random
import shutil
import tarfile
from collections import Counter
from pathlib import Path

import pytest

from api import compose
from api.auth import read_people
from api.settings import Settings
from search import backup
from search.errors import BackupDamaged, BadSettings, NotWritten
from search.library import Library
from search.query import SearchRequest
from tests import commands
from tests.conftest import Server
from tests.crash.workload import MODELS, answers, expected, files_up_to, held

GOLDEN = ("coffee", "a lighthouse at night", "bird", "harvest -people", '"espresso cup"', "")


def told(data_dir: Path) -> dict[str, object]:
    """What two people are answered to some queries, in full."""
    said: dict[str, object] = {}
    with compose.opened(Settings(data_dir=str(data_dir))) as opened:
        for person in read_people(data_dir):
            for text in GOLDEN:
                page = opened.searcher.search(person.principal, SearchRequest(text=text, limit=50))
                said[f"{person.user} {text}"] = page
    return said


@pytest.mark.long
def test_a_library_that_is_served_comes_back_with_equal_answers(demo: Server, tmp_path: Path) -> None:
    def loupe(*arguments: str, status: int = 0) -> str:
        run = commands.loupe(*arguments)
        assert run.returncode == status, run.stderr
        return run.stdout + run.stderr

    file, copy = tmp_path / "library.tar", tmp_path / "copy"
    with demo.client("mara") as client:
        written = json.loads(loupe("backup", str(file), "--data-dir", str(demo.data_dir), "--json").splitlines()[0])
        assert client.post("/v1/search", json={"text": "coffee"}).json()["hits"]
    assert written["bytes"] == file.stat().st_size
    assert "138 assets" in loupe("restore", str(file), "--data-dir", str(copy))
    assert told(copy) == told(demo.data_dir)
    previews = {path.relative_to(demo.data_dir) for path in (demo.data_dir / "renditions").rglob("*.webp")}
    assert previews and all((copy / path).read_bytes() == (demo.data_dir / path).read_bytes() for path in previews)
    assert "is there already" in loupe("backup", str(file), "--data-dir", str(demo.data_dir), status=2)
    assert "is not empty" in loupe("restore", str(file), "--data-dir", str(copy), status=2)
    assert oct((copy / "secret").stat().st_mode)[-3:] == "600"


def test_what_is_written_while_a_backup_is_made_is_not_in_it_by_half(library: Library, tmp_path: Path) -> None:
    before = held(library)

    def meanwhile(*_: int) -> None:
        library.catalog.mark_vanished(before.texts)

    backup.write(library, tmp_path / "file.tar", meanwhile)
    assert not held(library).texts
    backup.restore(tmp_path / "file.tar", tmp_path / "again")
    again = Library(tmp_path / "again")
    assert held(again) == before == expected(7, 30)
    assert (again.secret(), again.model()) == (library.secret(), "a model")
    preview = library.renditions.preview("abcdef", 256)
    assert again.renditions.preview("abcdef", 256).read_bytes() == preview.read_bytes()
    assert not (tmp_path / "again" / "generations").exists()
    with again.writer():
        engine = again.engine(MODELS)
        again.catch_up(engine, MODELS)
    assert answers(engine, again)
    again.close()


def test_a_backup_that_is_not_whole_is_refused_and_leaves_nothing(
    library: Library, tmp_path: Path, tally: Counter[str]
) -> None:
    file, directory = tmp_path / "file.tar", tmp_path / "again"
    backup.write(library, file)
    whole = file.read_bytes()
    with tarfile.open(file) as tar:
        ends = [member.offset_data + member.size for member in tar]
        data = [member.offset_data for member in tar if member.size]
    damaged = [whole[:size] for size in (0, 100, len(whole) // 3, len(whole) // 2, *ends[:-1], ends[-1] - 1)]
    damaged += [whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :] for at in data]
    assert len(damaged) > 10
    for number, content in enumerate(damaged):
        file.write_bytes(content)
        with pytest.raises(BackupDamaged):
            backup.restore(file, directory)
        assert not directory.exists(), number
        assert not list(tmp_path.glob("*.unfinished")), number
        tally["damages refused"] += 1
    file.write_bytes(whole)
    backup.restore(file, directory)
    with pytest.raises(BadSettings, match="not empty"):
        backup.restore(file, directory)


@pytest.mark.long
def test_any_bit_that_changed_is_refused_or_carries_nothing(
    library: Library, tmp_path: Path, tally: Counter[str]
) -> None:
    file, directory = tmp_path / "file.tar", tmp_path / "again"
    backup.write(library, file)
    backup.restore(file, tmp_path / "sound")
    expected = contents(tmp_path / "sound")
    whole, dice, refused = file.read_bytes(), random.Random(4), 0
    for _ in range(300):
        bit = dice.randrange(8 * len(whole))
        file.write_bytes(whole[: bit // 8] + bytes([whole[bit // 8] ^ 1 << bit % 8]) + whole[bit // 8 + 1 :])
        try:
            backup.restore(file, directory)
        except BackupDamaged:
            refused += 1
        else:
            assert contents(directory) == expected, bit
            shutil.rmtree(directory)
    assert refused > 200
    tally["damages refused"] += refused


def contents(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", ["../outside", "/outside", "a/../../outside"])
def test_no_name_in_a_backup_leads_outside(name: str, tmp_path: Path) -> None:
    file = tmp_path / "file.tar"
    with tarfile.open(file, "w") as tar:
        about = tarfile.TarInfo(name)
        about.size = 1
        tar.addfile(about, io.BytesIO(b"x"))
    with pytest.raises(BackupDamaged, match="leads elsewhere"):
        backup.restore(file, tmp_path / "folder" / "again")
    assert not list(tmp_path.rglob("outside"))


def test_a_link_in_a_backup_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file.tar"
    with tarfile.open(file, "w") as tar:
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    with pytest.raises(BackupDamaged, match="does not belong"):
        backup.restore(file, tmp_path / "again")


def test_a_place_where_nothing_can_be_written_is_named(library: Library, tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match="outside the library"):
        backup.write(library, library.directory / "file.tar")
    with pytest.raises(NotWritten, match=r"none/file\.tar could not"):
        backup.write(library, tmp_path / "none" / "file.tar")
    file = tmp_path / "file.tar"
    with pytest.raises(NotWritten, match="has room"), files_up_to(10_000):
        backup.write(library, file)
    assert list(tmp_path.glob("file.tar*")) == []
    backup.write(library, file)
    with pytest.raises(NotWritten, match="could not be restored to"):
        backup.restore(file, file / "again")
    with pytest.raises(NotWritten, match="has room"), files_up_to(10_000):
        backup.restore(file, tmp_path / "again")
    assert list(tmp_path.glob("again*")) == []
