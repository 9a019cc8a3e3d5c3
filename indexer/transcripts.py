"""Passages: what is said or written, in pieces short enough to be one thought and to point at a moment or a page.

A transcript is cut at cue borders to about 40 words; neighbours overlap by about a quarter, so that a thought that
spans a border is whole in one of them. Start and end times are those of the cues.
"""

import html
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec
import pysubs2

from indexer.decode.messages import PageText
from search.errors import BrokenMedia, MediaTooLarge

WORDS: Final = 40
OVERLAP: Final = 10
MAX_BYTES: Final = 20_000_000

_TAG: Final = re.compile(r"<[^<>]*>|\{\\[^{}]*\}")
_SENTENCE: Final = re.compile(r"(?<=[.!?…])\s+")
#: So many words at a cue's beginning that repeat its predecessor's end are a rolling caption, not a figure of speech.
_ROLLED: Final = 3


class Cue(msgspec.Struct, frozen=True):
    """A piece of a transcript; `start` and `end` in seconds, None in plain text."""

    text: str
    start: float | None = None
    end: float | None = None


class Passage(msgspec.Struct, frozen=True):
    """About 40 words. `start` and `end` in seconds for what is said, `page` (from 1) for what is written."""

    text: str
    start: float | None = None
    end: float | None = None
    page: int | None = None


def read_transcript(path: Path) -> list[Cue]:
    """The cues of a WebVTT, SRT or plain text file, in order, markup removed. Raises MediaTooLarge, BrokenMedia."""
    if path.stat().st_size > MAX_BYTES:
        raise MediaTooLarge(f"The transcript {path.name} has more than {MAX_BYTES:,} bytes.", "Split or shorten it.")
    text = _decoded(path.read_bytes())
    if path.suffix.lower() == ".txt":
        return _unrolled(Cue(_plain(line)) for line in text.splitlines())
    try:
        read = pysubs2.SSAFile.from_string(text, format_="vtt" if path.suffix.lower() == ".vtt" else "srt")
    except (pysubs2.Pysubs2Error, ValueError, IndexError, OverflowError) as error:
        raise BrokenMedia(
            f"The transcript {path.name} cannot be read: {error}.", "Check it, or take it away, and index again."
        ) from error
    cues = sorted((event for event in read if not event.is_comment), key=lambda event: event.start)
    if text.strip() and not cues:
        raise BrokenMedia(
            f"The transcript {path.name} holds no cue (times and text).", "Check it, or take it away, and index again."
        )
    return _unrolled(Cue(_plain(cue.text), cue.start / 1000, max(cue.start, cue.end) / 1000) for cue in cues)


def passages(cues: Sequence[Cue]) -> list[Passage]:
    """The cues in windows of about 40 words that overlap by about 10."""
    units = [unit for cue in cues for unit in _short(cue)]
    sizes = [len(unit.text.split()) for unit in units]
    made: list[Passage] = []
    first = 0
    while first < len(units):
        last, words = first, sizes[first]
        while last + 1 < len(units) and words + sizes[last + 1] / 2 <= WORDS:
            last += 1
            words += sizes[last]
        window = units[first : last + 1]
        made.append(Passage(" ".join(unit.text for unit in window), window[0].start, window[-1].end))
        if last + 1 == len(units):
            break
        again, kept = last + 1, 0
        while again - 1 > first and kept + sizes[again - 1] <= OVERLAP:
            again -= 1
            kept += sizes[again]
        first = again
    return made


def page_passages(page: PageText) -> list[Passage]:
    """The text of one page, cut likewise; words that a line break divides are joined."""
    text = re.sub(r"(\w)[-\u00ad\ufffe]\r?\n(?=[a-zà-ÿ])", r"\1", page.text)
    cues = [Cue(line) for part in re.split(r"\n\s*\n", text) if (line := _plain(part))]
    return [Passage(one.text, page=page.page) for one in passages(cues)]


def _decoded(data: bytes) -> str:
    """UTF-8 or, with its mark, UTF-16; what is neither is taken for Windows-1252, as old subtitles are."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", "replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def _plain(text: str) -> str:
    """One line of words: without tags (of voices, styles, times), entities and line breaks."""
    bare = _TAG.sub("", text.replace("\\N", " ").replace("\\n", " ").replace("\\h", " "))
    return " ".join(html.unescape(bare).replace("\x00", "").split())


def _unrolled(cues: Iterable[Cue]) -> list[Cue]:
    """Without what a rolling caption shows a second time, and without empty cues."""
    kept: list[Cue] = []
    before: list[str] = []
    for cue in cues:
        words = cue.text.split()
        most = min(len(before), len(words))
        again = next((n for n in range(most, _ROLLED - 1, -1) if before[-n:] == words[:n]), 0)
        if new := words[again:]:
            kept.append(msgspec.structs.replace(cue, text=" ".join(new)))
            before = words
    return kept


def _short(cue: Cue) -> Iterator[Cue]:
    """A cue of more than 40 words in pieces, at sentence ends where they come in time; times by share of words."""
    words = len(cue.text.split())
    if words <= WORDS:
        yield cue
        return
    said = 0
    for piece in _pieces(cue.text):
        size = len(piece.split())
        yield Cue(piece, _at(cue, said / words), _at(cue, (said + size) / words))
        said += size


def _pieces(text: str) -> Iterator[str]:
    for sentence in _SENTENCE.split(text):
        words = sentence.split()
        for start in range(0, len(words), WORDS // 2):
            yield " ".join(words[start : start + WORDS // 2])


def _at(cue: Cue, share: float) -> float | None:
    if cue.start is None or cue.end is None:
        return None
    return round(cue.start + share * (cue.end - cue.start), 3)
