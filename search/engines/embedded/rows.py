"""The vectors of one segment as 16-bit fixed point, in two planes of bytes that are memory-mapped.

Each dimension has a step of its own, so that its largest value takes all 16 bits. The high plane by itself is the
vector in 8 bits, which costs a quarter of float32 to gather; both planes together score more exactly than float16 does
in the same space. Which rows need the low plane is not guessed: what a score of the high plane alone is off by is a sum
of independent roundings, whose deviation is known for every query.

Useful for: scoring some chosen rows, or, when nothing else will do, all of them. Not useful for: choosing (`lists`).
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from threading import local
from typing import Any, Final

import faiss
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

#: How many deviations of rounding the high plane is trusted to: in twelve dimensions or fewer that is the most that
#: rounding can do, in more one score in a thousand million is further off.
_DEVIATIONS: Final = 6.0


class Rows:
    """Vectors, n of d dimensions, by row number from 0. Safe to share between threads."""

    def __init__(self, high: Any, low: Any, steps: NDArray[np.float64], longest: float) -> None:
        """`steps` is float64 [d]; `longest` is the length of the longest row in steps of the high plane."""
        self._high, self._low = _codes(high), _codes(low)
        self._exact_steps = steps
        self._steps = steps.astype(np.float32)
        self._longest = longest
        self._planes = (high, low)  # they own what the arrays of bytes only look at
        self._scratch = local()

    def __len__(self) -> int:
        return len(self._high)

    @staticmethod
    def write(vectors: VectorRows, order: Numbers, directory: Path) -> None:
        """Write the rows of `vectors` (float32 [m, d]) that `order` names; -1 makes a row of noughts."""
        named = order[order >= 0]
        largest = np.zeros(vectors.shape[1], np.float32)
        for part in _parts(named, _WRITTEN):
            largest = np.maximum(largest, np.abs(vectors[part]).max(axis=0))
        steps = np.maximum(largest.astype(np.float64) / _LARGEST, _TINY)
        high, low = (_plane(len(steps), exact=False) for _ in range(2))
        longest = 0.0
        for part in _parts(order, _WRITTEN):
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

    def best(self, query: Vector, rows: Numbers, limit: int) -> tuple[Numbers, Scores]:
        """The `limit` best of some rows, best first, with their inner products with the query, float32."""
        return self._settled(query, limit, len(rows), lambda wanted: self._gather(query, rows, wanted))

    def best_of_all(self, query: Vector, bits: NDArray[np.uint8], allowed: int, limit: int) -> tuple[Numbers, Scores]:
        """The same of the rows that bits allow (uint8, eight a byte, the lowest first), by one pass over all rows."""
        selector = faiss.IDSelectorBitmap(bits)
        return self._settled(query, limit, allowed, lambda wanted: self._pass(query, selector, wanted))

    def _settled(
        self, query: Vector, limit: int, allowed: int, roughly: Callable[[int], tuple[Scores, Numbers]]
    ) -> tuple[Numbers, Scores]:
        """The best by both planes, once none that the high plane alone has put further down can be among them."""
        wanted = min(allowed, 2 * limit + 64)
        while True:
            rough, found = roughly(wanted)
            exact = self.scores(query, found)
            best = np.argsort(-exact, kind="stable")[:limit]
            if wanted == allowed or rough[-1] + self._blur(query) < exact[best[-1]]:
                return found[best], exact[best]
            wanted = min(allowed, 4 * wanted)

    def scores(self, query: Vector, rows: Numbers) -> Scores:
        """The inner products of some rows with the query, float32 [m], from both planes."""
        low = query * self._steps
        return self._all(self._high, low * 256, rows) + self._all(self._low, low, rows)

    def _asked(self, query: Vector) -> tuple[Vector, float]:
        """The query in 8 bits, float32 [d], as the high plane is asked, and what one of its scores is worth."""
        wide = query * self._steps * 256
        step = max(float(np.abs(wide).max()) / 127, _TINY)
        return np.rint(wide / step).astype(np.float32), step

    def _blur(self, query: Vector) -> float:
        """What a score of the high plane may be off by: its own rounding, and that of the query."""
        wide = float(np.linalg.norm(query * self._steps)) * 256
        return _DEVIATIONS * (wide + self._asked(query)[1] * self._longest) / 12**0.5

    def _gather(self, query: Vector, rows: Numbers, limit: int) -> tuple[Scores, Numbers]:
        """The `limit` best of some rows by the high plane alone, best first."""
        asked, step = self._asked(query)
        scores, found = [], []
        for part in _parts(rows, _GATHERED):
            best, places = self._filled(self._high, part, exact=False).search(
                self._padded(asked), min(limit, len(part))
            )
            scores.append(best[0] * step)
            found.append(part[places[0]])
        every = np.concatenate(scores)
        kept = np.argsort(-every)[:limit]
        return every[kept], np.concatenate(found)[kept]

    def _pass(self, query: Vector, selector: Any, limit: int) -> tuple[Scores, Numbers]:
        asked, step = self._asked(query)
        params = faiss.SearchParameters(sel=selector)
        best, rows = self._planes[0].search(self._padded(asked), limit, params=params)
        return best[0] * step, rows[0]

    def _all(self, codes: NDArray[np.uint8], asked: Vector, rows: Numbers) -> Scores:
        """One plane's share of the inner products of some rows."""
        scores = np.empty(len(rows), np.float32)
        start = 0
        for part in _parts(rows, _GATHERED):
            best, places = self._filled(codes, part, exact=True).search(self._padded(asked), len(part))
            scores[start : start + len(part)][places[0]] = best[0]
            start += len(part)
        return scores

    def _padded(self, asked: Vector) -> NDArray[np.float32]:
        padded = np.zeros((1, self._planes[0].d), np.float32)
        padded[0, : len(asked)] = asked
        return padded

    def _filled(self, codes: NDArray[np.uint8], rows: Numbers, *, exact: bool) -> Any:
        """This thread's own small index, filled with some rows of a plane."""
        name = "exact" if exact else "rough"
        index = getattr(self._scratch, name, None)
        if index is None:
            index = _plane(self._planes[0].d, exact=exact)
            index.add_sa_codes(np.zeros((_GATHERED, self._planes[0].d), np.uint8))
            setattr(self._scratch, name, index)
        index.ntotal = _GATHERED
        np.take(codes, rows, axis=0, out=_codes(index)[: len(rows)], mode="clip")
        index.ntotal = len(rows)
        return index


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


def _parts(rows: Numbers, size: int) -> Iterator[Numbers]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]
