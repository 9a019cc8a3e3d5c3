"""Makes loupe-mini's heads: `python -m search.models.loupe_mini.train --captioned DIR --classes DIR --drawings DIR …`.

`search.models.loupe_mini.data` says what lies in the folders. Both towers stay frozen: what they make of the training
data is computed once (an hour on two cores) and kept in `--cache`; the heads take minutes.

1,000 photographs and the photographs of 200 classes are left out, chosen by the hash of their names. Retrieval is
measured on them, and so are the curves that turn a cosine into evidence. What is measured is written to `report.json`,
beside `heads.safetensors`.
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import click
import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from search.embedding import Curve, Standard
from search.models import loupe_mini
from search.models.loupe_mini import FEATURES, HEADS, HIDDEN, MEMBER, MEMBERS, REPORT, WORDS, LoupeMini, Read, data
from search.models.sentences import asked, told

EPOCHS: Final = 50
#: How many pairs of each source a batch holds. Without classes and drawings the heads forget whatever the captions do
#: not speak of.
BATCH: Final[Mapping[str, int]] = {"captioned": 512, "classes": 160, "drawings": 160}
DROPOUT: Final = 0.6
INNER_DROPOUT: Final = 0.5
TEXT_DROPOUT: Final = 0.1
RATE: Final = 1e-3
DECAY: Final = 0.05
TEXT_DECAY: Final = 0.01
#: The contrastive loss's scale (the inverse of its temperature).
SCALE: Final = 20.0
#: What the classes count beside the head while it learns: less than later, so that it learns what they know as well.
CLASS_SHARE: Final = 0.35
#: Texts whose sentence vectors have at least this cosine say the same and are no counterexamples of each other.
SAME: Final = 0.95
#: Two photographs count as alike if the mean vectors of their captions have at least this cosine.
ALIKE: Final = 0.7
#: Texts that nearness is taken from, of each source, and pictures of the background.
BANK: Final = 2000
BACKGROUND: Final = 512

Floats = NDArray[np.float32]


class Looked(msgspec.Struct, frozen=True):
    """What the frozen towers make of a source.

    `features` [views, pictures, 3032] and `logits` [views, pictures, 1000] of the pictures; `sentences` [texts, 384]
    and `layers` [texts, 1152] of the texts, float16 all, and their `lengths` in tokens; `text_of` names the picture of
    each text, in order; `left_out` the pictures kept for measuring.
    """

    features: NDArray[np.float16]
    logits: NDArray[np.float16]
    sentences: NDArray[np.float16]
    layers: NDArray[np.float16]
    lengths: NDArray[np.int64]
    text_of: NDArray[np.int64]
    left_out: NDArray[np.bool_]

    @property
    def kept(self) -> NDArray[np.int64]:
        """The pictures to learn from."""
        return np.flatnonzero(~self.left_out)

    def read(self, texts: NDArray[np.int64]) -> Read:
        """What `LoupeMini.say` makes vectors of, for the texts in these places."""
        return Read(
            torch.from_numpy(self.sentences[texts]).float(),
            torch.from_numpy(self.layers[texts]).float(),
            torch.from_numpy(self.lengths[texts]),
        )


_FOLDER: Final = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command()
@click.option("--captioned", type=_FOLDER, required=True, help="Photographs with captions.")
@click.option("--classes", type=_FOLDER, required=True, help="A photograph for each class of ImageNet-1k.")
@click.option("--wordnet", type=_FOLDER, required=True, help="WordNet's data files.")
@click.option("--drawings", type=_FOLDER, required=True, help="The Open Clip Art Library: png/ and svg/.")
@click.option(
    "--apart", type=click.Path(exists=True, path_type=Path), required=True, help="Credits of what is measured on."
)
@click.option("--cache", type=click.Path(file_okay=False, path_type=Path), help="Where to keep the towers' output.")
@click.option("--out", type=_FOLDER, default=HEADS.parent, show_default="here", help="Where to write the heads.")
@click.option("--seed", default=0, show_default=True)
def main(
    captioned: Path,
    classes: Path,
    wordnet: Path,
    drawings: Path,
    apart: Path,
    cache: Path | None,
    out: Path,
    seed: int,
) -> None:
    """Train loupe-mini's heads and measure them on photographs that were left out."""
    sources = {
        "captioned": data.captioned(captioned),
        "classes": data.classes(classes, wordnet),
        "drawings": data.drawings(drawings, apart),
    }
    looked = {name: _cached(name, source, cache) for name, source in sources.items()}
    kept = loupe_mini.packed(train(looked, seed))
    report = measure(looked, loupe_mini.unpacked(kept))
    save_file(kept, out / HEADS.name)
    (out / REPORT.name).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    Console().print_json(data=report)


# ---- what the frozen towers see and read


def _cached(name: str, source: data.Source, cache: Path | None) -> Looked:
    path = cache / f"{name}.npz" if cache else None
    if path and path.is_file():
        return Looked(**np.load(path))
    looked = look(source)
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, **msgspec.structs.asdict(looked))
    return looked


def look(source: data.Source) -> Looked:
    """See and read a source once."""
    model = LoupeMini(loupe_mini.sight(), loupe_mini.sentences(), {})
    pixels = loupe_mini.pixels()
    features: list[Tensor] = []
    logits: list[Tensor] = []
    with torch.inference_mode():
        for views in track(data.viewed(source), "Looking at the pictures", len(source.paths)):
            seen = loupe_mini.look(model.sight, torch.stack([pixels(view) for view in views]))
            features.append(seen[0].half())
            logits.append(seen[1].half())
    sentences, layers, lengths = read(model, [text for texts in source.texts for text in texts])
    return Looked(
        torch.stack(features, dim=1).numpy(),
        torch.stack(logits, dim=1).numpy(),
        sentences.half().numpy(),
        layers.half().numpy(),
        lengths.numpy(),
        np.array([place for place, texts in enumerate(source.texts) for _ in texts], np.int64),
        np.array([place in source.left_out for place in range(len(source.paths))]),
    )


def read(model: LoupeMini, texts: Sequence[str]) -> Read:
    """What the text tower makes of texts, those of like length read together."""
    tokenize = loupe_mini.tokenizer(model.text)
    order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
    whole = Read(torch.zeros(len(texts), WORDS), torch.zeros(len(texts), 3 * WORDS), torch.zeros(len(texts)).long())
    with torch.inference_mode():
        for start in track(range(0, len(order), 128), "Reading the texts"):
            places = order[start : start + 128]
            for kept, made in zip(whole, model.read(tokenize([texts[place] for place in places])), strict=True):
                kept[places] = made
    return whole


# ---- training


class _Member(nn.Module):
    """The maps of one head. Features start from nothing, classes from what their names mean.

    Beside the linear map of features stands a layer that bends, which adds what no linear map can.
    """

    def __init__(self, class_names: Tensor) -> None:
        super().__init__()
        text = torch.empty(loupe_mini.TEXT_FEATURES, MEMBER)
        nn.init.orthogonal_(text)
        self.projection = nn.Parameter(torch.zeros(FEATURES, MEMBER))
        self.class_projection = nn.Parameter(loupe_mini.SENTENCE_WEIGHT * class_names @ text[:WORDS])
        self.text_projection = nn.Parameter(text)
        bound = FEATURES**-0.5
        self.inner = nn.Parameter(torch.empty(FEATURES, HIDDEN).uniform_(-bound, bound))
        self.inner_bias = nn.Parameter(torch.empty(HIDDEN).uniform_(-bound, bound))
        self.outer = nn.Parameter(torch.zeros(HIDDEN, MEMBER))

    def see(self, standard: Tensor, chances: Tensor) -> Tensor:
        seen = functional.dropout(standard, DROPOUT)
        inner = functional.dropout(functional.gelu(seen @ self.inner + self.inner_bias), INNER_DROPOUT)
        heads = seen @ self.projection + inner @ self.outer + chances @ self.class_projection
        return functional.normalize(heads, dim=-1)

    def say(self, standard: Tensor) -> Tensor:
        return functional.normalize(functional.dropout(standard, TEXT_DROPOUT) @ self.text_projection, dim=-1)


def train(looked: Mapping[str, Looked], seed: int = 0) -> dict[str, Tensor]:
    """The heads, as `LoupeMini` takes them."""
    heads = fixed(looked)
    members = [_member(looked, heads, MEMBERS * seed + number) for number in range(MEMBERS)]
    heads |= {name: torch.cat([member[name] for member in members], dim=-1) for name in members[0]}
    return heads | reference(looked, heads)


def _member(looked: Mapping[str, Looked], heads: Mapping[str, Tensor], seed: int) -> dict[str, Tensor]:
    torch.manual_seed(seed)
    names = heads["class_names"]
    model = _Member(names)
    steps = EPOCHS * (len(looked["captioned"].kept) // BATCH["captioned"])
    optimiser = torch.optim.AdamW(
        [
            {
                "params": [model.projection, model.class_projection, model.inner, model.inner_bias, model.outer],
                "weight_decay": DECAY,
            },
            {"params": [model.text_projection], "weight_decay": TEXT_DECAY},
        ],
        lr=RATE,
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps + 1, pct_start=0.1)
    for features, logits, said in track(_batches(looked, steps, seed), "Training a head", steps):
        standard = (features - heads["mean"]) / heads["deviation"]
        chances = logits.softmax(dim=-1)
        sentences = said.sentence
        cosines = model.see(standard, chances) @ model.say(loupe_mini.text_features(heads, said)).T
        # The classes' part of the vectors is fixed; beside it the heads learn what it lacks.
        cosines = cosines + CLASS_SHARE * functional.normalize(chances @ names, dim=-1) @ sentences.T
        loss = _contrast(SCALE * cosines, (sentences @ sentences.T > SAME).float())
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
    return {name: parameter.detach() for name, parameter in model.named_parameters()}


def fixed(looked: Mapping[str, Looked]) -> dict[str, Tensor]:
    """What is not learned: how features are standardised, and what the class names mean."""
    pictures = [torch.from_numpy(one.features[0, one.kept]).float() for one in looked.values()]
    seen = torch.cat(pictures)
    layers = torch.from_numpy(looked["captioned"].layers).float()
    classes = looked["classes"]
    return {
        "mean": seen.mean(dim=0),
        "deviation": seen.std(dim=0) + 1e-4,
        "text_mean": layers.mean(dim=0),
        "text_deviation": layers.std(dim=0) + 1e-4,
        "class_names": _class_names(classes),
    }


def _class_names(classes: Looked) -> Tensor:
    """What classes mean [1000, 384]: between a class's name, its first text, and the mean of all that is said of it."""
    sentences = torch.from_numpy(classes.sentences).float()
    of = torch.from_numpy(classes.text_of)
    names = sentences[_first(classes)]
    told = functional.normalize(torch.zeros_like(names).index_add(0, of, sentences), dim=-1)
    return functional.normalize(names + told, dim=-1)


def reference(looked: Mapping[str, Looked], heads: dict[str, Tensor]) -> dict[str, Tensor]:
    """What the vectors are held against: texts to take nearness from, and the backgrounds of the standards."""
    chosen = [_evenly(np.flatnonzero(~one.left_out[one.text_of]), BANK) for one in looked.values()]
    texts = [one.read(places) for one, places in zip(looked.values(), chosen, strict=True)]
    said = torch.cat([text.sentence for text in texts])
    model = LoupeMini(nn.Identity(), nn.Identity(), heads)  # type: ignore[arg-type]
    model.bank = torch.cat([torch.cat([model.say_heads(text) for text in texts]), said], dim=1)
    pictures = [(one, _evenly(one.kept, -(-BACKGROUND // len(looked)))) for one in looked.values()]
    return {
        "bank": model.bank,
        "background_features": torch.cat([torch.from_numpy(one.features[0, places]) for one, places in pictures]),
        "background_logits": torch.cat([torch.from_numpy(one.logits[0, places]) for one, places in pictures]),
        "background_texts": said[torch.from_numpy(_evenly(np.arange(len(said)), BACKGROUND))],
    }


def _first(one: Looked) -> NDArray[np.int64]:
    """The place of each picture's first text."""
    return np.searchsorted(one.text_of, np.arange(len(one.left_out)))


def _evenly(places: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    return places[np.linspace(0, len(places) - 1, min(count, len(places))).astype(np.int64)]


def _contrast(logits: Tensor, same: Tensor) -> Tensor:
    """The symmetric contrastive loss (Radford et al. 2021). Pairs that say the same match each other as well."""
    target = same / same.sum(dim=1, keepdim=True)
    both = functional.cross_entropy(logits, target) + functional.cross_entropy(logits.T, target.T)
    return both / 2


def _batches(looked: Mapping[str, Looked], steps: int, seed: int) -> Iterator[tuple[Tensor, Tensor, Read]]:
    """For each step features [b, 3032], logits [b, 1000] and what was read of b texts that belong together.

    A pair is a picture in one of its views and one of its texts; no picture comes twice in a batch.
    """
    generator = np.random.default_rng(seed)
    for _ in range(steps):
        parts = [
            _pairs(one, generator.choice(one.kept, BATCH[name], replace=False), generator)
            for name, one in looked.items()
        ]
        features, logits, said = zip(*parts, strict=True)
        yield torch.cat(features), torch.cat(logits), Read(*map(torch.cat, zip(*said, strict=True)))


def _pairs(one: Looked, pictures: NDArray[np.int64], generator: np.random.Generator) -> tuple[Tensor, Tensor, Read]:
    views = generator.integers(len(one.features), size=len(pictures))
    first, last = np.searchsorted(one.text_of, pictures), np.searchsorted(one.text_of, pictures, side="right")
    features, logits = (torch.from_numpy(array[views, pictures]).float() for array in (one.features, one.logits))
    return features, logits, one.read(generator.integers(first, last))


# ---- measuring


def measure(looked: Mapping[str, Looked], heads: dict[str, Tensor]) -> dict[str, Any]:
    """Retrieval on the photographs that were left out, classification of the classes', and the curves."""
    model = LoupeMini(nn.Identity(), nn.Identity(), heads)  # type: ignore[arg-type]
    photographs, classes = looked["captioned"], looked["classes"]
    places = np.flatnonzero(photographs.left_out)
    captioned = np.flatnonzero(photographs.left_out[photographs.text_of])
    truth = np.searchsorted(places, photographs.text_of[captioned])
    with torch.inference_mode():
        images = _seen(model, photographs, places).numpy()
        said = photographs.read(captioned)
        captions, words = model.say(said, normalize=True).numpy(), said.sentence.numpy()
    cosines = captions @ images.T
    pictures, texts = model.background().numpy(), model.background_texts.numpy()
    by_image = np.stack([words[truth == place].mean(0) for place in range(len(places))])
    by_image /= np.linalg.norm(by_image, axis=1, keepdims=True)
    return {
        "model": loupe_mini.NAME,
        "left_out_photographs": len(places),
        "left_out_captions": len(captioned),
        "left_out_classes": int(classes.left_out.sum()),
        "text_to_image_recall": _recall(cosines, truth, (1, 5, 10)),
        "zero_shot": _zero_shot(model, classes),
        "curves": {
            "text_image": curve(standardised(captions, images, pictures), truth[:, None] == np.arange(len(places))),
            "image_image": curve(standardised(images, images, pictures), by_image @ by_image.T >= ALIKE, itself=True),
            "text_text": curve(
                standardised(asked(words), told(words, texts), told(texts, texts)),
                truth[:, None] == truth[None, :],
                itself=True,
            ),
        },
    }


def _seen(model: LoupeMini, one: Looked, places: NDArray[np.int64]) -> Tensor:
    """Vectors float32 [n, d] of pictures, by their first two views: the whole or the middle, and a mirrored one."""
    parts = np.array_split(places, -(-len(places) // 256))
    with torch.inference_mode():
        return torch.cat([_of(model, one, part) for part in parts])


def _of(model: LoupeMini, one: Looked, places: NDArray[np.int64]) -> Tensor:
    features, logits = (torch.from_numpy(array[:2, places]).float() for array in (one.features, one.logits))
    return model.see(features.transpose(0, 1), logits.transpose(0, 1), normalize=True)


def _zero_shot(model: LoupeMini, classes: Looked) -> dict[str, float]:
    """How often the right one of 1,000 class names is among the first, for classes whose photographs were left out."""
    places = np.flatnonzero(classes.left_out)
    first = _first(classes)
    with torch.inference_mode():
        # A class's first two texts are its name, and "a photo of a" and its name.
        named, photo_of = (model.say(classes.read(first + k)) for k in (0, 1))
        names = functional.normalize(named + photo_of, dim=-1).numpy()
        return _recall(_seen(model, classes, places).numpy() @ names.T, places, (1, 5))


def _recall(cosines: Floats, truth: NDArray[np.int64], depths: Sequence[int]) -> dict[str, float]:
    rank = (cosines > cosines[np.arange(len(truth)), truth, None]).sum(axis=1)
    return {f"at_{k}": round(float((rank < k).mean()), 4) for k in depths}


def standardised(queries: Floats, items: Floats, against: Floats) -> Floats:
    """Cosines float32 [q, n] in standard deviations over each query's cosines with a background."""
    units = [Standard(Curve(0.0, 1.0), against).of(query) for query in queries]
    middle, slope = (
        np.array([getattr(one, name) for one in units], np.float32)[:, None] for name in ("midpoint", "slope")
    )
    found: Floats = (queries @ items.T - middle) * slope
    return found


def curve(scores: Floats, match: NDArray[np.bool_], itself: bool = False) -> dict[str, float]:
    """The logistic curve that best tells matches from others (Platt 1999), both given the same weight.

    So its log-odds are a log-likelihood ratio: what the score adds to the odds there were before. `itself`: rows and
    columns are the same things, and the diagonal is left out.
    """
    if itself:
        off = ~np.eye(len(scores), dtype=bool)
        scores, match = scores[off], match[off]
    x = torch.from_numpy(scores.ravel().astype(np.float64))
    y = torch.from_numpy(match.ravel().astype(np.float64))
    weight = torch.where(y > 0, 0.5 / y.sum(), 0.5 / (1 - y).sum())
    line = torch.tensor([1.0, -2.0], dtype=torch.float64, requires_grad=True)
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
