"""The engine that runs inside the process: FAISS for vectors, Tantivy for words, published as generations.

Useful for: one machine, up to a few million segments. Not useful for: several machines sharing one index.
"""

import logging
from pathlib import Path
from threading import Lock
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from search.embedding import Vector
from search.engine import Corpus, Matches, Nearest, Plan, Space
from search.engines.embedded import generation, words
from search.engines.embedded.analysis import ENGLISH, Languages
from search.engines.embedded.keywords import KeywordIndex
from search.engines.embedded.synonyms import NONE, Synonyms, SynonymsFile
from search.engines.embedded.vectors import VectorIndex
from search.errors import GenerationDamaged, ModelUnavailable
from search.policy import Scope

_log = logging.getLogger(__name__)

_KEYWORDS: Final = "keywords"


class _Reader:
    """One opened generation."""

    def __init__(self, opened: generation.Generation) -> None:
        self.opened = opened
        self.spaces = {
            space: VectorIndex.open(opened.directory / space.value) for space in Space if space.value in opened.models
        }
        self.keywords = KeywordIndex.load(opened.directory / _KEYWORDS)


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
        return self._reader.keywords.languages if self._reader else self._languages

    @property
    def outdated(self) -> bool:
        """Whether the generation being read was made for other languages than new ones are."""
        return self.languages != self._languages

    def publish(self, corpus: Corpus) -> None:
        for space, vectors in corpus.spaces.items():
            if vectors.model_id != self._models[space]:
                raise ModelUnavailable(f"Vectors of {vectors.model_id} cannot be indexed as {self._models[space]}.")
        self.refresh()  # what is taken over must not be of a generation that is swept away by now

        def fill(directory: Path) -> None:
            for space, vectors in corpus.spaces.items():
                before = self._reader.spaces.get(space) if self._reader else None
                VectorIndex.write(vectors, directory / space.value, before)
            KeywordIndex.build(corpus.documents, directory / _KEYWORDS, self._languages)

        models = {space.value: vectors.model_id for space, vectors in corpus.spaces.items()}
        generation.publish(self._directory, fill, head=corpus.head, models=models)
        self.refresh()

    def refresh(self) -> None:
        numbers = generation.numbers(self._directory)
        if not numbers or numbers[-1] == self.generation:
            return
        with self._lock:
            for number in reversed(numbers):
                if number == self.generation:
                    return
                if number not in self._refused and (reader := self._open(number)):
                    self._reader = reader
                    return

    def _open(self, number: int) -> _Reader | None:
        try:
            opened = generation.open_verified(self._directory, number, self._reader.opened if self._reader else None)
            if any(opened.models.get(space.value, model) != model for space, model in self._models.items()):
                self._refused.add(number)
                _log.info("Generation %d is of another model.", number)
                return None
            return _Reader(opened)
        except GenerationDamaged as error:
            self._refused.add(number)
            _log.error("Generation %d is not used: %s Run `loupe rebuild`.", number, error)
            return None

    def nearest(self, scope: Scope, space: Space, query: Vector, limit: int) -> Nearest:
        reader = self._reader
        if reader is None or space not in reader.spaces:
            return Nearest(Matches.none(), Plan("none", 0, 0))
        return reader.spaces[space].nearest(scope, query, limit)

    def keywords(self, scope: Scope, text: str, limit: int) -> Matches:
        reader = self._reader
        return reader.keywords.search(scope, text, limit, self._rules()) if reader else Matches.none()

    def containing(self, scope: Scope, phrase: str) -> BitMap:
        return self._reader.keywords.containing(scope, phrase) if self._reader else BitMap()

    def vectors_of(self, scope: Scope, space: Space, asset: int) -> NDArray[np.float32]:
        reader = self._reader
        if reader is None or space not in reader.spaces:
            return np.zeros((0, 0), np.float32)
        return reader.spaces[space].rows_of(scope, asset)

    def matching_words(self, query: str, text: str) -> tuple[str, ...]:
        return words.matching(query, text, self.languages, self._rules())

    def strangeness(self, query: str) -> float:
        return words.strangeness(query, self.languages)

    def _rules(self) -> Synonyms:
        return self._synonyms.now() if self._synonyms else NONE
