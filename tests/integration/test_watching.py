"""`loupe index --watch` as a process of its own: a folder changes, and the library follows."""

import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from api import compose
from api.auth import OWNER
from api.demo import LIBRARY
from api.settings import Settings
from search.catalog import Catalog
from search.library import CATALOG, Library
from search.query import SearchRequest

pytestmark = pytest.mark.long

PHOTOS = LIBRARY / "photos"

Wait = Callable[..., dict[str, Any]]


@contextmanager
def watching(*arguments: str | Path) -> Iterator[tuple[subprocess.Popen[str], Wait]]:
    """A watcher, and what waits for the next line of an event that has these values."""
    command = [sys.executable, "-m", "api", "index", "--watch", "--json", *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout

        def wait(event: str, **values: object) -> dict[str, Any]:
            assert process.stdout
            for line in process.stdout:
                said: dict[str, Any] = msgspec.json.decode(line)
                if said["event"] == event and values.items() <= said.items():
                    return said
            raise AssertionError(f"It ended before {event} {values}.")

        try:
            yield process, wait
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=60) == 0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "pictures"
    made.mkdir()
    shutil.copy(PHOTOS / "espresso-cup.jpg", made)
    return made


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=str(tmp_path / "data"))


def ids(settings: Settings) -> dict[str, str]:
    """The name of the file of each asset that is there, to its id."""
    with closing(Catalog.at(Path(settings.data_dir) / CATALOG)) as catalog:
        return {Path(asset.path).name: asset.id for asset in catalog.every_asset()}


def found(settings: Settings, text: str) -> list[str]:
    with compose.opened(settings) as opened:
        page = opened.searcher.search(OWNER.principal, SearchRequest(text=text, limit=100))
    return [Path(hit.asset.path).name for hit in page.hits]


def test_a_library_keeps_in_step(folder: Path, settings: Settings) -> None:
    with watching(folder, "--data-dir", settings.data_dir) as (_, wait):
        wait("done", indexed=1)
        wait("watching")
        shutil.copy(PHOTOS / "scarlet-macaw.jpg", folder)
        wait("done", indexed=1)
        first = ids(settings)
        assert first.keys() == {"espresso-cup.jpg", "scarlet-macaw.jpg"}

        (folder / "birds").mkdir()
        (folder / "scarlet-macaw.jpg").rename(folder / "birds" / "macaw.jpg")
        wait("done", indexed=1, vanished=0)
        assert ids(settings)["macaw.jpg"] == first["scarlet-macaw.jpg"]

        (folder / "birds").rename(folder / "animals")
        wait("done", indexed=1, vanished=0)
        assert ids(settings)["macaw.jpg"] == first["scarlet-macaw.jpg"]

        shutil.copy(PHOTOS / "koala-in-tree.jpg", folder / "espresso-cup.jpg")
        wait("done", indexed=1, vanished=0)
        assert ids(settings)["espresso-cup.jpg"] == first["espresso-cup.jpg"]

        (folder / "espresso-cup.json").write_text('{"title": "Zwieback"}')
        wait("done", indexed=1, vanished=0)

        (folder / "animals" / "macaw.jpg").unlink()
        wait("done", indexed=0, vanished=1)
        shutil.copy(PHOTOS / "scarlet-macaw.jpg", folder / "back-again.jpg")
        wait("done", indexed=1)
        assert ids(settings)["back-again.jpg"] == first["scarlet-macaw.jpg"], "it stays what it was"

        (folder / "broken.jpg").write_bytes(b"This is no picture.")
        assert wait("setAside")["path"].endswith("broken.jpg")
    assert found(settings, "zwieback")[0] == "espresso-cup.jpg"
    assert set(found(settings, "")) == {"espresso-cup.jpg", "back-again.jpg"}


def test_a_manifest_that_changes_is_obeyed_and_another_writer_waited_for(folder: Path, settings: Settings) -> None:
    manifest = folder / "manifest.csv"
    manifest.write_text("path,title\nespresso-cup.jpg,Espresso\n")
    with watching("--manifest", manifest, "--data-dir", settings.data_dir) as (_, wait):
        wait("watching")
        manifest.write_text("path,title,status\nespresso-cup.jpg,Espresso,unheard-of\n")
        assert "unheard-of" in wait("done")["problems"][0]
        with closing(Library(Path(settings.data_dir))) as library, library.writer():
            manifest.write_text("path,title\nespresso-cup.jpg,Zwieback\n")
            shutil.copy(PHOTOS / "scarlet-macaw.jpg", folder)
            assert wait("failed")["code"] == "library-busy"
        wait("done", indexed=2, problems=[])
    assert found(settings, "zwieback")[0] == "espresso-cup.jpg"
    assert "scarlet-macaw.jpg" in ids(settings)
