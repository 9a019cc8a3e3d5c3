"""From a person's request to a bounded query: what is looked for, what must occur, and where the answer goes on.

    red "espresso cup"      the words "espresso cup" must stand side by side
    beach -people           what looks or reads like people comes later
    beach -"sun hat"        and what says "sun hat" does not come at all

A minus counts before a letter or a quote and after a space or nothing, so that "t-shirt", "2020-2021", "-5 °C" and
"sea - view" are words. Pictographs are read by their Unicode names. Nothing a person types reaches a parser of another
library; lengths and counts are bounded here, before anything else: what is quoted or taken away beyond the bound still
counts as words.
"""

import base64
import hashlib
import re
import unicodedata
from collections.abc import Sequence
from datetime import date
from typing import Annotated, Final

import msgspec

from search.errors import BadQuery
from search.types import Filters, Usage

MAX_TEXT: Final = 10_000
MAX_LIMIT: Final = 200
MAX_DEPTH: Final = 10_000
MAX_PHRASES: Final = 8
MAX_UNLIKE: Final = 8
MAX_EXAMPLES: Final = 8
MAX_FILTER_VALUES: Final = 1_000

_QUOTED: Final = r'"[^"]*"|“[^”]*”|„[^“”]*[“”]|«[^»]*»'
_PICTOGRAPH: Final = "\u2600-\u27bf\u2b00-\u2bff\U0001f000-\U0001faff"
_WORD: Final = rf"(?:[^\W\d_]|[{_PICTOGRAPH}])[^\s\"“”„«»]*(?<!-)(?![^\s\"“”„«»])"
_PART: Final = re.compile(rf"(?<!\S)-(?:(?P<barred>{_QUOTED})|(?P<unlike>{_WORD}))|(?P<phrase>{_QUOTED})")
_NAMED: Final = re.compile(f"[{_PICTOGRAPH}]")
_SAYS: Final = re.compile(r"\w")
#: What says how a pictograph is drawn, not what it shows.
_DRAWN: Final = re.compile(f"\ufe0f|[\U0001f3fb-\U0001f3ff]|\u200d(?=[{_PICTOGRAPH}])")
_FORM: Final = re.compile(r"\b(black|white|heavy|sign|symbol)\b|(?<=.) face$")
_TERRITORY: Final = re.compile(r"[A-Z]{2}")


class SearchRequest(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    rename={
        "unlike": "not",
        "similar_to": "similarTo",
        "text_weight": "textWeight",
        "include_not_cleared": "includeNotCleared",
    },
):
    """What a person asks, as it comes over HTTP or from the terminal."""

    text: Annotated[
        str, msgspec.Meta(description='Own words. "Quoted words" must occur; -word pushes away, -"quoted words" bars.')
    ] = ""
    unlike: Annotated[
        str, msgspec.Meta(description="Pushes away what is like this; what is quoted in it is barred.")
    ] = ""
    similar_to: Annotated[
        str | tuple[str, ...] | None,
        msgspec.Meta(description="The id of an asset to find more like, or up to 8 of them, which count alike."),
    ] = None
    text_weight: Annotated[
        float,
        msgspec.Meta(
            description="From 0 to 1: what the text counts where a picture or `similarTo` is given as well; they count"
            " the rest. Without both it has no effect."
        ),
    ] = 0.5
    filters: Filters = Filters()
    usage: Usage | None = None
    include_not_cleared: bool = False
    limit: int = 24
    cursor: str | None = None


class Query(msgspec.Struct, frozen=True):
    """A request understood: bounded, normalised. `offset` hits were seen before.

    `phrases` must occur and `barred` ones must not; `unlike` is pushed away, each by itself.
    """

    text: str
    phrases: tuple[str, ...]
    unlike: tuple[str, ...]
    barred: tuple[str, ...]
    similar_to: tuple[str, ...]
    text_weight: float
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
    if not 0 <= request.text_weight <= 1:
        raise BadQuery(f"`textWeight` is {request.text_weight}; it must be from 0 to 1.")
    similar_to = (request.similar_to,) if isinstance(request.similar_to, str) else request.similar_to or ()
    check_examples(len(similar_to))
    _check_filters(request.filters)
    text, phrases, unlike, barred = _parts(_clean(request.text))
    pushed, also_barred, also_unlike, still_barred = _parts(_clean(request.unlike))
    digest = _digest(request, asker)
    return Query(
        text=text,
        phrases=phrases[:MAX_PHRASES],
        unlike=_few((*unlike, pushed, *also_unlike)),
        barred=tuple(dict.fromkeys((*barred, *also_barred, *still_barred)))[:MAX_PHRASES],
        similar_to=tuple(filter(None, dict.fromkeys(similar_to))),
        text_weight=request.text_weight,
        filters=request.filters,
        usage=check_usage(request.usage),
        include_not_cleared=request.include_not_cleared,
        limit=request.limit,
        offset=_offset(request.cursor, digest) if request.cursor else 0,
        digest=digest,
    )


def check_examples(number: int) -> None:
    """More examples than are taken are BadQuery."""
    if number > MAX_EXAMPLES:
        raise BadQuery(f"{number} pictures and assets are given as examples; at most {MAX_EXAMPLES} are taken.")


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
            raise BadQuery(f"The filter `{name}` has {len(value):,} values; at most {MAX_FILTER_VALUES:,} are taken.")
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


def _parts(text: str) -> tuple[str, tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """The text without its signs, its phrases, what it pushes away, and what it bars."""
    found: dict[str, list[str]] = {"phrase": [], "unlike": [], "barred": []}

    def keep(part: re.Match[str]) -> str:
        kind = part.lastgroup or ""
        said = part[kind] if kind == "unlike" else part[kind][1:-1].strip()
        if kind == "unlike":
            found["unlike"].append(_named(said))
        elif _SAYS.search(said):
            found[kind].append(said)
            if kind == "barred":
                found["unlike"].append(_named(said))
        return f" {said} " if kind == "phrase" else " "

    rest = _named(_PART.sub(keep, text))
    phrases, unlike, barred = (tuple(filter(None, dict.fromkeys(parts))) for parts in found.values())
    return rest, phrases, unlike, barred


def _few(unlike: Sequence[str]) -> tuple[str, ...]:
    """At most MAX_UNLIKE texts: those beyond are one."""
    parts = list(filter(None, dict.fromkeys(unlike)))
    return tuple(filter(None, (*parts[: MAX_UNLIKE - 1], " ".join(parts[MAX_UNLIKE - 1 :]))))


def _named(text: str) -> str:
    """The text with the names of pictographs in their place ("🐶": "dog"), and single spaces."""
    return " ".join(_NAMED.sub(lambda one: f" {_name(one.group())} ", _DRAWN.sub(" ", text)).split())


def _name(pictograph: str) -> str:
    name = unicodedata.name(pictograph, "").lower()
    return "" if name.startswith("regional indicator") else " ".join(_FORM.sub("", name).split()) or name


def _clean(text: str) -> str:
    """NFC, without control characters, single spaces. What only steers the display joins what it stands between."""
    return " ".join(unicodedata.normalize("NFC", "".join(map(_kept, text))).split())


def _kept(character: str) -> str:
    kind = unicodedata.category(character)
    if kind[0] != "C" or character in "\u200c\u200d":
        return character
    return "" if kind == "Cf" and character != "\u200b" else " "


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
