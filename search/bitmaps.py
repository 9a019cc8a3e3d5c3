"""Between roaring bitmaps and numpy, by the ways that cost milliseconds a million and not tens of them."""

from array import array
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

#: What serialised bitmaps are made of: the marks of one without runs and of one that has some, how many containers the
#: latter must have to be followed by their offsets, the numbers that a container is for, and how many of them it lists
#: one by one at most.
_WITHOUT_RUNS: Final = 12346
_WITH_RUNS: Final = 12347
_WITH_OFFSETS: Final = 4
_CONTAINER: Final = 1 << 16
_LISTED: Final = 1 << 12


class Key:
    """The numbers of a bitmap as a key: it equals that of any bitmap of the same numbers, and no other.

    Hashed by how many they are, the least and the greatest. To hash all of them takes a good part of a search, and keys
    are kept by the dozen: few will be alike in these three, and to compare two takes microseconds a million.
    """

    __slots__ = ("_hash", "_numbers")

    def __init__(self, numbers: BitMap) -> None:
        # A copy: whoever changes theirs does not change what is kept under the key. Made smaller, it would take longer.
        self._numbers = BitMap(numbers, optimize=False)
        self._hash = hash((len(numbers), numbers.min(), numbers.max()) if numbers else ())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Key) and self._numbers == other._numbers

    def __hash__(self) -> int:
        return self._hash


def as_array(numbers: BitMap) -> NDArray[np.int64]:
    """The numbers of a bitmap, ascending, int64 [n]."""
    return np.frombuffer(numbers.to_array(), np.uint32).astype(np.int64)


def as_bits(numbers: BitMap, size: int) -> NDArray[np.uint8]:
    """Whether each number from 0 on is in a bitmap, none of which is `size` or larger, uint8 [size / 8 and more]: eight
    numbers a byte, the lowest first.

    Read from what the bitmap is made of, containers of 65,536 numbers each (the format of RoaringFormatSpec): where it
    is crowded they are bits already, and that takes much less time than to set bits number by number.
    """
    data = numbers.serialize()
    cookie = int.from_bytes(data[:4], "little")
    runs = np.zeros(0, np.bool_)
    if cookie & 0xFFFF == _WITH_RUNS:
        count = (cookie >> 16) + 1
        place = 4 + (count + 7) // 8
        runs = np.unpackbits(np.frombuffer(data, np.uint8, (count + 7) // 8, 4), bitorder="little").view(np.bool_)
    else:
        count, place = int.from_bytes(data[4:8], "little"), 8
    header = np.frombuffer(data, "<u2", 2 * count, place).astype(np.int64)
    place += 4 * count
    if not len(runs) or count >= _WITH_OFFSETS:
        place += 4 * count
    bits = np.zeros((-(-size // _CONTAINER), _CONTAINER // 8), np.uint8)
    # Containers that are crowded from the first one on lie together, as bits do.
    crowded = (header[0::2] == np.arange(count)) & (header[1::2] >= _LISTED)
    together = 0 if len(runs) else int(np.append(crowded, False).argmin())
    bits[:together] = np.frombuffer(data, np.uint8, together * _CONTAINER // 8, place).reshape(
        together, _CONTAINER // 8
    )
    place += together * _CONTAINER // 8
    flags = np.zeros(_CONTAINER, np.bool_)
    for number, (key, last) in enumerate(header.reshape(count, 2)[together:].tolist(), together):
        run = bool(len(runs) and runs[number])
        if not run and last >= _LISTED:
            bits[key] = np.frombuffer(data, np.uint8, _CONTAINER // 8, place)
            place += _CONTAINER // 8
            continue
        flags[:] = False
        if run:
            told = int.from_bytes(data[place : place + 2], "little")
            for start, more in np.frombuffer(data, "<u2", 2 * told, place + 2).reshape(told, 2).tolist():
                flags[start : start + more + 1] = True
            place += 2 + 4 * told
        else:
            flags[np.frombuffer(data, "<u2", last + 1, place)] = True
            place += 2 * (last + 1)
        bits[key] = np.packbits(flags, bitorder="little")
    return bits.ravel()


def as_flags(numbers: BitMap, size: int) -> NDArray[np.bool_]:
    """The same, each number by itself, bool [size]."""
    return np.unpackbits(as_bits(numbers, size), count=size, bitorder="little").view(np.bool_)


def as_bitmap(numbers: NDArray[Any]) -> BitMap:
    """The bitmap of numbers from 0 to 2**32 - 1, [n]."""
    return BitMap(array("I", numbers.astype(np.uint32).tobytes()))


def of_bits(bits: NDArray[np.uint8]) -> BitMap:
    """The bitmap of the numbers whose bit is set, uint8 [n]: eight numbers a byte, the lowest first (see `as_bits`)."""
    whole = bits
    if len(bits) % (_CONTAINER // 8):
        whole = np.zeros(-(-len(bits) * 8 // _CONTAINER) * (_CONTAINER // 8), np.uint8)
        whole[: len(bits)] = bits
    whole = whole.reshape(-1, _CONTAINER // 8)
    sizes = np.bitwise_count(whole.view(np.uint64)).sum(axis=1, dtype=np.int64)
    keys = np.flatnonzero(sizes)
    held = [
        whole[key] if size > _LISTED else np.flatnonzero(np.unpackbits(whole[key], bitorder="little")).astype("<u2")
        for key, size in zip(keys.tolist(), sizes[keys].tolist(), strict=True)
    ]
    told = np.stack([keys, sizes[keys] - 1], axis=1).astype("<u2").tobytes()
    lengths = np.array([each.nbytes for each in held], np.int64)
    places = 8 + len(told) + 4 * len(keys) + np.cumsum(lengths) - lengths
    begun = np.array([_WITHOUT_RUNS, len(keys)], "<u4").tobytes() + told + places.astype("<u4").tobytes()
    return BitMap.deserialize(b"".join([begun, *(each.data for each in held)]))
