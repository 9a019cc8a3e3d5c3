"""Loads models by the names that people give them."""

import json
from collections.abc import Sequence
from pathlib import Path
from threading import Lock

import msgspec
import torch

from search.embedding import Calibration, Curves, ModelId, Models, Standard, Vectors
from search.models import adapting, loupe_mini, runtimes
from search.models.clip import OpenClipEmbedder, load_clip
from search.models.loupe_mini import LoupeMini
from search.models.sentences import SentenceEmbedder, asked
from search.models.store import ModelStore


class _Mini(Models, frozen=True):
    """loupe-mini and the sentence model share a text tower, so a query is read once for both."""

    mini: LoupeMini
    lock: Lock

    def read_all(self, texts: Sequence[str]) -> tuple[Vectors, Vectors]:
        with self.lock, torch.inference_mode():  # the tokenizer keeps state between calls
            read = self.mini.read(loupe_mini.tokenizer(self.mini.text)(texts))
            return self.mini.say(read, normalize=True).numpy(), asked(read.sentence.numpy())


def load_models(
    name: str = loupe_mini.NAME, directory: Path = Path("models"), runtime: runtimes.Choice = "auto"
) -> Models:
    """The models by name: "loupe-mini", "loupe-mini+NAME" as trained here, "ARCHITECTURE/TAG" as pulled, or
    "ARCHITECTURE/FILE".

    FILE is the path of a checkpoint; `directory` holds what was pulled and trained. `runtime` says how a model of
    open_clip runs; loupe-mini runs in float32, since its text tower is one with that of passages. Raises
    ModelUnavailable, with the remedy, when weights cannot be had.
    """
    ours = name == loupe_mini.NAME or name.startswith(f"{loupe_mini.NAME}+")
    heads = adapting.heads_of(directory, name) if ours and name != loupe_mini.NAME else loupe_mini.HEADS
    mini = loupe_mini.load(heads)
    curves = msgspec.convert(json.loads(loupe_mini.REPORT.read_bytes())["curves"], Curves)
    bank = mini.background_texts.numpy()
    text = SentenceEmbedder(mini.text, loupe_mini.TEXT[2], "256 tokens", bank, curves.text_text)
    if not ours:
        return Models(load_clip(name, curves, ModelStore(directory), runtime), text)
    sees = ModelId(name, loupe_mini.digest(heads), loupe_mini.PREPROCESSING, loupe_mini.DIMENSION)
    background = mini.background().numpy()
    calibration = Calibration(Standard(curves.text_image, background), Standard(curves.image_image, background))
    visual = OpenClipEmbedder(mini, loupe_mini.transform(), loupe_mini.tokenizer(mini.text), sees, calibration)
    return _Mini(visual, text, mini, Lock())
