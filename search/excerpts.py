"""Short excerpts of longer texts, around the words that were found in them. Plain text in, plain text out."""

import re
import unicodedata
from collections.abc import Sequence
from typing import Final

#: Characters of an excerpt at most, what marks a cut included.
LONGEST: Final = 240

_CUT: Final = "…"
_WORD: Final = re.compile(r"[^\W_]+")

#: How far a cut is moved to fall between words. Where none ends so soon (some scripts have no spaces), it stays.
_FAR: Final = 30

#: The share of the room left over that goes before the first word found, so that it stands in its sentence.
_LEAD: Final = 1 / 3


def excerpt(text: str, terms: Sequence[str], longest: int = LONGEST) -> str:
    """The stretch of a text that holds most of the `terms` (words as they stand in it), the first of several such.

    At most `longest` characters, cut between words; white space is single spaces. A text that is short enough is whole.
    """
    text = " ".join(text.split())
    if len(text) <= longest:
        return text
    room = longest - 2 * (len(_CUT) + 1)
    first, last = _densest(text, terms, room)
    start = max(0, first - max(0, int((room - (last - first)) * _LEAD)))
    start = _boundary(text, min(start, len(text) - room), 1)
    end = len(text) if start + room >= len(text) else _boundary(text, start + room, -1)
    return f"{_CUT} " * (start > 0) + text[start:end].strip() + f" {_CUT}" * (end < len(text))


def holds(text: str, terms: Sequence[str]) -> bool:
    """Whether any of the terms stands in the text."""
    return bool(_found(text, terms))


def _found(text: str, terms: Sequence[str]) -> list[tuple[int, int, str]]:
    """Where the terms stand: beginning, end, and which."""
    wanted = {term.casefold() for term in terms}
    words = ((word.start(), word.end(), word.group().casefold()) for word in _WORD.finditer(text))
    return [word for word in words if word[2] in wanted]


def _densest(text: str, terms: Sequence[str], room: int) -> tuple[int, int]:
    """Beginning and end of the first stretch with the most different terms; the text's beginning when it has none."""
    found = _found(text, terms)
    best, most = (0, 0), 0
    for place, (start, end, _) in enumerate(found):
        together = {found[place][2]}
        for _, further, term in found[place + 1 :]:
            if further - start > room:
                break
            together.add(term)
            end = further
        if len(together) > most:
            best, most = (start, end), len(together)
    return best


def _boundary(text: str, place: int, step: int) -> int:
    """The place moved forward (1) or back (-1) until it does not cut a word; never within a letter and its marks."""
    if place == 0:
        return 0
    for near in range(place, place + step * _FAR, step):
        if not 0 < near < len(text) or text[near - 1] == " ":
            return max(0, min(near, len(text)))
    while 0 < place < len(text) and unicodedata.category(text[place])[0] == "M":
        place += step
    return place
