"""What an embedder is: it turns pictures and texts into unit vectors, and says what a cosine between two is worth.

`search.models` has those that there are.
"""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Vectors = NDArray[np.float32]
"""Unit vectors, float32 [n, d]."""


class ModelId(msgspec.Struct, frozen=True):
    """Which model made a vector. Vectors of different ids are never compared.

    `weights` is a sha256 (hex) over all weights, `preprocessing` says what is done to the input, `dimension` is d.
    """

    name: str
    weights: str
    preprocessing: str
    dimension: int

    def __str__(self) -> str:
        whole = f"{self.weights} {self.preprocessing} {self.dimension}"
        return f"{self.name}@{hashlib.sha256(whole.encode()).hexdigest()[:12]}"


class Curve(msgspec.Struct, frozen=True):
    """What a cosine says for or against two things belonging together (logistic calibration, Platt 1999)."""

    midpoint: float
    slope: float

    def evidence(self, cosine: float) -> float:
        """A log-likelihood ratio (natural logarithm): above 0 it speaks for a match, below 0 against it."""
        return self.slope * (cosine - self.midpoint)


class Calibration(msgspec.Struct, frozen=True):
    """The curve of each pairing a model is asked for."""

    text_image: Curve
    image_image: Curve
    text_text: Curve


class TextEmbedder(Protocol):
    """What makes vectors of texts. `text_space` names the text tower: texts of equal spaces have equal vectors."""

    @property
    def model_id(self) -> ModelId: ...

    @property
    def text_space(self) -> str: ...

    @property
    def calibration(self) -> Calibration: ...

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        """One vector per text, in order, float32 [n, d]; [0, d] for none."""
        ...


class Embedder(TextEmbedder, Protocol):
    """What makes vectors of pictures as well, in one space with those of texts."""

    def embed_images(self, images: Iterable[Image.Image]) -> Vectors:
        """One vector per RGB picture, in order, float32 [n, d]; [0, d] for none. Pictures are drawn as needed."""
        ...


class Models(msgspec.Struct, frozen=True):
    """The two models of a library: one that sees, one that reads."""

    visual: Embedder
    text: TextEmbedder
