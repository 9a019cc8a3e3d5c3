"""What each person gets over HTTP is what the gate says of each asset, and nothing hints at the rest."""

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import product
from typing import Any

import httpx
import msgspec
import pytest

from api.auth import ANONYMOUS, read_people
from search import policy
from search.catalog import Catalog
from search.types import Asset, Channel, Principal, Reason, Usage
from tests.conftest import Server

SETTINGS = policy.Settings(sensitive_groups=frozenset({"cleared-sensitive"}))
PEOPLE = ["mara", "diego", "tomasz", "priya", "aiko", "samuel", None]
MARCH = {"on": "2027-03-01", "until": "2027-03-31"}
USAGES: list[dict[str, str]] = [
    {},
    {"channel": "social", "territory": "DE", **MARCH},
    {"channel": "internal"},
    {"channel": "print", "territory": "US", "on": "2026-12-24"},
    {"territory": "JP"},
]


@pytest.fixture(scope="module")
def library(demo: Server) -> Iterator[dict[str, Asset]]:
    """Every asset there is, by id: what nobody but the catalog knows."""
    catalog = Catalog.at(demo.data_dir / "catalog.sqlite")
    yield {asset.id: asset for asset in catalog.every_asset()}
    catalog.close()


@pytest.fixture(scope="module")
def grants(demo: Server) -> dict[str, Any]:
    catalog = Catalog.at(demo.data_dir / "catalog.sqlite")
    try:
        return dict(catalog.collection_grants())
    finally:
        catalog.close()


def principal(demo: Server, user: str | None) -> Principal:
    people = {person.user: person.principal for person in read_people(demo.data_dir)}
    return people[user] if user else ANONYMOUS


def everything(client: httpx.Client, request: dict[str, Any]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """All hits of a search, page by page, and its first page."""
    first = page = client.post("/v1/search", json={"limit": 50, **request}).raise_for_status().json()
    hits = list(page["hits"])
    while page["nextCursor"]:
        page = client.post("/v1/search", json={"limit": 50, **request, "cursor": page["nextCursor"]}).json()
        hits += page["hits"]
    return hits, first


@pytest.mark.parametrize(("user", "usage"), list(product(PEOPLE, USAGES)))
@pytest.mark.parametrize("text", ["", "bird over water"])
def test_results_are_what_the_gate_says(
    demo: Server, library: dict[str, Asset], user: str | None, usage: dict[str, str], text: str
) -> None:
    with demo.client(user) as client:
        request = {"text": text, "includeNotCleared": True, **({"usage": usage} if usage else {})}
        hits, page = everything(client, request)
        strict, _ = everything(client, request | {"includeNotCleared": False})
    asked = msgspec.convert(usage, Usage) if usage else None
    asker, now = principal(demo, user), datetime.now(UTC)
    verdicts = {key: policy.verdict(asset, asker, asked, now, SETTINGS) for key, asset in library.items()}
    findable = {key: judged for key, judged in verdicts.items() if judged.findable}
    assert {hit["asset"]["id"]: hit["clearance"]["reasons"] for hit in hits} == {
        key: list(judged.clearance.reasons) for key, judged in findable.items()
    }
    assert len(hits) == page["total"] == len(findable)
    cleared = {key for key, judged in findable.items() if judged.clearance.cleared}
    assert {hit["asset"]["id"] for hit in strict} == (cleared if usage else set(findable))
    blocked = [judged.clearance.reasons for judged in findable.values() if not judged.clearance.cleared]
    by_reason = {reason.value: n for reason in Reason if (n := sum(reason in reasons for reasons in blocked))}
    assert page["notCleared"] == (
        {"total": len(blocked), "byReason": by_reason} if usage else {"total": 0, "byReason": {}}
    )


@pytest.mark.parametrize("user", PEOPLE)
def test_facets_count_what_may_be_found(demo: Server, library: dict[str, Asset], user: str | None) -> None:
    with demo.client(user) as client:
        facets = client.post("/v1/search", json={}).json()["facets"]
    asker, now = principal(demo, user), datetime.now(UTC)
    found = [asset for asset in library.values() if policy.verdict(asset, asker, None, now, SETTINGS).findable]
    for facet, read in {"type": lambda a: a.media_type.value, "collection": lambda a: a.collection}.items():
        values = [read(asset) for asset in found]
        assert facets[facet] == {value: values.count(value) for value in set(values)}


@pytest.mark.parametrize("user", PEOPLE)
def test_a_hidden_asset_and_a_missing_one_are_answered_alike(
    demo: Server, library: dict[str, Asset], user: str | None
) -> None:
    asker, now = principal(demo, user), datetime.now(UTC)
    hidden = [key for key, asset in library.items() if not policy.verdict(asset, asker, None, now, SETTINGS).findable]
    with demo.client(user) as client:
        for key in hidden:
            for path in ("", "/similar", "/preview", "/playback", "/download", "?channel=web", "/preview?size=1280"):
                answers = [client.get(f"/v1/assets/{name}{path}") for name in (key, "there-is-none")]
                assert answers[0].status_code == answers[1].status_code == 404
                assert answers[0].content == answers[1].content
                assert set(answers[0].headers) == set(answers[1].headers)
            answers = [client.post("/v1/search", json={"similarTo": name}) for name in (key, "there-is-none")]
            assert answers[0].content == answers[1].content
            assert answers[0].status_code == answers[1].status_code == 404


@pytest.mark.parametrize("user", ["tomasz", "aiko", None])
def test_no_answer_holds_a_word_of_a_hidden_asset(demo: Server, library: dict[str, Asset], user: str | None) -> None:
    """Each hidden asset is asked for by its own words, which come back nowhere."""
    asker, now = principal(demo, user), datetime.now(UTC)
    hidden = [asset for asset in library.values() if not policy.verdict(asset, asker, None, now, SETTINGS).findable]
    seen = [asset for asset in library.values() if policy.verdict(asset, asker, None, now, SETTINGS).findable]
    open_words = {word for asset in seen for word in (*asset.keywords, asset.title)}
    assert hidden
    with demo.client(user) as client:
        for asset in hidden:
            answer = client.post("/v1/search", json={"text": f'"{asset.title}"', "limit": 200}).text
            answer += client.get("/v1/suggest", params={"q": asset.title[:12]}).text
            answer += client.post("/v1/search", json={"text": asset.description[:200], "limit": 200}).text
            answer += client.post("/v1/search", json={"text": asset.id, "limit": 200}).text
            answer += client.post(
                "/v1/search", json={"text": f"{asset.title[:3]}x{asset.title[3:]}", "limit": 200}
            ).text
            assert f'"{asset.id}"' not in answer
            assert asset.content_hash not in answer
            assert asset.title in open_words or f'"{asset.title}"' not in answer


def test_suggestions_come_from_what_may_be_found(demo: Server, library: dict[str, Asset]) -> None:
    for user in PEOPLE:
        asker, now = principal(demo, user), datetime.now(UTC)
        found = [a for a in library.values() if policy.verdict(a, asker, None, now, SETTINGS).findable]
        words = {word for asset in found for word in (*asset.keywords, asset.title)}
        with demo.client(user) as client:
            for letter in "abcdefghijklmnopqrstuvwxyz":
                suggested = client.get("/v1/suggest", params={"q": letter}).json()["suggestions"]
                assert {one["text"] for one in suggested} <= words


def test_relevance_does_not_depend_on_what_is_hidden(demo: Server, library: dict[str, Asset]) -> None:
    """The same asset bears the same relevance for whoever finds it, however much else they find."""
    for text in ("coffee", "bird over water", "emissions report", "rocket", "cofee", "eifel tower -bird", "emmissions"):
        seen: dict[str, set[float]] = {}
        for user in PEOPLE:
            with demo.client(user) as client:
                for hit in everything(client, {"text": text})[0]:
                    seen.setdefault(hit["asset"]["id"], set()).add(hit["relevance"])
        assert all(len(relevances) == 1 for relevances in seen.values())


@pytest.mark.parametrize("user", PEOPLE)
def test_originals_leave_only_when_cleared(demo: Server, library: dict[str, Asset], user: str | None) -> None:
    asker, now = principal(demo, user), datetime.now(UTC)
    usage = Usage(channel=Channel.social, territory="DE")
    with demo.client(user) as client:
        for key, asset in library.items():
            judged = policy.verdict(asset, asker, usage, now, SETTINGS)
            answer = client.get(f"/v1/assets/{key}/download", params={"channel": "social", "territory": "DE"})
            if not judged.findable:
                assert answer.status_code == 404
            elif judged.clearance.cleared:
                assert answer.status_code == 200
                assert len(answer.content) == asset.byte_size
            else:
                assert answer.status_code == 403
                assert answer.json()["reasons"] == list(judged.clearance.reasons)


def test_every_row_of_the_policy_is_met_by_somebody(demo: Server) -> None:
    met: set[str] = set()
    for user in PEOPLE:
        with demo.client(user) as client:
            for usage in USAGES:
                request = {"includeNotCleared": True, **({"usage": usage} if usage else {})}
                met |= {reason for hit in everything(client, request)[0] for reason in hit["clearance"]["reasons"]}
    assert met == {reason.value for reason in Reason}
