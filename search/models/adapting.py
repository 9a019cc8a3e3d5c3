"""Fits loupe-mini's heads to an organisation's own words: `loupe model train --from approved`.

Only how pictures are seen is changed, and by as little as will do: a matrix of corrections to the heads' projection,
learned by contrasting the library's pictures with what is approved of them. The text side stays, so passages keep their
vectors, and so does what the model knew: over pictures of the shipped background and over the library's own, the
likeness to the shipped bank of texts is held to what it was (learning without forgetting: Li, Hoiem 2016).

A fifth of the assets, by the hash of their ids, is left out of learning, and the report measures on them: does a name
that only the organisation uses find pictures that the model never saw?
"""

import hashlib
import os
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from search.errors import BadQuery, ModelUnavailable
from search.models import loupe_mini
from search.models.loupe_mini import LoupeMini, tokenizer

STEPS: Final = 240
BATCH: Final = 128
RATE: Final = 3e-4
DECAY: Final = 0.02
SCALE: Final = 20.0
#: What holding on to the old counts beside learning the new.
KEEP: Final = 2.0
LEFT_OUT: Final = 5
"""Every n-th asset is left out."""
FEWEST: Final = 20
"""Assets below this number are too few to learn from and to measure on."""


class Example(msgspec.Struct, frozen=True):
    """An approved asset: what the image tower saw (features [2, 3032], logits [2, 1000]) and what is said of it.

    `names` are what the report asks for: each keyword, and the title.
    """

    id: str
    features: NDArray[np.float32]
    logits: NDArray[np.float32]
    texts: Sequence[str]
    names: Sequence[str]


class Found(msgspec.Struct, frozen=True):
    """How pictures left out are found by the names they bear: the share of names with one among the first five, and
    the mean reciprocal rank of the first, among all pictures left out."""

    names: int
    hit_at_5: float
    mrr: float


class Adaptation(msgspec.Struct, frozen=True):
    """What was learned: `projection` [3032, 768] for the new heads, and what it changes on assets left out."""

    projection: Tensor
    learned_from: int
    left_out: int
    before: Found
    after: Found


def adapt(
    mini: LoupeMini, examples: Sequence[Example], progress: Callable[[int, int], None] = lambda _done, _total: None
) -> Adaptation:
    """Learn from the examples. Raises BadQuery when there are too few."""
    if len(examples) < FEWEST:
        raise BadQuery(
            f"{len(examples)} approved assets with pictures and words are too few to learn from.",
            f"At least {FEWEST} are needed; approve more, or name another collection.",
        )
    out = [one for one in examples if _left_out(one.id)]
    kept = [one for one in examples if not _left_out(one.id)]
    known = {name for one in kept for name in one.names}
    before = _found(mini, out, known)
    base, projection = mini.projection, _learned(mini, kept, progress)
    mini.projection = projection
    after = _found(mini, out, known)
    mini.projection = base
    return Adaptation(projection, len(kept), len(out), before, after)


def _left_out(id: str) -> bool:
    return int.from_bytes(hashlib.sha256(id.encode()).digest()[:4]) % LEFT_OUT == 0


def _learned(mini: LoupeMini, examples: Sequence[Example], progress: Callable[[int, int], None]) -> Tensor:
    """The projection after learning, float32 [3032, 768]."""
    generator = np.random.default_rng(0)
    place = {text: n for n, text in enumerate(dict.fromkeys(text for one in examples for text in one.texts))}
    texts = _said(mini, list(place))
    told = torch.zeros(len(examples), len(place))
    for row, one in enumerate(examples):
        told[row, [place[text] for text in one.texts]] = 1
    own = _seen(examples)
    general = mini.background_features[:, None], mini.background_logits[:, None]
    with torch.no_grad():
        own_before, general_before = (_likeness(mini, mini.see(*seen)) for seen in (own, general))
    base = mini.projection
    change = torch.zeros_like(base, requires_grad=True)
    optimiser = torch.optim.AdamW([change], lr=RATE, weight_decay=DECAY)
    try:
        for step in range(STEPS):
            rows = torch.from_numpy(generator.permutation(len(examples))[:BATCH])
            asked = torch.from_numpy(np.array([generator.choice(np.flatnonzero(told[row])) for row in rows]))
            others = torch.from_numpy(generator.permutation(len(general[0]))[:BATCH])
            mini.projection = base + change
            seen = mini.see(own[0][rows], own[1][rows])
            target = told[rows][:, asked]
            loss = _contrast(SCALE * seen @ texts[asked].T, target)
            loss = loss + KEEP * _moved(own_before[rows], _likeness(mini, seen))
            unlike = mini.see(general[0][others], general[1][others])
            loss = loss + KEEP * _moved(general_before[others], _likeness(mini, unlike))
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            progress(step + 1, STEPS)
    finally:
        mini.projection = base
    return (base + change).detach()


def _contrast(logits: Tensor, told: Tensor) -> Tensor:
    """The symmetric contrastive loss where a text may be true of several pictures, and a picture bear several."""
    across, down = told / told.sum(1, keepdim=True), (told / told.sum(0, keepdim=True)).T
    return (functional.cross_entropy(logits, across) + functional.cross_entropy(logits.T, down)) / 2


def _likeness(mini: LoupeMini, seen: Tensor) -> Tensor:
    """How like each text of the bank pictures are, as log-chances [n, m]."""
    return (SCALE * seen[:, :-1] @ mini.bank.T).log_softmax(dim=-1)


def _moved(before: Tensor, now: Tensor) -> Tensor:
    return functional.kl_div(now, before, reduction="batchmean", log_target=True)


def _seen(examples: Sequence[Example]) -> tuple[Tensor, Tensor]:
    features, logits = (np.stack([getattr(one, name) for one in examples]) for name in ("features", "logits"))
    return torch.from_numpy(features), torch.from_numpy(logits)


def _said(mini: LoupeMini, texts: Sequence[str]) -> Tensor:
    """Vectors [n, d] of texts, in order."""
    tokenize = tokenizer(mini.text)
    with torch.no_grad():
        return torch.cat([mini.encode_text(tokenize(texts[n : n + 64])) for n in range(0, len(texts), 64)])


def _found(mini: LoupeMini, examples: Sequence[Example], known: set[str]) -> Found:
    """Ask for each name that was learned from, among the pictures left out."""
    bearers: dict[str, set[int]] = {}
    for place, one in enumerate(examples):
        for name in known.intersection(one.names):
            bearers.setdefault(name, set()).add(place)
    if not bearers:
        return Found(0, 0.0, 0.0)
    with torch.no_grad():
        orders = (_said(mini, list(bearers)) @ mini.see(*_seen(examples)).T).argsort(dim=1, descending=True).tolist()
    firsts = [
        next(rank for rank, place in enumerate(order) if place in there)
        for order, there in zip(orders, bearers.values(), strict=True)
    ]
    hit, mrr = float(np.mean([first < 5 for first in firsts])), float(np.mean([1 / (1 + first) for first in firsts]))
    return Found(len(firsts), round(hit, 4), round(mrr, 4))


# ---- trained models on disk

_RECORD: Final = "trained.json"
_HEADS: Final = "heads.safetensors"
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,40}")


class Trained(msgspec.Struct, frozen=True):
    """A model fitted here, with its lineage: from which model, of which collections (none: all), from which assets.

    `assets` is a sha256 over the ids and contents that it learned from, `sha256` that of its heads.
    """

    name: str
    parent: str
    collections: tuple[str, ...]
    assets: str
    learned_from: int
    left_out: int
    before: Found
    after: Found
    sha256: str
    trained: datetime


def full_name(name: str) -> str:
    """The name that a model trained under `name` is used by. Raises BadQuery."""
    if not _NAME.fullmatch(name):
        raise BadQuery(
            f"{name!r} is not a name for a model.", "Use small letters, digits and hyphens, as in acme-2026."
        )
    return f"{loupe_mini.NAME}+{name}"


def save(
    directory: Path, name: str, mini: LoupeMini, parent: str, collections: Sequence[str], assets: str, made: Adaptation
) -> Trained:
    """Write the heads and their record; one of the same name is replaced."""
    folder = directory / name
    folder.mkdir(parents=True, exist_ok=True)
    heads = dict(mini.named_buffers(recurse=False)) | {"projection": made.projection}
    aside = folder / f"{_HEADS}.new"
    save_file(loupe_mini.packed(heads), aside)
    record = Trained(
        name,
        parent,
        tuple(collections),
        assets,
        made.learned_from,
        made.left_out,
        made.before,
        made.after,
        hashlib.sha256(aside.read_bytes()).hexdigest(),
        datetime.now(UTC),
    )
    _durable(aside)
    aside.replace(folder / _HEADS)
    (folder / f"{_RECORD}.new").write_bytes(msgspec.json.format(msgspec.json.encode(record)))
    _durable(folder / f"{_RECORD}.new")
    (folder / f"{_RECORD}.new").replace(folder / _RECORD)
    return record


def trained(directory: Path) -> list[Trained]:
    """All that were trained here, by name."""
    return sorted((_read(path) for path in directory.glob(f"*/{_RECORD}")), key=lambda one: one.name)


def heads_of(directory: Path, name: str) -> Path:
    """The verified heads of a trained model. Raises ModelUnavailable."""
    folder = directory / name
    if not (folder / _RECORD).is_file():
        raise ModelUnavailable(f"There is no trained model {name!r} here.", "`loupe model list` prints the names.")
    record = _read(folder / _RECORD)
    path = folder / _HEADS
    if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != record.sha256:
        raise ModelUnavailable(f"{path} is not as it was written.", "Train it again, or copy it from a backup.")
    return path


def _read(path: Path) -> Trained:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Trained)
    except (OSError, msgspec.DecodeError) as error:
        raise ModelUnavailable(f"{path} cannot be read: {error}.", "Delete its folder and train again.") from error


def _durable(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
