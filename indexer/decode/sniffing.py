"""What a file is, by its first bytes: an allow-list. What a name promises is not believed."""

from pathlib import Path
from typing import Final

import msgspec

from search.errors import UnsupportedMedia
from search.types import MediaType


class Format(msgspec.Struct, frozen=True):
    """A format that is taken. `reader` is its name in Pillow or FFmpeg; nothing else is tried on the file."""

    mime: str
    media_type: MediaType
    reader: str


_JPEG: Final = Format("image/jpeg", MediaType.image, "JPEG")
_PNG: Final = Format("image/png", MediaType.image, "PNG")
_GIF: Final = Format("image/gif", MediaType.image, "GIF")
_WEBP: Final = Format("image/webp", MediaType.image, "WEBP")
_TIFF: Final = Format("image/tiff", MediaType.image, "TIFF")
_BMP: Final = Format("image/bmp", MediaType.image, "BMP")
_AVIF: Final = Format("image/avif", MediaType.image, "AVIF")
_MP4: Final = Format("video/mp4", MediaType.video, "mov")
_QUICKTIME: Final = Format("video/quicktime", MediaType.video, "mov")
_MATROSKA: Final = Format("video/x-matroska", MediaType.video, "matroska")
_WEBM: Final = Format("video/webm", MediaType.video, "matroska")
_OGG: Final = Format("audio/ogg", MediaType.audio, "ogg")
_MP3: Final = Format("audio/mpeg", MediaType.audio, "mp3")
_AAC: Final = Format("audio/aac", MediaType.audio, "aac")
_WAV: Final = Format("audio/wav", MediaType.audio, "wav")
_FLAC: Final = Format("audio/flac", MediaType.audio, "flac")
_M4A: Final = Format("audio/mp4", MediaType.audio, "mov")
_AVI: Final = Format("video/x-msvideo", MediaType.video, "avi")
_PDF: Final = Format("application/pdf", MediaType.document, "pdf")

_STARTS: Final = (
    (b"\xff\xd8\xff", _JPEG),
    (b"\x89PNG\r\n\x1a\n", _PNG),
    (b"GIF87a", _GIF),
    (b"GIF89a", _GIF),
    (b"II*\x00", _TIFF),
    (b"MM\x00*", _TIFF),
    (b"BM", _BMP),
    (b"OggS", _OGG),
    (b"ID3", _MP3),
    (b"fLaC", _FLAC),
)
_RIFF: Final = {b"WEBP": _WEBP, b"WAVE": _WAV, b"AVI ": _AVI}
_HEIF: Final = frozenset([b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1"])

#: How much of the beginning is looked at. A PDF may have other bytes before its header (ISO 32000-1, annex H.3.4.1).
HEAD: Final = 1024

_TAKEN: Final = (
    "Taken are JPEG, PNG, GIF, WebP, AVIF, TIFF, BMP; MP4, MOV, WebM, MKV, AVI; MP3, M4A, AAC, OGG, FLAC, WAV; PDF."
)


def sniff(head: bytes, name: str) -> Format:
    """The format of a file that begins with `head`. Raises UnsupportedMedia, which says what it seems to be instead."""
    for start, found in _STARTS:
        if head.startswith(start):
            return found
    if head[:4] == b"RIFF" and head[8:12] in _RIFF:
        return _RIFF[head[8:12]]
    if head[4:8] == b"ftyp":
        return _base_media(head, name)
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return _WEBM if b"webm" in head[:64] else _MATROSKA
    if len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0:
        # An MPEG audio frame has a layer, an AAC frame (ADTS) has none.
        return _MP3 if head[1] & 0x06 else _AAC
    if b"%PDF-" in head[:HEAD]:
        return _PDF
    raise UnsupportedMedia(f"{name} {_seems(head, name)}", _TAKEN)


def _base_media(head: bytes, name: str) -> Format:
    """The many formats in ISO base media files, told by the brands they name (ISO/IEC 14496-12)."""
    size = min(int.from_bytes(head[:4], "big"), len(head))
    brands = {head[8:12], *(head[at : at + 4] for at in range(16, size - 3, 4))}
    if brands & {b"avif", b"avis"}:
        return _AVIF
    if brands & _HEIF:
        raise UnsupportedMedia(f"{name} is a HEIF picture, which is not taken yet.", "Save it as JPEG or AVIF.")
    if head[8:12] in (b"M4A ", b"M4B "):
        return _M4A
    return _QUICKTIME if head[8:12] == b"qt  " else _MP4


def _seems(head: bytes, name: str) -> str:
    suffix = Path(name).suffix.lower()
    seems = "is not in a format that is taken"
    try:
        text = head[: len(head) - 3].decode("utf-8")
        if text.isprintable() or not any(ord(c) < 9 for c in text):
            seems = "holds text"
    except UnicodeDecodeError:
        pass
    return f"{seems}, whatever its name ({suffix}) says." if suffix else f"{seems}."
