"""Embedders turn pictures and texts into unit vectors, and say what a cosine between two of them is worth.

`OpenClipEmbedder` serves every dual encoder with open_clip's interface, our own loupe-mini among them;
`SentenceEmbedder` embeds passages, descriptions and the queries for them. The two share one text tower where they can
(`text_space`), so that a query is read once.
"""

import hashlib
import json
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Protocol

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from sentence_transformers import SentenceTransformer
from torch import Tensor
from torch.nn import functional

from search.errors import ModelUnavailable
from search.models import loupe_mini

Vectors = NDArray[np.float32]
"""Unit vectors, float32 [n, d]."""

#: Pictures embedded at once. More of them fall out of the processor's cache and take longer each.
_PICTURES: Final = 8
_TEXTS: Final = 64


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


class Embedder(Protocol):
    """What makes vectors. `text_space` names the text tower: texts of equal spaces have equal vectors."""

    @property
    def model_id(self) -> ModelId: ...

    @property
    def text_space(self) -> str: ...

    @property
    def calibration(self) -> Calibration: ...

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        """One vector per text, in order, float32 [n, d]; [0, d] for none."""
        ...

    def embed_images(self, images: Iterable[Image.Image]) -> Vectors:
        """One vector per RGB picture, in order, float32 [n, d]; [0, d] for none. Pictures are drawn as needed."""
        ...


class Models(msgspec.Struct, frozen=True):
    """The two models of a library: one that sees, one that reads."""

    visual: Embedder
    text: "SentenceEmbedder"


class OpenClipEmbedder:
    """A dual encoder with open_clip's interface: `encode_image`, `encode_text`, a transform and a tokenizer."""

    def __init__(
        self,
        model: Any,
        transform: Callable[[Image.Image], Tensor],
        tokenizer: Callable[[Sequence[str]], Tensor],
        model_id: ModelId,
        calibration: Calibration,
        text_space: str = "",
    ) -> None:
        self._model = model
        self._transform = transform
        self._tokenizer = tokenizer
        self.model_id = model_id
        self.calibration = calibration
        self.text_space = text_space or str(model_id)

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        parts = [self._tokenizer(texts[start : start + _TEXTS]) for start in range(0, len(texts), _TEXTS)]
        return self._vectors(self._model.encode_text, parts)

    def embed_images(self, images: Iterable[Image.Image]) -> Vectors:
        return self._vectors(self._model.encode_image, self._batches(images))

    def _batches(self, images: Iterable[Image.Image]) -> Iterable[Tensor]:
        batch: list[Tensor] = []
        for image in images:
            batch.append(self._transform(image.convert("RGB")))
            if len(batch) == _PICTURES:
                yield torch.stack(batch)
                batch = []
        if batch:
            yield torch.stack(batch)

    def _vectors(self, encode: Callable[[Tensor], Tensor], batches: Iterable[Tensor]) -> Vectors:
        with torch.inference_mode():
            parts = [functional.normalize(encode(batch).float(), dim=-1).numpy() for batch in batches]
        return np.concatenate(parts) if parts else np.zeros((0, self.model_id.dimension), np.float32)


class SentenceEmbedder:
    """A sentence-transformers model, for texts alone."""

    def __init__(self, model: SentenceTransformer, model_id: ModelId, calibration: Calibration) -> None:
        self._model = model
        self._lock = threading.Lock()
        self.model_id = model_id
        self.calibration = calibration
        self.text_space = str(model_id)

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        """One vector per text, in order, float32 [n, d]; [0, d] for none."""
        if not texts:
            return np.zeros((0, self.model_id.dimension), np.float32)
        with self._lock:  # its tokenizer keeps state between calls
            vectors: Vectors = self._model.encode(
                list(texts), batch_size=_TEXTS, normalize_embeddings=True, show_progress_bar=False
            )
        return vectors


class Known(msgspec.Struct, frozen=True):
    """A model that can be named in the settings."""

    name: str
    about: str


def known_models() -> list[Known]:
    """Every name that the setting `model` takes: ours, and those of open_clip."""
    from open_clip import list_pretrained

    ours = Known(loupe_mini.NAME, "ships with Loupe, needs no download")
    return [ours, *(Known(f"{name}/{tag}", "open_clip, downloaded at first use") for name, tag in list_pretrained())]


def load_models(name: str = loupe_mini.NAME) -> Models:
    """The models by the setting `model`: "loupe-mini", "ARCHITECTURE/TAG" of open_clip, or "ARCHITECTURE/CHECKPOINT".

    CHECKPOINT is the path of a local file. Raises ModelUnavailable, with the remedy, when weights cannot be had.
    """
    mini = loupe_mini.load()
    calibration = msgspec.convert(json.loads(loupe_mini.REPORT.read_bytes())["calibration"], Calibration)
    text = SentenceEmbedder(
        mini.text, ModelId("all-MiniLM-L6-v2", loupe_mini.TEXT[2], "256 tokens", loupe_mini.DIMENSION), calibration
    )
    if name != loupe_mini.NAME:
        return Models(_open_clip(name), text)
    seen = ModelId(name, loupe_mini.digest(), "260 pixels, bicubic, shortest", loupe_mini.DIMENSION)
    visual = OpenClipEmbedder(
        mini, loupe_mini.transform(), loupe_mini.tokenizer(mini.text), seen, calibration, text.text_space
    )
    return Models(visual, text)


#: CLIP's cosines lie close together; its published temperature of 100 (Radford et al. 2021) gives the slope. Where
#: the middle is has not been measured here: no such weights can be had without a hub.
_CLIP: Final = Calibration(text_image=Curve(0.25, 100.0), image_image=Curve(0.75, 20.0), text_text=Curve(0.8, 20.0))


def _open_clip(name: str) -> OpenClipEmbedder:
    """An open_clip model by "ARCHITECTURE/TAG" or "ARCHITECTURE/CHECKPOINT", downloaded at first use."""
    import open_clip

    architecture, _, source = name.partition("/")
    if architecture not in open_clip.list_models() or not source:
        raise ModelUnavailable(
            f"There is no model {name!r}.", "`loupe model list` prints the names; ARCHITECTURE/FILE takes a checkpoint."
        )
    try:
        model, transform = open_clip.create_model_from_pretrained(architecture, pretrained=source)
        tokenizer = open_clip.get_tokenizer(architecture)
    except (RuntimeError, OSError, ValueError, KeyError) as error:
        raise ModelUnavailable(
            f"The weights of {name!r} cannot be loaded: {error}.",
            "Without a connection to the model hub, use loupe-mini or the path of a checkpoint: ARCHITECTURE/FILE.",
        ) from error
    model.eval().requires_grad_(False)
    with torch.inference_mode():
        dimension = model.encode_text(tokenizer(["a"])).shape[-1]
    return OpenClipEmbedder(
        model, transform, tokenizer, ModelId(name, _digest(model.state_dict()), str(transform), dimension), _CLIP
    )


def _digest(tensors: dict[str, Tensor]) -> str:
    """A sha256 over all weights, the same wherever they came from."""
    whole = hashlib.sha256()
    for key, tensor in sorted(tensors.items()):
        whole.update(f"{key} {tuple(tensor.shape)} {tensor.dtype}".encode())
        whole.update(tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return whole.hexdigest()
