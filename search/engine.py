"""What an index must be able to do. One implementation: `search.engines.embedded` (FAISS, Tantivy, bitmaps).

An engine holds derived state only: it is given what the catalog holds, or what changed there, and publishes it. Every
read takes a `Scope`, and nothing outside it takes part in ranking, counting or explaining.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from search.embedding import Vector
from search.policy import Scope
from search.types import Plan as Plan  # part of what an engine answers


class Space(StrEnum):
    """Which vectors are compared: of pictures, or of words."""

    visual = "visual"
    text = "text"


class Match(msgspec.Struct, frozen=True):
    """An asset that a leg found, by way of its best segment (0: the asset's metadata as a whole).

    `score` is the cosine for vectors, and for words the share of the query's words that occur (0 to 1; several times
    that where the query is an asset's id or file name). Both depend on the query and the asset alone, so nothing shows
    through them of other assets.
    """

    asset: int
    segment: int
    score: float


class Matches(msgspec.Struct, frozen=True, eq=False):
    """What a leg found, best first, each asset once; as columns, since a search weighs hundreds and shows a few.

    `assets` and `segments` are int64 [n], `scores` float64 [n]; see `Match`.
    """

    assets: NDArray[np.int64]
    segments: NDArray[np.int64]
    scores: NDArray[np.float64]

    @classmethod
    def none(cls) -> "Matches":
        nothing = np.zeros(0, np.int64)
        return cls(nothing, nothing, np.zeros(0))

    def __len__(self) -> int:
        return len(self.assets)

    def __iter__(self) -> Iterator[Match]:
        return map(Match, self.assets.tolist(), self.segments.tolist(), self.scores.tolist())


class Nearest(msgspec.Struct, frozen=True, eq=False):
    """What a vector search found, and how."""

    matches: Matches
    plan: Plan


class VectorRows(Protocol):
    """Vectors by number: an array, or what reads them as they are asked for."""

    @property
    def shape(self) -> tuple[int, ...]:
        """[n, d]"""

    def __getitem__(self, numbers: NDArray[np.int64], /) -> NDArray[np.float32]:
        """Some of them, float32 [m, d]."""


class Vectors(msgspec.Struct, frozen=True):
    """The unit vectors of one space: `rows` float32 [n, d], with the segment and the asset of each row, int64 [n]."""

    model_id: str
    rows: VectorRows
    segments: NDArray[np.int64]
    assets: NDArray[np.int64]


class Document(msgspec.Struct, frozen=True):
    """The words of one segment, or (segment 0) of an asset's metadata. `names` are what it is called as a whole."""

    asset: int
    segment: int = 0
    title: str = ""
    keywords: Sequence[str] = ()
    description: str = ""
    name: str = ""
    body: str = ""
    names: Sequence[str] = ()

    @property
    def words(self) -> str:
        """All of it as one text."""
        return " ".join((self.title, *self.keywords, self.description, self.name, self.body))


class Corpus(msgspec.Struct, frozen=True):
    """What an engine indexes of some assets, or of all. `head` is the journal number that it reflects."""

    head: int
    spaces: Mapping[Space, Vectors]
    documents: Iterable[Document]


class Source(Protocol):
    """Where an engine reads what it indexes."""

    def changed_since(self, head: int) -> tuple[int, BitMap]:
        """The newest journal number, and the assets that were written about since another one."""

    def corpus(self, assets: BitMap | None = None) -> Corpus:
        """What is to be indexed of these assets, of which some may be gone (None: of all there are)."""


class Engine(Protocol):
    """Ranked retrieval within a scope."""

    @property
    def generation(self) -> int:
        """The number of the published state being read; 0 before the first."""

    def publish(self, corpus: Corpus) -> None:
        """Replace everything indexed; durable and atomic: a crash leaves the one before."""

    def catch_up(self, source: Source, *, settle: bool = True, purged: Iterable[int] = ()) -> None:
        """Publish what changed since the newest published state, or everything where there is none that serves.

        Without `settle` as little as can be is written, at the cost of slower searches: for while more is to come.
        Nothing that was indexed of `purged` assets remains, in older published states neither.
        """

    def refresh(self) -> None:
        """Move on to the newest published state, if another process published one."""

    def nearest(self, scope: Scope, space: Space, query: Vector, limit: int) -> Nearest:
        """The `limit` assets of the scope whose best row has the highest inner product with `query`, best first."""

    def keywords(self, scope: Scope, text: str, limit: int) -> Matches:
        """The assets of the scope in which words of `text` occur, best first; case, accents and endings aside.

        A word that is no known one also finds those spelt nearly so, at a lower worth.
        """

    def containing(self, scope: Scope, phrase: str) -> BitMap:
        """The assets of the scope in which the words of `phrase` stand side by side."""

    def vectors_of(self, scope: Scope, space: Space, asset: int) -> NDArray[np.float32]:
        """The asset's rows, float32 [n, d]; none ([0, d]) when it is outside the scope."""

    def matching_words(self, query: str, text: str) -> tuple[str, ...]:
        """The words of `text`, as they stand in it, that those of `query` find there (see `keywords`)."""

    def strangeness(self, query: str) -> float:
        """The share, 0 to 1, of the words looked for that are no known ones: names, slips and words of other languages.

        It depends on the query alone.
        """
