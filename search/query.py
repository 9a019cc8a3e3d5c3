"""From a person's request to a bounded query: what is looked for, what must occur, and where the answer goes on.

Nothing a person types reaches a parser of another library; lengths and counts are bounded here, before anything else.
"""

import base64
import hashlib
import re
import unicodedata
from datetime import date
from typing import Final

import msgspec

from search.errors import BadQuery
from search.types import Filters, Usage

MAX_TEXT: Final = 10_000
MAX_LIMIT: Final = 200
MAX_DEPTH: Final = 10_000
MAX_PHRASES: Final = 8
MAX_FILTER_VALUES: Final = 100

_QUOTED: Final = re.compile(r'"([^"]*)"|“([^”]*)”|„([^“”]*)[“”]|«([^»]*)»')
_TERRITORY: Final = re.compile(r"[A-Z]{2}")


class SearchRequest(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    rename={
        "unlike": "not",
        "similar_to": "similarTo",
        "include_not_cleared": "includeNotCleared",
    },
):
    """What a person asks, as it comes over HTTP or from the terminal."""

    text: str = ""
    unlike: str = ""
    similar_to: str | None = None
    filters: Filters = Filters()
    usage: Usage | None = None
    include_not_cleared: bool = False
    limit: int = 24
    cursor: str | None = None


class Query(msgspec.Struct, frozen=True):
    """A request understood: bounded, normalised, its quoted phrases apart. `offset` hits were seen before."""

    text: str
    phrases: tuple[str, ...]
    unlike: str
    similar_to: str | None
    filters: Filters
    usage: Usage | None
    include_not_cleared: bool
    limit: int
    offset: int
    digest: str

    def cursor(self, offset: int) -> str | None:
        """Where the next page begins; None past the depth that is served."""
        if offset >= MAX_DEPTH:
            return None
        return base64.urlsafe_b64encode(f"{offset}.{self.digest}".encode()).decode().rstrip("=")


def understand(request: SearchRequest, asker: str) -> Query:
    """Check and normalise a request. A cursor serves only the request and person it was given to. Raises BadQuery."""
    for name, value in (("text", request.text), ("not", request.unlike)):
        if len(value) > MAX_TEXT:
            raise BadQuery(f"`{name}` has {len(value):,} characters; at most {MAX_TEXT:,} are taken.", "Shorten it.")
    if not 1 <= request.limit <= MAX_LIMIT:
        raise BadQuery(f"`limit` is {request.limit}; it must be from 1 to {MAX_LIMIT}.")
    _check_filters(request.filters)
    whole = _clean(request.text)
    phrases = tuple(filter(None, (_clean("".join(groups)) for groups in _QUOTED.findall(whole))))
    if len(phrases) > MAX_PHRASES:
        raise BadQuery(f"The text quotes {len(phrases)} phrases; at most {MAX_PHRASES} are taken.")
    digest = _digest(request, asker)
    return Query(
        text=_clean(_QUOTED.sub(lambda quoted: f" {quoted.group()[1:-1]} ", whole)),
        phrases=phrases,
        unlike=_clean(request.unlike),
        similar_to=request.similar_to or None,
        filters=request.filters,
        usage=check_usage(request.usage),
        include_not_cleared=request.include_not_cleared,
        limit=request.limit,
        offset=_offset(request.cursor, digest) if request.cursor else 0,
        digest=digest,
    )


def check_usage(usage: Usage | None) -> Usage | None:
    """A usage with its territory in upper case, or None when nothing is named. Raises BadQuery."""
    if usage is None or usage == Usage():
        return None
    territory = usage.territory.strip().upper() if usage.territory else None
    if territory and not _TERRITORY.fullmatch(territory):
        raise BadQuery(
            f"The territory {usage.territory!r} is not a country code.", "Give two letters of ISO 3166-1, such as DE."
        )
    if usage.until and not usage.on:
        raise BadQuery("The usage names its last day (`until`) but not its first (`on`).")
    if usage.on and usage.until and usage.until < usage.on:
        raise BadQuery(f"The usage ends ({usage.until}) before it begins ({usage.on}).")
    return msgspec.structs.replace(usage, territory=territory or None)


def parse_usage(text: str) -> Usage:
    """Read `channel=social,territory=DE,on=2026-12-01,until=2026-12-31`, in any order. Raises BadQuery."""
    fields: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = part.partition("=")
        if not equals or name.strip() not in Usage.__struct_fields__:
            raise BadQuery(
                f"{part!r} is not part of a usage.", "Write for instance channel=social,territory=DE,on=2026-12-01."
            )
        fields[name.strip()] = value.strip()
    try:
        usage = check_usage(msgspec.convert(fields, Usage, strict=False))
    except msgspec.ValidationError as error:
        raise BadQuery(f"The usage {text!r} cannot be read: {error}.") from error
    return usage or Usage()


def _check_filters(filters: Filters) -> None:
    for name in filters.__struct_fields__:
        value = getattr(filters, name)
        if isinstance(value, tuple) and len(value) > MAX_FILTER_VALUES:
            raise BadQuery(f"The filter `{name}` has {len(value)} values; at most {MAX_FILTER_VALUES} are taken.")
    if unknown := set(filters.orientation) - {"landscape", "portrait", "square"}:
        raise BadQuery(f"{min(unknown)!r} is not an orientation.", "Use landscape, portrait or square.")
    first, last = created_days(filters)
    if first and last and last < first:
        raise BadQuery(f"The filter `created` ends ({last}) before it begins ({first}).")


def created_days(filters: Filters) -> tuple[date | None, date | None]:
    """The first and last day of the filter `created`; None is open. Raises BadQuery."""
    if filters.created is None:
        return None, None
    try:
        first, last = (date.fromisoformat(day) if day else None for day in msgspec.structs.astuple(filters.created))
    except ValueError as error:
        raise BadQuery(f"The filter `created` holds no date: {error}.", "Write days as 2026-12-31.") from error
    return first, last


def _clean(text: str) -> str:
    """NFC, without control characters, single spaces."""
    kept = "".join(c if unicodedata.category(c)[0] != "C" or c in "\u200d\ufe0f" else " " for c in text)
    return " ".join(unicodedata.normalize("NFC", kept).split())


def _digest(request: SearchRequest, asker: str) -> str:
    same = msgspec.structs.replace(request, cursor=None, limit=1)
    return hashlib.sha256(asker.encode() + b"\0" + msgspec.json.encode(same)).hexdigest()[:16]


def _offset(cursor: str, digest: str) -> int:
    try:
        decoded = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        offset, _, signed = decoded.partition(".")
        if signed == digest and 0 <= int(offset) < MAX_DEPTH:
            return int(offset)
    except ValueError as error:
        raise BadQuery("The cursor cannot be read.", "Search again without one.") from error
    raise BadQuery("The cursor belongs to another search.", "Search again without one.")
