"""Browsing and suggestions: in the right order, each once, up to date, and from what the person may find."""

from collections.abc import Callable
from pathlib import Path

import pytest

from search.catalog import Catalog
from search.embedding import Models
from search.engines.embedded import EmbeddedEngine
from search.query import SearchRequest
from search.renditions import RenditionStore
from search.searcher import Searcher
from search.types import Action, Filters, MediaType, Principal, Status
from tests.conftest import NOW, MakeIntake, everyone_may

ANN = Principal("ann")


@pytest.fixture
def searcher(tmp_path: Path, catalog: Catalog, models: Models) -> Searcher:
    """Over a catalog in which everyone signed in finds what is in the collection "open"."""
    catalog.grant_collection("open", everyone_may("open", Action.find, Action.use))
    engine = EmbeddedEngine(tmp_path / "generations", {})
    return Searcher(catalog, engine, models, RenditionStore(tmp_path / "renditions"), clock=lambda: NOW)


@pytest.fixture
def put(catalog: Catalog, make_intake: MakeIntake) -> Callable[..., None]:
    def put(name: str, **said: object) -> None:
        catalog.take_in([make_intake(name, **said)], by="test")

    return put


def suggested(searcher: Searcher, text: str, limit: int = 8) -> list[tuple[str, str]]:
    return [(one.kind, one.text) for one in searcher.suggest(ANN, text, limit)]


def test_browsing_goes_from_the_newest_to_the_oldest(searcher: Searcher, put: Callable[..., None]) -> None:
    for number in range(7):
        put(f"a{number}", collection="open" if number != 3 else "closed")
    found, cursor = [], None
    while True:
        page = searcher.search(ANN, SearchRequest(limit=2, cursor=cursor))
        found += [hit.asset.id for hit in page.hits]
        if (cursor := page.next_cursor) is None:
            break
    assert found == ["a6", "a5", "a4", "a2", "a1", "a0"]
    assert page.total == 6


def test_facets_count_what_the_other_facets_leave(searcher: Searcher, put: Callable[..., None]) -> None:
    put("a", keywords=("sea", "sand"))
    put("b", keywords=("sea",), media_type=MediaType.video)
    put("c", keywords=("sand",), media_type=MediaType.video)
    put("draft", keywords=("sea",), status=Status.draft)
    page = searcher.search(ANN, SearchRequest(filters=Filters(type=(MediaType.video,), keyword=("sea",))))
    assert [hit.asset.id for hit in page.hits] == ["b"]
    assert page.facets["type"] == {"image": 1, "video": 1}
    assert page.facets["keyword"] == {"sand": 1, "sea": 1}
    assert page.facets["collection"] == {"open": 1}
    assert "status" not in page.facets


def test_keywords_are_suggested_by_how_many_assets_have_them_then_titles_newest_first(
    searcher: Searcher, put: Callable[..., None]
) -> None:
    put("a", keywords=("sea", "seal"), title="Seaside")
    put("b", keywords=("Sea", "seal"), title="By the sea")
    put("c", keywords=("Sea", "seal"), title="SEASIDE")
    put("d", keywords=("seagull", "south sea"), title="A  Seal")
    hidden = {"collection": "closed", "keywords": ("seabed",), "title": "Search me"}
    put("e", **hidden)
    keywords = [("keyword", word) for word in ("seal", "Sea", "seagull", "south sea")]
    titles = [("title", title) for title in ("A  Seal", "SEASIDE", "By the sea")]
    assert suggested(searcher, "SEA") == [*keywords, *titles]
    assert suggested(searcher, "sea", limit=5) == [*keywords, titles[0]]
    assert suggested(searcher, " a sea") == [titles[0]]
    assert suggested(searcher, "the  s") == [titles[2]]
    assert suggested(searcher, "ea") == suggested(searcher, " ") == []


def test_suggestions_follow_the_catalog(searcher: Searcher, put: Callable[..., None], catalog: Catalog) -> None:
    put("a", keywords=("harbour",), title="Hamburg")
    assert suggested(searcher, "ha") == [("keyword", "harbour"), ("title", "Hamburg")]
    put("a", keywords=("harvest",), title="Halle")
    assert suggested(searcher, "ha") == [("keyword", "harvest"), ("title", "Halle")]
    put("b", keywords=("harvest", "hay"))
    assert suggested(searcher, "ha") == [("keyword", "harvest"), ("keyword", "hay"), ("title", "Halle")]
    catalog.mark_vanished(["/library/a.jpg"])
    assert suggested(searcher, "ha") == [("keyword", "harvest"), ("keyword", "hay")]
    catalog.grant_collection("open", ())
    assert suggested(searcher, "ha") == []
