"""The child process: reads requests from standard input, answers on standard output, ends when its parent does."""

import resource
import sys
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from indexer.decode import documents, messages, moving, pictures
from indexer.decode.messages import Answer, Failed, Lasts, Limits, Request
from indexer.decode.sniffing import HEAD, sniff
from search.errors import MediaError, MediaTooLarge, UnsupportedMedia
from search.types import MediaType

_TOO_MUCH: Final = "Decoding it takes more memory than is allowed."


def main() -> None:
    """Serve until standard input ends."""
    # What a library prints must not end up between the messages.
    asked, answers = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr
    bounded = False
    while data := messages.read(asked):
        request = msgspec.msgpack.decode(data, type=Request)
        if not bounded:
            _bound(request.limits)
            bounded = True
        messages.write(answers, _answer(request, answers))


def _bound(limits: Limits) -> None:
    """No more memory than the limit, and no core dump of what was decoded."""
    resource.setrlimit(resource.RLIMIT_AS, (limits.memory_bytes, limits.memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _answer(request: Request, answers: BinaryIO) -> Answer:
    try:
        return _decode(request, answers)
    except MediaError as error:
        return Failed(error.code, error.message, error.remedy)
    except MemoryError:
        return Failed(MediaTooLarge.code, _TOO_MUCH, "Scale it down, or raise the setting decode_memory.")
    except OSError as error:
        return Failed("unreadable", f"It cannot be read: {error.strerror or error}.")


def _decode(request: Request, answers: BinaryIO) -> Answer:
    if request.data:
        found = sniff(request.data[:HEAD], "The picture")
        if found.media_type is not MediaType.image:
            raise UnsupportedMedia(f"The file is {found.mime}, not a picture.", "Search with a JPEG, PNG or WebP.")
        return pictures.query(request.data, found, request.limits)
    path, staging = Path(request.path), Path(request.staging)
    with path.open("rb") as file:
        found = sniff(file.read(HEAD), path.name)
        file.seek(0)
        if found.media_type is MediaType.image:
            return pictures.decode(file, found, request.limits, staging)
        if found.media_type is MediaType.document:
            return documents.decode(path, found, request.limits, staging)
        return moving.decode(
            file, found, request.limits, staging, lambda seconds: messages.write(answers, Lasts(seconds))
        )


if __name__ == "__main__":
    main()
