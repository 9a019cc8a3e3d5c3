"""Search, find similar, suggest."""

from collections.abc import Iterable
from typing import Annotated, Any, cast

import msgspec
from litestar import MediaType, Request, Response, get, post
from litestar.concurrency import sync_to_thread
from litestar.datastructures import State, UploadFile
from litestar.params import Parameter, QueryParameter
from PIL import Image

from api import errors
from api.answering import Desk
from api.schemas import PageOut, SuggestionsOut
from search.errors import BadQuery
from search.query import SearchRequest, check_examples
from search.searcher import Searcher
from search.types import Principal


@post("/v1/search", status_code=200)
async def search(desk: Desk, principal: Principal, data: SearchRequest) -> Response[PageOut]:
    """Hybrid search. An empty request browses, newest first."""
    return await _answered(desk, principal, data)


@get("/v1/search")
async def search_words(
    desk: Desk,
    principal: Principal,
    q: str = "",
    unlike: Annotated[str, QueryParameter(name="not")] = "",
    similar_to: Annotated[list[str] | None, QueryParameter(name="similarTo")] = None,
    text_weight: Annotated[float, QueryParameter(name="textWeight")] = 0.5,
    limit: int = 24,
    cursor: str | None = None,
) -> Response[PageOut]:
    """Search by what fits in an address: words, and the ids of assets to find more like (`similarTo`, repeated)."""
    request = SearchRequest(
        text=q,
        unlike=unlike,
        similar_to=tuple(similar_to or ()),
        text_weight=text_weight,
        limit=limit,
        cursor=cursor,
    )
    return await _answered(desk, principal, request)


@post("/v1/similar", status_code=200)
async def similar_to_image(
    request: Request[Any, Any, Any], desk: Desk, principal: Principal, state: State
) -> Response[PageOut]:
    """Assets like the pictures in the parts `image`, together with what the JSON part `query` asks for."""
    form = await request.form()
    images, query = form.getall("image", []), form.get("query")
    uploads = [image for image in images if isinstance(image, UploadFile)]
    if not uploads or len(uploads) < len(images):
        raise BadQuery("The form has no file part `image`.", "Send multipart/form-data with the picture as `image`.")
    asked = await query.read() if isinstance(query, UploadFile) else query
    try:
        wanted = msgspec.json.decode(asked or b"{}", type=SearchRequest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadQuery(f"The part `query` is not a search request: {error}.") from error
    check_examples(len(uploads))
    pictures = [await upload.read() for upload in uploads]
    return await _answered(desk, principal, wanted, map(state.read_image, pictures))


@get("/v1/assets/{id:str}/similar")
async def similar_to_asset(
    desk: Desk,
    principal: Principal,
    id: str,
    limit: int = 24,
    cursor: str | None = None,
) -> Response[PageOut]:
    """Assets like one there is."""
    return await _answered(desk, principal, SearchRequest(similar_to=id, limit=limit, cursor=cursor))


@get("/v1/suggest", sync_to_thread=True)
def suggest(
    searcher: Searcher, principal: Principal, q: Annotated[str, Parameter(max_length=200)] = ""
) -> SuggestionsOut:
    """Completions from what the caller may find."""
    return SuggestionsOut(tuple(searcher.suggest(principal, q)))


async def _answered(
    desk: Desk, principal: Principal, request: SearchRequest, images: Iterable[Image.Image] = ()
) -> Response[PageOut]:
    """What was made JSON where it was found: a page, or why there is none."""
    # Not by `sync_to_thread=True`: of two handlers for one path Litestar 2.25 sends one that answers with a Response to
    # a thread twice, and then fails.
    answer = await sync_to_thread(desk.search, principal, request, images)
    media_type = MediaType.JSON if answer.found else errors.MEDIA_TYPE
    return Response(cast(Any, answer.body), status_code=answer.status, media_type=media_type)
