"""From the catalog to what an engine indexes."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from search.catalog import Catalog
from search.embedding import Reader, Vectors
from search.engine import Corpus, Document, Space
from search.engine import Vectors as Rows
from search.types import Asset, Segment, SegmentKind

_WHOLES: Final = re.compile(r"[^\W_]+")
_PARTS: Final = re.compile(r"\d+|[A-Z]+(?![a-z])|[A-Z]?[^\W\dA-Z_]+")

#: Which kinds of segment are compared in which space.
KINDS: Final[Mapping[Space, frozenset[SegmentKind]]] = {
    Space.visual: frozenset({SegmentKind.image, SegmentKind.keyframe, SegmentKind.page}),
    Space.text: frozenset({SegmentKind.passage, SegmentKind.description}),
}


class CatalogSource:
    """What the catalog holds, for an engine, with the vectors that models (space to model id) have made."""

    def __init__(self, catalog: Catalog, models: Mapping[Space, str]) -> None:
        self._catalog = catalog
        self._models = models

    def changed_since(self, head: int) -> tuple[int, BitMap]:
        """See `Source.changed_since`."""
        changes = self._catalog.changes_since(head)
        return changes.head, BitMap(changes.assets)

    def corpus(self, assets: BitMap | None = None) -> Corpus:
        """See `Source.corpus`. The journal number is read first: what is written meanwhile is at worst indexed twice,
        never missed."""
        head = self._catalog.head()
        spaces = {space: self._vectors(model, KINDS[space], assets) for space, model in self._models.items()}
        return Corpus(
            head, {space: rows for space, rows in spaces.items() if len(rows.segments)}, self._documents(assets)
        )

    def _vectors(self, model_id: str, kinds: frozenset[SegmentKind], among: BitMap | None) -> Rows:
        segments, assets = self._catalog.embedded_segments(model_id, [kind.value for kind in kinds], among)
        return Rows(model_id, _Stored(self._catalog, model_id, segments), segments, assets)

    def _documents(self, among: BitMap | None) -> Iterator[Document]:
        for asset in self._catalog.every_asset(among):
            yield metadata_document(asset)
        for segment in self._catalog.every_segment(among):
            if segment.kind is SegmentKind.passage:
                yield Document(segment.asset, segment.ordinal, body=segment.text)


class _Stored:
    """The vectors of some segments, read from the catalog as they are asked for."""

    def __init__(self, catalog: Catalog, model_id: str, segments: NDArray[np.int64]) -> None:
        self._catalog = catalog
        self._model_id = model_id
        self._segments = segments
        dimension = self[np.arange(1)].shape[1] if len(segments) else 0
        self.shape = (len(segments), dimension)

    def __getitem__(self, numbers: NDArray[np.int64]) -> NDArray[np.float32]:
        return self._catalog.vectors_of(self._model_id, self._segments[numbers])


def metadata_document(asset: Asset) -> Document:
    """The words of an asset's metadata, field by field."""
    stem = PurePath(asset.file_name).stem
    return Document(
        asset.ordinal,
        title=asset.title,
        keywords=asset.keywords,
        description=" ".join(filter(None, (asset.description, asset.alt_text, asset.creator))),
        name=" ".join((*name_words(stem), asset.id)),
        names=(asset.id, asset.file_name, stem),
    )


def name_words(stem: str) -> tuple[str, ...]:
    """The words of a file's name: whole, and cut where case changes or digits begin ("EiffelTower2041")."""
    parts = [part for part in _PARTS.findall(stem) if len(part) > 1]
    whole = set(_WHOLES.findall(stem))
    return (stem, *(part for part in dict.fromkeys(parts) if part not in whole))


def description_text(title: str, description: str, keywords: tuple[str, ...]) -> str:
    """The text of an asset's metadata that is embedded as its description: all of it like a sentence, and on a second
    line the keywords alone. Empty when it has none."""
    listed = ", ".join(_one_line(keyword) for keyword in keywords)
    said = ". ".join(filter(None, (_one_line(title).rstrip("."), _one_line(description).rstrip("."), listed)))
    return "\n".join(dict.fromkeys(f"{text}." for text in (said, listed) if text))


def shown_text(segment: Segment) -> str:
    """A segment's text as people read it: of a description the sentence."""
    return segment.text.partition("\n")[0] if segment.kind is SegmentKind.description else segment.text


def embed_segments(reader: Reader, segments: Sequence[Segment]) -> Vectors:
    """The unit vectors of texts, float32 [n, d]; a description's two lines are parts of one passage.

    Keywords are as terse as queries are, and a sentence's other words blur them: by both together many more of the
    sample queries find their photograph first. As vectors of their own keywords draw photographs before recordings that
    speak of the same.
    """
    described = SegmentKind.description
    return reader.embed_passages([s.text.split("\n") if s.kind is described else [s.text] for s in segments])


def _one_line(text: str) -> str:
    return " ".join(text.split())
