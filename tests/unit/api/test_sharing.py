"""Searches go to the process that has the fewest: real servers, each in a thread instead of a process."""

import asyncio
import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from threading import Event, Thread
from typing import Any

import httpx
import pytest
import uvicorn

from api.sharing import _LARGEST, Loads, Sharing


class Echo:
    """Says which process it is in and what it was asked; the search for "slow" it answers when it is told to."""

    def __init__(self, place: int) -> None:
        self.place = place
        self.begun, self.go_on = Event(), Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body = b""
        while (message := await receive())["type"] == "http.request":
            body += message["body"]
            if not message["more_body"]:
                break
        if body == b"slow":
            self.begun.set()
            await asyncio.to_thread(self.go_on.wait)
        said = {
            "place": self.place,
            "asked": [scope["method"], scope["path"], scope["query_string"].decode(), len(body)],
            "user": dict(scope["headers"]).get(b"authorization", b"").decode(),
        }
        headers = [(b"content-type", b"application/json"), (b"x-frame-options", b"deny")]
        await send({"type": "http.response.start", "status": 418, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps(said).encode()})


class Running:
    """One process: its application, its address, and what ends it."""

    def __init__(self, loads: Loads, place: int) -> None:
        self.echo = Echo(place)
        sharing = Sharing(self.echo, loads, place)
        listening = socket.socket()
        listening.bind(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{listening.getsockname()[1]}"
        self._server = uvicorn.Server(uvicorn.Config(sharing, log_level="warning", lifespan="off"))
        self._thread = Thread(target=self._server.run, args=([listening, sharing.door],))
        self._thread.start()
        while not self._server.started:
            assert self._thread.is_alive()

    def end(self) -> None:
        self.echo.go_on.set()
        self._server.should_exit = True
        self._thread.join()

    @contextmanager
    def busy(self) -> Iterator[None]:
        """It has a search at hand."""
        asking = Thread(target=httpx.post, args=(f"{self.address}/v1/search",), kwargs={"content": b"slow"})
        asking.start()
        assert self.echo.begun.wait(10)
        try:
            yield
        finally:
            self.echo.go_on.set()
            asking.join()

    def ask(self, method: str, path: str, content: bytes = b"") -> dict[str, Any]:
        answer = httpx.request(method, self.address + path, content=content, headers={"Authorization": "Bearer mara"})
        assert answer.status_code == 418
        assert answer.headers["x-frame-options"] == "deny"
        for name in ("date", "server"):
            assert len(answer.headers.get_list(name)) == 1
        said: dict[str, Any] = answer.json()
        assert said["user"] == "Bearer mara"
        return said


@pytest.fixture
def pair() -> Iterator[tuple[Running, Running]]:
    loads = Loads(2)
    with ExitStack() as stack:
        first, second = (Running(loads, place) for place in range(2))
        for one in (first, second):
            stack.callback(one.end)
        yield first, second


def test_a_search_goes_to_whichever_process_has_fewer(pair: tuple[Running, Running]) -> None:
    first, second = pair
    assert first.ask("POST", "/v1/search", b"cats")["place"] == 0
    with first.busy():
        said = first.ask("POST", "/v1/search?a=b%20c", b"cats")
        assert (said["place"], said["asked"]) == (1, ["POST", "/v1/search", "a=b%20c", 4])
        said = first.ask("GET", "/v1/search?q=a+cat")
        assert (said["place"], said["asked"]) == (1, ["GET", "/v1/search", "q=a+cat", 0])
        assert second.ask("POST", "/v1/search", b"cats")["place"] == 1
        with second.busy():
            assert first.ask("POST", "/v1/search", b"cats")["place"] == 0, "the other has as many"
    assert first.ask("POST", "/v1/search", b"cats")["place"] == 0, "what it had is done"


def test_what_is_no_search_or_large_stays(pair: tuple[Running, Running]) -> None:
    first, _ = pair
    with first.busy():
        assert first.ask("POST", "/v1/similar", b"cats")["place"] == 0
        large = first.ask("POST", "/v1/search", b"x" * (_LARGEST + 1))
        assert (large["place"], large["asked"][3]) == (0, _LARGEST + 1)


def test_what_an_ended_process_cannot_answer_is_answered_by_the_one_it_came_to(pair: tuple[Running, Running]) -> None:
    first, second = pair
    with first.busy():
        assert first.ask("POST", "/v1/search", b"cats")["place"] == 1
        second.end()
        said = first.ask("POST", "/v1/search", b"cats")
        assert (said["place"], said["asked"][3]) == (0, 4)
