"""The nouns of Loupe, as frozen structs: what passes between the packages and over their borders."""

import os
from collections.abc import Mapping
from datetime import date, datetime
from enum import StrEnum

import msgspec


class MediaType(StrEnum):
    """What a person gets when they open the asset."""

    image = "image"
    video = "video"
    audio = "audio"
    document = "document"


class Language(StrEnum):
    """A language whose endings are known (ISO 639-1): "boats" and "boat" are one word."""

    arabic = "ar"
    danish = "da"
    dutch = "nl"
    english = "en"
    finnish = "fi"
    french = "fr"
    german = "de"
    greek = "el"
    hungarian = "hu"
    italian = "it"
    norwegian = "no"
    portuguese = "pt"
    romanian = "ro"
    russian = "ru"
    spanish = "es"
    swedish = "sv"
    tamil = "ta"
    turkish = "tr"


class Status(StrEnum):
    """Where an asset stands in its approval. Viewers find `approved` only."""

    draft = "draft"
    in_review = "in_review"
    approved = "approved"
    rejected = "rejected"
    archived = "archived"


class Licence(StrEnum):
    owned = "owned"
    royalty_free = "royalty_free"
    rights_managed = "rights_managed"
    editorial = "editorial"
    creative_commons = "creative_commons"
    public_domain = "public_domain"
    unknown = "unknown"


class Channel(StrEnum):
    """Where an asset is meant to appear. All but `internal` address the public."""

    web = "web"
    social = "social"
    email = "email"
    print = "print"
    broadcast = "broadcast"
    out_of_home = "out_of_home"
    internal = "internal"


class Release(StrEnum):
    """Whether the people or places shown have agreed to advertising use."""

    obtained = "obtained"
    not_needed = "not_needed"
    missing = "missing"
    unknown = "unknown"


class Action(StrEnum):
    """What a person may do; see `search.policy`."""

    find = "find"  # type: ignore[assignment]
    use = "use"
    review = "review"
    audit = "audit"
    administer = "administer"


class Role(StrEnum):
    """A bundle of actions; a ceiling on what grants can give."""

    viewer = "viewer"
    steward = "steward"
    auditor = "auditor"
    administrator = "administrator"


class Reason(StrEnum):
    """Why an asset a person finds is not cleared for them."""

    embargoed = "embargoed"
    expired = "expired"
    rights_unknown = "rights_unknown"
    release_missing = "release_missing"
    channel_excluded = "channel_excluded"
    territory_excluded = "territory_excluded"
    not_approved = "not_approved"
    use_not_granted = "use_not_granted"


class ResourceKind(StrEnum):
    collection = "collection"
    asset = "asset"


class SubjectKind(StrEnum):
    """Whom a grant speaks of. `everyone` is everyone signed in; `public` includes the anonymous."""

    user = "user"
    group = "group"
    everyone = "everyone"
    public = "public"


class Grant(msgspec.Struct, frozen=True, order=True, gc=False):
    """One rule: this subject may (or may not) take this action on this collection or asset."""

    resource_kind: ResourceKind
    resource: str
    subject_kind: SubjectKind
    subject: str
    action: Action
    allow: bool = True


class Principal(msgspec.Struct, frozen=True):
    """Who is asking: the token's subject, groups and roles. `signed_in=False` is the anonymous public."""

    user: str
    groups: frozenset[str] = frozenset()
    roles: frozenset[Role] = frozenset({Role.viewer})
    signed_in: bool = True


class Usage(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """An intended use. `territory` is ISO 3166-1 alpha-2; `on` to `until` are days, both included."""

    channel: Channel | None = None
    territory: str | None = None
    on: date | None = None
    until: date | None = None


class Rights(msgspec.Struct, frozen=True):
    """The terms an asset is held under. `valid_until` is the last day included; empty tuples do not limit."""

    licence: Licence = Licence.unknown
    licence_url: str = ""
    holder: str = ""
    credit_line: str = ""
    usage_terms: str = ""
    source: str = ""
    valid_from: date | None = None
    valid_until: date | None = None
    territories: tuple[str, ...] = ()
    excluded_territories: tuple[str, ...] = ()
    channels: tuple[Channel, ...] = ()
    model_release: Release = Release.not_needed
    property_release: Release = Release.not_needed


#: IPTC NewsCodes "digital source type" codes that name media made by a trained model, wholly or in part.
#: https://cv.iptc.org/newscodes/digitalsourcetype/
AI_SOURCE_TYPES = frozenset({"trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia"})


def orientation(width: int, height: int) -> str:
    """`landscape`, `portrait`, `square`, or empty for what has no picture. Within 5 % of equal sides is square."""
    if not width or not height:
        return ""
    ratio = width / height
    if 1 / 1.05 <= ratio <= 1.05:
        return "square"
    return "landscape" if ratio > 1 else "portrait"


class Asset(msgspec.Struct, frozen=True):
    """One row of the catalog with everything that bears on it. Sizes are pixels, duration seconds."""

    ordinal: int
    id: str
    path: str
    content_hash: str
    media_type: MediaType
    mime: str
    collection: str
    status: Status
    added: datetime
    title: str = ""
    description: str = ""
    alt_text: str = ""
    keywords: tuple[str, ...] = ()
    creator: str = ""
    created: date | None = None
    digital_source_type: str = ""
    sensitive: bool = False
    width: int = 0
    height: int = 0
    duration: float | None = None
    pages: int | None = None
    byte_size: int = 0
    has_preview: bool = False
    has_playback: bool = False
    rights: Rights = Rights()
    grants: tuple[Grant, ...] = ()

    @property
    def file_name(self) -> str:
        """What its file is called, without the folders it lies in."""
        return self.path.rpartition(os.sep)[2]  # every hit of every page tells it, and a PurePath takes 15 us

    @property
    def orientation(self) -> str:
        """See `orientation`."""
        return orientation(self.width, self.height)

    @property
    def ai_generated(self) -> bool:
        """Whether its IPTC digital source type says that a trained model made it, or part of it."""
        return self.digital_source_type in AI_SOURCE_TYPES


class SegmentKind(StrEnum):
    """A part of an asset that can be found by itself."""

    image = "image"  # the whole picture
    keyframe = "keyframe"  # a moment of a video
    page = "page"  # a page of a document, as a picture
    passage = "passage"  # words: of a transcript, a page
    description = "description"  # words: what the metadata says


class Segment(msgspec.Struct, frozen=True):
    """A findable part. `start` and `end` are seconds; `page` counts from 1; `embedding_key` names what was embedded."""

    ordinal: int
    asset: int
    kind: SegmentKind
    embedding_key: str
    text: str = ""
    start: float | None = None
    end: float | None = None
    page: int | None = None


class CreatedRange(msgspec.Struct, frozen=True, rename={"first": "from", "last": "to"}, forbid_unknown_fields=True):
    """ISO 8601 days, both included; an empty one is open. `search.query` checks them."""

    first: str = ""
    last: str = ""


class Filters(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """Facets a person picked. Values within one facet are alternatives; facets are combined with AND."""

    type: tuple[MediaType, ...] = ()
    collection: tuple[str, ...] = ()
    keyword: tuple[str, ...] = ()
    orientation: tuple[str, ...] = ()
    status: tuple[Status, ...] = ()
    ai_generated: bool | None = None
    created: CreatedRange | None = None


class Leg(StrEnum):
    """One retriever of the hybrid search."""

    visual = "visual"
    passage = "passage"
    keyword = "keyword"


class Plan(msgspec.Struct, frozen=True):
    """How a vector search was made: its method, how many rows the scope allowed it, and of how many it took the cosine.

    It is for those who run the server. What a person may find, and how much else there is, shows through it.
    """

    method: str
    allowed: int
    scored: int


class Why(msgspec.Struct, frozen=True, omit_defaults=True):
    """One leg's reason for a hit: the words or the moment it found. Seconds; pages from 1.

    `text` is the passage, for the keyword leg an excerpt, in which `terms` are the words that were found. `plan` is how
    a vector leg came to look at it; for administrators.
    """

    leg: Leg
    text: str = ""
    start: float | None = None
    end: float | None = None
    page: int | None = None
    terms: tuple[str, ...] = ()
    plan: Plan | None = None


class Clearance(msgspec.Struct, frozen=True):
    """May this person use this asset so? Every reason against is listed."""

    cleared: bool
    reasons: tuple[Reason, ...] = ()


class Hit(msgspec.Struct, frozen=True):
    """One asset of an answer. `relevance` is 0 to 1; `weak` hits come after the break.

    `reviewable`: the person reviews this asset, and so sees its approval status.
    """

    asset: Asset
    reviewable: bool
    relevance: float
    weak: bool
    clearance: Clearance
    why: tuple[Why, ...] = ()


class NotClearedCount(msgspec.Struct, frozen=True, rename="camel"):
    """How many more the person could find that the named usage rules out. One asset can count under several reasons."""

    total: int = 0
    by_reason: Mapping[str, int] = {}


class Page(msgspec.Struct, frozen=True):
    """One page of an answer. `total` counts the assets the answer draws on, after scope and filters."""

    hits: tuple[Hit, ...]
    total: int
    facets: Mapping[str, Mapping[str, int]]
    not_cleared: NotClearedCount
    next_cursor: str | None = None
