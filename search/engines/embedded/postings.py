"""Which words stand where, in arrays mapped from disk.

All documents are one long row of places, each with the number of its word (0: none). A document begins at a whole block
of places and so do its fields, which makes a place's block tell its document and field; values of a field are kept
apart by an empty place. From this are derived, for each word, its places, for phrases (a word-level inverted file:
Zobel and Moffat 2006), and its documents, each with the field where the word weighs most.

A document and a weight together are one number, an *entry*: row * 4 + weight. Rows are documents in the order of their
assets and segments. What stays in memory is what searches touch, and the system may drop it again.

Useful for: up to 2 ** 32 words and 2 ** 30 documents. Not useful for: adding documents to what was built.
"""

from array import array
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from search.bitmaps import as_bitmap
from search.engine import Document
from search.engines.embedded.analysis import cut
from search.errors import InvalidInput

#: Places in a block. More would leave more of them empty, fewer need more blocks.
BLOCK: Final = 4

#: About as many words of text are sorted at once.
_AT_ONCE: Final = 1 << 22

Numbers = NDArray[np.uint32]

_FILES: Final = ("text", "entries", "places", "places_from", "postings", "postings_from", "assets", "segments")
_NAMES: Final = ("names", "named")


def row_of(entries: Numbers) -> Numbers:
    """The document of each entry."""
    return entries >> np.uint32(2)


def weight_of(entries: Numbers) -> Numbers:
    """The weight of each entry's field: 0 (name, body), 1 (description), 2 (title, keywords)."""
    return entries & np.uint32(3)


def _fields(document: Document) -> Iterator[tuple[int, Sequence[str]]]:
    """The values of a document by how much a word in them weighs."""
    yield 2, (document.title, *document.keywords)
    yield 1, (document.description,)
    yield 0, (document.name, document.body)


class _Numbering(dict[str, int]):
    """Words to their numbers, from 1, in the order in which they are met."""

    def __missing__(self, word: str) -> int:
        number = self[word] = len(self) + 1
        return number


class Builder:
    """Takes documents one by one and writes the arrays."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = _Numbering()
        self._text = array("I")
        self._entries = array("I")
        self._assets = array("I")
        self._segments = array("q")
        self._names = array("Q")
        self._named = array("I")

    def add(self, document: Document) -> None:
        row = len(self._assets)
        self._assets.append(document.asset)
        self._segments.append(document.segment)
        for weight, values in _fields(document):
            self._write(row << 2 | weight, values)
        for name in document.names:
            self._names.append(_digest(name))
            self._named.append(row)

    def _write(self, entry: int, values: Sequence[str]) -> None:
        start = len(self._text)
        for value in values:
            if value:
                self._text.extend([self.numbers[word] for word in cut(value)])
                self._text.append(0)
        self._text.extend([0] * (-len(self._text) % BLOCK))
        self._entries.extend([entry] * ((len(self._text) - start) // BLOCK))

    def save(self, directory: Path) -> None:
        """Write all into a new directory. Raises InvalidInput when there are more words than can be numbered."""
        if len(self._text) >= 1 << 32 or len(self._assets) >= 1 << 30:
            raise InvalidInput("There are more words than one keyword index can hold.")
        directory.mkdir()
        assets, segments = np.array(self._assets, np.int64), np.array(self._segments, np.int64)
        order = np.lexsort((segments, assets))
        rank = np.empty(len(order), np.uint32)
        rank[order] = np.arange(len(order), dtype=np.uint32)
        entries = np.array(self._entries, np.uint32)
        entries = rank[row_of(entries)] << np.uint32(2) | weight_of(entries)
        blocks = np.argsort(row_of(entries), kind="stable")
        text, entries = np.array(self._text, np.uint32).reshape(-1, BLOCK)[blocks].ravel(), entries[blocks]
        names = np.array(self._names, np.uint64)
        by_name = np.argsort(names, kind="stable")
        arrays: dict[str, NDArray[Any]] = {
            "text": text,
            "entries": entries,
            "assets": assets[order],
            "segments": segments[order],
            "names": names[by_name],
            "named": rank[np.array(self._named, np.uint32)][by_name],
            **_inverted(text, entries, len(self.numbers)),
        }
        for name, values in arrays.items():
            np.save(directory / f"{name}.npy", values)


def _inverted(text: Numbers, entries: Numbers, words: int) -> dict[str, NDArray[Any]]:
    """Each word's places and postings, one word after the other, and where those of each begin (int64 [words + 2]).

    Words are taken some at a time, so that what is sorted at once stays small.
    """
    counts = np.zeros(words + 1, np.int64)
    for start in range(0, len(text), _AT_ONCE):
        counts += np.bincount(text[start : start + _AT_ONCE], minlength=words + 1)
    counts[0] = 0
    places_from = np.concatenate([[0], np.cumsum(counts)])
    places, postings, documents = [], [], np.zeros(words + 1, np.int64)
    first = 1
    while first <= words:
        end = max(first + 1, int(np.searchsorted(places_from, places_from[first] + _AT_ONCE, "right")) - 1)
        at = np.flatnonzero((text >= first) & (text < end)).astype(np.uint64)
        at |= text[at].astype(np.uint64) << np.uint64(32)
        at.sort()
        numbers = (at >> np.uint64(32)).astype(np.uint32)
        places.append(at.astype(np.uint32))
        there = entries[places[-1] // BLOCK]
        new = np.ones(len(there), np.bool_)
        new[1:] = (numbers[1:] != numbers[:-1]) | (row_of(there[1:]) != row_of(there[:-1]))
        starts = np.flatnonzero(new)
        postings.append(np.maximum.reduceat(there, starts))
        documents[first:end] = np.bincount(numbers[starts] - np.uint32(first), minlength=end - first)
        first = end
    return {
        "places": np.concatenate([np.zeros(0, np.uint32), *places]),
        "places_from": places_from,
        "postings": np.concatenate([np.zeros(0, np.uint32), *postings]),
        "postings_from": np.concatenate([[0], np.cumsum(documents)]),
    }


class Postings:
    """The arrays of an index, read-only.

    `assets` and `segments` (int64) tell what each row is of; those of asset a are from `begins[a - first]` to the next,
    where `first` is the lowest there is.
    """

    def __init__(self, arrays: dict[str, NDArray[Any]]) -> None:
        self.assets: NDArray[np.int64] = arrays["assets"]
        self.everything: Final = as_bitmap(self.assets)
        self.first = int(self.assets[0]) if len(self.assets) else 0
        self.begins: Numbers = np.append(0, np.cumsum(np.bincount(self.assets - self.first))).astype(np.uint32)
        self.segments: NDArray[np.int64] = arrays["segments"]
        self._text: Numbers = arrays["text"]
        self._entries: Numbers = arrays["entries"]
        self._places: Numbers = arrays["places"]
        self._places_from = arrays["places_from"]
        self._postings: Numbers = arrays["postings"]
        self._postings_from = arrays["postings_from"]
        self._names: NDArray[np.uint64] = arrays["names"]
        self._named: Numbers = arrays["named"]

    @classmethod
    def load(cls, directory: Path) -> "Postings":
        """Map what `Builder.save` wrote. Only for files that a generation's manifest vouches for."""
        return cls({name: np.asarray(np.load(directory / f"{name}.npy", mmap_mode="r")) for name in (*_FILES, *_NAMES)})

    def of(self, word: int) -> Numbers:
        """The entries of a word: by row, one a document."""
        return self._postings[self._postings_from[word] : self._postings_from[word + 1]]

    def side_by_side(self, words: Sequence[Sequence[int]]) -> Numbers:
        """The entries of a phrase, given for each of its words what may stand there: by row, one a document.

        The places of the rarest word are gone through, and what stands beside each is looked at.
        """
        places = [[self._places[self._places_from[w] : self._places_from[w + 1]] for w in any_of] for any_of in words]
        rarest = min(range(len(words)), key=lambda place: sum(map(len, places[place])))
        at = np.concatenate([np.zeros(0, np.uint32), *places[rarest]])
        at = at[(at >= rarest) & (at < len(self._text) - (len(words) - 1 - rarest))] - np.uint32(rarest)
        for offset, any_of in enumerate(words):
            if offset != rarest:
                at = at[np.isin(self._text[at + np.uint32(offset)], any_of)]
        found = np.sort(self._entries[at // BLOCK])
        last = np.ones(len(found), np.bool_)
        last[:-1] = row_of(found[1:]) != row_of(found[:-1])
        return found[last]

    def named(self, name: str) -> Numbers:
        """The documents called so, as entries of no weight."""
        digest = np.uint64(_digest(name))
        first, end = np.searchsorted(self._names, digest), np.searchsorted(self._names, digest, "right")
        return np.unique(self._named[first:end]) << np.uint32(2)


def _digest(name: str) -> int:
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "little")
