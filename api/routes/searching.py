"""Search, find similar, suggest."""

import time
from collections.abc import Iterable
from typing import Annotated, Any

import msgspec
from litestar import Request, get, post
from litestar.concurrency import sync_to_thread
from litestar.datastructures import State, UploadFile
from litestar.params import Parameter, QueryParameter
from PIL import Image

from api.metrics import Metrics
from api.schemas import PageOut, SuggestionsOut, page_out
from search.errors import BadQuery
from search.query import SearchRequest, check_examples
from search.searcher import Searcher
from search.trace import Trace
from search.types import Principal


@post("/v1/search", status_code=200, sync_to_thread=True)
def search(searcher: Searcher, measures: Metrics, principal: Principal, data: SearchRequest) -> PageOut:
    """Hybrid search. An empty request browses, newest first."""
    return _answer(searcher, measures, principal, data)


@get("/v1/search", sync_to_thread=True)
def search_words(
    searcher: Searcher,
    measures: Metrics,
    principal: Principal,
    q: str = "",
    unlike: Annotated[str, QueryParameter(name="not")] = "",
    similar_to: Annotated[list[str] | None, QueryParameter(name="similarTo")] = None,
    text_weight: Annotated[float, QueryParameter(name="textWeight")] = 0.5,
    limit: int = 24,
    cursor: str | None = None,
) -> PageOut:
    """Search by what fits in an address: words, and the ids of assets to find more like (`similarTo`, repeated)."""
    request = SearchRequest(
        text=q,
        unlike=unlike,
        similar_to=tuple(similar_to or ()),
        text_weight=text_weight,
        limit=limit,
        cursor=cursor,
    )
    return _answer(searcher, measures, principal, request)


@post("/v1/similar", status_code=200)
async def similar_to_image(
    request: Request[Any, Any, Any], searcher: Searcher, measures: Metrics, principal: Principal, state: State
) -> PageOut:
    """Assets like the pictures in the parts `image`, together with what the JSON part `query` asks for."""
    form = await request.form()
    images, query = form.getall("image", []), form.get("query")
    uploads = [image for image in images if isinstance(image, UploadFile)]
    if not uploads or len(uploads) < len(images):
        raise BadQuery("The form has no file part `image`.", "Send multipart/form-data with the picture as `image`.")
    asked = await query.read() if isinstance(query, UploadFile) else query
    try:
        wanted = msgspec.json.decode(asked or b"{}", type=SearchRequest)
    except msgspec.DecodeError as error:
        raise BadQuery(f"The part `query` is not a search request: {error}.") from error
    check_examples(len(uploads))
    pictures = [await upload.read() for upload in uploads]
    return await sync_to_thread(_answer, searcher, measures, principal, wanted, map(state.read_image, pictures))


@get("/v1/assets/{id:str}/similar", sync_to_thread=True)
def similar_to_asset(
    searcher: Searcher,
    measures: Metrics,
    principal: Principal,
    id: str,
    limit: int = 24,
    cursor: str | None = None,
) -> PageOut:
    """Assets like one there is."""
    return _answer(searcher, measures, principal, SearchRequest(similar_to=id, limit=limit, cursor=cursor))


@get("/v1/suggest", sync_to_thread=True)
def suggest(
    searcher: Searcher, principal: Principal, q: Annotated[str, Parameter(max_length=200)] = ""
) -> SuggestionsOut:
    """Completions from what the caller may find."""
    return SuggestionsOut(tuple(searcher.suggest(principal, q)))


def _answer(
    searcher: Searcher,
    measures: Metrics,
    principal: Principal,
    request: SearchRequest,
    images: Iterable[Image.Image] = (),
) -> PageOut:
    """One page, measured. `images` are decoded here, in the time that is told."""
    begun = time.perf_counter()
    trace = Trace()
    page = searcher.search(principal, request, list(images), trace)
    taken = time.perf_counter() - begun
    measures.searched(taken, trace)
    return page_out(page, 1000 * taken)
