"""What is known of every asset, column by column, as roaring bitmaps over asset ordinals.

Useful for: combining facts about all assets at once (scopes, facets, counts, suggestions) in milliseconds a million.
Not useful for: reading one asset (that is the catalog), ranking (that is the engine).

A `Columns` never changes once made: `updated` returns a new one that shares every part the change did not touch, so a
search in flight keeps a consistent view while the catalog moves on.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import date
from functools import partial
from itertools import chain
from typing import Final, Protocol, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from search.bitmaps import Key, as_array, as_bitmap
from search.counting import Count, Counted, Held, assets_of, best, places_of
from search.days import Days
from search.kept import Kept
from search.texts import Texts, folded
from search.types import AI_SOURCE_TYPES, Asset, Grant, Release, ResourceKind, orientation

BLOCKING_RELEASES = frozenset({Release.missing, Release.unknown})

#: The columns a person may filter and count by, as they are called over HTTP.
FACETS = ("type", "collection", "keyword", "orientation", "aiGenerated", "status")

#: Columns of so many values that they are also kept by asset, to be counted.
_COUNTED: Final = ("collection", "keyword")

#: Scopes whose counts are kept.
_KEPT: Final = 64

T = TypeVar("T")

_DAYS: Final = ("created", "valid_from", "valid_until")


class Among(Protocol):
    """Assets to count among, and what tells them from others: a `Scope` of `search.policy`."""

    @property
    def assets(self) -> BitMap: ...

    @property
    def key(self) -> Key: ...


class GrantKey(msgspec.Struct, frozen=True, gc=False):
    """A grant without its resource: what bitmaps of grants are filed under."""

    subject: str
    action: str
    allow: bool

    @classmethod
    def of(cls, grant: Grant) -> "GrantKey":
        return cls(cls.subject_of(grant), grant.action.value, grant.allow)

    @staticmethod
    def subject_of(grant: Grant) -> str:
        return f"{grant.subject_kind}:{grant.subject}"


class Facts(msgspec.Struct, frozen=True):
    """What bears on scopes, facets and suggestions of some assets, field by field: one entry an asset in each.

    The fields are those of `Asset` and its `Rights`; of `grants` only those on the asset itself count.
    """

    ordinal: Sequence[int]
    media_type: Sequence[str]
    collection: Sequence[str]
    status: Sequence[str]
    sensitive: Sequence[bool]
    digital_source_type: Sequence[str]
    width: Sequence[int]
    height: Sequence[int]
    title: Sequence[str]
    keywords: Sequence[Collection[str]]
    created: Sequence[date | None]
    licence: Sequence[str]
    valid_from: Sequence[date | None]
    valid_until: Sequence[date | None]
    territories: Sequence[Collection[str]]
    excluded_territories: Sequence[Collection[str]]
    channels: Sequence[Collection[str]]
    model_release: Sequence[str]
    property_release: Sequence[str]
    grants: Sequence[Collection[Grant]]

    @classmethod
    def of(cls, assets: Iterable[Asset]) -> "Facts":
        listed = sorted(assets, key=lambda asset: asset.ordinal)
        fields = cls.__struct_fields__
        return cls(*([getattr(a if hasattr(a, field) else a.rights, field) for a in listed] for field in fields))


def _single(facts: Facts) -> Iterator[tuple[str, Sequence[object]]]:
    """The columns in which an asset has one value at most (None: it has none), each with that of every asset."""
    yield "all", [True] * len(facts.ordinal)
    yield "type", facts.media_type
    yield "status", facts.status
    yield "licence", facts.licence
    yield "aiGenerated", ["true" if source in AI_SOURCE_TYPES else "false" for source in facts.digital_source_type]
    shapes = {sides: orientation(*sides) or None for sides in set(zip(facts.width, facts.height, strict=True))}
    yield "orientation", [shapes[sides] for sides in zip(facts.width, facts.height, strict=True)]
    yield "sensitive", [sensitive or None for sensitive in facts.sensitive]
    releases = zip(facts.model_release, facts.property_release, strict=True)
    yield "release_blocked", [not BLOCKING_RELEASES.isdisjoint(pair) or None for pair in releases]


def _several(facts: Facts) -> Iterator[tuple[str, Sequence[tuple[object, ...]]]]:
    """The columns in which an asset may have several values, the same ones as many others."""
    yield "channel", [tuple(channels) or ("any",) for channels in facts.channels]
    yield "territory", [tuple(codes) or ("any",) for codes in facts.territories]
    yield "excluded_territory", list(map(tuple, facts.excluded_territories))
    own = ((grant for grant in grants if grant.resource_kind is ResourceKind.asset) for grants in facts.grants)
    yield "grant", [tuple(map(GrantKey.of, grants)) for grants in own]


_Bitmaps = dict[object, BitMap]


def _bitmaps(facts: Facts, assets: NDArray[np.int64]) -> Iterator[tuple[str, _Bitmaps]]:
    """The columns that are not counted, each with the bitmaps that some facts make."""
    for column, values in _single(facts):
        yield column, {value: as_bitmap(assets[places]) for value, places in _places(values) if value is not None}
    for column, lists in _several(facts):
        made: _Bitmaps = {}
        for listed, places in _places(lists):
            for value in listed:
                _join(made, value, as_bitmap(assets[places]))
        yield column, made


def _join(bitmaps: _Bitmaps, value: object, assets: BitMap) -> None:
    bitmaps[value] = bitmaps[value] | assets if value in bitmaps else assets


def _places(values: Sequence[T]) -> Iterator[tuple[T, NDArray[np.int64]]]:
    """Each distinct value with the places at which it stands, ascending."""
    distinct = list(dict.fromkeys(values))
    numbers = {value: number for number, value in enumerate(distinct)}
    each = np.fromiter(map(numbers.__getitem__, values), np.int32, len(values))
    return ((distinct[number], places) for number, places in places_of(each))


class Columns:
    """Bitmaps by column and value; beside them, by asset, days, values that are counted, and titles."""

    def __init__(self) -> None:
        self._columns: dict[str, _Bitmaps] = {}
        self._days = {column: Days() for column in _DAYS}
        self._counted = {column: Counted.empty() for column in _COUNTED}
        self._keywords = Texts()
        self._titles = Texts()
        self.collection_grants: Mapping[str, tuple[Grant, ...]] = {}
        self._most_frequent: Kept[dict[tuple[str, int], list[Count]]] = Kept(_KEPT)

    # ---- becoming

    def updated(
        self,
        *,
        put: Iterable[Asset] = (),
        facts: Iterable[Facts] = (),
        removed: Iterable[int] = (),
        collection_grants: Mapping[str, tuple[Grant, ...]] | None = None,
    ) -> "Columns":
        """A copy in which the assets that are `put`, or that `facts` tell of, each once, replace those of the same
        ordinal, and `removed` ordinals are gone."""
        new = Columns()
        new._columns = dict(self._columns)
        new._days = dict(self._days)
        new._counted = dict(self._counted)
        new._keywords = self._keywords
        new._titles = self._titles
        new.collection_grants = self.collection_grants
        touched = BitMap(removed)
        learned: dict[str, list[Held]] = {column: [] for column in _COUNTED}
        new._replace(touched, Facts.of(()), learned)
        for part in chain([Facts.of(put)], facts):
            there = BitMap(part.ordinal)
            new._replace(there, part, learned)
            touched |= there
        new._lay(self, touched, learned)
        if collection_grants is not None:
            new._grant(dict(collection_grants))
        return new

    def _replace(self, touched: BitMap, facts: Facts, learned: Mapping[str, list[Held]]) -> None:
        """Forget what is known of the touched assets, and learn the facts, which are of some of them, ascending."""
        if not touched:
            return
        assets = np.asarray(facts.ordinal, np.int64)
        for column, bitmaps in _bitmaps(facts, assets):
            before = self._columns.get(column, {})
            self._columns[column] = _laid(before, before, touched, bitmaps)
        for column, days in self._days.items():
            numbers = np.array([day.toordinal() if day else 0 for day in getattr(facts, column)], np.int64)
            self._days[column] = days.replaced(touched, assets[numbers > 0], numbers[numbers > 0])
        self._titles = self._titles.replaced(touched, assets, facts.title)
        for column, lists in (("collection", [(one,) for one in facts.collection]), ("keyword", facts.keywords)):
            learned[column].append(self._counted[column].values.held(assets, lists))
            self._counted[column] = self._counted[column].replaced(touched, learned[column][-1])

    def _lay(self, before: "Columns", touched: BitMap, learned: Mapping[str, Sequence[Held]]) -> None:
        """Bring the bitmaps of the counted columns up to date, all parts at once: most values are in many of them."""
        if not touched:
            return
        for column, counted in self._counted.items():
            names = counted.values.names
            new: _Bitmaps = {names[number]: assets for number, assets in assets_of(learned[column])}
            held = before._counted[column].held_by(touched)
            self._columns[column] = _laid(before._columns.get(column, {}), held, touched, new)
            if column == "collection":
                self._inherit(before, touched, new)
        words, written = self._counted["keyword"].values.names, len(self._keywords)
        unwritten = BitMap(range(written, len(words)))
        self._keywords = self._keywords.replaced(unwritten, as_array(unwritten), words[written:])

    def _inherit(self, before: "Columns", touched: BitMap, collections: _Bitmaps) -> None:
        """Bring up to date which assets a grant reaches by their collection."""
        granted: _Bitmaps = {}
        for collection, assets in collections.items():
            for key in _keys(self.collection_grants.get(str(collection), ())):
                _join(granted, key, assets)
        known = before._columns.get("collection_grant", {})
        self._columns["collection_grant"] = _laid(known, known, touched, granted)

    def _grant(self, grants: Mapping[str, tuple[Grant, ...]]) -> None:
        """Have collections these grants and no others."""
        gone: dict[GrantKey, list[BitMap]] = {}
        come: dict[GrantKey, list[BitMap]] = {}
        for name in grants.keys() | self.collection_grants.keys():
            said, says = self.collection_grants.get(name, ()), grants.get(name, ())
            if said == says:
                continue
            before, now = _keys(said), _keys(says)
            for changed, keys in ((gone, before - now), (come, now - before)):
                for key in keys:
                    changed.setdefault(key, []).append(self.of("collection", name))
        bitmaps = dict(self._columns.get("collection_grant", {}))
        for key in gone.keys() | come.keys():
            left = bitmaps.get(key, BitMap()) - BitMap.union(BitMap(), *gone.get(key, ()))
            bitmaps[key] = BitMap.union(left, *come.get(key, ()))
        self._columns["collection_grant"] = bitmaps
        self.collection_grants = grants

    # ---- being read

    @property
    def all(self) -> BitMap:
        """Every asset there is."""
        return self.of("all", True)

    def of(self, column: str, value: object) -> BitMap:
        """The assets for which the column holds the value. Do not modify the answer."""
        return self._columns.get(column, {}).get(value) or BitMap()

    def any_of(self, column: str, values: Iterable[object]) -> BitMap:
        """The assets for which the column holds at least one of the values."""
        if column in self._counted:
            return self._counted[column].any_of([str(value) for value in values], partial(self.of, column))
        return BitMap.union(BitMap(), *(self.of(column, value) for value in values))

    def dated(self, column: str, *, before: date | None = None, after: date | None = None) -> BitMap:
        """The assets whose day in the column lies strictly before, or strictly after, the given day."""
        days = self._days[column]
        return (days.before(before) if before else BitMap()) | (days.after(after) if after else BitMap())

    def having_day(self, column: str) -> BitMap:
        """The assets that have a day in the column."""
        return self._days[column].known

    def most_frequent(self, column: str, scope: Among, most: int) -> list[Count]:
        """The values of a facet that most assets of the scope have, with their counts, equal ones by name.

        Kept for the scopes asked for last: pages are turned, and a person asks again with other words.
        """
        known = self._most_frequent.of(scope.key, dict)
        if (column, most) not in known:
            known[column, most] = self._counts(column, scope.assets, most)
        return known[column, most]

    def _counts(self, column: str, scope: BitMap, most: int) -> list[Count]:
        if column in self._counted:
            having = self._columns.get(column, {})
            return self._counted[column].most_frequent(most, scope, self.all, having.__getitem__)
        met = ((str(value), scope.intersection_cardinality(a)) for value, a in self._columns.get(column, {}).items())
        return best(most, met)

    def keywords_beginning(self, begun: str, scope: BitMap, most: int) -> list[Count]:
        """The same of the keywords in which a word begins with `begun`, case aside."""
        among = self._keywords.numbers(folded(begun))
        having = self._columns.get("keyword", {})
        return self._counted["keyword"].most_frequent(most, scope, self.all, having.__getitem__, among)

    def titles_beginning(self, begun: str, scope: BitMap) -> Iterator[int]:
        """The assets of the scope in whose title a word begins with `begun`, case aside: the newest of each title,
        newest first."""
        return self._titles.distinct(folded(begun), scope)


def _keys(grants: Iterable[Grant]) -> frozenset[GrantKey]:
    return frozenset(map(GrantKey.of, grants))


def _laid(before: _Bitmaps, held: Iterable[object], touched: BitMap, added: _Bitmaps) -> _Bitmaps:
    """The bitmaps less the touched assets, which may be in those of the values `held`, and with what was added."""
    laid = dict(before)
    for value in held:
        if before[value].intersect(touched):
            laid[value] = before[value] - touched
            if not laid[value]:
                del laid[value]
    for value, assets in added.items():
        _join(laid, value, assets)
    return laid
