"""The vectors of one segment as 16-bit fixed point, in two planes of bytes that are memory-mapped.

Each dimension has a step of its own, so that its largest value takes all 16 bits. The high plane by itself is the
vector in 8 bits, which costs a quarter of float32 to gather; both planes together score more exactly than float16 does
in the same space. Which rows need the low plane is not guessed: what a score of the high plane alone is off by is a sum
of independent roundings, whose deviation is known for every query.

Useful for: scoring some chosen rows, or, when nothing else will do, all of them. Not useful for: choosing (`lists`).
"""

import math
from collections.abc import Iterator
from pathlib import Path
from threading import local
from typing import Any, Final, TypeVar

import faiss
import msgspec
import numkong
import numpy as np
from numpy.typing import NDArray

from search.embedding import Vector
from search.engine import VectorRows

Numbers = NDArray[np.int64]
Scores = NDArray[np.float32]

T = TypeVar("T", bound=np.generic)

_HIGH: Final = "high.faiss"
_LOW: Final = "low.faiss"
_STEPS: Final = "steps.npy"

#: What a byte of a plane is for nought, as it has no sign.
_NOUGHT: Final = 128

#: The largest value; and how much more each is when kept, so that none is below 0 and each of its bytes stands for what
#: it is more than nought, the high one by itself for the value, rounded.
_LARGEST: Final = 127 * 256 + 127
_MORE: Final = _NOUGHT * 256 + _NOUGHT
_WHOLE: Final = np.dtype("<u2")

#: What the low bytes of a query count, its high ones, and by how much all are more than what they stand for.
_PARTS: Final = np.array([1.0, 256.0, -_MORE])

#: FAISS's kernels for bytes take sixteen dimensions at a time, and are many times slower for what is left over.
_LANES: Final = 16

_TINY: Final = float(np.finfo(np.float32).tiny)

#: Rows are written, and gathered, so many at a time: a gathered part of 512 dimensions stays in a core's cache.
_AT_ONCE: Final = 1 << 11

#: So few are multiplied as they are, since to make a query ready takes longer.
_FEW: Final = 200

#: How many are looked at by the high plane first, of which most are ruled out.
_ROUGH: Final = 256

#: How many deviations of rounding the high plane is trusted to: one score in a thousand million is further off.
_DEVIATIONS: Final = 6.0


class Asked(msgspec.Struct, frozen=True):
    """A query as the planes take it, in fixed point too, in steps of what `step` says: `whole`, [dimensions as they are
    padded], and its bytes as they are multiplied, with what is `excess` in each product since a plane's bytes are more
    than what they stand for. A score of the high plane alone is off by `blur` at most.
    """

    whole: NDArray[np.uint16]
    packed: Any
    excess: float
    step: float
    blur: float


class Rows:
    """Vectors, n of d dimensions, by row number from 0. Safe to share between threads."""

    def __init__(self, high: Any, low: Any, steps: NDArray[np.float64], longest: float) -> None:
        """`steps` is float64 [d]; `longest` is the length of the longest row in steps of the high plane."""
        self._high, self._low = _codes(high), _codes(low)
        self._steps = steps
        self._longest = longest
        self._planes = (high, low)  # they own what the arrays of bytes only look at
        self._bench = _Bench(high.d)

    def __len__(self) -> int:
        return len(self._high)

    @staticmethod
    def write(vectors: VectorRows, order: Numbers, directory: Path) -> None:
        """Write the rows of `vectors` (float32 [m, d]) that `order` names; -1 makes a row of noughts."""
        named = order[order >= 0]
        largest = np.zeros(vectors.shape[1], np.float32)
        for _, part in parts(named, _AT_ONCE):
            largest = np.maximum(largest, np.abs(vectors[part]).max(axis=0))
        steps = np.maximum(largest.astype(np.float64) / _LARGEST, _TINY)
        high, low = (_plane(len(steps)) for _ in range(2))
        longest = 0.0
        for _, part in parts(order, _AT_ONCE):
            whole = np.full((len(part), high.d), _MORE, _WHOLE)
            values = np.rint(vectors[part[part >= 0]] / steps).clip(-_LARGEST, _LARGEST)
            whole[part >= 0, : len(steps)] = values + _MORE
            fine, coarse = _bytes(whole)
            longest = max(longest, float(np.linalg.norm(coarse.astype(np.float32) - _NOUGHT, axis=1).max()))
            high.add_sa_codes(np.ascontiguousarray(coarse))
            low.add_sa_codes(np.ascontiguousarray(fine))
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
        high, low = (codes[rows, : self.dimension].astype(np.float64) for codes in (self._high, self._low))
        return ((high * 256 + low - _MORE) * self._steps).astype(np.float32)

    def nearest(self, query: Vector, rows: Numbers, limit: int) -> tuple[Numbers, Scores]:
        """The `limit` best of some rows, best first, and their inner products with a query, float32 [d], float32.

        How many there are changes no score: whole numbers are multiplied either way.
        """
        if len(rows) > _FEW:
            return self.best(self.asked(query), rows, limit)
        whole, step, excess = self._in_steps(query)
        high = self._high.take(rows, axis=0).astype(np.float64) @ whole - excess
        rough, rows = _foremost(_scores(high, 256 * step), rows, limit, _blur(whole, step))
        low = self._low.take(rows, axis=0).astype(np.float64) @ whole - excess
        return _best(rows, rough + _scores(low, step), limit)

    def asked(self, query: Vector) -> Asked:
        """A query, float32 [d], made ready to be multiplied."""
        whole, step, excess = self._in_steps(query)
        kept = (whole + _MORE).astype(_WHOLE)
        bytes_ = np.ones((3, len(kept)), np.uint8)
        bytes_[0], bytes_[1] = _bytes(kept)
        return Asked(kept, numkong.dots_pack(bytes_), excess, step, _blur(whole, step))

    def _in_steps(self, query: Vector) -> tuple[NDArray[np.float64], float, float]:
        """A query in fixed point: whole numbers of a step, [dimensions as they are padded], the step, and what is too
        much in each product with bytes of a plane."""
        scaled = np.zeros(self._high.shape[1])
        np.multiply(query, self._steps, out=scaled[: len(query)])
        step = max(float(np.abs(scaled).max()) / _LARGEST, _TINY)
        whole = np.rint(scaled / step)
        return whole, step, _NOUGHT * float(whole.sum())

    def best(self, asked: Asked, rows: Numbers, limit: int) -> tuple[Numbers, Scores]:
        """The `limit` best of some rows, as `nearest` returns them."""
        return self.exactly(asked, self.roughly(asked, rows), rows, limit)

    def best_of_all(self, asked: Asked, bits: NDArray[np.uint8], allowed: int, limit: int) -> tuple[Numbers, Scores]:
        """The same of the rows that bits allow (uint8, eight a byte, the lowest first), by one pass over all rows."""
        unit = 256 * 256 * asked.step
        # The query's low bytes are left out too, each of which is off the nearest step of 256 by chance.
        blur = math.hypot(asked.blur, _DEVIATIONS * unit * self._longest / 12**0.5)
        high = _bytes(asked.whole)[1][None].astype(np.float32) - _NOUGHT
        params = faiss.SearchParameters(sel=faiss.IDSelectorBitmap(bits))
        wanted = min(allowed, max(_ROUGH, 4 * limit))
        while True:
            products, found = self._planes[0].search(high, wanted, params=params)
            rows, scores = self.best(asked, found[0], limit)
            if wanted == allowed or unit * float(products[0, -1]) < scores[-1] - blur:
                return rows, scores
            wanted = min(allowed, 4 * wanted)

    def roughly(self, asked: Asked, rows: Numbers) -> Scores:
        """The inner products of some rows with the query by the high plane alone, float32 [m], off by `asked.blur`."""
        return _scores(self._bench.products(self._high, rows, asked), 256 * asked.step)

    def exactly(self, asked: Asked, rough: Scores, rows: Numbers, limit: int) -> tuple[Numbers, Scores]:
        """The `limit` best, by both planes, of rows that the high plane alone scored so: as `best` returns them."""
        rough, rows = _foremost(rough, rows, limit, asked.blur)
        scores = rough + _scores(self._bench.products(self._low, rows, asked), asked.step)
        return _best(rows, scores, limit)

    @staticmethod
    def possible(rough: Scores, threshold: float, blur: float) -> NDArray[np.bool_]:
        """Which rows may be better than one whose score by the high plane alone, as theirs are, is the threshold, if
        such scores are off by `blur` at most."""
        # The difference of two of them deviates by the root of two more than one does.
        return rough >= threshold - 2**0.5 * blur


class _Bench(local):
    """Room, each thread's own, that some rows of a plane are copied to so that they can be multiplied."""

    def __init__(self, dimension: int) -> None:
        self._room = np.empty((_AT_ONCE, dimension), np.uint8)

    def products(self, codes: NDArray[np.uint8], rows: Numbers, asked: Asked) -> NDArray[np.float64]:
        """The inner products of some rows of a plane with a query: whole, float64 [m]."""
        products = np.empty(len(rows))
        for start, part in parts(rows, _AT_ONCE):
            copied = self._room[: len(part)]
            np.take(codes, part, axis=0, out=copied, mode="clip")
            products[start : start + len(part)] = _products(copied, asked)
        return products


def _products(rows: NDArray[np.uint8], asked: Asked) -> NDArray[np.float64]:
    """The inner products of rows as they lie in a plane, [m, d], with a query: whole, float64 [m]."""
    products: NDArray[np.float64] = np.asarray(numkong.dots_packed(rows, asked.packed)) @ _PARTS - asked.excess
    return products


def _blur(whole: NDArray[np.float64], step: float) -> float:
    """What a score of the high plane alone is off by at most, for a query of so many steps, [dimensions]."""
    return _DEVIATIONS * 256 * step * math.sqrt(whole @ whole) / 12**0.5


def _foremost(rough: Scores, rows: Numbers, limit: int, blur: float) -> tuple[Scores, Numbers]:
    """Those of some rows, scored by the high plane alone, that may be among the `limit` best, and their scores."""
    if len(rows) <= limit:
        return rough, rows
    possible = Rows.possible(rough, float(np.partition(rough, -limit)[-limit]), blur)
    return rough[possible], rows[possible]


def _scores(products: NDArray[np.float64], step: float) -> Scores:
    """Inner products that are so many steps, float32 [m]."""
    scores: Scores = (step * products).astype(np.float32)
    return scores


def _best(rows: Numbers, scores: Scores, limit: int) -> tuple[Numbers, Scores]:
    """The `limit` best of some rows by their scores, best first, of equal ones the first first, and these."""
    best = (-scores).argsort(kind="stable")[:limit]
    return rows[best], scores[best]


def _bytes(whole: NDArray[np.uint16]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The low bytes of values in fixed point and the high ones, each uint8 and of their shape."""
    both = whole.view(np.uint8)
    return both[..., ::2], both[..., 1::2]


def _plane(dimension: int) -> Any:
    """An empty plane, which FAISS can scan with queries of bytes."""
    padded = -(-dimension // _LANES) * _LANES
    index = faiss.IndexScalarQuantizer(padded, faiss.ScalarQuantizer.QT_8bit_direct_signed, faiss.METRIC_INNER_PRODUCT)
    index.is_trained = True
    return index


def _codes(plane: Any) -> NDArray[np.uint8]:
    """The bytes of a plane where they lie, uint8 [n, d]."""
    if not plane.ntotal:
        return np.zeros((0, plane.d), np.uint8)
    codes: NDArray[np.uint8] = faiss.rev_swig_ptr(plane.codes.data(), plane.ntotal * plane.d)
    return codes.reshape(plane.ntotal, plane.d)


def parts(rows: NDArray[T], size: int) -> Iterator[tuple[int, NDArray[T]]]:
    """Parts of the rows, of so many at most, and where each begins."""
    for start in range(0, len(rows), size):
        yield start, rows[start : start + size]
