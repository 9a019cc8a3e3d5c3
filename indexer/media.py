"""The parent's side of decoding: owns a child process, sends it files, kills it when it takes too long.

A file is hostile until it is decoded. The child (`indexer.decode`) has bounded memory, no secrets in its environment,
and is thrown away when it dies or hangs; the file is then set aside and the next one gets a new child.
"""

import io
import selectors
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from time import monotonic
from typing import Any, Final

import msgspec
from PIL import Image

from indexer.decode import messages
from indexer.decode.messages import Answer, Decoded, Failed, Frame, Lasts, Limits, PageText, Request
from search.errors import BrokenMedia, MediaError, MediaTooLarge, UnsupportedMedia

__all__ = ["Decoded", "Decoder", "Frame", "Limits", "PageText", "picture"]

#: However long a video says it lasts, it gets no more than this on top (seconds).
_LONGEST: Final = 6 * 3600.0

_KINDS: Final = {kind.code: kind for kind in (UnsupportedMedia, MediaTooLarge, BrokenMedia)}
_ANSWER: Final[msgspec.msgpack.Decoder[Answer]] = msgspec.msgpack.Decoder(Answer)


class Decoder:
    """One child process at a time, one file at a time. Renditions are written to the folder `staging`."""

    def __init__(self, limits: Limits, staging: Path) -> None:
        self._limits = limits
        self._staging = staging
        self._child: subprocess.Popen[bytes] | None = None

    def decode(self, path: Path) -> Decoded:
        """Decode a file. Raises UnsupportedMedia, MediaTooLarge, BrokenMedia, OSError."""
        size = path.stat().st_size
        if size == 0:
            raise BrokenMedia("It is empty (0 bytes).", "Copy it again from where it came.")
        if size > self._limits.max_bytes:
            raise MediaTooLarge(
                f"It has {size:,} bytes; the bound is {self._limits.max_bytes:,}.", "Raise the setting max_bytes."
            )
        return self._ask(Request(self._limits, path=str(path), staging=str(self._staging)))

    def decode_image(self, data: bytes) -> Image.Image:
        """A picture to search with, RGB, upright. Raises UnsupportedMedia, MediaTooLarge, BrokenMedia."""
        if not data:
            raise BrokenMedia("The picture is empty (0 bytes).", "Choose another file, or save the picture again.")
        if len(data) > self._limits.max_bytes:
            raise MediaTooLarge(
                f"The picture has {len(data):,} bytes; the bound is {self._limits.max_bytes:,}.",
                "Save a smaller copy and search with that.",
            )
        return picture(self._ask(Request(self._limits, data=data)).frames[0])

    def close(self) -> None:
        """End the child. The decoder can be used again; a new child is then started."""
        if self._child is not None:
            self._child.kill()
            self._child.communicate()
            self._child = None

    def _ask(self, request: Request) -> Decoded:
        child = self._running()
        try:
            messages.write(_pipe(child.stdin), request)
            answer = self._answer(child)
        except BrokenPipeError:
            answer = None
        except BaseException:
            self.close()
            raise
        if isinstance(answer, Decoded):
            return answer
        if isinstance(answer, Failed):
            raise _KINDS.get(answer.code, MediaError)(answer.message, answer.remedy)
        code = child.wait()
        self.close()
        raise BrokenMedia(
            f"The decoder died of it ({'signal' if code < 0 else 'exit status'} {abs(code)}).",
            "The file is damaged or made to do harm. Copy it again from where it came.",
        )

    def _answer(self, child: "subprocess.Popen[bytes]") -> Decoded | Failed | None:
        """What the child makes of the file; None if it died. Raises MediaTooLarge when it takes too long."""
        deadline = monotonic() + self._limits.seconds
        with selectors.DefaultSelector() as selector:
            selector.register(_pipe(child.stdout), selectors.EVENT_READ)
            while True:
                if not selector.select(max(0.0, deadline - monotonic())):
                    raise MediaTooLarge(
                        f"Decoding it takes longer than {self._limits.seconds:g} seconds.",
                        "Make it smaller, or raise the setting decode_seconds.",
                    )
                data = messages.read(_pipe(child.stdout))
                if not data:
                    return None
                answer: Answer = _ANSWER.decode(data)
                if not isinstance(answer, Lasts):
                    return answer
                deadline += min(answer.seconds, _LONGEST)

    def _running(self) -> "subprocess.Popen[bytes]":
        if self._child is None or self._child.poll() is not None:
            self.close()
            self._child = subprocess.Popen(  # noqa: S603 (our own module, by the interpreter that runs us)
                _COMMAND,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={"LC_ALL": "C.UTF-8", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
                start_new_session=True,  # Ctrl-C is for the parent, which ends its children in order
            )
        return self._child


_COMMAND: Final[Sequence[str]] = (sys.executable, "-P", "-m", "indexer.decode")


def picture(frame: Frame) -> Image.Image:
    """A frame's pixels, RGB."""
    return Image.open(io.BytesIO(frame.data), formats=["JPEG"]).convert("RGB")


def _pipe(pipe: Any) -> Any:
    """A pipe that `Popen` was asked to make, and therefore has."""
    return pipe
