"""Several processes answer as one: they count together, are replaced when they die, and end with their parent."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import httpx
import pytest

from tests.conftest import Server, serving
from tests.integration.test_metrics import SAMUEL, samples


@pytest.fixture(scope="module")
def pair(demo: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Two processes over the demo's library."""
    same = tmp_path_factory.mktemp("pair") / "library"
    same.symlink_to(demo.data_dir)
    with serving("serve", data_dir=same, LOUPE_PROCESSES="2", LOUPE_SENSITIVE_GROUPS="cleared-sensitive") as server:
        yield server


def answering(server: Server) -> set[int]:
    """The processes that answer: copies of the one that was started, besides which it may have others."""
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
    return {int(pid) for pid in children}


def search(server: Server, user: str | None) -> httpx.Response:
    """On a connection of its own, which either may take."""
    with server.client(user) as client:
        return client.post("/v1/search", json={"text": "espresso"}).raise_for_status()


def test_they_answer_alike_and_count_together(pair: Server, demo: Server) -> None:
    with pair.client(SAMUEL) as client:
        before = samples(client)
    for user in ("mara", "diego", None):
        answers = [search(pair, user).json() for _ in range(8)]
        expected = search(demo, user).json()
        for answer in [*answers, expected]:
            del answer["tookMs"]
        for answer in answers:
            assert answer == expected
    for _ in range(6):
        with pair.client(SAMUEL) as client:
            now = samples(client)
        assert now["loupe_search_seconds_count",] - before.get(("loupe_search_seconds_count",), 0) == 24
        texts = sum(now.get(("loupe_query_texts_total", origin), 0) for origin in ("kept", "model"))
        assert texts - sum(before.get(("loupe_query_texts_total", origin), 0) for origin in ("kept", "model")) == 24
        assert now["loupe_generation",] >= 1
        assert now["process_resident_memory_bytes",] > 0
    assert len(answering(pair)) == 2


def test_one_that_dies_is_replaced_and_the_other_goes_on(pair: Server) -> None:
    dead = min(answering(pair))
    os.kill(dead, signal.SIGKILL)
    deadline = monotonic() + 30
    while dead in answering(pair):  # what it had taken is lost with it
        assert monotonic() < deadline
    for _ in range(8):
        assert search(pair, "mara").json()["hits"]
    while len(answering(pair)) < 2:
        assert monotonic() < deadline
    for _ in range(8):
        assert search(pair, "mara").json()["hits"]


def test_they_end_with_the_one_they_are_copies_of(demo: Server, tmp_path: Path) -> None:
    same = tmp_path / "library"
    same.symlink_to(demo.data_dir)
    with serving("serve", data_dir=same, LOUPE_PROCESSES="2") as server:
        copies = answering(server)
        assert len(copies) == 2
        os.kill(server.pid, signal.SIGKILL)
        deadline = monotonic() + 30
        while any(Path(f"/proc/{pid}").exists() for pid in copies):
            assert monotonic() < deadline
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{server.address}/health/live")
