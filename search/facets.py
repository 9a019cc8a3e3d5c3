"""What an answer counts: how many assets each value of each facet would leave, and how many a usage rules out.

Everything is counted within the scope, so nothing outside it shows in a number.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from pyroaring import BitMap

from search.columns import FACETS, Columns
from search.policy import Scope
from search.query import Query, created_days
from search.types import Filters, NotClearedCount

#: Values shown of a facet, the most frequent first.
VALUES: Final = 50


def picked(columns: Columns, filters: Filters, scope: Scope) -> dict[str, BitMap]:
    """Of each facet that is filtered by, and of the days of `created`, the assets that it lets through."""
    chosen: dict[str, Sequence[object]] = {
        "type": filters.type,
        "collection": filters.collection,
        "keyword": filters.keyword,
        "orientation": filters.orientation,
        "status": filters.status,
        "aiGenerated": () if filters.ai_generated is None else (str(filters.ai_generated).lower(),),
    }
    picked = {facet: columns.any_of(facet, values) for facet, values in chosen.items() if values}
    if filters.status:
        picked["status"] &= scope.reviewable
    first, last = created_days(filters)
    if first or last:
        picked["created"] = columns.having_day("created") - columns.dated("created", before=first, after=last)
    return picked


def matching(scope: Scope, picked: Mapping[str, BitMap], skip: str = "") -> Scope:
    """The scope less what the picked facets do not let through, `skip` not counted."""
    for facet, assets in picked.items():
        if facet != skip:
            scope = scope.narrowed(assets)
    return scope


def counts(columns: Columns, query: Query, found: Scope, picked: Mapping[str, BitMap]) -> dict[str, dict[str, int]]:
    """How many assets each value of each facet would leave, the other facets as picked."""

    def counted(facet: str) -> Scope:
        scope = matching(found, picked, skip=facet)
        return scope.narrowed(scope.cleared) if query.usage and not query.include_not_cleared else scope

    scopes = {facet: counted(facet) for facet in ("", *picked)}  # facets that are not picked count in one scope
    facets = {}
    for facet in FACETS:
        scope = scopes.get(facet, scopes[""])
        if facet == "status":
            scope = scope.narrowed(scope.reviewable)
        facets[facet] = dict(columns.most_frequent(facet, scope, VALUES))
    if not facets["status"]:
        del facets["status"]
    return facets


def not_cleared(scope: Scope) -> NotClearedCount:
    blocked = scope.narrowed(scope.assets - scope.cleared)
    counts = {reason.value: len(assets) for reason, assets in blocked.by_reason.items() if assets}
    return NotClearedCount(len(blocked), counts)
