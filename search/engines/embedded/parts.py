"""What is indexed, in parts that never change once written, the newest last.

A part covers some assets: what it holds of them is all that counts, whatever older parts still hold, and of those that
have gone it holds nothing. So a few changed assets cost a small part and not the whole. Parts are folded together as
those of their size gather (log-structured merging; O'Neil et al. 1996), read anew from the catalog.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from search.bitmaps import as_bitmap
from search.embedding import Vector
from search.engine import Corpus, Document, Matches, Nearest, Plan, Space
from search.engines.embedded import generation
from search.engines.embedded.analysis import Languages
from search.engines.embedded.keywords import KeywordIndex
from search.engines.embedded.synonyms import Synonyms
from search.engines.embedded.vectors import VectorIndex
from search.policy import Scope

_COVERS: Final = "covers.roaring"
_KEYWORDS: Final = "keywords"

#: A part is folded into a new one that has at least so large a share of its assets,
_LIKE: Final = 1 / 4

#: or when so small a share of its own assets is left to it by newer parts.
_LEFT: Final = 3 / 4


class Part(msgspec.Struct, frozen=True, eq=False):
    """The indexes of some assets, and where they lie."""

    origin: Path
    identity: generation.Identity
    covers: BitMap
    spaces: dict[Space, VectorIndex]
    keywords: KeywordIndex

    @staticmethod
    def write(corpus: Corpus, covers: BitMap, directory: Path, languages: Languages) -> None:
        """Write a part into a new directory; it covers the assets of the corpus and those of `covers`."""
        directory.mkdir()
        told = BitMap(covers)
        for space, vectors in corpus.spaces.items():
            VectorIndex.write(vectors, directory / space.value)
            told |= as_bitmap(vectors.assets)

        def documents() -> Iterator[Document]:
            for document in corpus.documents:
                told.add(document.asset)
                yield document

        KeywordIndex.build(documents(), directory / _KEYWORDS, languages)
        (directory / _COVERS).write_bytes(told.serialize())

    @classmethod
    def open(cls, directory: Path) -> "Part":
        """Read what `write` wrote. Only for files that a generation's manifest vouches for."""
        spaces = {space: VectorIndex.open(path) for space in Space if (path := directory / space.value).is_dir()}
        covers = BitMap.deserialize((directory / _COVERS).read_bytes())
        return cls(directory, cls.identity_of(directory), covers, spaces, KeywordIndex.load(directory / _KEYWORDS))

    @staticmethod
    def identity_of(directory: Path) -> generation.Identity:
        """What tells a part from all others, in whichever generation it lies."""
        return generation.identity(directory / _COVERS)


class Parts:
    """Several parts as one index. Safe to share between threads."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = parts
        self._left = list(_left(parts, BitMap()))

    def __iter__(self) -> Iterator[Part]:
        return iter(self._parts)

    @property
    def languages(self) -> Languages:
        """The languages that all were made for."""
        return self._parts[-1].keywords.languages

    def folded(self, changed: BitMap, small: int, purged: BitMap) -> tuple[list[Part], BitMap]:
        """The parts that stay when some assets have changed, and the assets of the new part that they call for.

        Of parts of up to `small` assets one stays at most, and none beside a new part; none that covers `purged` ones.
        """
        few = [part for part in self._parts if len(part.covers) <= small]
        wanting = [part for part in few if changed or len(few) > 1]
        wanting += [part for part in self._parts if part.covers.intersect(purged)]
        fresh = BitMap.union(changed, *(part.covers for part in wanting))
        kept = [part for part in self._parts if part not in wanting]
        while unfit := next(_unfit(kept, fresh), None):
            kept.remove(unfit)
            fresh |= unfit.covers
        return kept, fresh - purged

    def nearest(self, scope: Scope, space: Space, query: Vector, limit: int) -> Nearest:
        """See `Engine.nearest`."""
        found = [part.spaces[space].nearest(own, query, limit) for part, own in self._within(scope, space)]
        if len(found) == 1:
            return found[0]
        plan = Plan("none", 0, 0)
        for one in found:
            method = one.plan.method if one.plan.allowed > plan.allowed else plan.method
            plan = Plan(method, plan.allowed + one.plan.allowed, plan.scored + one.plan.scored)
        assets, segments, scores = _joined([one.matches for one in found])
        best = np.lexsort((assets, -scores))[: max(limit, 0)]
        return Nearest(Matches(assets[best], segments[best], scores[best]), plan)

    def keywords(self, scope: Scope, text: str, limit: int, synonyms: Synonyms) -> Matches:
        """See `Engine.keywords`: scores depend on the query and the asset alone, so those of all parts compare."""
        found = [part.keywords.search(own, text, limit, synonyms) for part, own in self._within(scope)]
        if len(found) == 1:
            return found[0]
        assets, segments, scores = _joined(found)
        best = np.lexsort((-assets, -scores))[: max(limit, 0)]
        return Matches(assets[best], segments[best], scores[best])

    def containing(self, scope: Scope, phrase: str) -> BitMap:
        """See `Engine.containing`."""
        return BitMap.union(BitMap(), *(part.keywords.containing(own, phrase) for part, own in self._within(scope)))

    def vectors_of(self, scope: Scope, space: Space, asset: int) -> NDArray[np.float32]:
        """See `Engine.vectors_of`."""
        rows = np.zeros((0, 0), np.float32)
        for part, own in self._within(scope, space):
            rows = part.spaces[space].rows_of(own, asset)
            if len(rows):
                break
        return rows

    def _within(self, scope: Scope, space: Space | None = None) -> Iterator[tuple[Part, Scope]]:
        """The parts, those that have vectors of the space, if one is named; each with what of the scope is its own."""
        alone = len(self._parts) == 1  # then all that it holds is its own
        for part, left in zip(self._parts, self._left, strict=True):
            if space is None or space in part.spaces:
                yield part, scope if alone else scope.narrowed(left)


def _left(parts: Sequence[Part], newer: BitMap) -> Iterator[BitMap]:
    """What is left of the assets of each part by those after it, and by `newer` ones."""
    left = []
    for part in reversed(parts):
        left.append(part.covers - newer)
        newer = newer | part.covers
    return reversed(left)


def _unfit(kept: Sequence[Part], fresh: BitMap) -> Iterator[Part]:
    """The parts that are not to stay beside a new one of the fresh assets."""
    for part, left in zip(kept, _left(kept, fresh), strict=True):
        size = len(part.covers)
        if _LIKE * size <= len(fresh) or len(left) < _LEFT * size:
            yield part


def _joined(found: Iterable[Matches]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """What several parts found, end to end."""
    all_found = [Matches.none(), *found]
    return (
        np.concatenate([one.assets for one in all_found]),
        np.concatenate([one.segments for one in all_found]),
        np.concatenate([one.scores for one in all_found]),
    )
