"""One map from Loupe's errors to HTTP: problem details (RFC 9457) that say what was wrong and what to do."""

import logging
from typing import Any, Final

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException

from search import errors

_log = logging.getLogger(__name__)

#: The nearest class of an error that is listed decides.
STATUS: Final[dict[type[errors.LoupeError], int]] = {
    errors.InvalidInput: 400,
    errors.MediaTooLarge: 413,
    errors.UnsupportedMedia: 415,
    errors.NotFound: 404,
    errors.NotCleared: 403,
    errors.Unauthenticated: 401,
    errors.LibraryBusy: 409,
    errors.ModelUnavailable: 503,
    errors.GenerationDamaged: 503,
    errors.LoupeError: 500,
}


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """RFC 9457. `type` is stable; `reasons` are policy's reason codes."""

    type: str
    title: str
    status: int
    detail: str = ""
    remedy: str = ""
    reasons: tuple[str, ...] = ()


def loupe_error(_: Request[Any, Any, Any], error: errors.LoupeError) -> Response[Problem]:
    status = next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)
    reasons = error.reasons if isinstance(error, errors.NotCleared) else ()
    return _response(error.code, status, error.message, error.remedy, reasons)


def http_error(_: Request[Any, Any, Any], error: HTTPException) -> Response[Problem]:
    """What the framework refused: no such route or method, a body that does not fit."""
    code = {404: "not-found", 405: "method-not-allowed", 413: "too-large"}.get(error.status_code, "bad-request")
    said = [str(item.get("message", "")) for item in error.extra or () if isinstance(item, dict)]
    return _response(code, error.status_code, " ".join(filter(None, (error.detail, *said))))


def unexpected_error(request: Request[Any, Any, Any], error: Exception) -> Response[Problem]:
    """A fault of ours: logged with its trace here, told without it there."""
    _log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return _response("internal", 500, "Something went wrong on the server.", "Its log says what; try again.")


def _response(
    code: str, status: int, detail: str, remedy: str = "", reasons: tuple[str, ...] = ()
) -> Response[Problem]:
    problem = Problem(f"urn:loupe:problem:{code}", code.replace("-", " "), status, detail, remedy, reasons)
    return Response(problem, status_code=status, media_type="application/problem+json")
