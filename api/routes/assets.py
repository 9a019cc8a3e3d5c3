"""One asset: its detail, preview, playback and original."""

import re
from pathlib import Path
from typing import Any, Final, Literal

from litestar import Request, Response, get
from litestar.datastructures import ETag
from litestar.di import Provide
from litestar.response import File

from api.schemas import ViewOut, view_out
from search.query import parse_usage
from search.searcher import Searcher
from search.types import Principal, Usage

#: The browser may keep a copy but must ask each time, so that a revoked one is not shown again.
_ASK_AGAIN: Final = "private, no-cache"
_RANGE: Final = re.compile(r"bytes=(\d*)-(\d*)")

#: The most bytes of a proxy sent in one answer; players ask for the next part.
_PART: Final = 2 << 20


def _usage(channel: str = "", territory: str = "", on: str = "", until: str = "") -> Usage | None:
    """The use that the query parameters name."""
    named = {"channel": channel, "territory": territory, "on": on, "until": until}
    said = ",".join(f"{name}={value}" for name, value in named.items() if value)
    return parse_usage(said) if said else None


_USAGE: Final = {"usage": Provide(_usage, sync_to_thread=False)}


@get("/v1/assets/{id:str}", dependencies=_USAGE, sync_to_thread=True)
def detail(searcher: Searcher, principal: Principal, id: str, usage: Usage | None) -> ViewOut:
    """All that the caller may know of an asset, judged for the named usage."""
    return view_out(searcher.view(principal, id, usage))


@get("/v1/assets/{id:str}/preview", sync_to_thread=True)
def preview(
    request: Request[Any, Any, Any],
    searcher: Searcher,
    principal: Principal,
    id: str,
    size: Literal["256", "640", "1280"] = "640",
) -> Response[bytes]:
    """A WebP whose long side is at most `size` pixels."""
    path = searcher.preview(principal, id, int(size))
    # The store's folders are content hashes, so the tag names the bytes for good.
    tag = f'"{path.parent.name[:32]}-{size}"'
    headers = {"Cache-Control": _ASK_AGAIN, "ETag": tag, "Vary": "Authorization, Cookie"}
    if request.headers.get("if-none-match") == tag:
        return Response(b"", status_code=304, headers=headers)
    return Response(path.read_bytes(), media_type="image/webp", headers=headers)


@get("/v1/assets/{id:str}/playback", sync_to_thread=True)
def playback(request: Request[Any, Any, Any], searcher: Searcher, principal: Principal, id: str) -> Response[bytes]:
    """The low-rate proxy of a video or sound, or the part of it that the Range header asks for."""
    path = searcher.playback(principal, id)
    media_type = "video/mp4" if path.suffix == ".mp4" else "audio/mp4"
    headers = {"Cache-Control": _ASK_AGAIN, "Accept-Ranges": "bytes", "Vary": "Authorization, Cookie"}
    size = path.stat().st_size
    asked = _RANGE.fullmatch(request.headers.get("range", ""))
    if asked is None or not any(asked.groups()):
        return Response(path.read_bytes(), media_type=media_type, headers=headers)
    first, last = _bounds(*asked.groups(), size=size)
    if first > last:
        return Response(b"", status_code=416, headers=headers | {"Content-Range": f"bytes */{size}"})
    part = _read(path, first, last)
    headers["Content-Range"] = f"bytes {first}-{first + len(part) - 1}/{size}"
    return Response(part, status_code=206, media_type=media_type, headers=headers)


@get("/v1/assets/{id:str}/download", dependencies=_USAGE, sync_to_thread=True)
def download(searcher: Searcher, principal: Principal, id: str, usage: Usage | None) -> File:
    """The original, once it is cleared for the usage; the audit log knows of it."""
    asset, path = searcher.original(principal, id, usage)
    return File(
        path=path,
        filename=path.name,
        media_type=asset.mime,
        content_disposition_type="attachment",
        etag=ETag(value=asset.content_hash[:32]),
        headers={"Cache-Control": "private, no-store"},
    )


def _bounds(first: str, last: str, *, size: int) -> tuple[int, int]:
    """The first and last byte asked for (RFC 9110, section 14.1.2); first > last when there are none."""
    if not first:
        return max(0, size - int(last)), size - 1
    return int(first), min(int(last) if last else size - 1, size - 1)


def _read(path: Path, first: int, last: int) -> bytes:
    with path.open("rb") as file:
        file.seek(first)
        return file.read(min(last - first + 1, _PART))
