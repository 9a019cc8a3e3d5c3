"""Uneven rows of numbers, one an asset (or another thing with a number), in chunks that an update shares.

Useful for: reading the rows of some assets at once, counting what they hold. Not useful for: finding which rows hold a
value (that is a bitmap, see `search.columns`).
"""

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from search.bitmaps import as_array

#: Rows in a chunk: as many as in a container of a roaring bitmap.
CHUNK: Final = 1 << 16

#: So many bytes of a word are compared at once.
HEAD: Final = 4


class Chunk:
    """The rows of `CHUNK` neighbouring numbers, one after the other: row `n` lies from `offsets[n]` to the next."""

    def __init__(self, offsets: NDArray[np.int32], values: NDArray[Any]) -> None:
        self.offsets = offsets
        self.values = values

    def rows(self, places: NDArray[np.int64]) -> NDArray[Any]:
        """What these rows hold, one after the other."""
        starts = self.offsets[places].astype(np.int64)
        lengths = self.offsets[places + 1] - starts
        if (lengths == 1).all():  # as each asset has one collection: no need to spread them out
            return self.values.take(starts, mode="clip")
        ends = np.cumsum(lengths)
        held = np.repeat(starts - (ends - lengths), lengths)
        held += np.arange(len(held))
        return self.values.take(held, mode="clip")

    def replaced(self, places: NDArray[np.int64], lengths: NDArray[np.int32], values: NDArray[Any]) -> "Chunk":
        """A copy in which these rows, in ascending order, hold these values, one after the other."""
        sizes = np.diff(self.offsets)
        sizes[places] = lengths
        # Neighbouring rows are put in as one piece, and so is what lies between.
        first = np.flatnonzero(np.diff(places, prepend=-2) != 1)
        last = np.append(first[1:], len(places)) - 1
        ends = np.cumsum(lengths, dtype=np.int64)[last].tolist()
        pieces, kept = [], 0
        for gone, left, start, end in zip(
            self.offsets[places[first]].tolist(),
            self.offsets[places[last] + 1].tolist(),
            [0, *ends],
            ends,
            strict=False,
        ):
            pieces += [self.values[kept:gone], values[start:end]]
            kept = left
        offsets = np.concatenate([np.zeros(1, np.int32), np.cumsum(sizes, dtype=np.int32)])
        return Chunk(offsets, np.concatenate([*pieces, self.values[kept:]]))

    @cached_property
    def words(self) -> tuple[NDArray[np.int32], NDArray[np.uint32]]:
        """Of a chunk of texts (UTF-8, each ending in a line feed): where the words begin, ascending, and the first four
        bytes of each as one number, so that most are told apart by one comparison."""
        between = (self.values == ord(" ")) | (self.values == ord("\n"))
        starts = np.flatnonzero(np.concatenate([[True], between[:-1]])[: len(between)]).astype(np.int32)
        heads = np.zeros(len(starts), np.uint32)
        for place in range(HEAD):
            heads = heads << 8 | self.values.take(starts + place, mode="clip")
        return starts, heads


class Ragged:
    """Rows by number, each empty until it is replaced. Never changes once made."""

    def __init__(self, dtype: type[np.generic], chunks: Mapping[int, Chunk] | None = None) -> None:
        self.dtype = dtype
        self.chunks = chunks or {}

    def replaced(
        self, touched: BitMap, numbers: NDArray[np.int64], lengths: NDArray[np.int32], values: NDArray[Any]
    ) -> "Ragged":
        """A copy in which the rows of these numbers, ascending, are of these lengths and hold these values, one row
        after the other; what else was `touched` becomes empty."""
        chunks = dict(self.chunks)
        places = as_array(touched)
        every = np.zeros(len(places), np.int32)
        every[np.searchsorted(places, numbers)] = lengths
        ends = np.concatenate([[0], np.cumsum(every, dtype=np.int64)])
        for chunk, first, last in _by_chunk(places):
            old = chunks.get(chunk) or Chunk(np.zeros(CHUNK + 1, np.int32), np.zeros(0, self.dtype))
            held = values[ends[first] : ends[last]]
            chunks[chunk] = old.replaced(places[first:last] & CHUNK - 1, every[first:last], held)
        return Ragged(self.dtype, chunks)

    def rows(self, numbers: BitMap) -> NDArray[Any]:
        """What the rows of these numbers hold, in ascending order of the numbers."""
        wanted = as_array(numbers)
        held = [
            self.chunks[chunk].rows(wanted[first:last] & CHUNK - 1)
            for chunk, first, last in _by_chunk(wanted)
            if chunk in self.chunks
        ]
        return np.concatenate(held) if held else np.zeros(0, self.dtype)


def _by_chunk(numbers: NDArray[np.int64]) -> Iterator[tuple[int, int, int]]:
    """Each chunk that ascending numbers fall into, and from where to where they do."""
    if not len(numbers):
        return
    chunks = range(int(numbers[0]) // CHUNK, int(numbers[-1]) // CHUNK + 1)
    bounds = np.searchsorted(numbers, [chunk * CHUNK for chunk in (*chunks, chunks[-1] + 1)])
    for chunk, first, last in zip(chunks, bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        if first < last:
            yield chunk, first, last
