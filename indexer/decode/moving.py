"""Video and sound: one pass that keeps a frame every few seconds and writes a low-rate proxy to play in a browser.

The container's reader is forced to the one that was sniffed and reads from an open file, so that neither a playlist
nor a reference inside a file can make it open another file or the network.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO, Final
from uuid import uuid4

import av
import numpy as np
from av.audio.resampler import AudioResampler
from PIL import Image

from indexer.decode import pictures
from indexer.decode.messages import Decoded, Frame, Limits
from indexer.decode.sniffing import Format
from search.errors import BrokenMedia, MediaTooLarge
from search.renditions import PREVIEW_SIZES
from search.types import MediaType, SegmentKind

av.logging.set_level(av.logging.PANIC)

#: Seconds between two frames that are kept, at least; a long video is sampled more thinly, so that frames are bounded.
EVERY: Final = 5.0
MOST_FRAMES: Final = 600

#: The proxy: plays everywhere, small enough for a slow line.
_HEIGHT: Final = 480
_RATE: Final = 30
_SOUND_RATE: Final = 44_100


def decode(file: BinaryIO, format: Format, limits: Limits, staging: Path, lasts: Callable[[float], None]) -> Decoded:
    """A video or a sound. `lasts` is told the duration before the work begins. Raises MediaTooLarge, BrokenMedia."""
    with _opened(file, format) as container:
        video = _moving_picture(container)
        sound = next(iter(container.streams.audio), None)
        if video is None and sound is None:
            raise BrokenMedia("It has neither pictures nor sound.")
        duration = float(container.duration / av.time_base) if container.duration else 0.0
        if video is not None and video.width * video.height > limits.max_pixels:
            raise MediaTooLarge(
                f"Its frames have {video.width} x {video.height} pixels; the bound is {limits.max_pixels:,}.",
                "Scale it down, or raise the setting max_pixels.",
            )
        lasts(duration)
        kept = _Kept(max(EVERY, duration / MOST_FRAMES))
        proxy = staging / f"{uuid4().hex}.{'mp4' if video else 'm4a'}"
        with _Proxy(proxy, video, sound) as written:
            for frame in container.decode(*[stream for stream in (video, sound) if stream]):
                if isinstance(frame, av.VideoFrame):
                    kept.see(frame)
                written.take(frame)
        lasted = duration or written.seconds
        if video is not None and not kept.frames:
            raise BrokenMedia("None of its pictures can be decoded.", "Copy it again from where it came.")
        embedded = _metadata(container)
    renditions = {f"playback{proxy.suffix}": str(proxy)}
    media_type = MediaType.video if video is not None else MediaType.audio
    if kept.poster:
        renditions |= pictures.previews(kept.poster, staging)
    width, height = kept.size
    return Decoded(
        media_type=media_type,
        mime=f"{media_type}/{format.mime.partition('/')[2]}",
        width=width,
        height=height,
        duration=round(lasted, 3),
        renditions=renditions,
        frames=kept.segments(lasted),
        embedded=embedded,
    )


@contextmanager
def _opened(file: BinaryIO, format: Format) -> Iterator[Any]:
    try:
        with av.open(file, format=format.reader, options={"protocol_whitelist": "", "enable_drefs": "0"}) as container:
            yield container
    except (av.FFmpegError, ValueError, EOFError) as error:
        raise BrokenMedia(f"It is damaged or cut short: {error}.", "Copy it again from where it came.") from error


def _moving_picture(container: Any) -> Any:
    """The first stream of moving pictures; the cover that a sound file carries is none."""
    attached = av.stream.Disposition.attached_pic
    return next((one for one in container.streams.video if not one.disposition & attached), None)


class _Kept:
    """The frames kept of a video, one every so many seconds, and its poster: the first with something to see."""

    def __init__(self, every: float) -> None:
        self._every = every
        self._next = 0.0
        self._varied = -1.0
        self.frames: list[Frame] = []
        self.poster: Image.Image | None = None
        self.size = (0, 0)

    def see(self, frame: Any) -> None:
        at = max(0.0, float(frame.time or 0.0))
        if self.frames and at < self._next:
            return
        self._next = at + self._every
        picture = _picture(frame)
        self.size = picture.size
        self.frames.append(pictures.frame(picture, SegmentKind.keyframe, start=round(at, 3)))
        varied = float(np.asarray(picture.convert("L").resize((32, 32))).std())
        if self._varied < _PLAIN and varied > self._varied:
            self.poster, self._varied = _preview(picture), varied

    def segments(self, duration: float) -> list[Frame]:
        """The frames, each ending where the next begins."""
        starts = [frame.start or 0.0 for frame in self.frames]
        ends = [*starts[1:], max(duration, starts[-1])] if starts else []
        return [Frame(f.kind, f.data, f.start, round(end, 3)) for f, end in zip(self.frames, ends, strict=True)]


#: A frame whose grey levels deviate less than this (of 255) is a fade or a title card rather than a poster.
_PLAIN: Final = 30.0


def _picture(frame: Any) -> Image.Image:
    picture: Image.Image = frame.to_image()
    return picture.rotate(frame.rotation, expand=True) if frame.rotation else picture


def _preview(picture: Image.Image) -> Image.Image:
    kept = picture.copy()
    kept.thumbnail((max(PREVIEW_SIZES), max(PREVIEW_SIZES)))
    return kept


class _Proxy:
    """An H.264 and AAC file of low rate, or AAC alone."""

    def __init__(self, path: Path, video: Any, sound: Any) -> None:
        self._out: Any = av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"})
        self._video: Any = self._add_video() if video is not None else None
        self._sound: Any = None
        if sound is not None:
            self._sound = self._out.add_stream("aac", rate=_SOUND_RATE, layout="stereo")
            self._sound.bit_rate = 96_000
        self._resampler: Any = None
        self._shown = -1
        self._heard = 0
        self.seconds = 0.0

    def __enter__(self) -> "_Proxy":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._flush()
        self._out.close()

    def take(self, frame: Any) -> None:
        self.seconds = max(self.seconds, float(frame.time or 0.0))
        if isinstance(frame, av.VideoFrame):
            self._show(frame)
        elif self._sound is not None:
            self._hear(frame)

    def _add_video(self) -> Any:
        stream = self._out.add_stream("libx264", rate=_RATE, options={"preset": "veryfast", "crf": "28"})
        stream.pix_fmt = "yuv420p"
        stream.time_base = Fraction(1, _RATE)
        return stream

    def _show(self, frame: Any) -> None:
        """The frame at its place on a grid of 30 a second; a second one at the same place is left out."""
        place = round(max(0.0, float(frame.time or 0.0)) * _RATE)
        if place <= self._shown:
            return
        if frame.rotation:
            frame = av.VideoFrame.from_image(_picture(frame))  # type: ignore[no-untyped-call]
        if self._shown < 0:
            self._video.width, self._video.height = _proxy_size(frame.width, frame.height)
        self._shown = place
        small = frame.reformat(self._video.width, self._video.height, "yuv420p")
        small.pts, small.time_base = place, Fraction(1, _RATE)
        small.pict_type = av.video.frame.PictureType.NONE
        self._out.mux(self._video.encode(small))

    def _hear(self, frame: Any) -> None:
        if self._resampler is None:
            size = self._sound.codec_context.frame_size or 1024
            self._resampler = AudioResampler("fltp", "stereo", _SOUND_RATE, frame_size=size)
        frame.pts = None
        for part in self._resampler.resample(frame):
            self._write_sound(part)

    def _write_sound(self, part: Any) -> None:
        part.pts, part.time_base = self._heard, Fraction(1, _SOUND_RATE)
        self._heard += part.samples
        self._out.mux(self._sound.encode(part))

    def _flush(self) -> None:
        if self._resampler is not None:
            for part in self._resampler.resample(None):
                self._write_sound(part)
        for stream in (self._video, self._sound):
            if stream is not None:
                self._out.mux(stream.encode(None))


def _proxy_size(width: int, height: int) -> tuple[int, int]:
    scale = min(1.0, _HEIGHT / min(width, height))
    return max(2, round(width * scale / 2) * 2), max(2, round(height * scale / 2) * 2)


def _metadata(container: Any) -> pictures.Embedded:
    said = {name.lower(): value for name, value in container.metadata.items()}
    found = {
        "title": said.get("title", ""),
        "creator": said.get("artist", ""),
        "description": said.get("description", "") or said.get("comment", ""),
        "rights_holder": said.get("copyright", ""),
        "created": said.get("creation_time", "")[:10],
    }
    return {name: value for name, value in found.items() if value}
