"""What goes over HTTP: frozen structs in camelCase, and how they are made from the engine's."""

from collections.abc import Mapping
from datetime import date, datetime

import msgspec

from search.searcher import Suggestion, View
from search.types import (
    Asset,
    Channel,
    Clearance,
    Hit,
    Licence,
    MediaType,
    NotClearedCount,
    Page,
    Reason,
    Release,
    Segment,
    Status,
    Why,
)


class RightsOut(msgspec.Struct, frozen=True, rename="camel"):
    licence: Licence
    licence_url: str
    holder: str
    credit_line: str
    usage_terms: str
    source: str
    valid_from: date | None
    valid_until: date | None
    territories: tuple[str, ...]
    excluded_territories: tuple[str, ...]
    channels: tuple[Channel, ...]
    model_release: Release
    property_release: Release


class AssetOut(msgspec.Struct, frozen=True, rename="camel"):
    """An asset as its finder sees it. `status` is there for those who review it. No path, hash or vector leaves."""

    id: str
    title: str
    description: str
    alt_text: str
    keywords: tuple[str, ...]
    collection: str
    type: MediaType
    mime: str
    file_name: str
    width: int
    height: int
    duration: float | None
    pages: int | None
    orientation: str | None
    created: date | None
    added: datetime
    creator: str
    sensitive: bool
    byte_size: int
    digital_source_type: str
    ai_generated: bool
    rights: RightsOut
    has_preview: bool
    has_playback: bool
    may_use: bool
    status: Status | msgspec.UnsetType = msgspec.UNSET


class HitOut(msgspec.Struct, frozen=True, rename="camel"):
    asset: AssetOut
    relevance: float
    weak: bool
    clearance: Clearance
    why: tuple[Why, ...]


class PageOut(msgspec.Struct, frozen=True, rename="camel"):
    hits: tuple[HitOut, ...]
    total: int
    facets: Mapping[str, Mapping[str, int]]
    not_cleared: NotClearedCount
    next_cursor: str | None
    took_ms: int


class PassageOut(msgspec.Struct, frozen=True, rename="camel"):
    kind: str
    text: str
    start: float | None
    end: float | None
    page: int | None


class ViewOut(msgspec.Struct, frozen=True, rename="camel"):
    asset: AssetOut
    clearance: Clearance
    passages: tuple[PassageOut, ...]


class SuggestionsOut(msgspec.Struct, frozen=True, rename="camel"):
    suggestions: tuple[Suggestion, ...]


def asset_out(asset: Asset, clearance: Clearance, *, reviewable: bool) -> AssetOut:
    rights = {name: getattr(asset.rights, name) for name in RightsOut.__struct_fields__}
    return AssetOut(
        id=asset.id,
        title=asset.title,
        description=asset.description,
        alt_text=asset.alt_text,
        keywords=asset.keywords,
        collection=asset.collection,
        type=asset.media_type,
        mime=asset.mime,
        file_name=asset.file_name,
        width=asset.width,
        height=asset.height,
        duration=asset.duration,
        pages=asset.pages,
        orientation=asset.orientation or None,
        created=asset.created,
        added=asset.added,
        creator=asset.creator,
        sensitive=asset.sensitive,
        byte_size=asset.byte_size,
        digital_source_type=asset.digital_source_type,
        ai_generated=asset.ai_generated,
        rights=RightsOut(**rights),
        has_preview=asset.has_preview,
        has_playback=asset.has_playback,
        may_use=Reason.use_not_granted not in clearance.reasons,
        status=asset.status if reviewable else msgspec.UNSET,
    )


def _hit_out(hit: Hit) -> HitOut:
    asset = asset_out(hit.asset, hit.clearance, reviewable=hit.reviewable)
    return HitOut(asset, hit.relevance, hit.weak, hit.clearance, hit.why)


def page_out(page: Page, took_ms: float) -> PageOut:
    hits = tuple(_hit_out(hit) for hit in page.hits)
    return PageOut(hits, page.total, page.facets, page.not_cleared, page.next_cursor, round(took_ms))


def view_out(view: View) -> ViewOut:
    asset = asset_out(view.asset, view.clearance, reviewable=view.reviewable)
    return ViewOut(asset, view.clearance, tuple(_passage_out(segment) for segment in view.passages))


def _passage_out(segment: Segment) -> PassageOut:
    return PassageOut(segment.kind, segment.text, segment.start, segment.end, segment.page)
