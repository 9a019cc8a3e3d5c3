"""The engine that runs inside the process: FAISS for vectors, Tantivy for words, published as generations.

Useful for: one machine, up to a few million segments. Not useful for: several machines sharing one index.
"""

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from threading import Lock
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from search.embedding import Vector
from search.engine import Corpus, Matches, Nearest, Plan, Source, Space
from search.engines.embedded import generation, words
from search.engines.embedded.analysis import ENGLISH, Languages
from search.engines.embedded.generation import Generation
from search.engines.embedded.parts import Part, Parts
from search.engines.embedded.synonyms import NONE, Synonyms, SynonymsFile
from search.errors import GenerationDamaged, ModelUnavailable, NotPublished
from search.policy import Scope

_log = logging.getLogger(__name__)

#: Parts of up to so many assets are folded into one when no more is to come.
_SMALL: Final = 20_000

_REMEDY: Final = "What was taken in is safe. See that the disk has room and is sound, then index again."


class _Reader(Parts):
    """One opened generation. A part that the one before has as well is not opened again."""

    def __init__(self, opened: Generation, before: "_Reader | None") -> None:
        self.opened = opened
        known = {part.identity: part for part in before or ()}
        super().__init__([_opened(directory, known) for directory in generation.folders(opened)])


def _opened(directory: Path, known: dict[generation.Identity, Part]) -> Part:
    part = known.get(Part.identity_of(directory))
    return msgspec.structs.replace(part, origin=directory) if part else Part.open(directory)


class EmbeddedEngine:
    """Reads the newest sound generation under `directory`; a search in flight keeps the one it began with."""

    def __init__(
        self,
        directory: Path,
        models: dict[Space, str],
        languages: Languages = ENGLISH,
        synonyms: SynonymsFile | None = None,
    ) -> None:
        """`models` names the model of each space: a generation made with another is refused, never mixed.

        `languages` are those that new generations are made for; each is read by those that it was made for.
        """
        self._directory = directory
        self._models = models
        self._languages = languages
        self._synonyms = synonyms
        self._lock = Lock()
        self._refused: set[int] = set()
        self._reader: _Reader | None = None

    @property
    def generation(self) -> int:
        """The number of the generation being read; 0 before the first."""
        return self._reader.opened.number if self._reader else 0

    @property
    def head(self) -> int:
        """The journal number that it reflects; 0 before the first."""
        return self._reader.opened.head if self._reader else 0

    @property
    def languages(self) -> Languages:
        """The languages that the generation being read was made for."""
        return self._reader.languages if self._reader else self._languages

    @property
    def outdated(self) -> bool:
        """Whether the generation being read was made for other languages than new ones are."""
        return self.languages != self._languages

    def publish(self, corpus: Corpus) -> None:
        self._publish(corpus, BitMap(), None, [])

    def catch_up(self, source: Source, *, settle: bool = True, purged: Iterable[int] = ()) -> None:
        gone = BitMap(purged)
        self._catch_up(source, gone, _SMALL if settle else 0)
        if gone:
            generation.keep_only(self._directory, self.generation)

    def _catch_up(self, source: Source, purged: BitMap, small: int) -> None:
        self._refresh(wait=True)  # what is taken over must not be of a generation that is swept away by now
        reader = self._reader
        if reader is None or self.outdated:
            self.publish(source.corpus())
            return
        head, changed = source.changed_since(reader.opened.head)
        kept, fresh = reader.folded(changed, small, purged)
        try:
            if not kept:
                self.publish(source.corpus())
            elif fresh:
                self._publish(msgspec.structs.replace(source.corpus(fresh), head=head), fresh, reader, kept)
            elif head > reader.opened.head or len(kept) < len(list(reader)):
                self._publish(Corpus(head, {}, ()), fresh, reader, kept)
        except GenerationDamaged as error:
            _log.error("Generation %d is made anew: %s", reader.opened.number, error)
            self.publish(source.corpus())

    def _publish(self, corpus: Corpus, covers: BitMap, reader: _Reader | None, kept: Sequence[Part]) -> None:
        """Publish the parts that are kept of what is read, and after them one of the corpus, which covers these assets
        in any case."""
        for space, vectors in corpus.spaces.items():
            if vectors.model_id != self._models[space]:
                raise ModelUnavailable(f"Vectors of {vectors.model_id} cannot be indexed as {self._models[space]}.")

        def fill(directory: Path) -> None:
            if reader:
                for number, part in enumerate(kept):
                    generation.take_over(reader.opened, part.origin, directory / str(number))
            if covers or not kept:
                Part.write(corpus, covers, directory / str(len(kept)), self._languages)

        models = {space.value: vectors.model_id for space, vectors in corpus.spaces.items()}
        models |= {space.value: self._models[space] for part in kept for space in part.spaces}
        before = reader.opened if reader else None
        try:
            number = generation.publish(self._directory, fill, head=corpus.head, models=models, before=before)
        except (OSError, RuntimeError, ValueError) as error:  # as Python, FAISS and Tantivy tell that a write failed
            raise NotPublished(f"The search index could not be written: {error}.", _REMEDY) from error
        self._refresh(wait=True)
        if self.generation != number:
            raise NotPublished("The search index was not written whole.", _REMEDY)

    def refresh(self) -> None:
        # Whoever has something to read does not wait for another who is opening what is new.
        self._refresh(wait=self._reader is None)

    def _refresh(self, *, wait: bool) -> None:
        numbers = generation.numbers(self._directory)
        if not numbers or numbers[-1] == self.generation:
            return
        if self._lock.acquire(blocking=wait):
            try:
                self._move_on()
            finally:
                self._lock.release()

    def _move_on(self) -> None:
        """To the newest generation that is sound."""
        for number in reversed(generation.numbers(self._directory)):
            if number == self.generation:
                return
            try:
                if number not in self._refused and (reader := self._open(number)):
                    self._reader = reader
                    return
            except FileNotFoundError:  # swept away since it was listed, so there are newer ones
                self._move_on()
                return

    def _open(self, number: int) -> _Reader | None:
        try:
            opened = generation.open_verified(self._directory, number, self._reader.opened if self._reader else None)
            if any(opened.models.get(space.value, model) != model for space, model in self._models.items()):
                self._refused.add(number)
                _log.info("Generation %d is of another model.", number)
                return None
            return _Reader(opened, self._reader)
        except GenerationDamaged as error:
            self._refused.add(number)
            _log.error("Generation %d is not used: %s Run `loupe rebuild`.", number, error)
            return None

    def nearest(self, scope: Scope, space: Space, query: Vector, limit: int) -> Nearest:
        reader = self._reader
        return reader.nearest(scope, space, query, limit) if reader else Nearest(Matches.none(), Plan("none", 0, 0))

    def keywords(self, scope: Scope, text: str, limit: int) -> Matches:
        reader = self._reader
        return reader.keywords(scope, text, limit, self._rules()) if reader else Matches.none()

    def containing(self, scope: Scope, phrase: str) -> BitMap:
        return self._reader.containing(scope, phrase) if self._reader else BitMap()

    def vectors_of(self, scope: Scope, space: Space, asset: int) -> NDArray[np.float32]:
        reader = self._reader
        return reader.vectors_of(scope, space, asset) if reader else np.zeros((0, 0), np.float32)

    def matching_words(self, query: str, text: str) -> tuple[str, ...]:
        return words.matching(query, text, self.languages, self._rules())

    def strangeness(self, query: str) -> float:
        return words.strangeness(query, self.languages)

    def _rules(self) -> Synonyms:
        return self._synonyms.now() if self._synonyms else NONE
