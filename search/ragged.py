"""Uneven rows of numbers, one an asset (or another thing with a number), in chunks that an update shares.

Useful for: reading the rows of some assets at once, counting what they hold. Not useful for: finding which rows hold a
value (that is a bitmap, see `search.columns`).
"""

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, Final

import numpy as np
import stringzilla
from numpy.typing import NDArray
from pyroaring import BitMap

from search.bitmaps import as_array, of_bits

#: Rows in a chunk: as many as in a container of a roaring bitmap.
CHUNK: Final = 1 << 16

#: Values less than this are told by one of 256 bytes and one of the eight bits of another.
TOLD: Final = 8 << 8

#: So many bytes of a word are compared at once.
HEAD: Final = 4

#: Rows are counted from slots, as many for each row of a chunk, so that one look brings all of it from memory: as many
#: as one row in so many overflows, and so many at most.
_OVERFLOW: Final = 16
_SLOTS: Final = 32


class Chunk:
    """The rows of `CHUNK` neighbouring numbers, one after the other: row `n` lies from `offsets[n]` to the next."""

    def __init__(self, offsets: NDArray[np.int32], values: NDArray[Any]) -> None:
        self.offsets = offsets
        self.values = values

    def rows(self, places: NDArray[np.int64]) -> NDArray[Any]:
        """What these rows hold, one after the other."""
        starts = self.offsets[places].astype(np.int64)
        return self._read(starts, self.offsets[places + 1] - starts)

    def _read(self, starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[Any]:
        """So many values from each of these places on, one after the other."""
        ends = np.cumsum(lengths)
        held = np.repeat(starts - (ends - lengths), lengths)
        held += np.arange(len(held))
        return self.values.take(held, mode="clip")

    def padded(self, places: NDArray[np.int64]) -> Iterator[NDArray[Any]]:
        """What these rows hold in any order, `_SLOTS` added to each value, among fillers that are less than that."""
        slots, longer = self._slots
        yield slots.take(places, axis=0, mode="clip").ravel()
        if longer is not None:
            rest = places[longer.take(places, mode="clip")]
            starts = self.offsets[rest].astype(np.int64) + slots.shape[1]
            yield self._read(starts, self.offsets[rest + 1] - starts) + np.int32(_SLOTS)

    @cached_property
    def _slots(self) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
        """The beginnings of all rows, [CHUNK, width], as `padded` tells, and which rows are longer (None: none is).

        An empty slot holds its own number: to count one and the same again and again has the processor wait.
        """
        lengths = np.diff(self.offsets)
        width = 1
        while width < _SLOTS and _OVERFLOW * (lengths > width).sum() > (lengths > 0).sum():
            width *= 2
        narrow = self.values.max(initial=0) + _SLOTS < 1 << 16
        slots = np.tile(np.arange(width, dtype=np.uint16 if narrow else np.int32), (CHUNK, 1))
        begun = np.arange(len(self.values)) - np.repeat(self.offsets[:-1], lengths) < width
        slots[np.arange(width) < lengths[:, None]] = self.values[begun] + _SLOTS
        longer = lengths > width
        return slots, longer if longer.any() else None

    @cached_property
    def told(self) -> tuple[bytes, NDArray[np.uint8]] | None:
        """The value of each row, if none holds two or more: its low byte, and a byte of which the bit is set whose
        number is the rest of the value; no bit where there is no value, or one that is not less than `TOLD`."""
        lengths = np.diff(self.offsets)
        if lengths.max() > 1:
            return None
        low, high = np.zeros(CHUNK, np.uint8), np.zeros(CHUNK, np.uint8)
        low[lengths > 0] = self.values & 0xFF
        high[lengths > 0] = np.where(self.values < TOLD, 1 << (self.values >> 8).clip(max=7), 0)
        return low.tobytes(), high

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
        held = [chunk.rows(places) for chunk, places in self._chunks_of(numbers)]
        return np.concatenate(held) if held else np.zeros(0, self.dtype)

    def counts(self, numbers: BitMap, size: int) -> NDArray[np.int64]:
        """How often the rows of these numbers hold each value from 0 on, none of which is `size` or larger: int64
        [size]. Quicker than to read them, and not for rows of texts."""
        held = [piece for chunk, places in self._chunks_of(numbers) for piece in chunk.padded(places)]
        padded = np.concatenate(held) if held else np.zeros(0, np.int64)
        return np.bincount(padded, minlength=_SLOTS + size)[_SLOTS:]

    def holding(self, values: NDArray[np.int64]) -> BitMap | None:
        """The numbers of the rows that hold one of these values, [n], all of them less than `TOLD`; None where a row
        holds more than one value.

        Each row is looked up in a table, which takes two tenths of a millisecond a million rows, however many values
        there are: to unite a bitmap for each takes longer from some dozens on.
        """
        bit_of = np.zeros(256, np.uint8)
        np.bitwise_or.at(bit_of, values & 0xFF, (1 << (values >> 8)).astype(np.uint8))
        table, looked_up = bit_of.tobytes(), np.empty(CHUNK, np.uint8)
        bits = np.zeros((max(self.chunks, default=-1) + 1, CHUNK // 8), np.uint8)
        for number, chunk in self.chunks.items():
            if chunk.told is None:
                return None
            low, high = chunk.told
            stringzilla.translate(low, table, out=looked_up)
            looked_up &= high
            bits[number] = np.packbits(looked_up, bitorder="little")
        return of_bits(bits.ravel())

    def _chunks_of(self, numbers: BitMap) -> Iterator[tuple[Chunk, NDArray[np.int64]]]:
        """The chunks that have rows of these numbers, each with the places of these in it."""
        wanted = as_array(numbers)
        for chunk, first, last in _by_chunk(wanted):
            if chunk in self.chunks:
                yield self.chunks[chunk], wanted[first:last] & CHUNK - 1


def _by_chunk(numbers: NDArray[np.int64]) -> Iterator[tuple[int, int, int]]:
    """Each chunk that ascending numbers fall into, and from where to where they do."""
    if not len(numbers):
        return
    chunks = range(int(numbers[0]) // CHUNK, int(numbers[-1]) // CHUNK + 1)
    bounds = np.searchsorted(numbers, [chunk * CHUNK for chunk in (*chunks, chunks[-1] + 1)])
    for chunk, first, last in zip(chunks, bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        if first < last:
            yield chunk, first, last
