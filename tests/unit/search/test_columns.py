"""Facets, counts, days, suggestions and what is kept up to date are those of counting asset by asset."""

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroaring import BitMap

from search import counting
from search.bitmaps import Key
from search.catalog import Catalog
from search.columns import FACETS, Columns, Facts, GrantKey
from search.ragged import TOLD
from search.texts import Texts, folded
from search.types import Action, Asset, Channel, Grant, MediaType, ResourceKind, Rights, Status, SubjectKind
from tests.conftest import MakeIntake, everyone_may
from tests.unit.search.test_policy import an_asset

WORDS = ("sea", "Sea", "sea side", "harbour light", "light", "éclair", "o'clock", "straße")
DAY = date(2024, 2, 28)

#: Ordinals in several chunks, so that rows are put together across them.
ordinals = st.sampled_from([1, 2, 3, 65_535, 65_536, 65_537, 70_000, 200_000])
days = st.none() | st.sampled_from([date.min, date.max]) | st.integers(-3, 3).map(lambda n: DAY + timedelta(days=n))


@st.composite
def assets(draw: st.DrawFn) -> Asset:
    return an_asset(
        draw(ordinals),
        media_type=draw(st.sampled_from(MediaType)),
        collection=draw(st.sampled_from(["c", "d", "e"])),
        status=draw(st.sampled_from(Status)),
        title=" ".join(draw(st.lists(st.sampled_from(WORDS), max_size=2))),
        keywords=tuple(draw(st.lists(st.sampled_from(WORDS), max_size=4))),
        digital_source_type=draw(st.sampled_from(["", "trainedAlgorithmicMedia"])),
        width=draw(st.sampled_from([0, 100, 200])),
        height=draw(st.sampled_from([0, 100, 200])),
        created=draw(days),
        rights=Rights(valid_until=draw(days), channels=draw(st.sampled_from([(), (Channel.web, Channel.print)]))),
    )


class Among(NamedTuple):
    """Assets, as a scope holds them."""

    assets: BitMap
    key: Key

    @classmethod
    def of(cls, ordinals: Iterable[int]) -> "Among":
        assets = BitMap(ordinals)
        return cls(assets, Key(assets))


libraries = st.lists(assets(), max_size=12, unique_by=lambda asset: asset.ordinal)
scopes = st.frozensets(ordinals)


def values_of(asset: Asset, facet: str) -> Iterable[str]:
    return {
        "type": (asset.media_type.value,),
        "collection": (asset.collection,),
        "keyword": frozenset(asset.keywords),
        "orientation": (asset.orientation,) if asset.orientation else (),
        "aiGenerated": (str(asset.ai_generated).lower(),),
        "status": (asset.status.value,),
    }[facet]


def counted(library: list[Asset], facet: str, most: int) -> list[tuple[str, int]]:
    counts = Counter(value for asset in library for value in values_of(asset, facet))
    return sorted(counts.items(), key=lambda one: (-one[1], one[0]))[:most]


def begins(text: str, begun: str) -> bool:
    words = folded(text).split(" ")
    return any(" ".join(words[start:]).startswith(begun) for start in range(len(words)))


@contextmanager
def counting_by(price: float, met: int) -> Iterator[None]:
    """Whatever the size of a scope: what it costs to meet a bitmap, and how many are met at most."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(counting, "_PRICE", price)
        patch.setattr(counting, "_PRICE_OF_LISTS", price)
        patch.setattr(counting, "_MET", met)
        yield


#: Asset by asset; by bitmaps; by bitmaps until there are too many.
ways = st.sampled_from([(float("inf"), 1_024), (0.0, 1_024), (0.0, 1)])


@given(libraries, scopes, st.integers(1, 9), ways)
def test_counts_are_those_of_counting_asset_by_asset(
    library: list[Asset], scope: frozenset[int], most: int, way: tuple[float, int]
) -> None:
    columns = Columns().updated(put=library)
    inside = [asset for asset in library if asset.ordinal in scope]
    with counting_by(*way):
        for facet in FACETS:
            found = columns.most_frequent(facet, Among.of(a.ordinal for a in inside), most)
            assert found == counted(inside, facet, most)


@given(libraries, libraries, st.sampled_from([0, 128]))
def test_any_of_some_values_are_the_assets_that_have_one(before: list[Asset], after: list[Asset], most: int) -> None:
    columns = Columns().updated(put=before).updated(put=after)
    library = {asset.ordinal: asset for asset in (*before, *after)}.values()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(counting, "_UNITED", most)
        for column, wanted in {"collection": ("d", "no such", "c"), "keyword": ("sea", "light", "nowhere")}.items():
            having = {asset.ordinal for asset in library if not set(wanted).isdisjoint(values_of(asset, column))}
            assert set(columns.any_of(column, wanted)) == having


def test_any_of_thousands_of_collections_are_the_assets_in_one_of_them() -> None:
    """More of them than a byte and a bit tell apart, most of one asset."""
    library = [an_asset(ordinal, collection=f"c{ordinal // 2}") for ordinal in range(1, 2 * TOLD + 200)]
    columns = Columns().updated(put=library)
    wanted = [f"c{number}" for number in range(0, TOLD + 300, 3)]
    having = {asset.ordinal for asset in library if asset.collection in set(wanted)}

    assert set(columns.any_of("collection", wanted)) == having


@given(
    libraries, scopes, st.sampled_from(["s", "sea", "sea s", "li", "STRASS", "é", "o", "x"]), st.integers(1, 9), ways
)
def test_suggestions_are_those_of_looking_at_every_asset(
    library: list[Asset], scope: frozenset[int], begun: str, most: int, way: tuple[float, int]
) -> None:
    columns = Columns().updated(put=library)
    inside = {asset.ordinal: asset for asset in library if asset.ordinal in scope}
    all_counted = counted(list(inside.values()), "keyword", 99)
    keywords = [one for one in all_counted if begins(one[0], folded(begun))]
    with counting_by(*way):
        assert columns.keywords_beginning(begun, BitMap(inside), most) == keywords[:most]
    newest = {folded(inside[ordinal].title): ordinal for ordinal in sorted(inside)}
    titles = sorted((ordinal for title, ordinal in newest.items() if begins(title, folded(begun))), reverse=True)
    assert list(columns.titles_beginning(begun, BitMap(inside))) == titles


@given(libraries, days.filter(bool))
def test_days_are_compared_as_days_are(library: list[Asset], day: date) -> None:
    columns = Columns().updated(put=library)
    for column, read in {"created": lambda a: a.created, "valid_until": lambda a: a.rights.valid_until}.items():
        known = {asset.ordinal: read(asset) for asset in library if read(asset)}
        assert set(columns.having_day(column)) == known.keys()
        assert set(columns.dated(column, before=day)) == {ordinal for ordinal, its in known.items() if its < day}
        assert set(columns.dated(column, after=day)) == {ordinal for ordinal, its in known.items() if its > day}


@given(libraries, libraries, scopes, scopes)
def test_what_is_updated_is_as_what_is_made_anew(
    before: list[Asset], after: list[Asset], removed: frozenset[int], scope: frozenset[int]
) -> None:
    first = Columns().updated(put=before)
    moved = first.updated(put=after, removed=removed)
    left = {asset.ordinal: asset for asset in before if asset.ordinal not in removed}
    left |= {asset.ordinal: asset for asset in after}
    for state, library in ((first, before), (moved, list(left.values()))):
        fresh, inside = Columns().updated(put=library), BitMap(asset.ordinal for asset in library) & BitMap(scope)
        assert state.all == fresh.all
        for facet in FACETS:
            among = Among.of(inside)
            assert state.most_frequent(facet, among, 9) == fresh.most_frequent(facet, among, 9)
        for word in WORDS:
            assert state.of("keyword", word) == fresh.of("keyword", word)
            assert state.keywords_beginning(word, inside, 9) == fresh.keywords_beginning(word, inside, 9)
            assert list(state.titles_beginning(word, inside)) == list(fresh.titles_beginning(word, inside))
        for column in ("created", "valid_until"):
            assert state.having_day(column) == fresh.having_day(column)
            assert state.dated(column, before=DAY) == fresh.dated(column, before=DAY)


def test_grants_of_collections_hold_for_what_is_in_them() -> None:
    """Whether the grant or the asset came first, and for what moved to another collection."""
    find, use = everyone_may("c", Action.find, Action.use)
    first = Columns().updated(put=[an_asset(1)], collection_grants={"c": (find,), "d": (use,)})
    grown = first.updated(put=[an_asset(2), an_asset(3, collection="d")])
    keys = [GrantKey.of(grant) for grant in (find, use)]
    assert [list(grown.of("collection_grant", key)) for key in keys] == [[1, 2], [3]]
    moved = grown.updated(put=[an_asset(1, collection="d")], collection_grants={"c": (find, use), "d": (use,)})
    assert [list(moved.of("collection_grant", key)) for key in keys] == [[2], [1, 2, 3]]
    assert [list(grown.of("collection_grant", key)) for key in keys] == [[1, 2], [3]]


def test_the_catalog_tells_the_same_facts_as_its_assets(catalog: Catalog, make_intake: MakeIntake) -> None:
    own = Grant(ResourceKind.asset, "a", SubjectKind.group, "red", Action.find, allow=False)
    rights = Rights(valid_from=DAY, territories=("DE", "AT"), channels=(Channel.web,))
    intakes = [
        make_intake("a", keywords=("sea", "straße", "sea"), grants=(own,), created=DAY, sensitive=True, title="One"),
        make_intake("b", rights=rights, width=3, height=2, status=Status.draft, collection="closed"),
        make_intake("gone"),
    ]
    catalog.take_in(intakes, by="test")
    catalog.mark_vanished(["/library/gone.jpg"])
    catalog.grant_collection("open", everyone_may("open", Action.find))
    expected = plain(Facts.of(catalog.every_asset()))
    assert expected["ordinal"] == [1, 2]
    assert [plain(part) for part in catalog.facts()] == [expected]
    assert [plain(part) for part in catalog.facts([99, 3, 2, 1])] == [expected]


def plain(facts: Facts) -> dict[str, list[object]]:
    """The facts without regard to what holds them, and of grants only those on assets."""
    listed = {field: list(getattr(facts, field)) for field in facts.__struct_fields__}
    return listed | {
        "keywords": [sorted(set(keywords)) for keywords in facts.keywords],
        "grants": [[g for g in grants if g.resource_kind is ResourceKind.asset] for grants in facts.grants],
    }


def test_many_same_titles_are_looked_through_once() -> None:
    """As in an archive whose files all bear one name, but for a few."""
    titles = ["Untitled"] * 70_000
    titles[5], titles[66_000] = "Unter den Linden", "The unknown"
    numbers = np.arange(len(titles))
    texts = Texts().replaced(BitMap(range(len(titles))), numbers, titles)
    assert list(texts.distinct("un", BitMap(range(len(titles))))) == [69_999, 66_000, 5]
    assert list(texts.distinct("un", BitMap([3, 5]))) == [5, 3]
