"""Nearest neighbours within a scope: the planner over vectors of one space, in files that never change once written.

The planner takes what is cheapest for the rows that the scope allows:

* gather: few rows are allowed, or not many that lie together, each is scored;
* scan: there are few in all, or lists cannot tell enough; one pass over all of them;
* lists: else the lists that may hold an answer are looked through (`search.engines.embedded.lists`), by codes or, if
  the allowed rows are few enough to be named, by scoring these.

The first two are exact; the third misses a few rows in a thousand. The filter is applied inside each of them, so pages
are full at every selectivity.
"""

import os
import sys
from pathlib import Path
from typing import Final

import faiss
import msgspec
import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap
from threadpoolctl import threadpool_limits

from search.bitmaps import as_array, as_bitmap, as_bits
from search.embedding import Vector
from search.engine import Matches, Nearest, Plan, VectorRows, Vectors
from search.engines.embedded import lists
from search.engines.embedded.lists import Allowed, Lists, Named
from search.engines.embedded.rows import Numbers, Rows, Scores, parts
from search.errors import InvalidInput
from search.kept import Kept
from search.policy import Scope

#: From so many rows on there are lists.
LISTED: Final = 50_000

#: Allowed rows that are scored one by one where there are lists, and the share of all where there are none.
_GATHERED: Final = 6_000
_GATHERED_SHARE: Final = 0.25

#: The same where they lie together, so that lists tell them little apart.
_GATHERED_TOGETHER: Final = 12_000

#: Scattered rows that are scored as their lists are come to, so many and such a share of all: of more, codes are looked
#: at first.
_NAMED: Final = 60_000
_NAMED_SHARE: Final = 0.06

#: Lists are not asked for more than this part of what is allowed.
_MOST: Final = 8

#: Filters of which it is kept which rows they allow: a bit an asset and a row, and less than that for what they are
#: known by, or the names of few.
_KEPT: Final = 16

#: Vectors are copied so many at a time.
_SPOOLED: Final = 1 << 14

_OWNERS: Final = "owners.npy"

# Threads that share one small product of matrices wait for each other wherever another process wants a core. This holds
# for numpy in all threads; what FAISS may use is said by each thread for itself (`VectorIndex.nearest`).
threadpool_limits(1, "blas")


class Gathered(msgspec.Struct, frozen=True):
    """Rows that may be found, so few that each is scored, int64 [m]."""

    rows: Numbers

    @property
    def count(self) -> int:
        return len(self.rows)


class VectorIndex:
    """Rows, and for each the catalog's segment and the asset that it belongs to. Safe to share between threads."""

    def __init__(self, rows: Rows, listed: Lists | None, owners: NDArray[np.int64]) -> None:
        """`owners` is int64 [n, 2]: the segment and the asset of each row (-1: a row of noughts, which is nobody's)."""
        self._segments, self._assets = owners.T
        self._rows = rows
        self._lists = listed
        # Where each row's asset stands among bits, eight assets a byte: the byte, and the bit (0: nobody's).
        self._byte = self._assets.clip(min=0) >> 3
        self._bit = np.where(self._assets < 0, 0, 1 << (self._assets & 7)).astype(np.uint8)
        # Rows by asset, from the first one there is on: those of the a-th after it are order[start[a] : start[a + 1]],
        # and row[a] is the last of them.
        owned = np.flatnonzero(self._assets >= 0)
        assets = self._assets[owned]
        self._all = as_bitmap(assets)
        self._first = self._all.min() if self._all else 0
        # In 32 bits, as they are read out of order, and half as much of them passes through the processor's caches.
        self._order = owned[np.argsort(assets, kind="stable")].astype(np.int32)
        self._start = np.append(0, np.cumsum(np.bincount(assets - self._first)))
        self._row = np.zeros(len(self._start), np.int32)
        self._row[assets - self._first] = owned
        self._single = len(self._order) == len(self._all)
        if listed and self._single:
            # FAISS is told which assets are allowed: to know which rows are takes a pass over all.
            self._sample = self._byte[listed.sample], self._bit[listed.sample]
            listed.rename(self._assets, self._row, self._first)
        self._kept: Kept[Allowed | Named | Gathered] = Kept(_KEPT)

    def __len__(self) -> int:
        return len(self._order)

    @staticmethod
    def write(vectors: Vectors, directory: Path) -> None:
        """Write an index of the vectors into a new directory. Raises InvalidInput for NaN and infinity."""
        directory.mkdir()
        spool = directory / "spool.npy"
        source: VectorRows = _Checked(vectors.rows)
        if not isinstance(vectors.rows, np.ndarray):
            source = _spooled(source, spool)
        if len(vectors.assets) < LISTED:
            order = np.arange(len(vectors.assets))
        else:
            with threadpool_limits(_processors(), "openmp"):  # models have it that each thread works alone
                order = lists.write(source, directory)
        Rows.write(source, order, directory)
        owners = np.full((len(order), 2), -1, np.int64)
        there = order >= 0
        owners[there] = np.stack([vectors.segments, vectors.assets], axis=1)[order[there]]
        np.save(directory / _OWNERS, owners)
        spool.unlink(missing_ok=True)

    @classmethod
    def open(cls, directory: Path) -> "VectorIndex":
        """Read what `write` wrote. Only for files that a generation's manifest vouches for."""
        rows = Rows.open(directory)
        listed = Lists.open(directory, rows) if (directory / lists.CODES).exists() else None
        return cls(rows, listed, np.load(directory / _OWNERS))

    @property
    def dimension(self) -> int:
        return self._rows.dimension

    def nearest(self, scope: Scope, query: Vector, limit: int) -> Nearest:
        """See `Engine.nearest`. `query` is float32 [d] with finite values, else InvalidInput."""
        if query.shape != (self.dimension,) or not np.isfinite(query).all():
            raise InvalidInput(f"A query vector must be {self.dimension} finite numbers.")
        # Two OpenMP pools (torch's and FAISS's) in a process stall each other for milliseconds.
        faiss.omp_set_num_threads(1)
        allowed = self._kept.of(scope.key, lambda: self._allowed(scope.assets))
        if not allowed.count or limit < 1:
            return Nearest(Matches.none(), Plan("none", 0, 0))
        # An asset can have many rows (keyframes, passages): take more until enough assets are among them, at first a
        # quarter more than so many have on average.
        wanted = limit if self._single else 5 * limit * len(self) // (4 * len(self._all))
        while True:
            rows, scores, plan = self._best(allowed, query, wanted)
            matches = self._best_of_each(rows, scores, limit)
            if len(matches) == limit or len(rows) == plan.allowed:
                return Nearest(matches, plan)
            wanted *= 4

    def rows_of(self, scope: Scope, asset: int) -> NDArray[np.float32]:
        """See `Engine.vectors_of`."""
        if asset not in scope:
            return np.zeros((0, self.dimension), np.float32)
        return self._rows.read(self._of(as_array(self._all & BitMap([asset]))))

    def _best(self, allowed: Allowed | Named | Gathered, query: Vector, limit: int) -> tuple[Numbers, Scores, Plan]:
        """The best of the allowed rows, their scores, and how they were found."""
        count = allowed.count
        if self._lists and _MOST * limit <= count and not isinstance(allowed, Gathered):
            found = self._lists.best(query, allowed, limit)
            return found.rows, found.scores, Plan("scan" if found.whole else "lists", count, found.scored)
        if isinstance(allowed, Allowed):
            best, scores = self._rows.best_of_all(self._rows.asked(query), allowed.bits, count, limit)
            return best, scores, Plan("scan", count, count)
        if isinstance(allowed, Gathered):
            rows = allowed.rows
        else:
            rows = self._of(allowed.names) if self._single else allowed.names
        best, scores = self._rows.nearest(query, rows, limit)
        return best, scores, Plan("gather", count, count)

    def _allowed(self, assets: BitMap) -> Allowed | Named | Gathered:
        """The rows of these assets, of which some may have none, in the quickest way to tell them."""
        inside = assets if self._all.intersection_cardinality(assets) == len(assets) else self._all & assets
        few = _GATHERED if self._lists else int(_GATHERED_SHARE * len(self))
        if len(inside) <= few and len(rows := self._of(as_array(inside))) <= few:
            return Gathered(rows)
        listed, most = self._lists, min(_NAMED, int(_NAMED_SHARE * len(self)))
        if listed and len(inside) <= most and len(names := self._names(inside)) <= most:
            named = listed.named(names)
            if named.scattered:
                return named
            if len(names) <= _GATHERED_TOGETHER:
                return Gathered(listed.rows_named(names))
        size = self._first + len(self._start)
        if not listed or not self._single:
            marked = self._marked(as_bits(inside, size))
            count = int(np.bitwise_count(marked).sum())
            selector = None if count == len(self) else faiss.IDSelectorBitmap(marked)
            return Allowed(count, selector, lambda: marked, listed.counts(marked) if listed else np.zeros(0))
        if inside == self._all:
            return Allowed(len(self), None, lambda: self._marked(as_bits(self._all, size)), listed.sizes)
        bits = as_bits(inside, size)
        byte, bit = self._sample
        among = bits.take(byte)
        among &= bit
        seen = (among != 0).sum(axis=0, dtype=np.uint8)
        selector = faiss.IDSelectorBitmap(bits)
        return Allowed(len(inside), selector, lambda: self._marked(bits), listed.expected(seen), seen == 0)

    def _marked(self, bits: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The rows of assets, as bits like theirs (uint8, eight a byte, the lowest first)."""
        marked = bits.take(self._byte)  # bits stay in the processor's caches; `take` is quicker than brackets
        marked &= self._bit
        return np.packbits(marked, bitorder="little")

    def _names(self, assets: BitMap) -> Numbers:
        """What the codes of all rows of some assets go by, each of which has rows here, int64 [m]."""
        numbers = as_array(assets)
        return numbers if self._single else self._of(numbers)

    def _of(self, assets: Numbers) -> Numbers:
        """All rows of some assets, each of which has rows here, int64 [m]."""
        assets = assets - self._first
        if self._single:
            return self._row.take(assets).astype(np.int64)
        first = self._start[assets]
        counts = self._start[assets + 1] - first
        within: Numbers = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        return self._order.take(np.repeat(first, counts) + within).astype(np.int64)

    def _best_of_each(self, rows: Numbers, scores: Scores, limit: int) -> Matches:
        """The best of each asset, `limit` at most, of rows, best first; of equal ones the one of the lower asset."""
        assets = self._assets[rows]
        if self._single:
            best = np.lexsort((assets, -scores))[:limit]
        else:
            _, first = np.unique(assets, return_index=True)
            best = first[np.argsort(-scores[first], kind="stable")[:limit]]
        return Matches(assets[best], self._segments[rows[best]], scores[best].astype(np.float64))


class _Checked:
    """Vectors as they are read, all of them numbers."""

    def __init__(self, source: VectorRows) -> None:
        self.shape = source.shape
        self._source = source

    def __getitem__(self, rows: Numbers) -> NDArray[np.float32]:
        read = self._source[rows]
        if not np.isfinite(read).all():
            raise InvalidInput("A vector holds NaN or infinity.")
        return read


def _spooled(source: VectorRows, file: Path) -> NDArray[np.float32]:
    """A copy in a file of its own: a segment is made by reading its vectors several times, and out of order."""
    spool = np.lib.format.open_memmap(file, "w+", np.float32, source.shape)
    for _, part in parts(np.arange(len(spool)), _SPOOLED):
        spool[part] = source[part]
    return spool


def _processors() -> int:
    """How many this process may use: beside a server, an indexer has left it one."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
