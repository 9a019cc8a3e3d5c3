"""Those who run the server see how it works, in numbers; nobody else does."""

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta

import httpx
import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from api.app import ACCESS
from api.auth import Tokens
from benchmarks.load import Report, Served, measured, texts
from search.types import Principal, Role
from tests.conftest import Server

SAMUEL = "samuel"  # administers the demo


def samples(client: httpx.Client) -> Mapping[tuple[str, ...], float]:
    """Each sample by its name and the values of its labels, in the order of the labels' names."""
    answer = client.get("/metrics").raise_for_status()
    assert answer.headers["content-type"].startswith("text/plain; version=")
    families = text_string_to_metric_families(answer.text)
    return {(one.name, *one.labels.values()): one.value for family in families for one in family.samples}


@pytest.mark.parametrize("route", [route for route, who in ACCESS.items() if who == "administrators"])
def test_what_is_for_administrators_is_refused_to_all_others(demo: Server, route: str) -> None:
    method, _, path = route.partition(" ")
    for user in ("mara", "priya", "aiko"):
        with demo.client(user) as client:
            answer = client.request(method, path)
            assert answer.status_code == 403
            assert answer.json()["type"] == "urn:loupe:problem:not-cleared"
    with demo.client() as client:
        assert client.request(method, path).status_code == 401
    with demo.client(SAMUEL) as client:
        assert client.request(method, path).status_code == 200


def test_a_search_is_counted_with_its_stages_and_its_plans(demo: Server) -> None:
    with demo.client(SAMUEL) as client:
        before = samples(client)
        client.post("/v1/search", json={"text": "an owl that nobody asked for before -cat"}).raise_for_status()
        client.post("/v1/search", json={"text": "an owl that nobody asked for before -cat"}).raise_for_status()
        now = samples(client)

    def more(*name: str) -> float:
        return now[name] - before.get(name, 0.0)

    assert more("loupe_requests_total", "POST /v1/search", "200") == 2
    assert more("loupe_search_seconds_count") == 2
    for stage in ("encode", "wait", "scope", "visual", "passage", "keyword", "fusion", "read-back", "facets"):
        assert more("loupe_search_stage_seconds_count", stage) == 2
    assert 0 < more("loupe_search_stage_seconds_sum", "encode") < more("loupe_search_seconds_sum")
    for space in ("visual", "text"):  # for the text and for what is pushed away, twice
        made = sum(more(*name) for name in now if name[0] == "loupe_vector_searches_total" and name[-1] == space)
        assert made == more("loupe_vector_rows_scored_count", space) >= 4
        assert more("loupe_vector_rows_scored_sum", space) > 0
    assert more("loupe_query_texts_total", "model") == more("loupe_encoder_batch_texts_sum") == 2
    assert more("loupe_query_texts_total", "kept") == 2
    assert more("loupe_encoder_batch_texts_count") == more("loupe_encoder_batch_texts_bucket", "2.0") == 1
    assert now["loupe_generation",] >= 1
    assert now["process_resident_memory_bytes",] > 0


def test_metrics_hold_no_word_of_what_is_asked_or_found(demo: Server) -> None:
    """Labels are few and known beforehand, whatever comes in."""
    with demo.client(SAMUEL) as client:
        client.post("/v1/search", json={"text": "zanzibar espresso"})
        client.get("/v1/assets/espresso-cup")
        client.get("/v1/assets/zanzibar")
        client.get("/zanzibar")
        client.request("ZANZIBAR", "/v1/search")
        text = client.get("/metrics").text
        named = {name[1] for name in samples(client) if name[0] == "loupe_requests_total"}
    assert "zanzibar" not in text.lower()
    assert "espresso" not in text
    assert {"GET /v1/assets/{id}", "other"} <= named <= {*ACCESS, "other"}


@pytest.mark.parametrize(
    "request_", [{"text": "coffee"}, {"similarTo": "espresso-cup"}, {"text": "bird", "similarTo": "espresso-cup"}]
)
def test_administrators_see_in_why_how_a_hit_was_found(demo: Server, request_: dict[str, str]) -> None:
    """The plan stands with each vector leg, and in nobody else's answer."""
    with demo.client(SAMUEL) as client:
        hits = client.post("/v1/search", json=request_).raise_for_status().json()["hits"]
    whys = [why for hit in hits for why in hit["why"]]
    assert {why["leg"] for why in whys} & {"visual", "passage"}
    for why in whys:
        if why["leg"] == "keyword":
            assert "plan" not in why
        else:
            assert set(why["plan"]) == {"method", "allowed", "scored"}
            assert why["plan"]["method"]
            assert 0 < why["plan"]["scored"] <= why["plan"]["allowed"]
    for user in ("mara", "diego", "tomasz", "priya", "aiko", None):
        with demo.client(user) as client:
            answer = client.post("/v1/search", json=request_)
            assert '"why"' in answer.text or answer.status_code == 404
            assert '"plan"' not in answer.text


def test_the_load_bench_measures_a_server_and_ends(demo: Server) -> None:
    """Small and quick: every phase answers searches, none fails, and the figures can be written down."""
    tokens = Tokens(bytes.fromhex((demo.data_dir / "secret").read_text()))
    mara = Principal("mara", frozenset({"marketing-emea"}))
    administrator = Principal("load", roles=frozenset({Role.administrator}))
    token, administers = (tokens.make(one, timedelta(minutes=5))[0] for one in (mara, administrator))
    port = int(demo.address.rpartition(":")[2])
    with closing(Served(demo.pid, port, token, administers, assets=138, processes=1)) as server:
        asked = measured(server, texts, rate=20, seconds=1, connections=(2, 4), requests=40, at_most=60, known=12)
        with ThreadPoolExecutor(1) as thread:  # Playwright, once used, leaves a loop running in this one
            report = thread.submit(asyncio.run, asked).result()
    assert msgspec.json.decode(msgspec.json.encode(report), type=Report).rows == report.rows
    assert all(row.searches > 0 and not row.failed for row in report.rows)
    assert all(0 < row.median <= row.p95 <= row.p99 for row in report.rows)
    assert report.rows[-1].searches == 40
    assert report.memory.looks[-1].resident > report.memory.looks[-1].own > 0
    assert {"scope", "encode", "visual", "keyword", "read-back"} <= set(report.stages)
