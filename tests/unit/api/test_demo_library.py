"""The demo library: its files, credits and transcripts are in order, and each row of the policy table is met in it."""

import json
from collections import Counter
from datetime import UTC, date, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import pypdfium2
import pysubs2
import pytest
from PIL import Image

import api
from indexer.manifest import GrantRule, ManifestRow, parse_grant, read_manifest
from search import policy
from search.types import (
    Action,
    Asset,
    Channel,
    Grant,
    Licence,
    MediaType,
    Principal,
    Reason,
    Release,
    ResourceKind,
    Rights,
    Role,
    Status,
    Usage,
)

DEMO = Path(next(iter(api.__path__))) / "demo"
LIBRARY = DEMO / "library"
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
SETTINGS = policy.Settings(sensitive_groups=frozenset({"cleared-sensitive"}))

MANIFEST = read_manifest(LIBRARY / "manifest.jsonl")
ROWS = {row.id: row for row in MANIFEST.rows if row.id}
CREDITS: dict[str, dict[str, Any]] = {
    Path(credit["file"]).stem: credit for credit in json.loads((LIBRARY / "photos/credits.json").read_bytes())
}
COLLECTIONS = {
    name: tuple(map(parse_grant, grants))
    for name, grants in json.loads((DEMO / "collections.json").read_bytes()).items()
}
PEOPLE = {
    person["user"]: Principal(person["user"], frozenset(person["groups"]), frozenset(map(Role, person["roles"])))
    for person in json.loads((DEMO / "people.json").read_bytes())
}
PEOPLE["public"] = Principal("", signed_in=False)
#: The ways in which a Creative Commons or public domain mark is written in a credit line.
MARKS = {
    "LicenseRef-PublicDomain": "public domain",
    "CC0-1.0": "CC0 1.0",
    "CC-BY-2.0": "CC BY 2.0",
    "CC-BY-4.0": "CC BY 4.0",
    "CC-BY-SA-3.0": "CC BY-SA 3.0",
    "CC-BY-SA-4.0": "CC BY-SA 4.0",
}
TIMED = [row for row in MANIFEST.rows if row.path.startswith(("audio/", "video/"))]

SOCIAL_DE = Usage(Channel.social, "DE", date(2027, 3, 10))
SOCIAL_DE_MARCH = Usage(Channel.social, "DE", date(2027, 3, 1), date(2027, 3, 31))
INTERNAL = Usage(Channel.internal, "DE", date(2027, 3, 10))
WEB_US = Usage(Channel.web, "US", date(2027, 3, 10))

#: (situation, person, asset, usage, findable, reasons if findable)
SITUATIONS: list[tuple[str, str, str, Usage | None, bool, tuple[Reason, ...]]] = [
    ("cleared", "mara", "espresso-cup", SOCIAL_DE_MARCH, True, ()),
    ("embargoed: hidden from viewers", "mara", "river-bridges-at-dawn", None, False, ()),
    ("embargoed: seen by stewards", "priya", "river-bridges-at-dawn", None, True, (Reason.embargoed,)),
    ("expired: hidden from viewers", "mara", "taiko-drum-festival", None, False, ()),
    ("expired: seen by stewards", "priya", "taiko-drum-festival", None, True, (Reason.expired,)),
    ("licence unknown", "mara", "great-pyramid-giza", None, True, (Reason.rights_unknown,)),
    ("model release missing", "mara", "mariachi-musicians", SOCIAL_DE, True, (Reason.release_missing,)),
    ("model release unknown", "mara", "symphony-orchestra", SOCIAL_DE, True, (Reason.release_missing,)),
    ("property release unknown", "diego", "brandenburg-gate-dusk", WEB_US, True, (Reason.release_missing,)),
    ("release missing, internal use", "mara", "mariachi-musicians", INTERNAL, True, ()),
    ("editorial on social media", "mara", "statue-of-liberty", SOCIAL_DE, True, (Reason.channel_excluded,)),
    ("editorial on the web", "diego", "statue-of-liberty", WEB_US, True, ()),
    ("territory listed", "mara", "neuschwanstein-castle", SOCIAL_DE, True, ()),
    ("territory not listed", "diego", "neuschwanstein-castle", WEB_US, True, (Reason.territory_excluded,)),
    ("territory excluded", "mara", "eiffel-tower", Usage(territory="FR"), True, (Reason.territory_excluded,)),
    ("channel not listed", "mara", "colosseum-rome", SOCIAL_DE, True, (Reason.channel_excluded,)),
    (
        "several reasons at once",
        "mara",
        "sheep-in-meadow",
        Usage(Channel.print, "DE"),
        True,
        (Reason.channel_excluded, Reason.territory_excluded),
    ),
    ("draft: hidden from viewers", "mara", "wooden-bird-lamp", None, False, ()),
    ("draft: seen by stewards", "priya", "wooden-bird-lamp", None, True, (Reason.not_approved,)),
    ("in review", "priya", "layered-ridges", None, True, (Reason.not_approved,)),
    ("rejected", "priya", "city-skyline-clear-sky", None, True, (Reason.not_approved,)),
    ("archived", "samuel", "space-shuttle-in-hangar", None, True, (Reason.not_approved,)),
    ("no grant", "tomasz", "taj-mahal", None, False, ()),
    ("find without use", "tomasz", "brand-guidelines", None, True, (Reason.use_not_granted,)),
    ("find without use, by region", "diego", "sea-arch-and-spray", None, True, (Reason.use_not_granted,)),
    ("deny beats allow on a collection", "tomasz", "espresso-cup", None, False, ()),
    ("deny beats allow on an asset", "diego", "giraffe-head", None, True, (Reason.use_not_granted,)),
    ("allow on an asset of a hidden collection", "mara", "rate-card-and-licence-terms", INTERNAL, True, ()),
    ("the hidden collection itself", "mara", "clothing-store", None, False, ()),
    ("deny on an asset of an open collection", "diego", "cheetah-resting", None, False, ()),
    ("the same asset for another group", "mara", "cheetah-resting", None, True, ()),
    ("deny on an asset of a find-only collection", "tomasz", "waves-on-lava-rocks", None, False, ()),
    ("sensitive: granted, not in a cleared group", "mara", "quarterly-results-call", INTERNAL, False, ()),
    ("sensitive: granted and cleared", "diego", "quarterly-results-call", INTERNAL, True, ()),
    ("sensitive: the same picture, two marketers", "mara", "retina-scan", None, False, ()),
    ("sensitive: the other of the two", "diego", "retina-scan", None, True, ()),
    ("term ends within the period", "mara", "mountain-lake-reflection", SOCIAL_DE_MARCH, True, (Reason.expired,)),
    ("term covers the day", "mara", "mountain-lake-reflection", SOCIAL_DE, True, ()),
    ("labelled AI-generated", "mara", "topographic-dusk", SOCIAL_DE, True, ()),
    ("open to the public", "public", "aurora-ribbons", None, True, ()),
    ("the rest is not public", "public", "espresso-cup", None, False, ()),
    ("auditors find and do not use", "aiko", "taj-mahal", None, True, (Reason.use_not_granted,)),
]


def grants_of(kind: ResourceKind, resource: str, rules: tuple[GrantRule, ...]) -> list[Grant]:
    return [
        Grant(kind, resource, rule.subject_kind, rule.subject, action, rule.allow)
        for rule in rules
        for action in rule.actions
    ]


def asset_of(row: ManifestRow) -> Asset:
    """The asset as the catalog would hold it, as far as the gate asks."""
    assert row.id and row.collection and row.status and row.licence
    return Asset(
        ordinal=row.line,
        id=row.id,
        path=row.path,
        content_hash=row.id,
        media_type=MediaType.image,
        mime="",
        collection=row.collection,
        status=row.status,
        added=NOW,
        sensitive=bool(row.sensitive),
        digital_source_type=row.digital_source_type or "",
        rights=Rights(
            licence=row.licence,
            valid_from=row.valid_from,
            valid_until=row.valid_until,
            territories=row.territories or (),
            excluded_territories=row.excluded_territories or (),
            channels=row.channels or (),
            model_release=row.model_release or Release.not_needed,
            property_release=row.property_release or Release.not_needed,
        ),
        grants=(
            *grants_of(ResourceKind.collection, row.collection, COLLECTIONS[row.collection]),
            *grants_of(ResourceKind.asset, row.id, row.grants or ()),
        ),
    )


ASSETS = {name: asset_of(row) for name, row in ROWS.items()}


def verdict(person: str, id: str, usage: Usage | None = None) -> policy.Verdict:
    return policy.verdict(ASSETS[id], PEOPLE[person], usage, NOW, SETTINGS)


def test_manifest_is_without_problems() -> None:
    assert MANIFEST.problems == ()
    assert len(ROWS) == len(MANIFEST.rows)


def test_every_row_has_its_file_and_every_file_its_row() -> None:
    beside = {".json", ".jsonl", ".vtt", ".srt", ".md"}
    files = {path.relative_to(LIBRARY).as_posix() for path in LIBRARY.rglob("*") if path.suffix not in beside}
    assert {row.path for row in MANIFEST.rows} == {path for path in files if (LIBRARY / path).is_file()}


def test_library_is_small() -> None:
    assert sum(path.stat().st_size for path in LIBRARY.rglob("*") if path.is_file()) < 16_000_000
    for row in TIMED:
        assert (LIBRARY / row.path).stat().st_size <= (300_000 if row.path.startswith("audio/") else 900_000), row.path


def test_pictures_decode() -> None:
    for row in MANIFEST.rows:
        if row.path.startswith(("photos/", "generated/")):
            with Image.open(LIBRARY / row.path) as picture:
                picture.load()


@pytest.mark.parametrize("id", CREDITS)
def test_true_credit_stays_with_the_asset(id: str) -> None:
    """Whatever the demo's fiction says, author, licence mark, licence link and source are those of credits.json."""
    row, credit = ROWS[id], CREDITS[id]
    assert row.path == f"photos/{credit['file']}"
    assert (row.title, row.description, row.creator) == (credit["title"], credit["description"], credit["author"])
    assert row.keywords == tuple(credit["keywords"])
    assert row.credit_line == f"{credit['author']}, {MARKS[credit['license']]}"
    assert row.licence_url == credit["license_url"]
    assert row.source == (credit["source_url"] or credit["source_package"])
    if credit["license"].startswith("CC-BY"):
        assert row.licence is Licence.creative_commons
        assert row.usage_terms and credit["changes"] in row.usage_terms
    elif row.licence is not Licence.public_domain:
        assert row.usage_terms and "Demo fiction" in row.usage_terms


def test_fiction_is_marked() -> None:
    for name in CREDITS:
        row = ROWS[name]
        if row.valid_from or row.valid_until or row.territories or row.excluded_territories or row.channels:
            assert row.usage_terms and "Demo fiction" in row.usage_terms, name


def test_no_photograph_is_labelled_ai_generated() -> None:
    labelled = [name for name, asset in ASSETS.items() if asset.ai_generated]
    assert len(labelled) >= 3
    assert all(ROWS[name].path.startswith("generated/") for name in labelled)


@pytest.mark.parametrize("row", TIMED, ids=lambda row: row.id)
def test_transcript_is_of_substance_and_in_step(row: ManifestRow) -> None:
    media = LIBRARY / row.path
    (transcript,) = (path for path in (media.with_suffix(".vtt"), media.with_suffix(".srt")) if path.exists())
    cues = pysubs2.load(str(transcript))
    with av.open(str(media)) as container:
        assert container.duration is not None
        duration = container.duration / av.time_base
        assert {stream.type for stream in container.streams} >= {"audio"}
        assert bool(container.streams.video) is row.path.startswith("video/")
    assert 20 <= duration <= 60
    assert len(" ".join(cue.plaintext for cue in cues).split()) >= 100
    assert cues[0].start >= 0 and cues[-1].end / 1000 <= duration
    assert all(cue.start < cue.end for cue in cues)
    assert all(cue.end <= following.start for cue, following in pairwise(cues))


def test_there_is_enough_to_hear_watch_and_read() -> None:
    kinds = Counter(row.path.split("/")[0] for row in MANIFEST.rows)
    assert kinds["photos"] == len(CREDITS) == 120
    assert kinds["audio"] + kinds["video"] >= 8
    assert kinds["documents"] == 3


@pytest.mark.parametrize("path", sorted((LIBRARY / "documents").glob("*.pdf")), ids=lambda path: path.stem)
def test_documents_have_text_on_each_page(path: Path) -> None:
    document = pypdfium2.PdfDocument(path)
    assert 2 <= len(document) <= 4
    for page in document:
        text = page.get_textpage()
        assert len(text.get_text_bounded()) > 500
        text.close()
        page.close()
    document.close()


def test_every_group_that_is_named_has_someone_in_it() -> None:
    named = {
        rule.subject
        for rules in (*COLLECTIONS.values(), *(row.grants or () for row in MANIFEST.rows))
        for rule in rules
        if rule.subject_kind == "group"
    }
    assert named | SETTINGS.sensitive_groups == frozenset().union(*(person.groups for person in PEOPLE.values()))
    assert {row.collection for row in MANIFEST.rows} == set(COLLECTIONS)


@pytest.mark.parametrize(
    ("person", "id", "usage", "findable", "reasons"), [case[1:] for case in SITUATIONS], ids=[c[0] for c in SITUATIONS]
)
def test_situation(person: str, id: str, usage: Usage | None, findable: bool, reasons: tuple[Reason, ...]) -> None:
    judged = verdict(person, id, usage)
    assert judged.findable is findable
    if findable:
        assert judged.reasons == reasons


def test_each_reason_and_status_is_met() -> None:
    assert {reason for case in SITUATIONS for reason in case[5]} == set(Reason)
    assert {asset.status for asset in ASSETS.values()} == set(Status)
    assert {asset.rights.licence for asset in ASSETS.values()} == set(Licence)


def test_most_is_cleared_for_the_marketers() -> None:
    mara, diego = (sum(verdict(person, name).cleared for name in ASSETS) / len(ASSETS) for person in ("mara", "diego"))
    assert mara >= 0.75
    assert diego >= 0.65


def test_birds_and_espresso_are_cleared_for_both_marketers() -> None:
    birds = ("kingfisher-on-branch", "kingfisher-on-branch-crop", "scarlet-macaw", "chinstrap-penguin", "swan-family")
    for name in (*birds, "espresso-cup", "espresso-cup-crop"):
        for person in ("mara", "diego"):
            assert verdict(person, name, SOCIAL_DE_MARCH).cleared


def test_people_see_different_libraries() -> None:
    found = {person: {name for name in ASSETS if verdict(person, name).findable} for person in PEOPLE}
    assert found["samuel"] == found["priya"] == set(ASSETS)
    assert len({frozenset(ids) for person, ids in found.items() if person != "priya"}) == len(PEOPLE) - 1
    assert len(found["tomasz"]) < len(ASSETS) / 2
    assert not any(verdict("aiko", name).cleared for name in ASSETS)
    assert policy.may(PEOPLE["aiko"], Action.audit) and not policy.may(PEOPLE["priya"], Action.audit)
