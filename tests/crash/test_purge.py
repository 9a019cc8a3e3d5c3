"""What is purged is in no file of the library any more."""

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from api import compose
from api.auth import OWNER
from api.settings import Settings
from search import verification
from search.engine import Space
from search.engines.embedded.vectors import VectorIndex
from search.errors import BadSettings, NotFound
from search.library import CATALOG
from search.query import SearchRequest
from search.types import Leg

#: Words that stand nowhere but with what is purged.
WORDS = ("zorvanel", "quibbetry", "mastorune", "felvidane", "gronulop", "hesperine")


def picture(path: Path, seed: int) -> None:
    noise = np.random.default_rng(seed).integers(0, 255, (12, 16, 3), np.uint8)
    Image.fromarray(noise).resize((640, 480), Image.Resampling.BICUBIC).save(path, quality=90)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A library in which one picture has words of its own, indexed, described anew and indexed again; two are equal."""
    folder = tmp_path / "Pictures"
    folder.mkdir()
    for number, name in enumerate(("kept", "felvidane", "twin"), 1):
        picture(folder / f"{name}.jpg", number)
    (folder / "other-twin.jpg").write_bytes((folder / "twin.jpg").read_bytes())
    manifest = tmp_path / "Pictures" / "manifest.csv"
    settings = Settings(data_dir=str(tmp_path / "data"), default_licence=compose.facts.Licence.owned)
    for title in ("gronulop once", "zorvanel"):
        manifest.write_text(
            "path,id,title,description,keywords,grants\nkept.jpg,kept,Kept,Stays,stay,everyone=find\n"
            f"felvidane.jpg,gone,{title},A quibbetry,mastorune,user:hesperine=find\n"
            "twin.jpg,twin,Twin,,,everyone=find\n"
        )
        compose.index(settings, [folder], manifest)
    with compose.opened(settings) as opened:
        opened.library.catalog.audit("ann", "download", "gone")
    return settings


def contents(directory: Path) -> Iterator[tuple[Path, bytes]]:
    for path in directory.rglob("*"):
        if path.is_file():
            yield path, path.read_bytes()


def traces(settings: Settings) -> dict[str, bytes]:
    """What the library has of the picture: words, previews, vectors as they were made, and as they are indexed."""
    directory = Path(settings.data_dir)
    made = {word: word.encode() for word in WORDS}
    with compose.opened(settings) as opened:
        asset = opened.library.catalog.asset("gone")
        assert asset
        preview = opened.library.renditions.preview(asset.content_hash, 256).read_bytes()
        made["preview"] = preview[len(preview) // 2 :][:48]
    for space in Space:
        index = VectorIndex.open(next(directory.glob(f"generations/*2/*/{space}")))
        (row,) = np.flatnonzero(index._assets == asset.ordinal)
        made[f"row of {space}"] = index._rows._high[row].tobytes()[:64]
    with closing(sqlite3.connect(directory / CATALOG)) as connection:
        rows = connection.execute(
            "SELECT vector FROM embeddings JOIN segments ON embedding_key = embeddings.content_hash "
            "JOIN assets ON assets.ordinal = segments.asset WHERE assets.id = 'gone'"
        ).fetchall()
    assert len(rows) >= 2
    made |= {f"vector {number}": vector[256:320] for number, (vector,) in enumerate(rows)}
    return made


def found_in(settings: Settings, made: dict[str, bytes]) -> set[str]:
    return {name for name, trace in made.items() for _, held in contents(Path(settings.data_dir)) if trace in held}


def test_what_is_purged_is_in_no_file(settings: Settings, tmp_path: Path) -> None:
    made = traces(settings)
    assert found_in(settings, made) >= made.keys() - {"gronulop"}
    with pytest.raises(BadSettings, match="still there"):
        compose.purge(settings, ["gone"])
    (tmp_path / "Pictures" / "felvidane.jpg").unlink()
    with pytest.raises(NotFound):
        compose.purge(settings, ["gone", "no-such"])
    assert found_in(settings, made) >= made.keys() - {"gronulop"}, "all or nothing"
    compose.purge(settings, ["gone"])
    assert found_in(settings, made) == set()
    with compose.opened(settings) as opened:
        hits = opened.searcher.search(OWNER.principal, SearchRequest(limit=10)).hits
        assert {hit.asset.id for hit in hits} >= {"kept", "twin"} and len(hits) == 3
        (first, *_) = opened.searcher.search(OWNER.principal, SearchRequest(text="kept stays")).hits
        assert first.asset.id == "kept" and Leg.keyword in {why.leg for why in first.why}
        said = [entry.action for entry in opened.library.catalog.audit_entries() if entry.asset == "gone"]
        assert said == ["download", "purge"]
        assert list(verification.wrong(opened.library)) == []


def test_what_equal_files_share_stays_with_the_other(settings: Settings, tmp_path: Path) -> None:
    twin = tmp_path / "Pictures" / "twin.jpg"
    digest = hashlib.sha256(twin.read_bytes()).hexdigest()
    twin.unlink()
    compose.purge(settings, ["twin"])
    with compose.opened(settings) as opened:
        assert opened.library.renditions.preview(digest, 256).is_file()
        assert not opened.library.lacking(compose.model_ids(opened.models)), "its vector is still there"


def test_a_purge_that_was_interrupted_is_finished(settings: Settings, tmp_path: Path) -> None:
    made = traces(settings)
    (tmp_path / "Pictures" / "felvidane.jpg").unlink()
    with compose.opened(settings) as opened:
        opened.library.catalog.purge(["gone"], by="ann")
    assert found_in(settings, made), "previews and indexes are left"
    compose.purge(settings, [])
    assert found_in(settings, made) == set()
