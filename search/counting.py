"""How many assets of a scope have each value of a column that has many values: the most frequent ones, exactly.

Two ways, chosen by what they will cost. Of a small scope every value is counted, asset by asset, over the column kept
by asset. With a large one the bitmaps of the values are met, the most frequent in the library first, until no other
value can be among the most frequent: none occurs more often in a scope than everywhere. What comes out is the same
either way, and depends on the scope alone.
"""

import heapq
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import chain, repeat
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from search.bitmaps import as_bitmap
from search.ragged import TOLD, Ragged

#: As long as meeting one bitmap takes, so many values can be counted asset by asset: of a scope that is kept as bits,
#: and of one that is kept as lists, as roaring bitmaps keep what is less than one in sixteen.
_PRICE: Final = 900
_PRICE_OF_LISTS: Final = 3_000
_LISTS: Final = 1 / 16

#: So many values are met by bitmap at most (some 4 ms a million assets), before all are counted asset by asset.
_MET: Final = 1_024

#: The bitmaps of so many values are united; of more, it takes less to look at what each asset has.
_UNITED: Final = 128

#: A value and how many assets have it.
Count = tuple[str, int]


class Held(msgspec.Struct, frozen=True):
    """Values by asset: the assets, ascending, how many values each has, and the numbers of the values, one asset after
    the other."""

    assets: NDArray[np.int64]
    lengths: NDArray[np.int32]
    numbers: NDArray[np.int32]


class Values(dict[str, int]):
    """The values of a column, each with a number; a new one is given the next. It only grows and is shared by every
    state of the column: a value that no asset has any more keeps its number."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __missing__(self, name: str) -> int:
        self.names.append(name)
        self[name] = len(self.names) - 1
        return self[name]

    def held(self, assets: NDArray[np.int64], lists: Sequence[Collection[str]]) -> Held:
        """The values of each asset by their numbers, each once."""
        lengths = np.fromiter(map(len, lists), np.int64, len(lists))
        numbers = np.fromiter(map(self.__getitem__, chain.from_iterable(lists)), np.int64, lengths.sum())
        pairs = np.repeat(np.arange(len(lists)), lengths) << 32 | numbers
        pairs.sort()
        pairs = pairs[np.diff(pairs, prepend=-1) > 0]  # `np.unique` goes by a hash, and takes ten times as long
        lengths = np.bincount(pairs >> 32, minlength=len(lists))
        return Held(assets, lengths.astype(np.int32), (pairs & 0xFFFFFFFF).astype(np.int32))


def assets_of(held: Sequence[Held]) -> Iterator[tuple[int, BitMap]]:
    """The numbers of all values held, each with the assets that have it."""
    if held:
        owners = np.concatenate([np.repeat(part.assets.astype(np.uint32), part.lengths) for part in held])
        for number, places in places_of(np.concatenate([part.numbers for part in held])):
            yield number, as_bitmap(owners[places])


def places_of(numbers: NDArray[np.int32]) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Each distinct number, ascending, with the places at which it stands, ascending."""
    if not len(numbers):
        return
    narrow = numbers.astype(np.uint16) if numbers.max() < 1 << 16 else numbers  # sorted by radix, ten times as fast
    order = np.argsort(narrow, kind="stable")
    sizes = np.bincount(numbers)
    distinct = np.flatnonzero(sizes)
    start = 0
    for number, end in zip(distinct.tolist(), np.cumsum(sizes[distinct]).tolist(), strict=True):
        yield number, order[start:end]
        start = end


class Counted:
    """A column kept by asset: the numbers of the values that each has. Never changes once made."""

    def __init__(self, values: Values, rows: Ragged, sizes: NDArray[np.int64]) -> None:
        """`sizes`: how many assets have each value, int64 [values]."""
        self.values = values
        self._rows = rows
        self._sizes = sizes

    @classmethod
    def empty(cls) -> "Counted":
        return cls(Values(), Ragged(np.int32), np.zeros(0, np.int64))

    def replaced(self, touched: BitMap, held: Held) -> "Counted":
        """A copy in which what is held replaces the values of the assets, and others that were `touched` have none."""
        sizes = np.bincount(held.numbers, minlength=len(self.values))
        sizes -= np.bincount(self._rows.rows(touched), minlength=len(self.values))
        sizes[: len(self._sizes)] += self._sizes
        rows = self._rows.replaced(touched, held.assets, held.lengths, held.numbers)
        return Counted(self.values, rows, sizes)

    def held_by(self, assets: BitMap) -> set[str]:
        """The values that any of the assets has."""
        return {self.values.names[number] for number in np.unique(self._rows.rows(assets)).tolist()}

    def any_of(self, names: Sequence[str], having: Callable[[str], BitMap]) -> BitMap:
        """The assets that have one of these values at least; `having` a value are those that it tells, if any."""
        united = BitMap()
        if len(names) > _UNITED:
            numbers = np.fromiter(map(self.values.get, names, repeat(TOLD)), np.int64, len(names))
            held = self._rows.holding(numbers[numbers < TOLD])
            if held is not None:
                united, names = held, [names[place] for place in np.flatnonzero(numbers >= TOLD).tolist()]
        return BitMap.union(united, *map(having, names)) if names else united

    def most_frequent(
        self,
        most: int,
        scope: BitMap,
        everything: BitMap,
        having: Callable[[str], BitMap],
        among: NDArray[np.int64] | None = None,
    ) -> list[Count]:
        """The values that most assets of the scope have, equal ones by name; none that no asset has.

        `everything` are all assets of the column, `having` those with a value, `among` the numbers of the values
        that are looked at, [n] (None: all).
        """
        numbers = np.arange(len(self._sizes)) if among is None else among
        if self._by_bitmaps(most, len(scope), len(everything), len(numbers)):
            met = self._met(most, scope, having, numbers)
            if met is not None:
                return met
        counts = self._counts(scope, everything)[numbers]
        if len(counts) > most:
            least = max(1, np.partition(counts, -most)[-most])
            numbers, counts = numbers[counts >= least], counts[counts >= least]
        return best(most, [(self.values.names[n], c) for n, c in zip(numbers.tolist(), counts.tolist(), strict=True)])

    def _by_bitmaps(self, most: int, scope: int, everything: int, values: int) -> bool:
        """Whether that is the cheaper way, if values occur in the scope as they do everywhere."""
        if not scope:
            return False
        held = scope / everything * int(self._sizes.sum())
        price = _PRICE if scope > _LISTS * everything else _PRICE_OF_LISTS
        return held > price * min(values, most * everything / scope)

    def _counts(self, scope: BitMap, everything: BitMap) -> NDArray[np.int64]:
        """How many assets of the scope have each value, int64 [values]; by way of the others when these are fewer."""
        if 2 * len(scope) > len(everything):
            return self._sizes - self._counts(everything - scope, everything)
        return self._rows.counts(scope, len(self._sizes))

    def _met(
        self, most: int, scope: BitMap, having: Callable[[str], BitMap], numbers: NDArray[np.int64]
    ) -> list[Count] | None:
        """The most frequent by way of bitmaps; None when too many would have to be met."""
        sizes = self._sizes[numbers]
        order = np.argpartition(-sizes, _MET)[: _MET + 1] if len(sizes) > _MET else np.arange(len(sizes))
        order = order[np.argsort(-sizes[order], kind="stable")]
        found: list[Count] = []
        highest: list[int] = []
        for met, (number, size) in enumerate(zip(numbers[order].tolist(), sizes[order].tolist(), strict=True)):
            if size < (highest[0] if len(highest) == most else 1):
                break
            if met == _MET:
                return None
            name = self.values.names[number]
            count = scope.intersection_cardinality(having(name))
            found.append((name, count))
            if len(highest) < most:
                heapq.heappush(highest, count)
            else:
                heapq.heappushpop(highest, count)
        return best(most, found)


def best(most: int, counts: Iterable[Count]) -> list[Count]:
    """Those that count most, equal ones by name, none that count nothing."""
    return heapq.nsmallest(most, (one for one in counts if one[1]), key=lambda one: (-one[1], one[0]))
