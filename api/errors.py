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


MEDIA_TYPE: Final = "application/problem+json"


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """RFC 9457. `type` is stable; `reasons` are policy's reason codes."""

    type: str
    title: str
    status: int
    detail: str = ""
    remedy: str = ""
    reasons: tuple[str, ...] = ()


def problem(error: errors.LoupeError) -> Problem:
    """What people are told of an error."""
    status = next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)
    reasons = error.reasons if isinstance(error, errors.NotCleared) else ()
    return _problem(error.code, status, error.message, error.remedy, reasons)


def loupe_error(_: Request[Any, Any, Any], error: errors.LoupeError) -> Response[Problem]:
    return _response(problem(error))


def http_error(_: Request[Any, Any, Any], error: HTTPException) -> Response[Problem]:
    """What the framework refused: no such route or method, a body that does not fit."""
    code = {404: "not-found", 405: "method-not-allowed", 413: "too-large"}.get(error.status_code, "bad-request")
    said = [str(item.get("message", "")) for item in error.extra or () if isinstance(item, dict)]
    remedy = "What is taken, and where, is in `/schema/openapi.json`." if error.status_code in (400, 405) else ""
    return _response(_problem(code, error.status_code, " ".join(filter(None, (error.detail, *said))), remedy))


def unexpected_error(request: Request[Any, Any, Any], error: Exception) -> Response[Problem]:
    """A fault of ours: logged with its trace here, told without it there."""
    _log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return _response(INTERNAL)


def _problem(code: str, status: int, detail: str, remedy: str = "", reasons: tuple[str, ...] = ()) -> Problem:
    return Problem(f"urn:loupe:problem:{code}", code.replace("-", " "), status, detail, remedy, reasons)


#: A fault of ours, of which nothing more is told.
INTERNAL: Final = _problem("internal", 500, "Something went wrong on the server.", "Its log says what; try again.")


def _response(told: Problem) -> Response[Problem]:
    return Response(told, status_code=told.status, media_type=MEDIA_TYPE)
