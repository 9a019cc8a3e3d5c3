"""Ways to run an open_clip model on a processor, and the choice among them: the fastest that keeps the vectors.

Two are kept, by measurement (`python -m benchmarks.runtimes` prints it anew):

* float32 is the reference.
* bfloat16 halves the weights. A ViT-B-32 sees twice as fast with it where the processor has instructions for it, and
  vectors keep within a cosine of 0.9999. That is no law: the trained pictures' tower of loupe-mini, a convolutional
  network, falls to 0.990. So each model is tried when it is loaded.

Both read a query three to four times as fast for cutting texts after their end, where that is exact.

Weights of 8 bits (ONNX Runtime, dynamic quantisation) are quicker still, 3.4 times float32, but not sound: on trained
weights, the texts' tower of loupe-mini, cosines fall to 0.988 with a scale per channel and to 0.948 without, and 9 and
17 of a hundred nearest neighbours change. Random weights hide this; they have none of the outliers that trained ones
have (Dettmers et al. 2022). Besides it takes half a minute to export a ViT-B-32, and three packages.

Whichever runs, a vector keeps within `SOUND` of the one that float32 gives. So vectors of different runtimes are
compared freely, a library keeps its vectors when it moves to another machine, and a ModelId does not name the runtime.
"""

import copy
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import inf
from time import perf_counter
from typing import Any, Final, Literal

import msgspec
import numpy as np
import torch
from open_clip.model import CLIP, CustomTextCLIP
from open_clip.transformer import TextTransformer, Transformer
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from search.errors import ModelUnavailable

_log = logging.getLogger(__name__)

Runtime = Literal["float32", "bfloat16"]
Choice = Literal["auto", "float32", "bfloat16"]

#: The smallest cosine to float32 with which a runtime is used.
SOUND: Final = 0.999

_TYPES: Final[Mapping[Runtime, torch.dtype]] = {"float32": torch.float32, "bfloat16": torch.bfloat16}

#: What processors call their instructions for bfloat16, as `torch.cpu.get_capabilities` has it. Without them torch
#: converts back and forth, which takes longer than float32.
_BFLOAT16: Final = ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16")

_PROBES: Final = (
    "a dog",
    "two children on a beach at sunset, seen from behind",
    "ein Schild, auf dem steht: 50 % Rabatt",
    "工場の内部",
)


class Running:
    """An open_clip model as it runs in one way, with open_clip's interface: float32 goes in, float32 comes out."""

    def __init__(self, model: Any, runtime: Runtime) -> None:
        self.runtime = runtime
        self._type = _TYPES[runtime]
        self._model: Any = model if runtime == "float32" else _positions_first(_converted(model, self._type))

    def encode_image(self, pixels: Tensor) -> Tensor:
        """Pixels float32 [n, 3, height, width] to vectors float32 [n, d]."""
        vectors: Tensor = self._model.encode_image(pixels.to(self._type))
        return vectors.float()

    def encode_text(self, tokens: Tensor) -> Tensor:
        """Token ids int64 [n, length] to vectors float32 [n, d]."""
        vectors: Tensor = encode_trimmed(self._model, tokens)
        return vectors.float()


class Verdict(msgspec.Struct, frozen=True):
    """What came of trying a runtime: its smallest cosine to float32, and the seconds for a few pictures and texts."""

    runtime: Runtime
    cosine: float
    seconds: float


def one_thread() -> None:
    """Have models run in the thread that calls them, as suits a server, which answers several people at once.

    A second thread makes the few tokens of a query no quicker to read, nor a picture to see, and takes its processor
    from somebody else.
    """
    torch.set_num_threads(1)


def available() -> Sequence[Runtime]:
    """The runtimes that this processor has instructions for, float32 first."""
    able = torch.cpu.get_capabilities()
    return ("float32", "bfloat16") if any(able.get(name) for name in _BFLOAT16) else ("float32",)


def running(
    model: Any,
    transform: Callable[[Image.Image], Tensor],
    tokenizer: Callable[[Sequence[str]], Tensor],
    choice: Choice = "auto",
) -> Running:
    """The model, run as chosen; "auto" is the fastest sound way. Raises ModelUnavailable if that chosen is unsound.

    To compare costs two passes over four pictures and four texts in each way, and is done where there is a choice.
    """
    wanted = available() if choice == "auto" else (choice,)
    reference = Running(model, "float32")
    others = [Running(model, name) for name in wanted if name != "float32"]
    if not others:
        return reference
    return fastest_sound([reference, *others], *_probe(transform, tokenizer), demanded=choice != "auto")


def fastest_sound(candidates: Sequence[Running], pixels: Tensor, tokens: Tensor, *, demanded: bool = False) -> Running:
    """The fastest of the candidates whose vectors are those of the first one, within `SOUND`.

    If `demanded`, the last one is meant whatever its speed, and ModelUnavailable is raised if it is not sound.
    """
    reference = _vectors(candidates[0], pixels, tokens)
    verdicts = [_tried(candidate, pixels, tokens, reference) for candidate in candidates]
    sound = [pair for pair in zip(verdicts, candidates, strict=True) if pair[0].cosine >= SOUND]
    for verdict in verdicts:
        _log.debug("Runtime %s: cosine %.6f, %.3f s.", verdict.runtime, verdict.cosine, verdict.seconds)
    if demanded:
        if verdicts[-1].cosine < SOUND:
            raise ModelUnavailable(
                f"With {verdicts[-1].runtime} this model's vectors are not those of float32: "
                f"the smallest cosine is {verdicts[-1].cosine:.4f}, below {SOUND}.",
                'Set runtime to "auto" or "float32".',
            )
        return candidates[-1]
    verdict, best = min(sound, key=lambda pair: pair[0].seconds)
    _log.info("The model runs in %s (cosine to float32 %.6f).", verdict.runtime, verdict.cosine)
    return best


def _tried(candidate: Running, pixels: Tensor, tokens: Tensor, reference: Tensor) -> Verdict:
    try:
        vectors = _vectors(candidate, pixels, tokens)  # the first pass warms up
        smallest = float((vectors * reference).sum(dim=-1).min().nan_to_num(nan=-1.0))
    except RuntimeError as error:  # torch has no such operation for these types, or too little memory
        _log.warning("The model does not run in %s: %s.", candidate.runtime, error)
        return Verdict(candidate.runtime, -1.0, inf)
    start = perf_counter()
    _vectors(candidate, pixels, tokens)
    return Verdict(candidate.runtime, smallest, perf_counter() - start)


def _vectors(candidate: Running, pixels: Tensor, tokens: Tensor) -> Tensor:
    with torch.inference_mode():
        both = [candidate.encode_image(pixels), candidate.encode_text(tokens)]
        return torch.cat([functional.normalize(vectors, dim=-1) for vectors in both])


def _probe(
    transform: Callable[[Image.Image], Tensor], tokenizer: Callable[[Sequence[str]], Tensor]
) -> tuple[Tensor, Tensor]:
    return torch.stack([transform(picture) for picture in patterns()]), tokenizer(_PROBES)


def patterns() -> Iterable[Image.Image]:
    """Four pictures, 320 x 240, always the same: soft colours, hard edges, rings, and grain over a gradient."""
    y, x = np.mgrid[0:240, 0:320].astype(np.float64)
    across, down = x / 320, y / 240
    soft = np.stack([across, down, 1 - across], axis=-1)
    edges = np.stack([(x // 40 + y // 40) % 2, (x // 64) % 2, (y // 24) % 2], axis=-1)
    rings = np.stack([0.5 + 0.5 * np.sin(np.hypot(x - 160, y - 120) / pace) for pace in (3, 7, 15)], axis=-1)
    grain = np.clip(soft + np.random.default_rng(0).normal(0, 0.15, soft.shape), 0, 1)
    return [Image.fromarray((255 * one).round().astype(np.uint8)) for one in (soft, edges, rings, grain)]


def _converted(model: nn.Module, to: torch.dtype) -> nn.Module:
    """A copy with other weights; there is never a second one of the old."""
    tensors = [*model.parameters(), *model.buffers()]
    shared: dict[int, Any] = {}
    for tensor in tensors:
        if tensor.is_floating_point():
            converted = tensor.detach().to(to)
            parameter = isinstance(tensor, nn.Parameter)
            shared[id(tensor)] = nn.Parameter(converted, requires_grad=False) if parameter else converted
    return copy.deepcopy(model, shared)


def _positions_first(model: Any) -> Any:
    """The same model, its text transformer handing on [length, n, width] in place of [n, length, width].

    The other way round, torch multiplies a strided tensor with a copy of the weights for each position, in bfloat16 and
    under a mask: four texts in a batch then take seven times as long. Pictures have no mask and are none the slower.
    """
    for name, module in model.named_modules():
        if type(module) is Transformer and not name.startswith("visual."):
            attentions = [block.attn for block in module.resblocks]
            if all(isinstance(one, nn.MultiheadAttention) for one in attentions):  # open_clip's own takes no such order
                for part in (module, *attentions):
                    part.batch_first = False
    return model


# ---- texts cut after their end


def encode_trimmed(model: Any, tokens: Tensor) -> Tensor:
    """`model.encode_text(tokens)` without the padding behind the longest text, which costs as much as text.

    Padding is left out where that changes nothing: where no token sees a later one (a causal mask) and the vector is
    that of the end token. So it is for CLIP's own text tower (Radford et al. 2021), and not for towers that look both
    ways or take the last position, as SigLIP's do, nor for those of other libraries. These get their tokens whole.
    """
    if isinstance(model, CLIP) and _ends(model.attn_mask, model.text_pool_type):
        length = _length(tokens, model.text_pool_type, model.text_eos_id)
        vectors: Tensor = _shortened(model, length).encode_text(tokens[:, :length])
    elif isinstance(model, CustomTextCLIP) and _custom(model.text):
        length = _length(tokens, model.text.pool_type, model.text.eos_id)
        vectors = _shortened(model.text, length)(tokens[:, :length])
    else:
        vectors = model.encode_text(tokens)
    return vectors


def _custom(tower: Any) -> bool:
    own = isinstance(tower, TextTransformer) and tower.cls_emb is None and not tower.output_tokens
    return own and _ends(tower.attn_mask, tower.pool_type)


def _ends(mask: Tensor | None, pool: str) -> bool:
    return mask is not None and pool in ("argmax", "eos")


def _length(tokens: Tensor, pool: str, end: int) -> int:
    """How many tokens the longest text has, its end token counted."""
    ends = tokens if pool == "argmax" else (tokens == end).int()
    return int(ends.argmax(dim=-1).max()) + 1


def _shortened(tower: Any, length: int) -> Any:
    """The tower for texts of `length` tokens: the same weights, fewer positions. The tower itself stays as it is."""
    shorter = copy.copy(tower)
    shorter._parameters = tower._parameters | {"positional_embedding": tower.positional_embedding[:length]}
    shorter._buffers = tower._buffers | {"attn_mask": tower.attn_mask[:length, :length]}
    return shorter
