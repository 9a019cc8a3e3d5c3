"""Embedders with open_clip's interface, and open_clip's own models loaded by name or from a checkpoint."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Final

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError
from torch import Tensor
from torch.nn import functional

from search.embedding import Calibration, Curves, ModelId, Standard, Vectors
from search.errors import ModelUnavailable
from search.models import background, runtimes
from search.models.store import ModelStore

#: Pictures embedded at once. More of them fall out of the processor's cache and take longer each.
_PICTURES: Final = 8
_TEXTS: Final = 64

#: What loading raises of files that hold no weights, or others than the architecture's.
_UNREADABLE: Final = (
    RuntimeError,
    OSError,
    EOFError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    UnpicklingError,
    SafetensorError,
)


class OpenClipEmbedder:
    """A dual encoder with open_clip's interface: `encode_image`, `encode_text`, a transform and a tokenizer."""

    def __init__(
        self,
        model: Any,
        transform: Callable[[Image.Image], Tensor],
        tokenizer: Callable[[Sequence[str]], Tensor],
        model_id: ModelId,
        calibration: Calibration,
    ) -> None:
        self._model = model
        self._transform = transform
        self._tokenizer = tokenizer
        self.model_id = model_id
        self.calibration = calibration

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        parts = [self._tokenizer(texts[start : start + _TEXTS]) for start in range(0, len(texts), _TEXTS)]
        return self._joined([_encoded(self._model.encode_text, part) for part in parts])

    def embed_images(self, images: Iterable[Image.Image]) -> Vectors:
        """One vector per picture. The model runs in a thread of its own while the next batch is prepared.

        OpenMP counts its threads per thread that calls it, for torch and FAISS alike, and the main thread is held to
        one for FAISS's sake; a new thread has all processors.
        """
        parts: list[Vectors] = []
        with ThreadPoolExecutor(1, "embed-images") as pool:
            under_way: Future[Vectors] | None = None
            for batch in self._batches(images):
                if under_way:
                    parts.append(under_way.result())
                under_way = pool.submit(_encoded, self._model.encode_image, batch)
            if under_way:
                parts.append(under_way.result())
        return self._joined(parts)

    def _batches(self, images: Iterable[Image.Image]) -> Iterable[Tensor]:
        batch: list[Tensor] = []
        for image in images:
            batch.append(self._transform(image.convert("RGB")))
            if len(batch) == _PICTURES:
                yield torch.stack(batch)
                batch = []
        if batch:
            yield torch.stack(batch)

    def _joined(self, parts: Sequence[Vectors]) -> Vectors:
        return np.concatenate(parts) if parts else np.zeros((0, self.model_id.dimension), np.float32)


def _encoded(encode: Callable[[Tensor], Tensor], batch: Tensor) -> Vectors:
    """Unit vectors float32 [n, d]."""
    with torch.inference_mode():  # holds for the thread it is entered in
        vectors: Vectors = functional.normalize(encode(batch).float(), dim=-1).numpy()
    return vectors


def load_clip(name: str, curves: Curves, store: ModelStore, runtime: runtimes.Choice = "auto") -> OpenClipEmbedder:
    """An open_clip model by "ARCHITECTURE/TAG", from the store, or by "ARCHITECTURE/FILE". Nothing is downloaded.

    Its id is that of its float32 weights, however they run. The curves are over standard deviations, which make
    cosines of different models comparable; the background that those are taken over is embedded here.
    """
    import open_clip

    architecture, _, source = name.partition("/")
    published = open_clip.get_pretrained_cfg(architecture, source)
    if architecture not in open_clip.list_models() or not (published or Path(source).is_file()):
        raise ModelUnavailable(
            f"There is no model {name!r}.", "`loupe model list` prints the names; ARCHITECTURE/FILE takes a checkpoint."
        )
    checkpoint = store.checkpoint(name) if published else Path(source)
    try:
        model, transform = open_clip.create_model_from_pretrained(
            architecture, pretrained=str(checkpoint), **preprocess_of(architecture, source)
        )
        tokenizer = open_clip.get_tokenizer(architecture)
    except _UNREADABLE as error:
        # Of what torch says only the beginning: the rest advises to load such a file unsafely.
        reason = str(error).split(". ")[0].splitlines() or ["it holds nothing"]
        raise ModelUnavailable(
            f"{checkpoint} cannot be loaded as {architecture}: {reason[0].rstrip('.:')}.",
            "Check that the file holds weights of this architecture.",
        ) from error
    model.eval().requires_grad_(False)
    with torch.inference_mode():
        dimension = model.encode_text(tokenizer(["a"])).shape[-1]
    # Where a checkpoint lies is not part of what it is: moved, its vectors are still its own.
    called = name if published else f"{architecture}/{checkpoint.name}"
    model_id = ModelId(called, _digest(model.state_dict()), str(transform), dimension)
    running = runtimes.running(model, transform, tokenizer, runtime)

    def embedder(against: Vectors) -> OpenClipEmbedder:
        standards = Calibration(Standard(curves.text_image, against), Standard(curves.image_image, against))
        return OpenClipEmbedder(running, transform, tokenizer, model_id, standards)

    return embedder(embedder(np.zeros((0, dimension), np.float32)).embed_images(background.pictures()))


def lasting(name: str) -> str:
    """The name by which a model is found from wherever one stands: the path of a checkpoint made absolute."""
    architecture, slash, source = name.partition("/")
    return f"{architecture}/{Path(source).resolve()}" if slash and Path(source).is_file() else name


def preprocess_of(architecture: str, tag: str) -> dict[str, Any]:
    """What the published weights `tag` were trained with, as arguments for open_clip's `create_model_from_pretrained`.

    Weights do not say how pictures must be prepared for them, and open_clip's defaults are those of OpenAI's CLIP.
    Whoever loads published weights from a file passes these, or gets other vectors without a word: SigLIP squashes
    pictures and centres them on 0.5, and some tags need the activation QuickGELU, about which open_clip only warns.
    Empty where the tag is not one of the architecture's, as for a checkpoint of one's own.
    """
    import open_clip

    known: dict[str, Any] = open_clip.get_pretrained_cfg(architecture, tag)
    if not known:
        return {}
    prepared = {f"image_{name}": known.get(name) for name in ("mean", "std", "interpolation", "resize_mode")}
    return prepared | {"force_quick_gelu": bool(known.get("quick_gelu"))}


def _digest(tensors: dict[str, Tensor]) -> str:
    """A sha256 over all weights, the same wherever they came from."""
    whole = hashlib.sha256()
    for key, tensor in sorted(tensors.items()):
        whole.update(f"{key} {tuple(tensor.shape)} {tensor.dtype}".encode())
        whole.update(tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return whole.hexdigest()
