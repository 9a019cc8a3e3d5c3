"""Loads models by the names that people give them."""

import json

import msgspec

from search.embedding import Calibration, ModelId, Models
from search.models import loupe_mini, runtimes
from search.models.clip import OpenClipEmbedder, load_clip
from search.models.sentences import SentenceEmbedder


class Known(msgspec.Struct, frozen=True):
    """A model that can be named in the settings."""

    name: str
    about: str


def known_models() -> list[Known]:
    """Every name that the setting `model` takes: ours, and those of open_clip."""
    from open_clip import list_pretrained

    ours = Known(loupe_mini.NAME, "ships with Loupe, needs no download")
    return [ours, *(Known(f"{name}/{tag}", "open_clip, downloaded at first use") for name, tag in list_pretrained())]


def load_models(name: str = loupe_mini.NAME, runtime: runtimes.Choice = "auto") -> Models:
    """The models by the setting `model`: "loupe-mini", "ARCHITECTURE/TAG" of open_clip, or "ARCHITECTURE/CHECKPOINT".

    CHECKPOINT is the path of a local file. `runtime` says how a model of open_clip runs; loupe-mini runs in float32,
    since its text tower is one with that of passages. Raises ModelUnavailable, with the remedy, when weights cannot be
    had.
    """
    mini = loupe_mini.load()
    calibration = msgspec.convert(json.loads(loupe_mini.REPORT.read_bytes())["calibration"], Calibration)
    text = SentenceEmbedder(
        mini.text, ModelId("all-MiniLM-L6-v2", loupe_mini.TEXT[2], "256 tokens", loupe_mini.DIMENSION), calibration
    )
    if name != loupe_mini.NAME:
        return Models(load_clip(name, runtime), text)
    seen = ModelId(name, loupe_mini.digest(), "260 pixels, bicubic, shortest", loupe_mini.DIMENSION)
    visual = OpenClipEmbedder(
        mini, loupe_mini.transform(), loupe_mini.tokenizer(mini.text), seen, calibration, text.text_space
    )
    return Models(visual, text)
