"""The vectors of one segment as 16-bit fixed point, in two planes of bytes that are memory-mapped.

Each dimension has a step of its own, so that its largest value takes all 16 bits. The high plane by itself is the
vector in 8 bits, which costs a quarter of float32 to gather; both planes together score more exactly than float16 does
in the same space. Which rows need the low plane is not guessed: what a score of the high plane alone is off by is a sum
of independent roundings, whose deviation is known for every query.

Useful for: scoring some chosen rows, or, when nothing else will do, all of them. Not useful for: choosing (`lists`).
"""

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import local
from typing import Any, Final

import faiss
import msgspec
import numpy as np
from numpy.typing import NDArray

from search.embedding import Vector
from search.engine import VectorRows

Numbers = NDArray[np.int64]
Scores = NDArray[np.float32]

_HIGH: Final = "high.faiss"
_LOW: Final = "low.faiss"
_STEPS: Final = "steps.npy"

#: The largest value, chosen so that its high byte, rounded, still fits.
_LARGEST: Final = 127 * 256 + 127

#: FAISS's kernels for bytes take sixteen dimensions at a time, and are many times slower for what is left over.
_LANES: Final = 16

_TINY: Final = float(np.finfo(np.float32).tiny)

#: Rows are written, and gathered, so many at a time: a gathered part of 512 dimensions stays in a core's cache.
_WRITTEN: Final = 1 << 16
_GATHERED: Final = 1 << 11

#: How many are looked at by the high plane first, of which most are ruled out.
_ROUGH: Final = 256

#: How many deviations of rounding the high plane is trusted to: one score in a thousand million is further off.
_DEVIATIONS: Final = 6.0


class Asked(msgspec.Struct, frozen=True):
    """A query as the planes take it, float32 [dimensions as they are padded].

    `rough` is for the high plane alone, in whole steps of what `step` says, and such a score is off by `blur` at most;
    `high` and `low` are for both.
    """

    rough: NDArray[np.float32]
    step: float
    blur: float
    high: NDArray[np.float32]
    low: NDArray[np.float32]


class Rows:
    """Vectors, n of d dimensions, by row number from 0. Safe to share between threads."""

    def __init__(self, high: Any, low: Any, steps: NDArray[np.float64], longest: float) -> None:
        """`steps` is float64 [d]; `longest` is the length of the longest row in steps of the high plane."""
        self._high, self._low = _codes(high), _codes(low)
        self._exact_steps = steps
        self._steps = steps.astype(np.float32)
        self._longest = longest
        self._planes = (high, low)  # they own what the arrays of bytes only look at
        self._rough, self._exact = (_Workbench(high.d, exact=exact) for exact in (False, True))

    def __len__(self) -> int:
        return len(self._high)

    @staticmethod
    def write(vectors: VectorRows, order: Numbers, directory: Path) -> None:
        """Write the rows of `vectors` (float32 [m, d]) that `order` names; -1 makes a row of noughts."""
        named = order[order >= 0]
        largest = np.zeros(vectors.shape[1], np.float32)
        for _, part in _parts(named, _WRITTEN):
            largest = np.maximum(largest, np.abs(vectors[part]).max(axis=0))
        steps = np.maximum(largest.astype(np.float64) / _LARGEST, _TINY)
        high, low = (_plane(len(steps), exact=False) for _ in range(2))
        longest = 0.0
        for _, part in _parts(order, _WRITTEN):
            whole = np.zeros((len(part), high.d), np.int32)
            whole[part >= 0, : len(steps)] = np.rint(vectors[part[part >= 0]] / steps)
            coarse = (whole + 128) >> 8
            longest = max(longest, float(np.sqrt((coarse * coarse).sum(axis=1).max())))
            high.add_sa_codes(np.ascontiguousarray((coarse + 128).astype(np.uint8)))
            low.add_sa_codes(np.ascontiguousarray((whole - (coarse << 8) + 128).astype(np.uint8)))
        faiss.write_index(high, str(directory / _HIGH))
        faiss.write_index(low, str(directory / _LOW))
        np.save(directory / _STEPS, np.append(steps, longest))

    @classmethod
    def open(cls, directory: Path) -> "Rows":
        """Map what `write` wrote. Only for files that a generation's manifest vouches for."""
        high, low = (faiss.read_index(str(directory / name), faiss.IO_FLAG_MMAP_IFC) for name in (_HIGH, _LOW))
        steps = np.load(directory / _STEPS)
        return cls(high, low, steps[:-1], float(steps[-1]))

    @property
    def dimension(self) -> int:
        return len(self._steps)

    def read(self, rows: Numbers) -> NDArray[np.float32]:
        """The vectors of some rows, float32 [m, d]."""
        high, low = (codes[rows, : self.dimension].astype(np.float64) - 128 for codes in (self._high, self._low))
        return ((high * 256 + low) * self._exact_steps).astype(np.float32)

    def asked(self, query: Vector) -> Asked:
        """A query, float32 [d], made ready for `best`, `best_of_all` and `scores`."""
        low = np.zeros(self._planes[0].d, np.float32)
        low[: len(query)] = query * self._steps
        high = low * 256
        step = max(float(np.abs(high).max()) / 127, _TINY)
        # The high plane's own rounding, and that of the query to 8 bits.
        blur = _DEVIATIONS * math.hypot(float(np.linalg.norm(high)), step * self._longest) / 12**0.5
        return Asked(np.rint(high / step), step, blur, high, low)

    def best(self, asked: Asked, rows: Numbers, limit: int) -> tuple[Numbers, Scores]:
        """The `limit` best of some rows, one at least, best first, and their inner products with the query, float32."""
        if len(rows) <= 2 * limit:  # to rule out so few would cost more than it spares
            scores = self.scores(asked, rows)
            best = np.argsort(-scores, kind="stable")[:limit]
            return rows[best], scores[best]
        return self._settled(asked, limit, len(rows), lambda wanted: self.roughly(asked, rows, wanted))

    def best_of_all(self, asked: Asked, bits: NDArray[np.uint8], allowed: int, limit: int) -> tuple[Numbers, Scores]:
        """The same of the rows that bits allow (uint8, eight a byte, the lowest first), by one pass over all rows."""
        selector = faiss.IDSelectorBitmap(bits)
        return self._settled(asked, limit, allowed, lambda wanted: self._pass(asked, selector, wanted))

    def roughly(self, asked: Asked, rows: Numbers, limit: int) -> tuple[Scores, Numbers]:
        """The `limit` best of some rows by the high plane alone, best first, with such scores, off by `asked.blur`."""
        scores, found = [np.zeros(0, np.float32)], [rows[:0]]
        for _, part in _parts(rows, _GATHERED):
            best, places = self._rough.best(self._high, part, asked.rough, min(limit, len(part)))
            scores.append(best * asked.step)
            found.append(part[places])
        if len(found) <= 2:
            return scores[-1], found[-1]
        every = np.concatenate(scores)
        kept = np.argpartition(-every, limit - 1)[:limit]
        kept = kept[np.argsort(-every[kept])]
        return every[kept], np.concatenate(found)[kept]

    def scores(self, asked: Asked, rows: Numbers) -> Scores:
        """The inner products of some rows with the query, float32 [m], from both planes."""
        scores = np.zeros(len(rows), np.float32)
        for codes, share in ((self._high, asked.high), (self._low, asked.low)):
            for start, part in _parts(rows, _GATHERED):
                best, places = self._exact.best(codes, part, share, len(part))
                scores[start + places] += best
        return scores

    def _settled(
        self, asked: Asked, limit: int, allowed: int, roughly: Callable[[int], tuple[Scores, Numbers]]
    ) -> tuple[Numbers, Scores]:
        """The best by both planes, of as many as the high plane alone, best first, does not rule out."""
        wanted = min(allowed, max(_ROUGH, 4 * limit))
        while True:
            rough, found = roughly(wanted)
            exact = self.scores(asked, found[:limit])
            if wanted == allowed or rough[-1] < exact.min() - asked.blur:
                return self._exactly(asked, rough, found, exact)
            wanted = min(allowed, 4 * wanted)

    def exactly(self, asked: Asked, rough: Scores, rows: Numbers, limit: int) -> tuple[Numbers, Scores]:
        """The `limit` best of rows that the high plane scored so, best first: as `best` returns them."""
        return self._exactly(asked, rough, rows, self.scores(asked, rows[:limit]))

    def _exactly(self, asked: Asked, rough: Scores, rows: Numbers, first: Scores) -> tuple[Numbers, Scores]:
        """The same, where the scores of the `first`, as many as are wanted, are known by both planes."""
        possible = int(np.count_nonzero(rough >= first.min(initial=np.inf) - asked.blur))
        exact = np.append(first, self.scores(asked, rows[len(first) : possible]))
        best = np.argsort(-exact, kind="stable")[: len(first)]
        return rows[best], exact[best]

    def _pass(self, asked: Asked, selector: Any, limit: int) -> tuple[Scores, Numbers]:
        params = faiss.SearchParameters(sel=selector)
        best, rows = self._planes[0].search(asked.rough[None], limit, params=params)
        return best[0] * asked.step, rows[0]


class _Workbench(local):
    """A small index, each thread's own, that some rows of a plane are copied to so that they can be scored."""

    def __init__(self, dimension: int, *, exact: bool) -> None:
        self._index = _plane(dimension, exact=exact)
        self._index.add_sa_codes(np.zeros((_GATHERED, dimension), np.uint8))
        self._codes = _codes(self._index)
        self._scores, self._places = np.empty(_GATHERED, np.float32), np.empty(_GATHERED, np.int64)

    def best(
        self, codes: NDArray[np.uint8], rows: Numbers, asked: NDArray[np.float32], limit: int
    ) -> tuple[Scores, Numbers]:
        """The `limit` best of some rows, best first, as places among `rows`. It holds until the next call."""
        np.take(codes, rows, axis=0, out=self._codes[: len(rows)], mode="clip")
        self._index.ntotal = len(rows)
        # FAISS is handed bare addresses: for so few rows its checks of arrays would take as long as the search.
        self._index.search_c(
            1, faiss.swig_ptr(asked), limit, faiss.swig_ptr(self._scores), faiss.swig_ptr(self._places)
        )
        return self._scores[:limit], self._places[:limit]


def _plane(dimension: int, *, exact: bool) -> Any:
    """Bytes that stand for themselves less 128. FAISS scans `exact` ones as floats; else it takes queries of bytes."""
    padded = -(-dimension // _LANES) * _LANES
    kind = faiss.ScalarQuantizer.QT_8bit_uniform if exact else faiss.ScalarQuantizer.QT_8bit_direct_signed
    index = faiss.IndexScalarQuantizer(padded, kind, faiss.METRIC_INNER_PRODUCT)
    if exact:  # it takes a byte for the middle of a 255th of its range
        faiss.copy_array_to_vector(np.array([-128.5, 255], np.float32), index.sq.trained)
    index.is_trained = True
    return index


def _codes(plane: Any) -> NDArray[np.uint8]:
    """The bytes of a plane where they lie, uint8 [n, d]."""
    if not plane.ntotal:
        return np.zeros((0, plane.d), np.uint8)
    codes: NDArray[np.uint8] = faiss.rev_swig_ptr(plane.codes.data(), plane.ntotal * plane.d)
    return codes.reshape(plane.ntotal, plane.d)


def _parts(rows: Numbers, size: int) -> Iterator[tuple[int, Numbers]]:
    """Parts of the rows, and where each begins."""
    for start in range(0, len(rows), size):
        yield start, rows[start : start + size]
