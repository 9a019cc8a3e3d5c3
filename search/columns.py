"""What is known of every asset, column by column, as roaring bitmaps over asset ordinals.

Useful for: combining facts about all assets at once (scopes, facets, counts) in microseconds.
Not useful for: reading one asset (that is the catalog), ranking (that is the engine).

A `Columns` never changes once made: `updated` returns a new one that shares every bitmap the change did not touch,
so a search in flight keeps a consistent view while the catalog moves on.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import date

import msgspec
from pyroaring import BitMap

from search.types import Asset, Grant, Release, ResourceKind

BLOCKING_RELEASES = frozenset({Release.missing, Release.unknown})

#: The columns a person may filter and count by, as they are called over HTTP.
FACETS = ("type", "collection", "keyword", "orientation", "aiGenerated", "status")


class GrantKey(msgspec.Struct, frozen=True):
    """A grant without its resource: what bitmaps of asset-level grants are filed under."""

    subject: str
    action: str
    allow: bool

    @classmethod
    def of(cls, grant: Grant) -> "GrantKey":
        return cls(f"{grant.subject_kind.value}:{grant.subject}", grant.action.value, grant.allow)


def _facts(asset: Asset) -> Iterator[tuple[str, object]]:
    """The (column, value) pairs that hold for one asset."""
    rights = asset.rights
    yield "all", True
    yield "type", asset.media_type.value
    yield "collection", asset.collection
    yield "status", asset.status.value
    yield "aiGenerated", "true" if asset.ai_generated else "false"
    yield "licence", rights.licence.value
    if asset.title:
        yield "title", asset.title
    if asset.orientation:
        yield "orientation", asset.orientation
    if asset.sensitive:
        yield "sensitive", True
    if {rights.model_release, rights.property_release} & BLOCKING_RELEASES:
        yield "release_blocked", True
    for day in ("valid_from", "valid_until"):
        if (value := getattr(rights, day)) is not None:
            yield day, value
    if asset.created is not None:
        yield "created", asset.created
    yield from (("keyword", keyword) for keyword in asset.keywords)
    yield from (("channel", channel) for channel in rights.channels or ("any",))
    yield from (("territory", code) for code in rights.territories or ("any",))
    yield from (("excluded_territory", code) for code in rights.excluded_territories)
    yield from (("grant", GrantKey.of(grant)) for grant in asset.grants if grant.resource_kind is ResourceKind.asset)


class Columns:
    """An immutable set of bitmaps, `column -> value -> ordinals`, and the grants of each collection."""

    def __init__(self) -> None:
        self._columns: dict[str, dict[object, BitMap]] = {}
        self._facts: dict[int, tuple[tuple[str, object], ...]] = {}
        self.collection_grants: Mapping[str, tuple[Grant, ...]] = {}

    def updated(
        self,
        *,
        put: Iterable[Asset] = (),
        removed: Iterable[int] = (),
        collection_grants: Mapping[str, tuple[Grant, ...]] | None = None,
    ) -> "Columns":
        """A copy in which `put` replaces the assets of the same ordinal and `removed` ordinals are gone."""
        new = Columns()
        new._columns = {column: dict(values) for column, values in self._columns.items()}
        new._facts = dict(self._facts)
        new.collection_grants = self.collection_grants if collection_grants is None else dict(collection_grants)
        added: dict[tuple[str, object], list[int]] = {}
        gone: dict[tuple[str, object], list[int]] = {}
        for ordinal in removed:
            for fact in new._facts.pop(ordinal, ()):
                gone.setdefault(fact, []).append(ordinal)
        for asset in put:
            for fact in new._facts.pop(asset.ordinal, ()):
                gone.setdefault(fact, []).append(asset.ordinal)
            new._facts[asset.ordinal] = facts = tuple(_facts(asset))
            for fact in facts:
                added.setdefault(fact, []).append(asset.ordinal)
        for fact in added.keys() | gone.keys():
            new._replace(fact, BitMap(gone.get(fact, ())), BitMap(added.get(fact, ())))
        return new

    def _replace(self, fact: tuple[str, object], gone: BitMap, added: BitMap) -> None:
        column, value = fact
        values = self._columns.setdefault(column, {})
        changed = (values.get(value, BitMap()) - gone) | added
        if changed:
            values[value] = changed
        else:
            values.pop(value, None)

    @property
    def all(self) -> BitMap:
        """Every asset there is."""
        return self.of("all", True)

    def of(self, column: str, value: object) -> BitMap:
        """The assets for which the column holds the value. Do not modify the answer."""
        return self._columns.get(column, {}).get(value) or BitMap()

    def values(self, column: str) -> Mapping[object, BitMap]:
        """Every value of a column with its assets. Do not modify the answer."""
        return self._columns.get(column, {})

    def any_of(self, column: str, values: Iterable[object]) -> BitMap:
        """The assets for which the column holds at least one of the values."""
        return BitMap.union(BitMap(), *(self.of(column, value) for value in values))

    def dated(self, column: str, *, before: date | None = None, after: date | None = None) -> BitMap:
        """The assets whose day in the column lies strictly before, or strictly after, the given day."""
        days = self._columns.get(column, {})
        return BitMap.union(
            BitMap(),
            *(
                assets
                for day, assets in days.items()
                if isinstance(day, date)
                and ((before is not None and day < before) or (after is not None and day > after))
            ),
        )
