"""Exact nearest neighbours within a scope, over FAISS.

Useful for: libraries whose vectors are scanned in milliseconds (some 100,000 rows). The filter is applied inside
the scan, so pages are full and results exact at every selectivity.
"""

from pathlib import Path
from typing import Any, Final

import faiss
import numpy as np
from numpy.typing import NDArray

from search.embedding import Vector
from search.engine import Match, Nearest, Plan, Vectors
from search.errors import InvalidInput
from search.policy import Scope

_INDEX: Final = "index.faiss"
_ROWS: Final = "rows.npy"

# One query scans on one thread: two OpenMP pools (torch's and FAISS's) in a process stall each other for milliseconds.
faiss.omp_set_num_threads(1)


class VectorIndex:
    """A flat inner-product index and, for each of its rows, the segment and asset it belongs to (int64 [n, 2])."""

    def __init__(self, index: Any, rows: NDArray[np.int64]) -> None:
        self._index = index
        self._segments = rows[:, 0]
        self._assets = rows[:, 1]

    @classmethod
    def build(cls, vectors: Vectors) -> "VectorIndex":
        if not np.isfinite(vectors.rows).all():
            raise InvalidInput("A vector holds NaN or infinity.")
        index = faiss.IndexFlatIP(vectors.rows.shape[1])
        index.add(np.ascontiguousarray(vectors.rows))
        return cls(index, np.stack([vectors.segments, vectors.assets], axis=1))

    def save(self, directory: Path) -> None:
        directory.mkdir()
        faiss.write_index(self._index, str(directory / _INDEX))
        np.save(directory / _ROWS, np.stack([self._segments, self._assets], axis=1))

    @classmethod
    def load(cls, directory: Path) -> "VectorIndex":
        """Read what `save` wrote. Only for files that a generation's manifest vouches for."""
        return cls(faiss.read_index(str(directory / _INDEX)), np.load(directory / _ROWS))

    def nearest(self, scope: Scope, query: Vector, limit: int) -> Nearest:
        """See `Engine.nearest`. `query` is float32 [d] with finite values, else InvalidInput."""
        if query.shape != (self._index.d,) or not np.isfinite(query).all():
            raise InvalidInput(f"A query vector must be {self._index.d} finite numbers.")
        allowed = self._allowed(scope)
        rows_allowed = int(np.count_nonzero(allowed))
        if not rows_allowed or limit < 1:
            return Nearest([], Plan("exact", rows_allowed, 0))
        # An asset can have many rows (keyframes, passages): take more rows until enough assets are among them.
        selector = faiss.IDSelectorBitmap(np.packbits(allowed, bitorder="little"))
        wanted = limit
        while True:
            k = min(wanted, rows_allowed)
            scores, rows = self._index.search(query[None], k, params=faiss.SearchParameters(sel=selector))
            best = self._best_of_each_asset(scores[0], rows[0])
            if len(best) >= limit or k == rows_allowed:
                return Nearest(best[:limit], Plan("exact", rows_allowed, rows_allowed))
            wanted *= 4

    def _best_of_each_asset(self, scores: NDArray[np.float32], rows: NDArray[np.int64]) -> list[Match]:
        found: dict[int, Match] = {}
        for score, segment, asset in zip(
            scores.tolist(), self._segments[rows].tolist(), self._assets[rows].tolist(), strict=True
        ):
            if asset not in found:
                found[asset] = Match(asset, segment, score)
        return list(found.values())

    def rows_of(self, scope: Scope, asset: int) -> NDArray[np.float32]:
        """See `Engine.vectors_of`."""
        rows = np.flatnonzero(self._assets == asset) if asset in scope else np.zeros(0, np.int64)
        vectors: NDArray[np.float32] = self._index.reconstruct_batch(rows)
        return vectors

    def _allowed(self, scope: Scope) -> NDArray[np.bool_]:
        """For each row whether its asset is in the scope, bool [n]."""
        if not len(self._assets):
            return np.zeros(0, np.bool_)
        by_ordinal = np.zeros(int(self._assets.max()) + 1, np.bool_)
        ordinals = np.fromiter(scope.assets, np.int64, len(scope))
        by_ordinal[ordinals[ordinals < len(by_ordinal)]] = True
        return by_ordinal[self._assets]
