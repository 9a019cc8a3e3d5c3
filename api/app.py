"""The web application: routes, who may call them, and the headers that every answer bears."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from litestar import Litestar, MediaType, Request, get
from litestar.datastructures import MutableScopeHeaders, State
from litestar.di import Provide
from litestar.exceptions import ClientException, HTTPException
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.static_files import create_static_files_router
from litestar.types import Message, Scope
from PIL import Image

import ui
from api import errors
from api.answering import Answering, Desk
from api.auth import Person, Tokens
from api.metrics import Metrics
from api.routes import assets, operations, searching, session
from search.errors import InvalidInput, LoupeError, NotCleared
from search.searcher import Searcher
from search.types import Principal

#: Who may call what. `scoped`: anyone, and the gate decides what they get; `open`: it tells nothing about the library;
#: `administrators`: they alone. A test holds this equal to the routes there are.
ACCESS: Final[Mapping[str, str]] = {
    "POST /v1/search": "scoped",
    "GET /v1/search": "scoped",
    "POST /v1/similar": "scoped",
    "GET /v1/suggest": "scoped",
    "GET /v1/assets/{id}": "scoped",
    "GET /v1/assets/{id}/similar": "scoped",
    "GET /v1/assets/{id}/preview": "scoped",
    "GET /v1/assets/{id}/playback": "scoped",
    "GET /v1/assets/{id}/download": "scoped",
    "GET /v1/session": "open",
    "GET /v1/demo/people": "open",
    "POST /v1/demo/sign-in": "open",
    "POST /v1/demo/sign-out": "open",
    "GET /health/live": "open",
    "GET /health/ready": "open",
    "GET /metrics": "administrators",
}

_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none'; form-action 'self'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


_THREADS: Final = 32

_UI: Final = Path(ui.__file__).parent


@get("/", media_type=MediaType.HTML, include_in_schema=False, sync_to_thread=False)
def page() -> bytes:
    """The search page."""
    return (_UI / "index.html").read_bytes()


def create_app(
    searcher: Callable[[], Searcher],
    tokens: Tokens,
    *,
    answer: Answering,
    processes: Callable[[], Sequence[int]],
    people: Sequence[Person],
    read_image: Callable[[bytes], Image.Image],
    session_hours: int,
    max_upload: int,
    hosts: Sequence[str] = (),
) -> Litestar:
    """The application over what `searcher` gives when a request begins.

    `answer` is what answers searches, and `processes` are those that do, whose processor time and memory are told.
    `people` (none: tokens only) and `hosts`, the names that the server goes by (none: any), belong to the local
    sign-in.
    """

    def principal(request: Request[Any, Any, Any]) -> Principal:
        return tokens.principal_of(request)

    measures = Metrics(searcher, processes)
    desk = Desk(searcher, answer, measures)

    async def count(message: Message, scope: Scope) -> None:
        if message["type"] == "http.response.start":
            route = f"{scope.get('method')} {scope.get('path_template')}"
            measures.answered(route if route in ACCESS else "other", message["status"])

    pages = create_static_files_router("/ui", directories=[_UI], include_in_schema=False)
    return Litestar(
        route_handlers=[
            searching.search,
            searching.search_words,
            searching.similar_to_image,
            searching.similar_to_asset,
            searching.suggest,
            assets.detail,
            assets.preview,
            assets.playback,
            assets.download,
            session.session,
            session.people,
            session.sign_in,
            session.sign_out,
            operations.live,
            operations.ready,
            operations.metrics,
            page,
            pages,
        ],
        dependencies={
            "principal": Provide(principal, sync_to_thread=False),
            "searcher": Provide(searcher, sync_to_thread=False),
            "desk": Provide(lambda: desk, sync_to_thread=False),
            "measures": Provide(lambda: measures, sync_to_thread=False),
        },
        state=State(
            {
                "people": {person.user: person for person in people},
                "tokens": tokens,
                "session_hours": session_hours,
                "read_image": read_image,
                "hosts": frozenset(hosts),
            }
        ),
        exception_handlers={
            LoupeError: errors.loupe_error,
            HTTPException: errors.http_error,
            Exception: errors.unexpected_error,
        },
        on_startup=[_make_room],
        before_request=_refuse_other_sites,
        before_send=[_add_headers, count],
        request_class=_Request,
        request_max_body_size=max_upload,
        openapi_config=OpenAPIConfig(
            title="Loupe", version="1", path="/schema", render_plugins=[JsonRenderPlugin(path="/openapi.json")]
        ),
    )


class _Request(Request[Any, Any, Any]):
    """A request whose body may be no text, or nested beyond reason: the framework takes that for a mistake of ours."""

    async def json(self) -> Any:
        try:
            return await super().json()
        except (UnicodeDecodeError, RecursionError) as error:
            raise ClientException(f"JSON is malformed: {error}") from error


async def _make_room() -> None:
    """Threads for requests, most of which wait: for the model, which reads what waits together, or for their turn."""
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_THREADS, "requests"))


async def _refuse_other_sites(request: Request[Any, Any, Any]) -> None:
    """A page of another site may not act through a person's session cookie, nor through a name that it led here."""
    host = request.headers.get("host", "")
    if (hosts := request.app.state["hosts"]) and host not in hosts:
        raise InvalidInput(f"This server does not go by the name {host!r}.", "Open the address that it printed.")
    origin = request.headers.get("origin")
    if request.method == "GET" or origin is None or origin.partition("://")[2] == host:
        return
    raise NotCleared("Requests from pages of other sites are refused.", ())


async def _add_headers(message: Message, _: Scope) -> None:
    """On every answer, errors and files included."""
    if message["type"] == "http.response.start":
        headers = MutableScopeHeaders.from_message(message)
        for name, value in _HEADERS.items():
            headers[name] = value
        headers.setdefault("Cache-Control", "no-store")
