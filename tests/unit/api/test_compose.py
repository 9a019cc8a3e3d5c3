"""The server's own socket."""

import socket

import pytest

from api import compose
from api.settings import Settings
from search.errors import BadSettings


@pytest.fixture
def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def test_the_address_is_taken_and_answers_go_out_at_once(free_port: int) -> None:
    """asyncio turns Nagle's algorithm off only where a socket names its protocol."""
    with compose._bound(Settings(port=free_port)) as place:
        assert place.getsockname() == ("127.0.0.1", free_port)
        assert place.proto == socket.IPPROTO_TCP
        with pytest.raises(BadSettings, match="--port"):
            place.listen()
            compose._bound(Settings(port=free_port))


def test_an_address_that_is_not_ours_is_refused(free_port: int) -> None:
    with pytest.raises(BadSettings, match=r"192\.0\.2\.1"):
        compose._bound(Settings(host="192.0.2.1", port=free_port))
