"""Nearest neighbours within a scope: the planner over the segments of one space.

A segment never changes once written. Fresh rows make a segment of their own, which is folded together with others as
segments of its size gather (log-structured merging; O'Neil et al. 1996), so that a few new assets cost a few rows of
work and not the whole. In each segment the planner takes what is cheapest for the rows that the scope allows there:

* gather: few rows are allowed, each is scored;
* scan: the segment is small, or its lists cannot tell enough; one pass over all of it;
* lists: else the lists that may hold an answer are looked through (`search.engines.embedded.lists`).

The first two are exact; the third misses a few rows in a thousand. The filter is applied inside each of them, so pages
are full at every selectivity.
"""

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import faiss
import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap
from threadpoolctl import threadpool_limits

from search.bitmaps import as_array, as_bitmap, as_flags
from search.embedding import Vector
from search.engine import Matches, Nearest, Plan, VectorRows, Vectors
from search.engines.embedded import lists
from search.engines.embedded.lists import Allowed, Lists
from search.engines.embedded.rows import Numbers, Rows, Scores
from search.errors import InvalidInput
from search.kept import Kept
from search.policy import Scope

#: Segments of so many rows and more have lists.
LISTED: Final = 50_000

#: Segments of up to so many rows are always folded into the next one.
_SMALL: Final = 20_000

#: A segment is written anew when less than this share of its rows is alive.
_ALIVE: Final = 0.75

#: Allowed rows that are scored one by one where there are lists, and the share of all where there are none.
_GATHERED: Final = 12_000
_GATHERED_SHARE: Final = 0.25

#: Lists are not asked for more than this part of what is allowed.
_MOST: Final = 8

#: The share of assets from which it is quicker to ask each row for its asset's flag than to look up assets' rows.
_CROWDED: Final = 0.2

#: Filters of which the allowed rows are kept, a bit a row and less than that again for what they are known by.
_KEPT: Final = 16

#: Vectors are copied so many at a time.
_SPOOLED: Final = 1 << 14

_OWNERS: Final = "owners.npy"
_DEAD: Final = "dead.npy"

# Threads that share one small product of matrices wait for each other wherever another process wants a core. This holds
# for numpy in all threads; what FAISS may use is said by each thread for itself (`VectorIndex.nearest`).
threadpool_limits(1, "blas")


class Segment:
    """Rows, and for each the catalog's segment and the asset that it belongs to (-1: none, or no longer)."""

    def __init__(
        self, rows: Rows, listed: Lists | None, owners: NDArray[np.int64], dead: Numbers, origin: Path
    ) -> None:
        """`owners` is int64 [n, 2]; `dead` are the rows that no longer count."""
        self.origin = origin
        self.segments = owners[:, 0]
        self._assets = owners[:, 1].copy()
        self._written = int(np.count_nonzero(self._assets >= 0))
        self._assets[dead] = -1
        self._rows = rows
        self._lists = listed
        # Rows by asset: those of asset a are order[start[a] : start[a + 1]], and row[a] is the last of them.
        live = np.flatnonzero(self._assets >= 0)
        owned = self._assets[live]
        self._order: Numbers = live[np.argsort(owned, kind="stable")]
        self._start = np.append(0, np.cumsum(np.bincount(owned)))
        self._row: Numbers = np.zeros(len(self._start), np.int64)
        self._row[owned] = live
        self._all = as_bitmap(np.unique(owned))
        self._kept: Kept[Allowed] = Kept(_KEPT)

    def __len__(self) -> int:
        return len(self._order)

    def share(self, live: Numbers) -> float:
        """The share of its rows whose catalog segment is among `live` (sorted)."""
        return 1 - len(self.dead(live)) / self._written

    @staticmethod
    def write(vectors: Vectors, chosen: Numbers, directory: Path) -> None:
        """Write the chosen vectors as a segment into a new directory."""
        directory.mkdir()
        spool = directory / "spool.npy"
        source: VectorRows = _Chosen(vectors.rows, chosen)
        if not isinstance(vectors.rows, np.ndarray):
            source = _spooled(source, spool)
        order = lists.write(source, directory) if len(chosen) >= LISTED else np.arange(len(chosen))
        Rows.write(source, order, directory)
        owners = np.full((len(order), 2), -1, np.int64)
        there = order >= 0
        owners[there] = np.stack([vectors.segments, vectors.assets], axis=1)[chosen[order[there]]]
        np.save(directory / _OWNERS, owners)
        spool.unlink(missing_ok=True)

    @classmethod
    def open(cls, directory: Path) -> "Segment":
        """Read what `write` wrote. Only for files that a generation's manifest vouches for."""
        listed = Lists.open(directory) if (directory / lists.CODES).exists() else None
        dead = np.load(directory / _DEAD) if (directory / _DEAD).exists() else np.zeros(0, np.int64)
        return cls(Rows.open(directory), listed, np.load(directory / _OWNERS), dead, directory)

    @property
    def dimension(self) -> int:
        return self._rows.dimension

    def dead(self, live: Numbers) -> Numbers:
        """The rows whose catalog segment is not among `live` (sorted)."""
        return np.flatnonzero((self.segments >= 0) & ~_among(self.segments, live))

    def nearest(self, scope: Scope, query: Vector, limit: int) -> Nearest:
        """See `VectorIndex.nearest`."""
        inside = self._all & scope.assets
        if not inside:
            return Nearest(Matches.none(), Plan("none", 0, 0))
        # An asset can have many rows (keyframes, passages): take more until enough assets are among them, at first a
        # quarter more than so many have on average.
        wanted = limit if len(self) == len(self._all) else 5 * limit * len(self) // (4 * len(self._all))
        while True:
            rows, scores, plan = self._best(inside, query, wanted)
            matches = _best_of_each(self._assets[rows], self.segments[rows], scores, limit)
            if len(matches) == limit or len(rows) == plan.allowed:
                return Nearest(matches, plan)
            wanted *= 4

    def read(self, asset: int) -> NDArray[np.float32]:
        """The rows of one asset, float32 [n, d]; none of one that has none here."""
        return self._rows.read(self._of(as_array(self._all & BitMap([asset]))))

    def _best(self, inside: BitMap, query: Vector, limit: int) -> tuple[Numbers, Scores, Plan]:
        """The best rows of these assets, their scores, and how they were found."""
        few = _GATHERED if self._lists else int(_GATHERED_SHARE * len(self))
        if len(inside) <= few and len(rows := self._of(as_array(inside))) <= few:
            best, scores = self._rows.best(self._rows.asked(query), rows, limit)
            return best, scores, Plan("gather", len(rows), len(rows))
        allowed = self._kept.of(inside.serialize(), lambda: self._mark(inside))
        if self._lists is None or _MOST * limit > allowed.count:
            best, scores = self._rows.best_of_all(self._rows.asked(query), allowed.bits, allowed.count, limit)
            return best, scores, Plan("scan", allowed.count, allowed.count)
        found = self._lists.best(self._rows, query, allowed, limit)
        return found.rows, found.scores, Plan("scan" if found.whole else "lists", allowed.count, found.scored)

    def _mark(self, inside: BitMap) -> Allowed:
        """The rows of these assets."""
        if len(inside) < _CROWDED * len(self._all):
            marked = np.zeros(len(self._assets), np.bool_)
            marked[self._of(as_array(inside))] = True
        else:  # the last flag is no asset's, but that of the rows which belong to none
            marked = as_flags(inside, len(self._start)).take(self._assets)  # quicker than by brackets
        count = int(np.count_nonzero(marked))
        return Allowed(np.packbits(marked, bitorder="little"), count, count == self._written)

    def _of(self, assets: Numbers) -> Numbers:
        """All rows of some assets, each of which has rows here, int64 [m]."""
        if len(self) == len(self._all):
            return self._row[assets]
        first = self._start[assets]
        counts = self._start[assets + 1] - first
        within: Numbers = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        return self._order[np.repeat(first, counts) + within]


class VectorIndex:
    """The segments of one space, the oldest first. Safe to share between threads."""

    def __init__(self, segments: Sequence[Segment]) -> None:
        self._segments = segments

    @classmethod
    def write(cls, vectors: Vectors, directory: Path, before: "VectorIndex | None" = None) -> None:
        """Write an index into a new directory, taking over (as links) what still serves of the index `before`.

        `before` must lie on the same file system, and of the same model. Raises InvalidInput for NaN and infinity.
        """
        directory.mkdir()
        live = np.sort(vectors.segments)
        kept, fresh = _plan(vectors.segments, live, list(before or ()))
        for name, segment in enumerate(kept):
            shutil.copytree(segment.origin, directory / str(name), copy_function=_taken_over)
            (directory / str(name) / _DEAD).unlink(missing_ok=True)
            if len(dead := segment.dead(live)):
                np.save(directory / str(name) / _DEAD, dead)
        if len(fresh):
            Segment.write(vectors, fresh, directory / str(len(kept)))

    @classmethod
    def open(cls, directory: Path) -> "VectorIndex":
        """Read what `write` wrote. Only for files that a generation's manifest vouches for."""
        return cls([Segment.open(path) for path in sorted(directory.iterdir(), key=lambda path: int(path.name))])

    def nearest(self, scope: Scope, query: Vector, limit: int) -> Nearest:
        """See `Engine.nearest`. `query` is float32 [d] with finite values, else InvalidInput."""
        # Two OpenMP pools (torch's and FAISS's) in a process stall each other for milliseconds.
        faiss.omp_set_num_threads(1)
        found: list[Matches] = []
        plan = Plan("none", 0, 0)
        for segment in self._segments if limit > 0 else ():
            if query.shape != (segment.dimension,) or not np.isfinite(query).all():
                raise InvalidInput(f"A query vector must be {segment.dimension} finite numbers.")
            here = segment.nearest(scope, query, limit)
            method = here.plan.method if here.plan.allowed > plan.allowed else plan.method
            plan = Plan(method, plan.allowed + here.plan.allowed, plan.scored + here.plan.scored)
            found.append(here.matches)
        if len(found) <= 1:
            return Nearest(found[0] if found else Matches.none(), plan)
        assets = np.concatenate([one.assets for one in found])
        segments = np.concatenate([one.segments for one in found])
        scores = np.concatenate([one.scores for one in found])
        return Nearest(_best_of_each(assets, segments, scores, limit), plan)

    def rows_of(self, scope: Scope, asset: int) -> NDArray[np.float32]:
        """See `Engine.vectors_of`."""
        dimension = self._segments[0].dimension if self._segments else 0
        found = [segment.read(asset) for segment in self._segments] if asset in scope else []
        return np.concatenate([np.zeros((0, dimension), np.float32), *found])

    def __iter__(self) -> Iterator[Segment]:
        return iter(self._segments)


def _best_of_each(assets: Numbers, segments: Numbers, scores: Scores | NDArray[np.float64], limit: int) -> Matches:
    """The best of the rows of each asset, the best first, of equal ones the lower asset: `limit` at most."""
    order = np.lexsort((assets, -scores))
    _, first = np.unique(assets[order], return_index=True)
    best = order[np.sort(first)[:limit]]
    return Matches(assets[best], segments[best], scores[best].astype(np.float64))


def _plan(wanted: Numbers, live: Numbers, kept: list[Segment]) -> tuple[list[Segment], Numbers]:
    """Which of the segments are kept, and which of the wanted vectors (by their place) a new one is made of.

    Vectors are known by the catalog's segments; `live` are those wanted, sorted.
    """
    while True:
        there = np.sort(np.concatenate([np.zeros(0, np.int64), *(segment.segments for segment in kept)]))
        fresh = np.flatnonzero(~_among(wanted, there))
        thin = [segment for segment in kept if segment.share(live) < _ALIVE]
        small = [segment for segment in kept[-1:] if len(fresh) and len(segment) <= max(_SMALL, 2 * len(fresh))]
        if not (folded := [*thin, *small][:1]):
            return kept, fresh
        kept.remove(folded[0])


class _Chosen:
    """Some of the vectors, as they are read."""

    def __init__(self, source: VectorRows, chosen: Numbers) -> None:
        self.shape = (len(chosen), source.shape[1])
        self._source = source
        self._chosen = chosen

    def __getitem__(self, rows: Numbers) -> NDArray[np.float32]:
        read = self._source[self._chosen[rows]]
        if not np.isfinite(read).all():
            raise InvalidInput("A vector holds NaN or infinity.")
        return read


def _spooled(source: VectorRows, file: Path) -> NDArray[np.float32]:
    """A copy in a file of its own: a segment is made by reading its vectors several times, and out of order."""
    spool = np.lib.format.open_memmap(file, "w+", np.float32, source.shape)
    for start in range(0, len(spool), _SPOOLED):
        part = np.arange(start, min(start + _SPOOLED, len(spool)))
        spool[part] = source[part]
    return spool


def _taken_over(file: str, to: str) -> None:
    """Give a file a second name, or copy it where the file system knows no links."""
    try:
        os.link(file, to)
    except OSError:
        shutil.copyfile(file, to)


def _among(numbers: Numbers, sorted_numbers: Numbers) -> NDArray[np.bool_]:
    """Which numbers occur among sorted ones, bool [n]."""
    if not len(sorted_numbers):
        return np.zeros(len(numbers), np.bool_)
    place = np.minimum(np.searchsorted(sorted_numbers, numbers), len(sorted_numbers) - 1)
    there: NDArray[np.bool_] = sorted_numbers[place] == numbers
    return there
