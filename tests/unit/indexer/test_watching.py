"""What is told of a watched folder, and when: real files, real notifications."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Timer
from time import monotonic

import pytest

from indexer.watching import RESTS, changes
from search.errors import BadSettings


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "watched"
    made.mkdir()
    return made


def next_told(told: Iterator[set[Path]]) -> set[Path]:
    deadline = monotonic() + 30
    for rested in told:
        if rested:
            return rested
        assert monotonic() < deadline
    raise AssertionError("It ended.")


def test_a_file_is_told_of_once_it_rests(folder: Path) -> None:
    told = changes([folder], Event())
    assert next(told) == set()
    with (folder / "growing.mov").open("wb") as file:
        for rested, _ in zip(told, range(6), strict=False):
            assert not rested, "it is still being written"
            file.write(b"x")
            file.flush()
        last = monotonic()
    assert next_told(told) == {folder / "growing.mov"}
    assert monotonic() - last >= RESTS / 2


def test_made_changed_moved_and_removed(folder: Path) -> None:
    (folder / "there.jpg").write_bytes(b"x")
    told = changes([folder], Event())
    next(told)
    (folder / "new").mkdir()
    (folder / "new" / "a.jpg").write_bytes(b"x")
    assert folder / "new" in next_told(told)
    (folder / "new").rename(folder / "moved")
    (folder / "there.jpg").unlink()
    assert {folder / "new", folder / "moved", folder / "there.jpg"} <= next_told(told)


def test_the_library_within_the_folder_is_not_told_of(folder: Path) -> None:
    """Else each run, which writes to it, would bring about the next."""
    library = folder / ".loupe"
    library.mkdir()
    told = changes([folder], Event(), without=library)
    next(told)
    (library / "catalog.sqlite").write_bytes(b"x")
    library.touch()
    (folder / "a.jpg").write_bytes(b"x")
    assert next_told(told) == {folder / "a.jpg"}


def test_stopping_ends_it(folder: Path) -> None:
    stop = Event()
    Timer(0.2, stop.set).start()
    began = monotonic()
    assert not any(changes([folder], stop))
    assert monotonic() - began < 10


def test_a_folder_that_is_gone_is_named(folder: Path) -> None:
    told = changes([folder], Event())
    next(told)
    folder.rmdir()
    with pytest.raises(BadSettings, match="not there any more"):
        list(told)


def test_another_folder_of_that_name_ends_it_and_an_empty_one_is_not_believed(folder: Path) -> None:
    """An empty mount point is no proof that all that was mounted there is gone."""
    (folder / "a.jpg").write_bytes(b"x")
    shutil.copytree(folder, folder.parent / "restored")
    told = changes([folder], Event())
    next(told)
    folder.rename(folder.parent / "before")
    (folder.parent / "restored").rename(folder)
    assert not any(told)

    told = changes([folder], Event())
    next(told)
    folder.rename(folder.parent / "unmounted")
    folder.mkdir()
    with pytest.raises(BadSettings, match="empty"):
        list(told)


def test_a_file_is_no_folder(folder: Path) -> None:
    (folder / "a.jpg").write_bytes(b"x")
    with pytest.raises(BadSettings, match="not a folder"):
        next(changes([folder / "a.jpg"], Event()))
