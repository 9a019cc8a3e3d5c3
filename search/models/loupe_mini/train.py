"""Makes loupe-mini's heads: `python -m search.models.loupe_mini.train --captioned DIR --classes DIR [--cache FILE]`.

`--captioned` holds `captions.csv` (image, caption) and `images/`; `--classes` holds one photograph for each class of
ImageNet-1k, named so that their order is that of the class logits. Both towers stay frozen: what they make of the
training data is computed once (minutes on two cores) and kept in `--cache`; the heads take a minute.

1,000 photographs are held out, chosen by the hash of their names. Retrieval is measured on them, and so are the curves
that turn a cosine into a chance. What is measured is written to `report.json`, beside `heads.safetensors`.
"""

import csv
import hashlib
import json
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import click
import numpy as np
import torch
from numpy.typing import NDArray
from open_clip import IMAGENET_CLASSNAMES
from PIL import Image
from rich.console import Console
from rich.progress import track
from safetensors.torch import save_file
from sentence_transformers import SentenceTransformer
from torch import Tensor, nn
from torch.nn import functional

from search.models import loupe_mini
from search.models.loupe_mini import DIMENSION, FEATURES, HEADS, REPORT, LoupeMini

HELD_OUT: Final = 1000
EPOCHS: Final = 40
BATCH: Final = 512
#: How many of a batch's pairs are a class photograph with a prompt of its name. Without them the heads forget
#: whatever the captions do not speak of.
CLASS_SHARE: Final = 1 / 3
DROPOUT: Final = 0.75
RATE: Final = 1e-3
DECAY: Final = 0.05
#: The contrastive loss's scale (the inverse of its temperature).
SCALE: Final = 40.0
#: Two photographs count as alike if the vectors of their captions have at least this cosine.
ALIKE: Final = 0.7

PROMPTS: Final = (
    "{}",
    "a photo of a {}",
    "a {} on a white background",
    "a drawing of a {}",
    "a close-up of a {}",
    "a picture with a {} in it",
    "the {} outdoors",
    "many {}s",
)

Floats = NDArray[np.float32]


class Data:
    """What the frozen towers make of the training data.

    `seen`, `logits`: float32 [views, pictures, ·], the second view mirrored; the first `captioned` pictures have
    `captions` (float32 [captions, 384], `caption_of` naming the picture of each), the others are the class photographs.
    """

    def __init__(self, arrays: dict[str, NDArray[Any]]) -> None:
        self.seen: Floats = arrays["seen"]
        self.logits: Floats = arrays["logits"]
        self.captions: Floats = arrays["captions"]
        self.caption_of: NDArray[np.int64] = arrays["caption_of"]
        self.prompts: Floats = arrays["prompts"]
        self.held_out: NDArray[np.bool_] = arrays["held_out"]

    @property
    def captioned(self) -> int:
        return len(self.held_out)


@click.command()
@click.option("--captioned", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True)
@click.option("--classes", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True)
@click.option("--cache", type=click.Path(dir_okay=False, path_type=Path), help="Where to keep the towers' output.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=HEADS.parent, show_default="here")
@click.option("--seed", default=0, show_default=True)
def main(captioned: Path, classes: Path, cache: Path | None, out: Path, seed: int) -> None:
    """Train loupe-mini's heads and measure them on photographs that were held out."""
    if cache and cache.exists():
        data = Data(dict(np.load(cache)))
    else:
        arrays = towers(captioned, classes)
        if cache:
            np.savez(cache, **arrays)  # type: ignore[arg-type]
        data = Data(arrays)
    torch.manual_seed(seed)
    heads = train(data)
    report = measure(data, heads)
    save_file({name: tensor.half().contiguous() for name, tensor in heads.items()}, out / HEADS.name)
    (out / REPORT.name).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    Console().print_json(data=report)


# ---- what the frozen towers see and read


def towers(captioned: Path, classes: Path) -> dict[str, NDArray[Any]]:
    """See and read the training data once."""
    captions: dict[str, list[str]] = defaultdict(list)
    with (captioned / "captions.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            captions[row["image"]].append(row["caption"])
    names = sorted(captions)
    of_classes = sorted((classes / "images").iterdir())
    seen, logits = see([captioned / "images" / name for name in names] + of_classes)
    text = loupe_mini.sentences()
    ordered = sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest())
    held_out = set(ordered[:HELD_OUT])
    return {
        "seen": seen,
        "logits": logits,
        "captions": read(text, [caption for name in names for caption in captions[name]]),
        "caption_of": np.array([place for place, name in enumerate(names) for _ in captions[name]]),
        "prompts": read(text, [p.format(name) for p in PROMPTS for name in IMAGENET_CLASSNAMES]).reshape(
            len(PROMPTS), len(of_classes), DIMENSION
        ),
        "held_out": np.array([name in held_out for name in names]),
    }


def see(paths: Sequence[Path]) -> tuple[Floats, Floats]:
    """Features float32 [2, n, 3032] and logits [2, n, 1000], the second of each of the mirrored picture."""
    net, transform = loupe_mini.sight(), loupe_mini.transform()
    parts: list[tuple[Tensor, Tensor]] = []
    with torch.inference_mode():
        for path in track(paths, "Looking at the photographs"):
            pixels = transform(Image.open(path).convert("RGB"))
            views = torch.stack([pixels, pixels.flip(2)])
            features, logits = loupe_mini.look(net, views)
            parts.append((features[:, None], logits[:, None]))
    return tuple(torch.cat([part[i] for part in parts], dim=1).numpy() for i in (0, 1))  # type: ignore[return-value]


def read(text: SentenceTransformer, texts: Sequence[str]) -> Floats:
    vectors: Floats = text.encode(list(texts), batch_size=128, show_progress_bar=True, normalize_embeddings=True)
    return vectors


# ---- training


class _Heads(nn.Module):
    """The two linear maps. Features start from nothing, classes from what their names mean."""

    def __init__(self, class_names: Tensor) -> None:
        super().__init__()
        self.projection = nn.Parameter(torch.zeros(FEATURES, DIMENSION))
        self.class_vectors = nn.Parameter(class_names.clone())

    def forward(self, standard: Tensor, chances: Tensor) -> Tensor:
        seen = functional.dropout(standard, DROPOUT, self.training)
        return functional.normalize(seen @ self.projection + chances @ self.class_vectors, dim=-1)


def train(data: Data) -> dict[str, Tensor]:
    """The heads: mean and deviation [3032], projection [3032, 384], class_vectors [1000, 384]."""
    kept = np.concatenate([~data.held_out, np.ones(data.seen.shape[1] - data.captioned, bool)])
    usual = torch.from_numpy(data.seen[:, kept].reshape(-1, FEATURES))
    mean, deviation = usual.mean(0), usual.std(0) + 1e-4
    standard = (torch.from_numpy(data.seen) - mean) / deviation
    chances = torch.from_numpy(data.logits).softmax(dim=-1)
    heads = _Heads(torch.from_numpy(data.prompts[0]))
    steps = list(_batches(data))
    optimiser = torch.optim.AdamW(heads.parameters(), lr=RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=len(steps) + 1, pct_start=0.1)
    heads.train()
    for view, pictures, texts, same in track(steps, "Training the heads"):
        image = heads(standard[view, pictures], chances[view, pictures])
        loss = _contrast(image @ texts.T * SCALE, same)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
    found = {"projection": heads.projection.data, "class_vectors": heads.class_vectors.data}
    return {"mean": mean, "deviation": deviation, **found}


def _contrast(logits: Tensor, same: Tensor) -> Tensor:
    """The symmetric contrastive loss (Radford et al. 2021). Pairs that share a picture match each other as well."""
    target = same / same.sum(dim=1, keepdim=True)
    both = functional.cross_entropy(logits, target) + functional.cross_entropy(logits.T, target.T)
    return both / 2


def _batches(data: Data) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """For each step of each epoch: views [b], pictures [b], text vectors [b, 384] and which pairs match [b, b]."""
    usable = np.flatnonzero(~data.held_out[data.caption_of])
    classes = data.prompts.shape[1]
    of_classes = round(BATCH * CLASS_SHARE)
    captions = torch.from_numpy(data.captions)
    prompts = torch.from_numpy(data.prompts)
    generator = np.random.default_rng(torch.initial_seed())
    # A pair per photograph and epoch, with one of its captions: each epoch shows other captions.
    per_epoch = int((~data.held_out).sum()) // (BATCH - of_classes)
    for _ in range(EPOCHS):
        shuffled = generator.permutation(usable)
        for step in range(per_epoch):
            chosen = shuffled[step * (BATCH - of_classes) : (step + 1) * (BATCH - of_classes)]
            named = generator.choice(classes, of_classes, replace=False)
            said = torch.from_numpy(generator.integers(len(PROMPTS), size=of_classes))
            pictures = torch.from_numpy(np.concatenate([data.caption_of[chosen], data.captioned + named]))
            texts = torch.cat([captions[torch.from_numpy(chosen)], prompts[said, torch.from_numpy(named)]])
            views = torch.from_numpy(generator.integers(2, size=len(pictures)))
            yield views, pictures, texts, (pictures[:, None] == pictures[None, :]).float()


# ---- measuring


def measure(data: Data, heads: dict[str, Tensor]) -> dict[str, Any]:
    """Retrieval on the held-out photographs, and the curves from cosine to chance."""
    with torch.inference_mode():
        places = np.flatnonzero(data.held_out)
        model = LoupeMini(nn.Identity(), nn.Identity(), heads)  # type: ignore[arg-type]
        images = model.project(
            torch.from_numpy(data.seen[0, places]), torch.from_numpy(data.logits[0, places]), normalize=True
        ).numpy()
    asked = np.flatnonzero(data.held_out[data.caption_of])
    captions, truth = data.captions[asked], np.searchsorted(places, data.caption_of[asked])
    cosines = captions @ images.T
    rank = (cosines > cosines[np.arange(len(asked)), truth, None]).sum(1)
    by_image = np.stack([captions[truth == place].mean(0) for place in range(len(places))])
    by_image /= np.linalg.norm(by_image, axis=1, keepdims=True)
    alike = by_image @ by_image.T >= ALIKE
    return {
        "model": loupe_mini.NAME,
        "held_out_photographs": len(places),
        "held_out_captions": len(asked),
        "text_to_image_recall": {f"at_{k}": round(float((rank < k).mean()), 4) for k in (1, 5, 10)},
        "calibration": {
            "text_image": curve(cosines, truth[:, None] == np.arange(len(places))),
            "image_image": curve(images @ images.T, alike, itself=True),
            "text_text": curve(captions @ captions.T, truth[:, None] == truth[None, :], itself=True),
        },
    }


def curve(cosines: Floats, match: NDArray[np.bool_], itself: bool = False) -> dict[str, float]:
    """The logistic curve that best tells matches from others (Platt 1999), both given the same weight.

    So its log-odds are a log-likelihood ratio: what the cosine adds to the odds there were before. `itself`: rows and
    columns are the same things, and the diagonal is left out.
    """
    if itself:
        off = ~np.eye(len(cosines), dtype=bool)
        cosines, match = cosines[off], match[off]
    x = torch.from_numpy(cosines.ravel().astype(np.float64))
    y = torch.from_numpy(match.ravel().astype(np.float64))
    weight = torch.where(y > 0, 0.5 / y.sum(), 0.5 / (1 - y).sum())
    line = torch.tensor([10.0, -4.0], dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([line], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        value = functional.binary_cross_entropy_with_logits(x * line[0] + line[1], y, weight, reduction="sum")
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimiser.step(loss)  # type: ignore[no-untyped-call]
    slope, offset = line.tolist()
    return {"midpoint": round(-offset / slope, 4), "slope": round(slope, 4)}


if __name__ == "__main__":
    sys.exit(main())
