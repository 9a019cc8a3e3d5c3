"""Embedders for texts alone, of sentence-transformers."""

import hashlib
import threading
from collections.abc import Sequence
from typing import Final

import numpy as np
from sentence_transformers import SentenceTransformer

from search.embedding import Curve, ModelId, Standard, Vector, Vectors

_TEXTS: Final = 64

#: What nearness counts beside the sentence vector, and over how many texts it is taken.
_NEARNESS: Final = 0.5
_NEAREST: Final = 10
_PREPARED: Final = f"less {_NEARNESS} of the nearness to {_NEAREST}"


class SentenceEmbedder:
    """A sentence-transformers model for texts alone, with nearness taken off.

    Terse texts are a little like every query. How much, over a bank of texts that ships with the model, is one more
    number of a passage's vector, and a query's holds its weight (querybank normalisation: Bogolin et al. 2022). By this
    leg alone the sample queries and the questions about recordings are both answered better so.
    """

    def __init__(
        self, model: SentenceTransformer, weights: str, preprocessing: str, bank: Vectors, curve: Curve
    ) -> None:
        """`bank` [m, d] are texts that are nobody's answer; `curve` is over standard deviations (see `Standard`)."""
        self._model = model
        self._lock = threading.Lock()
        self._bank = bank
        whole = hashlib.sha256(weights.encode() + bank.tobytes()).hexdigest()
        self.model_id = ModelId("all-MiniLM-L6-v2", whole, f"{preprocessing}, {_PREPARED}", bank.shape[1] + 1)
        self.standard = Standard(curve, told(bank, bank))

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        """One vector per query, in order, float32 [n, d]; [0, d] for none."""
        return asked(self._embed(texts))

    def embed_passages(self, passages: Sequence[Sequence[str]]) -> Vectors:
        """One vector per passage, in order, float32 [n, d]; [0, d] for none. Of several parts the mean direction."""
        vectors = self._embed([part for parts in passages for part in parts])
        if len(vectors) > len(passages):
            starts = np.cumsum([0, *(len(parts) for parts in passages[:-1])])
            vectors = _unit(np.add.reduceat(vectors, starts, axis=0))
        return told(vectors, self._bank)

    def more_like(self, passages: Vectors) -> Vector:
        """The query, float32 [d], in the mean direction of passages, [n, d]."""
        query: Vector = asked(_unit(passages[:, :-1].mean(axis=0, keepdims=True)))[0]
        return query

    def _embed(self, texts: Sequence[str]) -> Vectors:
        if not texts:
            return np.zeros((0, self._bank.shape[1]), np.float32)
        with self._lock:  # its tokenizer keeps state between calls
            vectors: Vectors = self._model.encode(
                list(texts), batch_size=_TEXTS, normalize_embeddings=True, show_progress_bar=False
            )
        return vectors


def asked(sentences: Vectors) -> Vectors:
    """The vectors of queries, float32 [n, d + 1], from sentence vectors [n, d]."""
    return _unit(np.concatenate([sentences, np.ones((len(sentences), 1), np.float32)], axis=1))


def told(sentences: Vectors, bank: Vectors) -> Vectors:
    """The vectors of passages, float32 [n, d + 1], from sentence vectors [n, d] and those of the bank [m, d]."""
    nearest = np.sort(sentences @ bank.T, axis=1)[:, -_NEAREST:].mean(axis=1, keepdims=True)
    return _unit(np.concatenate([sentences, -_NEARNESS * nearest], axis=1))


def _unit(vectors: Vectors) -> Vectors:
    made: Vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return made
