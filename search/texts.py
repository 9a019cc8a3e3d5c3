"""Short texts by number (titles by asset, keywords), looked through for words that begin with some letters.

They are kept case-folded as UTF-8, one after the other, and are looked through from where words begin:
milliseconds for a million titles, without an index of words that each change would have to keep up.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from search.bitmaps import as_array, as_bitmap
from search.ragged import CHUNK, HEAD, Chunk, Ragged

_END: Final = "\n"


def folded(text: str) -> str:
    """The text without regard to case, its words with single spaces between."""
    return " ".join(text.casefold().split())


class Texts:
    """Texts by number. Never changes once made."""

    def __init__(self, rows: Ragged | None = None, size: int = 0) -> None:
        self._rows = rows or Ragged(np.uint8)
        self._size = size

    def __len__(self) -> int:
        """One more than the highest number."""
        return self._size

    def replaced(self, touched: BitMap, numbers: NDArray[np.int64], texts: Sequence[str]) -> "Texts":
        """A copy in which these numbers, ascending, have these texts, and what else was `touched` has none."""
        written = "".join(f"{folded(text)}{_END}" for text in texts).encode()
        letters = np.frombuffer(written, np.uint8)
        ends = np.flatnonzero(letters == ord(_END)) + 1
        rows = self._rows.replaced(touched, numbers, np.diff(ends, prepend=0).astype(np.int32), letters)
        return Texts(rows, max(self._size, touched.max() + 1) if touched else self._size)

    def numbers(self, begun: str) -> NDArray[np.int64]:
        """The numbers of the texts in which a word begins with `begun` (folded, not empty), ascending."""
        found = [_rows(chunk, begun) + number * CHUNK for number, chunk in sorted(self._rows.chunks.items())]
        return np.concatenate(found) if found else np.zeros(0, np.int64)

    def distinct(self, begun: str, among: BitMap) -> Iterator[int]:
        """Of the same texts, each once: its highest number among these, in descending order."""
        seen: list[NDArray[np.uint8]] = []
        for number, chunk in sorted(self._rows.chunks.items(), reverse=True):
            if not among.range_cardinality(number * CHUNK, (number + 1) * CHUNK):
                continue
            there = as_bitmap(_rows(chunk, begun) + number * CHUNK) & among
            rows = as_array(there) % CHUNK
            for text in seen:
                rows = _others(chunk, rows, text)
            while len(rows):
                yield number * CHUNK + int(rows[-1])
                seen.append(chunk.rows(rows[-1:]))
                rows = _others(chunk, rows, seen[-1])


def _rows(chunk: Chunk, begun: str) -> NDArray[np.int64]:
    """The rows of a chunk in which a word begins so, ascending."""
    letters = begun.encode()
    starts, heads = chunk.words
    low, high = (int.from_bytes(letters[:HEAD].ljust(HEAD, fill)) for fill in (b"\x00", b"\xff"))
    found = starts[(heads >= low) & (heads <= high)]
    for place in range(HEAD, len(letters)):
        # Beyond the chunk, its last byte is read: the end of a text, which is no letter.
        found = found[chunk.values.take(found + place, mode="clip") == letters[place]]
    return np.unique(np.searchsorted(chunk.offsets, found, side="right") - 1)


def _others(chunk: Chunk, rows: NDArray[np.int64], text: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Those of the rows that hold another text."""
    alike = rows[chunk.offsets[rows + 1] - chunk.offsets[rows] == len(text)]
    held = chunk.rows(alike).reshape(len(alike), len(text))
    return np.setdiff1d(rows, alike[(held == text).all(axis=1)], assume_unique=True)
