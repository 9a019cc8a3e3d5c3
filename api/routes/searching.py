"""Search, find similar, suggest."""

import time
from typing import Annotated, Any

import anyio.to_thread
import msgspec
from litestar import Request, get, post
from litestar.datastructures import State, UploadFile
from litestar.params import Parameter

from api.schemas import PageOut, SuggestionsOut, page_out
from search.errors import BadQuery
from search.query import SearchRequest
from search.searcher import Searcher
from search.types import Principal


@post("/v1/search", status_code=200, sync_to_thread=True)
def search(searcher: Searcher, principal: Principal, data: SearchRequest) -> PageOut:
    """Hybrid search. An empty request browses, newest first."""
    begun = time.perf_counter()
    return page_out(searcher.search(principal, data), 1000 * (time.perf_counter() - begun))


@get("/v1/search", sync_to_thread=True)
def search_words(
    searcher: Searcher,
    principal: Principal,
    q: str = "",
    limit: int = 24,
    cursor: str | None = None,
) -> PageOut:
    """Search by words alone."""
    begun = time.perf_counter()
    page = searcher.search(principal, SearchRequest(text=q, limit=limit, cursor=cursor))
    return page_out(page, 1000 * (time.perf_counter() - begun))


@post("/v1/similar", status_code=200)
async def similar_to_image(
    request: Request[Any, Any, Any], searcher: Searcher, principal: Principal, state: State
) -> PageOut:
    """Assets like the picture in the part `image`, together with what the JSON part `query` asks for."""
    begun = time.perf_counter()
    form = await request.form()
    image, query = form.get("image"), form.get("query")
    if not isinstance(image, UploadFile):
        raise BadQuery("The form has no file part `image`.", "Send multipart/form-data with the picture as `image`.")
    asked = await query.read() if isinstance(query, UploadFile) else query
    try:
        wanted = msgspec.json.decode(asked or b"{}", type=SearchRequest)
    except msgspec.DecodeError as error:
        raise BadQuery(f"The part `query` is not a search request: {error}.") from error
    data = await image.read()

    def answer() -> PageOut:
        page = searcher.search(principal, wanted, images=[state.read_image(data)])
        return page_out(page, 1000 * (time.perf_counter() - begun))

    return await anyio.to_thread.run_sync(answer)


@get("/v1/assets/{id:str}/similar", sync_to_thread=True)
def similar_to_asset(
    searcher: Searcher, principal: Principal, id: str, limit: int = 24, cursor: str | None = None
) -> PageOut:
    """Assets like one there is."""
    begun = time.perf_counter()
    page = searcher.search(principal, SearchRequest(similar_to=id, limit=limit, cursor=cursor))
    return page_out(page, 1000 * (time.perf_counter() - begun))


@get("/v1/suggest", sync_to_thread=True)
def suggest(
    searcher: Searcher, principal: Principal, q: Annotated[str, Parameter(max_length=200)] = ""
) -> SuggestionsOut:
    """Completions from what the caller may find."""
    return SuggestionsOut(tuple(searcher.suggest(principal, q)))
