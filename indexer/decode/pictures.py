"""Still pictures: the header first, so that a bomb costs nothing; then pixels, upright, in sRGB, on white."""

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final
from uuid import uuid4

import numpy as np
from PIL import ExifTags, Image, ImageCms, ImageFile, ImageOps, IptcImagePlugin, UnidentifiedImageError

from indexer.decode.messages import Decoded, Frame, Limits
from indexer.decode.sniffing import Format
from search.errors import BrokenMedia, MediaTooLarge
from search.renditions import PREVIEW_SIZES
from search.types import SegmentKind

#: The short side of a picture that is kept for embedding; no model here looks at more.
EMBEDDED: Final = 512

# The bound is ours, and an error (not a warning at half of it).
Image.MAX_IMAGE_PIXELS = None

_SRGB: Final = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
_DEEP: Final = ("I;16", "I;16B", "I;16L", "I", "F")

Embedded = Mapping[str, str | list[str]]


def decode(file: BinaryIO, format: Format, limits: Limits, staging: Path) -> Decoded:
    """A picture file. Raises MediaTooLarge, BrokenMedia."""
    with _opened(file, format, limits) as image:
        embedded = _metadata(image)
        upright = _upright(image, at_least=max(PREVIEW_SIZES))
        width, height = image.size
        if image.getexif().get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8):
            width, height = height, width
    return Decoded(
        media_type=format.media_type,
        mime=format.mime,
        width=width,
        height=height,
        renditions=previews(upright, staging),
        frames=[frame(upright, SegmentKind.image)],
        embedded=embedded,
    )


def query(data: bytes, format: Format, limits: Limits) -> Decoded:
    """A picture to search with: nothing is written, only looked at. Raises MediaTooLarge, BrokenMedia."""
    with _opened(io.BytesIO(data), format, limits) as image:
        upright = _upright(image, at_least=2 * EMBEDDED)
    return Decoded(format.media_type, format.mime, *upright.size, frames=[frame(upright, SegmentKind.image)])


def previews(image: Image.Image, staging: Path) -> dict[str, str]:
    """WebP renditions whose long side is at most 256, 640 and 1280 pixels; never larger than the picture itself."""
    made = {}
    for size in sorted(PREVIEW_SIZES, reverse=True):
        image = _within(image, size)
        path = staging / f"{uuid4().hex}.webp"
        image.save(path, "WEBP", quality=80, method=4)
        made[f"{size}.webp"] = str(path)
    return made


def frame(
    image: Image.Image,
    kind: SegmentKind,
    start: float | None = None,
    end: float | None = None,
    page: int | None = None,
) -> Frame:
    """The picture as it is kept until it is embedded: its short side at most 512 pixels, JPEG with hardly a loss."""
    scale = EMBEDDED / min(image.size)
    if scale < 1:
        image = image.resize(
            [max(1, round(side * scale)) for side in image.size], Image.Resampling.BICUBIC, reducing_gap=3
        )
    kept = io.BytesIO()
    image.save(kept, "JPEG", quality=95, subsampling=0)
    return Frame(kind, kept.getvalue(), start, end, page)


@contextmanager
def _opened(file: BinaryIO, format: Format, limits: Limits) -> Iterator[Image.Image]:
    """The picture, its header read and found within bounds; what Pillow says of damage becomes BrokenMedia."""
    try:
        with Image.open(file, formats=[format.reader]) as image:
            if image.width * image.height > limits.max_pixels:
                raise MediaTooLarge(
                    f"It has {image.width} x {image.height} pixels; the bound is {limits.max_pixels:,}.",
                    "Scale it down, or raise the setting max_pixels.",
                )
            yield image
    except (OSError, SyntaxError, ValueError, TypeError, EOFError, IndexError, KeyError) as error:
        raise BrokenMedia(
            f"It is damaged or cut short: {_plain(error)}.", "Copy it again from where it came."
        ) from error


def _plain(error: Exception) -> str:
    return "no picture in it" if isinstance(error, UnidentifiedImageError) else (str(error) or type(error).__name__)


def _upright(image: Image.Image, at_least: int) -> Image.Image:
    """The picture in 8-bit sRGB, turned as its EXIF says, see-through parts on white, no smaller than asked for."""
    image.draft("RGB", (at_least, at_least))  # a JPEG is decoded at half, a quarter or an eighth where that is enough
    image.load()
    profile = image.info.get("icc_profile")
    image = flat(ImageOps.exif_transpose(_within(image, 2 * at_least)))
    if profile:
        image = _in_srgb(image, profile)
    return image.convert("RGB")


def _within(image: Image.Image, size: int) -> Image.Image:
    scale = size / max(image.size)
    if scale >= 1:
        return image
    box = [max(1, round(side * scale)) for side in image.size]
    if image.mode in ("P", "1"):
        image = image.convert("RGBA" if "transparency" in image.info else "RGB")
    smaller = image.resize(box, Image.Resampling.LANCZOS, reducing_gap=2)
    smaller.info = image.info
    return smaller


def flat(image: Image.Image) -> Image.Image:
    """Without transparency (laid on white) and with 8 bits a channel."""
    if image.mode in _DEEP:
        levels = np.asarray(image, np.float32)
        top = 65535.0 if image.mode.startswith("I;16") or levels.max() > 255 else 255.0
        return Image.fromarray((levels * (255.0 / top)).clip(0, 255).astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        seen = image.convert("RGBA")
        white = Image.new("RGBA", seen.size, "white")
        white.alpha_composite(seen)
        return white.convert("RGB")
    return image if image.mode in ("RGB", "L", "CMYK", "LAB") else image.convert("RGB")


def _in_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """Colours as their profile means them; a profile that is damaged or not of this mode is passed over."""
    try:
        given = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        turned = ImageCms.profileToProfile(image, given, _SRGB, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError):
        return image
    return turned or image


# ---- what the file says of itself


def _metadata(image: Image.Image) -> Embedded:
    """EXIF, over it IPTC-IIM; XMP is kept whole under `xmp` for `indexer.metadata`."""
    exif = image.getexif()
    detail = exif.get_ifd(ExifTags.IFD.Exif)
    found: dict[str, str | list[str]] = {
        "description": _text(exif.get(ExifTags.Base.ImageDescription)),
        "creator": _text(exif.get(ExifTags.Base.Artist)),
        "rights_holder": _text(exif.get(ExifTags.Base.Copyright)),
        "created": _day(_text(detail.get(ExifTags.Base.DateTimeOriginal)), ":"),
    }
    iptc = (IptcImagePlugin.getiptcinfo(image) if isinstance(image, ImageFile.ImageFile) else None) or {}
    said: dict[str, str | list[str]] = {
        name: _text(iptc.get(number) if not isinstance(iptc.get(number), list) else iptc[number][0])
        for name, number in {
            "title": (2, 5),
            "description": (2, 120),
            "creator": (2, 80),
            "credit_line": (2, 110),
            "rights_holder": (2, 116),
        }.items()
    }
    words = iptc.get((2, 25)) or []
    said["keywords"] = [_text(word) for word in (words if isinstance(words, list) else [words])]
    xmp = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp") or ""
    said["xmp"] = xmp.decode("utf-8", "replace") if isinstance(xmp, bytes) else str(xmp)
    return {name: value for name, value in {**found, **{n: v for n, v in said.items() if v}}.items() if value}


def _text(value: object) -> str:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    return value.replace("\x00", "").strip() if isinstance(value, str) else ""


def _day(stamp: str, separator: str) -> str:
    """2024:05:31 10:20:30 as 2024-05-31."""
    return "-".join(stamp[:10].split(separator)) if len(stamp) >= 10 else ""
