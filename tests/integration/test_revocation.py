"""Expiry and revocation hold from the next request on, whatever an index was built from."""

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime

import msgspec
import pytest

from api import compose
from api.demo import LIBRARY
from api.settings import Settings
from search.errors import NotFound
from search.query import SearchRequest
from search.searcher import Searcher
from search.types import Principal

ANN = Principal("ann", frozenset({"marketing"}))


class Clock(msgspec.Struct):
    """A moment that a test moves."""

    now: datetime

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[compose.Opened]:
    folder = tmp_path_factory.mktemp("revocation") / "Brand"
    folder.mkdir()
    for name in ("espresso-cup", "eiffel-tower"):
        shutil.copy(LIBRARY / f"photos/{name}.jpg", folder)
    manifest = folder / "manifest.csv"
    manifest.write_text(
        "path,id,licence,valid_from,valid_until\n"
        "espresso-cup.jpg,cup,owned,2026-12-01,2026-12-24\neiffel-tower.jpg,tower,owned,,\n"
    )
    settings = Settings(data_dir=str(folder.parent / "data"), time_zone="Europe/Berlin")
    grants = {"Brand": ["group:marketing=find,use"]}
    compose.index(settings, [folder], manifest, collection_grants=grants)
    with compose.opened(settings) as library:
        yield library


@pytest.fixture
def clock() -> Clock:
    return Clock(datetime(2026, 12, 10, tzinfo=UTC))


@pytest.fixture
def searcher(opened: compose.Opened, clock: Clock) -> Searcher:
    gate = compose.policy.Settings("Europe/Berlin")
    return Searcher(opened.library.catalog, opened.engine, opened.models, opened.library.renditions, gate, clock=clock)


def found(searcher: Searcher, text: str = "") -> set[str]:
    return {hit.asset.id for hit in searcher.search(ANN, SearchRequest(text=text)).hits}


@pytest.mark.parametrize(
    ("moment", "there"),
    [
        ("2026-11-30T22:59:59", False),
        ("2026-11-30T23:00:00", True),  # midnight in Berlin
        ("2026-12-24T22:59:59", True),
        ("2026-12-24T23:00:00", False),
    ],
)
def test_days_begin_and_end_in_the_library_s_time_zone(
    searcher: Searcher, clock: Clock, moment: str, there: bool
) -> None:
    clock.now = datetime.fromisoformat(moment).replace(tzinfo=UTC)
    assert ("cup" in found(searcher)) == there
    assert ("cup" in found(searcher, "coffee")) == there
    if not there:
        with pytest.raises(NotFound):
            searcher.view(ANN, "cup")
        with pytest.raises(NotFound):
            searcher.preview(ANN, "cup", 256)


def test_a_grant_that_is_taken_back_is_gone_at_once(searcher: Searcher, opened: compose.Opened) -> None:
    assert found(searcher) == {"cup", "tower"}
    compose.grant_collection(opened.library, "Brand", ["group:marketing=find,use", "-user:ann=find"])
    assert found(searcher, "coffee") == set()
    assert searcher.search(ANN, SearchRequest()).total == 0
    assert searcher.suggest(ANN, "e") == []
    with pytest.raises(NotFound):
        searcher.original(ANN, "tower", None)
    compose.grant_collection(opened.library, "Brand", ["group:marketing=find,use"])
    assert found(searcher) == {"cup", "tower"}


def test_a_download_is_in_the_audit_log_and_the_chain_holds(searcher: Searcher, opened: compose.Opened) -> None:
    searcher.original(ANN, "tower", None)
    assert opened.library.catalog.first_broken_audit_line() is None
