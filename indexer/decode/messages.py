"""What parent and child say to each other: msgpack, each message after its length (4 bytes, big-endian)."""

import struct
from collections.abc import Mapping, Sequence
from typing import BinaryIO, Final

import msgspec

from search.types import MediaType, SegmentKind

_LENGTH: Final = struct.Struct(">I")


class Limits(msgspec.Struct, frozen=True):
    """Bounds on one file: pixels of a picture, bytes, seconds of work (moving media may take their duration on top)
    and bytes of memory."""

    max_pixels: int = 120_000_000
    max_bytes: int = 4_000_000_000
    seconds: float = 300.0
    memory_bytes: int = 3_000_000_000


class Request(msgspec.Struct, frozen=True):
    """Decode the file at `path`, finished renditions into the folder `staging`; or, if given, the picture in `data`."""

    limits: Limits
    path: str = ""
    staging: str = ""
    data: bytes = b""


class Frame(msgspec.Struct, frozen=True):
    """A picture to embed, as JPEG or PNG bytes, and where it stands: seconds of a video, the page of a document."""

    kind: SegmentKind
    data: bytes
    start: float | None = None
    end: float | None = None
    page: int | None = None


class PageText(msgspec.Struct, frozen=True):
    """The text of one page of a document, counted from 1."""

    page: int
    text: str


class Decoded(msgspec.Struct, frozen=True, tag=True):
    """All that was found in a file. `renditions`: name in the store to the finished file. `embedded`: the file's own
    metadata under the manifest's field names. Sizes are pixels as shown (turned upright), `duration` seconds."""

    media_type: MediaType
    mime: str
    width: int = 0
    height: int = 0
    duration: float | None = None
    pages: int | None = None
    renditions: Mapping[str, str] = {}
    frames: Sequence[Frame] = ()
    page_texts: Sequence[PageText] = ()
    embedded: Mapping[str, str | list[str]] = {}


class Lasts(msgspec.Struct, frozen=True, tag=True):
    """Sent ahead by moving media: how many seconds they last, and so how much longer they may take."""

    seconds: float


class Failed(msgspec.Struct, frozen=True, tag=True):
    """Why nothing could be made of the file: the code of a MediaError with its message and remedy."""

    code: str
    message: str
    remedy: str = ""


Answer = Decoded | Lasts | Failed


def write(pipe: BinaryIO, message: msgspec.Struct) -> None:
    data = msgspec.msgpack.encode(message)
    pipe.write(_LENGTH.pack(len(data)) + data)
    pipe.flush()


def read(pipe: BinaryIO) -> bytes:
    """The next message's bytes; empty at the end of the stream."""
    head = pipe.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return b""
    (size,) = _LENGTH.unpack(head)
    data = pipe.read(size)
    return data if len(data) == size else b""
