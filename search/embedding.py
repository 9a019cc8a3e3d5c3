"""What an embedder is: it turns pictures and texts into unit vectors, and says what a cosine between two is worth.

`search.models` has those that there are.
"""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Final, Protocol, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Vectors = NDArray[np.float32]
"""Unit vectors, float32 [n, d]."""

Vector = NDArray[np.float32]
"""One unit vector, float32 [d]."""


Cosines = TypeVar("Cosines", float, NDArray[np.float64])
"""One, or several, float64 [n]."""


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

    def evidence(self, cosine: Cosines) -> Cosines:
        """A log-likelihood ratio (natural logarithm): above 0 it speaks for a match, below 0 against it."""
        return self.slope * (cosine - self.midpoint)


class Standard(msgspec.Struct, frozen=True):
    """How to judge the cosines of one query: against those that it has with a fixed background.

    Cosines lie higher for one query than for another, whatever is looked through, and a nonsense query is a little
    like everything. So a cosine counts by how many standard deviations it lies above the mean of what the same query
    has with things that are nobody's answer (the Z-norm of speaker verification: Auckenthaler, Carey, Lloyd-Thomas
    2000). The background comes with the model and never from the library, through which hidden assets would show.

    `curve` is over standard deviations, `background` unit vectors, float32 [n, d], n at least 2.
    """

    curve: Curve
    background: Vectors

    def of(self, query: Vector) -> Curve:
        """The curve over the cosines of this query, float32 [d]."""
        cosines = self.background @ query
        mean, deviation = float(cosines.mean()), float(cosines.std()) + _LEAST
        return Curve(mean + deviation * self.curve.midpoint, self.curve.slope / deviation)


class Curves(msgspec.Struct, frozen=True):
    """The curves that training measures, over standard deviations, and that other models are judged by as well."""

    text_image: Curve
    image_image: Curve
    text_text: Curve


#: Keeps a query that is equally like everything from making every cosine telling.
_LEAST: Final = 1e-3


class Calibration(msgspec.Struct, frozen=True):
    """The standard of each pairing that a model is asked for."""

    text_image: Standard
    image_image: Standard


class TextEmbedder(Protocol):
    """What makes vectors of texts."""

    @property
    def model_id(self) -> ModelId: ...

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        """One vector per text, in order, float32 [n, d]; [0, d] for none."""
        ...


class Embedder(TextEmbedder, Protocol):
    """What makes vectors of pictures as well, in one space with those of texts."""

    @property
    def calibration(self) -> Calibration: ...

    def embed_images(self, images: Iterable[Image.Image]) -> Vectors:
        """One vector per RGB picture, in order, float32 [n, d]; [0, d] for none. Pictures are drawn as needed."""
        ...


class Reader(TextEmbedder, Protocol):
    """What reads passages and descriptions, and (`embed_texts`) the queries for them."""

    @property
    def standard(self) -> Standard: ...

    def embed_passages(self, passages: Sequence[Sequence[str]]) -> Vectors:
        """One vector per passage, given in one or more parts, in order, float32 [n, d]; [0, d] for none."""
        ...

    def more_like(self, passages: Vectors) -> Vector:
        """The query, float32 [d], for what says the like of one or more passages, [n, d]."""
        ...


class Models(msgspec.Struct, frozen=True):
    """The two models of a library: one that sees, one that reads."""

    visual: Embedder
    text: Reader

    def read(self, text: str) -> tuple[Vector, Vector]:
        """What `text` is among pictures and among words, float32 [d] each."""
        for_pictures, for_words = self.read_all([text])
        return for_pictures[0], for_words[0]

    def read_all(self, texts: Sequence[str]) -> tuple[Vectors, Vectors]:
        """What each text is among pictures and among words, float32 [n, d] each, whatever stands beside it."""
        return self.visual.embed_texts(texts), self.text.embed_texts(texts)
