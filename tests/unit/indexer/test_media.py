"""Decoding in the child process: real files of every kind, damaged ones, hostile ones, and a child that dies."""

import os
import signal
import struct
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image, ImageCms

from api.demo import LIBRARY
from indexer.decode.sniffing import sniff
from indexer.media import Decoder, Limits, picture
from search.errors import BrokenMedia, MediaTooLarge, UnsupportedMedia
from search.types import MediaType, SegmentKind

PHOTO = LIBRARY / "photos/espresso-cup.jpg"


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Decoder]:
    made = Decoder(Limits(), tmp_path_factory.mktemp("staging"))
    yield made
    made.close()


def size_of(path: str) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def saved(tmp_path: Path, image: Image.Image, name: str, **options: object) -> Path:
    path = tmp_path / name
    image.save(path, **options)
    return path


def test_a_photograph_gets_three_previews_and_a_frame(decoder: Decoder) -> None:
    decoded = decoder.decode(PHOTO)
    assert (decoded.media_type, decoded.mime, decoded.width, decoded.height) == (
        MediaType.image,
        "image/jpeg",
        600,
        400,
    )
    sides = {name: max(size_of(path)) for name, path in decoded.renditions.items()}
    assert sides == {"256.webp": 256, "640.webp": 600, "1280.webp": 600}
    (frame,) = decoded.frames
    assert frame.kind is SegmentKind.image
    assert picture(frame).mode == "RGB"
    assert min(picture(frame).size) == 400


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.gif", "a.webp", "a.tiff", "a.bmp", "a.avif"])
def test_each_picture_format_is_taken_whatever_its_name(decoder: Decoder, tmp_path: Path, name: str) -> None:
    path = saved(tmp_path, Image.open(PHOTO), name)
    renamed = path.rename(path.with_suffix(".dat"))
    decoded = decoder.decode(renamed)
    assert decoded.mime == f"image/{name.partition('.')[2].replace('jpg', 'jpeg')}"
    assert (decoded.width, decoded.height) == (600, 400)


def test_a_picture_is_turned_upright(decoder: Decoder, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    decoded = decoder.decode(saved(tmp_path, Image.open(PHOTO), "turned.jpg", exif=exif))
    assert (decoded.width, decoded.height) == (400, 600)
    assert size_of(decoded.renditions["640.webp"]) == (400, 600)
    assert picture(decoded.frames[0]).size == (400, 600)


def test_see_through_parts_lie_on_white(decoder: Decoder, tmp_path: Path) -> None:
    decoded = decoder.decode(saved(tmp_path, Image.new("RGBA", (64, 64), (255, 0, 0, 0)), "clear.png"))
    assert picture(decoded.frames[0]).getpixel((32, 32)) == (255, 255, 255)


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "CMYK", "I;16"])
def test_every_pixel_format_becomes_rgb(decoder: Decoder, tmp_path: Path, mode: str) -> None:
    grey = Image.linear_gradient("L")
    image = Image.fromarray(np.asarray(grey, np.uint16) * 257) if mode == "I;16" else grey.convert(mode)
    decoded = decoder.decode(saved(tmp_path, image, "a.tiff" if mode in ("CMYK", "I;16") else "a.png"))
    shown = np.asarray(picture(decoded.frames[0]).convert("L"), int)
    assert shown[:8].mean() < 40
    assert shown[-8:].mean() > 215


def test_colours_are_those_of_the_profile(decoder: Decoder, tmp_path: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    path = saved(tmp_path, Image.new("RGB", (32, 32), (200, 50, 50)), "a.png", icc_profile=profile)
    red, green, _ = picture(decoder.decode(path).frames[0]).getpixel((5, 5))  # type: ignore[misc]
    assert abs(red - 200) < 4
    assert abs(green - 50) < 4
    damaged = saved(tmp_path, Image.new("RGB", (32, 32), (200, 50, 50)), "b.png", icc_profile=b"no profile")
    assert decoder.decode(damaged).width == 32


def test_embedded_metadata_is_read(decoder: Decoder, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010E], exif[0x013B] = "A cup", "Ann"
    exif.get_ifd(0x8769)[0x9003] = "2026:05:31 10:00:00"
    embedded = decoder.decode(saved(tmp_path, Image.open(PHOTO), "a.jpg", exif=exif)).embedded
    assert embedded == {"description": "A cup", "creator": "Ann", "created": "2026-05-31"}


def test_a_pdf_has_pages_as_text_and_as_pictures(decoder: Decoder) -> None:
    decoded = decoder.decode(LIBRARY / "documents/sustainability-report-2026.pdf")
    assert (decoded.media_type, decoded.pages, len(decoded.frames)) == (MediaType.document, 3, 3)
    assert [frame.page for frame in decoded.frames] == [1, 2, 3]
    assert "emissions" in " ".join(page.text for page in decoded.page_texts)
    assert decoded.embedded["title"] == "Sustainability report 2026"


def test_a_video_has_frames_a_poster_and_a_proxy(decoder: Decoder) -> None:
    decoded = decoder.decode(LIBRARY / "video/how-to-taste-coffee.webm")
    assert (decoded.media_type, decoded.mime) == (MediaType.video, "video/webm")
    assert decoded.duration == pytest.approx(40.9, abs=0.5)
    starts = [frame.start for frame in decoded.frames]
    assert starts == sorted(starts)  # type: ignore[type-var]
    assert len(starts) == 9
    assert all(frame.start < frame.end for frame in decoded.frames)  # type: ignore[operator]
    assert set(decoded.renditions) == {"playback.mp4", "256.webp", "640.webp", "1280.webp"}
    with av.open(decoded.renditions["playback.mp4"]) as proxy:
        assert [stream.codec_context.name for stream in proxy.streams] == ["h264", "aac"]
        assert float(proxy.duration or 0) / av.time_base == pytest.approx(decoded.duration, abs=0.5)


@pytest.mark.parametrize("name", ["interview-beekeeper.ogg", "guide-safety-briefing.mp3"])
def test_a_sound_has_a_proxy_and_no_picture(decoder: Decoder, name: str) -> None:
    decoded = decoder.decode(LIBRARY / "audio" / name)
    assert (decoded.media_type, decoded.width, list(decoded.frames)) == (MediaType.audio, 0, [])
    assert set(decoded.renditions) == {"playback.m4a"}


def test_a_sound_in_a_film_container_is_a_sound(decoder: Decoder, tmp_path: Path) -> None:
    path = tmp_path / "voice.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("aac", rate=44_100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 44_100), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 44_100
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    assert decoder.decode(path).mime == "audio/mp4"


def cut(path: Path, tmp_path: Path, share: float = 0.5) -> Path:
    data = path.read_bytes()
    made = tmp_path / path.name
    made.write_bytes(data[: int(len(data) * share)])
    return made


@pytest.mark.parametrize(
    "path",
    [PHOTO, LIBRARY / "generated/star-trails.webp", LIBRARY / "documents/brand-guidelines.pdf"],
    ids=lambda p: p.name,
)
def test_what_is_cut_short_is_broken(decoder: Decoder, tmp_path: Path, path: Path) -> None:
    with pytest.raises(BrokenMedia):
        decoder.decode(cut(path, tmp_path, 0.3))


def test_an_empty_file_is_broken(decoder: Decoder, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    with pytest.raises(BrokenMedia, match="empty"):
        decoder.decode(tmp_path / "a.jpg")


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"just words", "holds text"),
        (b"#!/bin/sh\nrm -rf /\n", "holds text"),
        (b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", "holds text"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "holds text"),
        (b"\x7fELF\x02\x01\x01\x00", "not in a format"),
        (b"PK\x03\x04" + bytes(100), "not in a format"),
        (b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic", "HEIF"),
        (b"\x8aMNG\r\n\x1a\n", "not in a format"),
    ],
)
def test_what_is_not_on_the_list_is_not_tried(decoder: Decoder, tmp_path: Path, data: bytes, says: str) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(data)
    with pytest.raises(UnsupportedMedia, match=says):
        decoder.decode(path)


def test_a_bomb_is_refused_by_its_header(decoder: Decoder, tmp_path: Path) -> None:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    path = tmp_path / "bomb.png"
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000))))
    with pytest.raises(MediaTooLarge, match="100000 x 100000"):
        decoder.decode(path)


@pytest.mark.parametrize("where", [0.0, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("path", [PHOTO, LIBRARY / "audio/interview-beekeeper.ogg"], ids=lambda p: p.suffix)
def test_noise_in_a_file_is_an_error_or_harmless(decoder: Decoder, tmp_path: Path, path: Path, where: float) -> None:
    data = bytearray(path.read_bytes())
    start = int(len(data) * where)
    data[start : start + 64] = os.urandom(64)
    noisy = tmp_path / path.name
    noisy.write_bytes(data)
    try:
        assert decoder.decode(noisy).renditions
    except (BrokenMedia, UnsupportedMedia, MediaTooLarge) as error:
        assert error.message
    assert decoder.decode(PHOTO).width == 600


def test_bytes_and_time_are_bounded(tmp_path: Path) -> None:
    small = Decoder(Limits(max_bytes=1000), tmp_path)
    with pytest.raises(MediaTooLarge, match="bytes"):
        small.decode(PHOTO)
    small.close()
    hasty = Decoder(Limits(seconds=0.001), tmp_path)
    with pytest.raises(MediaTooLarge, match="longer than"):
        hasty.decode(PHOTO)
    hasty.close()


def test_memory_is_bounded(tmp_path: Path) -> None:
    path = saved(tmp_path, Image.new("RGB", (9000, 9000)), "large.png")
    tight = Decoder(Limits(memory_bytes=600_000_000), tmp_path)
    with pytest.raises((MediaTooLarge, BrokenMedia)):
        tight.decode(path)
    assert tight.decode(PHOTO).width == 600
    tight.close()


def test_a_child_that_is_killed_is_replaced(tmp_path: Path) -> None:
    decoder = Decoder(Limits(), tmp_path)
    decoder.decode(PHOTO)
    child = decoder._child
    assert child is not None
    # A film takes seconds; its child is shot in the middle of it.
    threading.Timer(0.5, os.kill, (child.pid, signal.SIGKILL)).start()
    with pytest.raises(BrokenMedia, match="signal 9"):
        decoder.decode(LIBRARY / "video/how-to-taste-coffee.webm")
    assert decoder.decode(PHOTO).width == 600
    decoder.close()


def test_the_child_has_no_secrets_and_ends_with_its_parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOUPE_SECRET", "not for children")
    decoder = Decoder(Limits(), tmp_path)
    decoder.decode(PHOTO)
    child = decoder._child
    assert child is not None
    assert b"not for children" not in Path(f"/proc/{child.pid}/environ").read_bytes()
    decoder.close()
    assert child.returncode is not None


def test_a_query_picture_is_only_looked_at(decoder: Decoder) -> None:
    assert decoder.decode_image(PHOTO.read_bytes()).size == (600, 400)
    with pytest.raises(UnsupportedMedia, match="not a picture"):
        decoder.decode_image((LIBRARY / "audio/interview-beekeeper.ogg").read_bytes())


def test_a_query_picture_that_cannot_be_looked_at_is_refused_with_what_to_do(decoder: Decoder, tmp_path: Path) -> None:
    with pytest.raises(BrokenMedia, match="empty") as empty:
        decoder.decode_image(b"")
    with pytest.raises(MediaTooLarge, match="the bound is 1,000") as large:
        Decoder(Limits(max_bytes=1000), tmp_path).decode_image(PHOTO.read_bytes())
    assert empty.value.remedy and large.value.remedy


def test_formats_are_told_by_their_first_bytes() -> None:
    aac, mp3 = b"\xff\xf1\x50\x80", b"\xff\xfb\x90\x64"
    assert sniff(aac, "a").mime == "audio/aac"
    assert sniff(mp3, "a").mime == "audio/mpeg"
    assert sniff(b"\x00\x00\x00\x14ftypqt  \x00\x00\x00\x00qt  ", "a").mime == "video/quicktime"
    assert sniff(b"%!junk\n%PDF-1.7", "a").mime == "application/pdf"
    assert sniff(PHOTO.read_bytes()[:1024], "a").mime == "image/jpeg"
