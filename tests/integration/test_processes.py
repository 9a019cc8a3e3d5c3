"""Several processes answer as one: they count together, are replaced when they die, and end with their parent."""

import os
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from time import monotonic

import httpx
import pytest

from api.processes import children
from tests.conftest import Server, serving
from tests.integration.test_metrics import SAMUEL, samples

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def pair(demo: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Two processes that search the demo's library, and one that answers."""
    same = tmp_path_factory.mktemp("pair") / "library"
    same.symlink_to(demo.data_dir)
    with serving("serve", data_dir=same, LOUPE_PROCESSES="2", LOUPE_SENSITIVE_GROUPS="cleared-sensitive") as server:
        yield server


def at_work(server: Server) -> list[int]:
    """The processes that answer and search, copies of the one that was started, the oldest first."""
    return children(server.pid)


def searching(server: Server) -> list[int]:
    """Those of them that search: they hear no signal that asks them to stop."""
    told = {pid: Path(f"/proc/{pid}/status").read_text() for pid in at_work(server)}
    ignored = {pid: int(status.partition("SigIgn:")[2].split()[0], 16) for pid, status in told.items()}
    return [pid for pid, signals in ignored.items() if signals & 1 << signal.SIGTERM - 1]


def search(server: Server, user: str | None) -> httpx.Response:
    """On a connection of its own."""
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
    assert len(at_work(pair)) == 3


@pytest.mark.parametrize("searches", [False, True])
def test_one_that_dies_is_replaced_and_the_others_go_on(pair: Server, searches: bool) -> None:
    """Whether it is the one that answers or one of those that search."""
    dead = next(pid for pid in at_work(pair) if (pid in searching(pair)) is searches)
    os.kill(dead, signal.SIGKILL)
    deadline = monotonic() + 30
    while dead in at_work(pair) or len(at_work(pair)) < 3:
        assert monotonic() < deadline
    with ThreadPoolExecutor(8) as people:
        answers = list(people.map(partial(search, pair), ["mara"] * 32))
    assert all(answer.json()["hits"] for answer in answers)


def test_searches_in_hand_are_given_to_another_when_a_process_dies(pair: Server) -> None:
    with ThreadPoolExecutor(8) as people:
        answers = [people.submit(search, pair, "mara") for _ in range(200)]
        for number in (40, 80, 120, 160):
            answers[number].result()
            os.kill(searching(pair)[0], signal.SIGKILL)
        assert all(answer.result().json()["hits"] for answer in answers)


def test_what_is_in_hand_is_answered_before_they_stop(demo: Server, tmp_path: Path) -> None:
    """Also where the signal goes to all of them, as Ctrl-C and some that run services have it."""
    same = tmp_path / "library"
    same.symlink_to(demo.data_dir)
    body = b'{"text": "dog"}'
    with serving("serve", data_dir=same, LOUPE_PROCESSES="2") as server, server.client("mara") as client:
        address = httpx.URL(server.address)
        cookie = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
        head = (
            f"POST /v1/search HTTP/1.1\r\nHost: {address.netloc.decode()}\r\nCookie: {cookie}\r\n"
            f"Expect: 100-continue\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        with socket.create_connection((address.host, address.port), timeout=30) as one:
            one.sendall(head.encode())
            assert one.recv(1000).startswith(b"HTTP/1.1 100 "), "it is in hand"
            for pid in (*at_work(server), server.pid):
                os.kill(pid, signal.SIGTERM)
            one.sendall(body)
            answer = one.makefile("rb").read()
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b'"hits":[{' in answer


def test_they_end_with_the_one_they_are_copies_of(demo: Server, tmp_path: Path) -> None:
    same = tmp_path / "library"
    same.symlink_to(demo.data_dir)
    with serving("serve", data_dir=same, LOUPE_PROCESSES="2") as server:
        copies = at_work(server)
        assert len(copies) == 3
        os.kill(server.pid, signal.SIGKILL)
        deadline = monotonic() + 30
        while any(Path(f"/proc/{pid}").exists() for pid in copies):
            assert monotonic() < deadline
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{server.address}/health/live")
