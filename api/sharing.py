"""Searches go to a process that has less to do, whichever of several their connection led to.

The system deals connections out, and a connection stays where it is: one process may have a queue while another has
nothing to do. So each tells the others, in memory that they share, how many searches it has at hand; one that has more
than another, by enough, passes a search on, as the request that it is, to a socket that only they know, and passes the
answer back.
What a process that dies had been passed is answered by the one that passed it.
"""

import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from mmap import mmap
from typing import Final

import httpx2 as httpx
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPReceiveMessage, HTTPScope, Receive, Scope, Send, WebSocketReceiveMessage

#: What is passed on: requests for these, no larger than so many bytes.
_PATH: Final = "/v1/search"
_LARGEST: Final = 1 << 16

#: What speaks of one connection only, and what uvicorn says itself.
_OWN: Final = frozenset({b"connection", b"date", b"expect", b"keep-alive", b"server", b"transfer-encoding"})

_CONNECTING: Final = 1.0  # seconds


class Loads:
    """How many searches each of so many processes has at hand. To be made before they are copied from this one."""

    def __init__(self, number: int) -> None:
        self._name = f"\0loupe-{secrets.token_hex(16)}"  # an address that is no file, so that nothing is left behind
        self._at_hand = memoryview(mmap(-1, 8 * number)).cast("q")

    def address(self, place: int) -> str:
        """Where the process of a place takes what is passed on."""
        return f"{self._name}-{place}"

    def begin(self, place: int) -> None:
        """Another process takes the place."""
        self._at_hand[place] = 0

    @contextmanager
    def counted(self, place: int) -> Iterator[None]:
        self._at_hand[place] += 1  # only the process of the place writes here, and from one thread
        try:
            yield
        finally:
            self._at_hand[place] -= 1

    def less_busy(self, place: int) -> int | None:
        """The place of the process that has the fewest, if it is idle and this one is not, or has two fewer at least:
        to pass a search on costs something, and where all have much to do it gains next to nothing."""
        least = min(range(len(self._at_hand)), key=self._at_hand.__getitem__)
        fewer = self._at_hand[place] - self._at_hand[least]
        return least if fewer > 1 or (fewer == 1 and self._at_hand[least] == 0) else None


class Sharing:
    """An application that passes searches on, and takes what is passed on at the socket `door`."""

    def __init__(self, application: ASGIApp, loads: Loads, place: int) -> None:
        self._application = application
        self._loads = loads
        self._place = place
        self.door = socket.socket(socket.AF_UNIX)
        self.door.bind(loads.address(place))
        loads.begin(place)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP or scope["path"] != _PATH:
            await self._application(scope, receive, send)
            return
        server = scope["server"]
        passed_on = server is None or server[1] is None
        other = None if passed_on else self._loads.less_busy(self._place)
        if other is not None and _length(scope) <= _LARGEST:
            asked = await _asked(receive)
            if asked is None:
                return
            if await self._passed_on(other, scope, asked, send):
                return
            receive = _again(asked, receive)
        with self._loads.counted(self._place):
            await self._application(scope, receive, send)

    async def _passed_on(self, other: int, scope: HTTPScope, asked: bytes, send: Send) -> bool:
        """Have another process answer; says whether it did."""
        # Not to verify spares reading the certificates of authorities (20 ms), of which none speaks here.
        way = httpx.AsyncHTTPTransport(uds=self._loads.address(other), verify=False)
        address = httpx.URL(scheme="http", host="loupe", raw_path=scope["raw_path"] + b"?" + scope["query_string"])
        headers = [(name, value) for name, value in scope["headers"] if name not in _OWN]
        limits = {"timeout": {"connect": _CONNECTING}}
        request = httpx.Request(scope["method"], address, headers=headers, content=asked, extensions=limits)
        try:
            async with way:
                answer = await way.handle_async_request(request)
                body = b"".join([part async for part in answer.aiter_raw()])
                await answer.aclose()
        except httpx.TransportError:  # it ended
            return False
        told = [(name.lower(), value) for name, value in answer.headers.raw if name.lower() not in _OWN]
        await send({"type": "http.response.start", "status": answer.status_code, "headers": told})
        await send({"type": "http.response.body", "body": body, "more_body": False})
        return True


def _length(scope: HTTPScope) -> int:
    """How many bytes a request has; very many if it does not say."""
    headers = dict(scope["headers"])
    if b"transfer-encoding" in headers:
        return _LARGEST + 1
    return int(headers.get(b"content-length", b"0"))


async def _asked(receive: Receive) -> bytes | None:
    """The whole of a request; None if whoever asked has gone."""
    asked = b""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        asked += message["body"]
        if not message["more_body"]:
            return asked


def _again(asked: bytes, receive: Receive) -> Receive:
    """What gives a request that was read already, and then what comes after it."""
    given = False

    async def again() -> HTTPReceiveMessage | WebSocketReceiveMessage:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": asked, "more_body": False}

    return again
