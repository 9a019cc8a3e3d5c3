"""Embedders for texts alone, of sentence-transformers."""

import threading
from collections.abc import Sequence
from typing import Final

import numpy as np
from sentence_transformers import SentenceTransformer

from search.embedding import ModelId, Standard, Vectors

_TEXTS: Final = 64


class SentenceEmbedder:
    """A sentence-transformers model, for texts alone."""

    def __init__(self, model: SentenceTransformer, model_id: ModelId, standard: Standard) -> None:
        self._model = model
        self._lock = threading.Lock()
        self.model_id = model_id
        self.standard = standard

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        """One vector per text, in order, float32 [n, d]; [0, d] for none."""
        if not texts:
            return np.zeros((0, self.model_id.dimension), np.float32)
        with self._lock:  # its tokenizer keeps state between calls
            vectors: Vectors = self._model.encode(
                list(texts), batch_size=_TEXTS, normalize_embeddings=True, show_progress_bar=False
            )
        return vectors
