"""What models there are: those on this machine, and a choice of open_clip's."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec
import open_clip

from search.models import adapting, loupe_mini
from search.models.store import ModelStore


class Listed(msgspec.Struct, frozen=True):
    """A model that can be named. `state` is "ships", "trained", "pulled" or "can be pulled"; sizes are in bytes."""

    name: str
    state: str
    about: str
    licence: str = ""
    byte_size: int | None = None


#: What to begin with. Figures are COCO's text-to-image recall at 1, as the models' authors publish it.
CHOICE: Final = {
    "ViT-B-32/datacomp_xl_s13b_b90k": "151 M parameters, R@1 37: small and quick",
    "ViT-B-32/laion2b_s34b_b79k": "151 M parameters, R@1 39",
    "ViT-B-32-SigLIP2-256/webli": "377 M parameters, R@1 47; many languages",
    "ViT-B-16-SigLIP2/webli": "375 M parameters, R@1 52; many languages",
    "MobileCLIP2-S2/dfndr2b": "99 M parameters, R@1 49; Apple's licence allows research only",
    "xlm-roberta-base-ViT-B-32/laion5b_s13b_b90k": "366 M parameters; many languages",
}


def listed(directory: Path, *, every: bool = False) -> Iterator[Listed]:
    """loupe-mini, what `directory` holds, and a choice (or `every` one) of what can be pulled."""
    yield Listed(loupe_mini.NAME, "ships", "needs no download", "Apache-2.0", loupe_mini.HEADS.stat().st_size)
    for own in adapting.trained(directory):
        about = f"from {own.learned_from} assets; names found among the first five: {own.before.hit_at_5:.0%} before, "
        yield Listed(own.name, "trained", f"{about}{own.after.hit_at_5:.0%} after", "yours")
    pulled = {one.name: one for one in ModelStore(directory).pulled()}
    for name, one in pulled.items():
        yield Listed(name, "pulled", CHOICE.get(name, f"revision {one.revision[:12]}"), one.licence, one.byte_size)
    names = [f"{architecture}/{tag}" for architecture, tag in open_clip.list_pretrained()]
    for name in names if every else CHOICE:
        if name not in pulled:
            yield Listed(name, "can be pulled", CHOICE.get(name, ""))


class Part(msgspec.Struct, frozen=True):
    """Weights that run here: what they do, where they come from, under which licence, and what they learned from."""

    name: str
    use: str
    source: str
    licence: str
    sha256: str
    training_data: str


#: What open_clip's tags begin with, and the data that their authors name.
_DATA: Final = {
    "openai": "400 M pairs of picture and text from the web, not published",
    "laion2b": "LAION-2B (English)",
    "laion5b": "LAION-5B",
    "laion400m": "LAION-400M",
    "datacomp_xl": "DataComp-1B",
    "datacomp": "DataComp",
    "commonpool": "DataComp's CommonPool",
    "webli": "WebLI, not published",
    "dfndr2b": "DFNDR-2B",
    "dfn": "DFN (filtered by a network)",
    "metaclip": "MetaCLIP's pairs from Common Crawl",
    "yfcc15m": "YFCC-15M",
    "cc12m": "Conceptual 12M",
}


def provenance(name: str, directory: Path) -> Iterator[Part]:
    """The weights that the model `name` stands for, and those of every other model in `directory`."""
    sight, text = (f"Python package {part[0]}, {part[1]}" for part in (loupe_mini.SIGHT, loupe_mini.TEXT))
    yield Part("all-MiniLM-L6-v2", "reads", text, "Apache-2.0", loupe_mini.TEXT[2], "1 billion pairs of sentences")
    heads = hashlib.sha256(loupe_mini.HEADS.read_bytes()).hexdigest()
    yield Part("EfficientNet-Lite2", "sees, in loupe-mini", sight, "Apache-2.0", loupe_mini.SIGHT[2], "ImageNet-1k")
    yield Part(
        "loupe-mini's heads",
        "join the two",
        "ship with Loupe",
        "Apache-2.0",
        heads,
        "6,091 captioned photographs of Flickr8k and 800 of ImageNet-1k (research terms), Open Clip Art (public "
        "domain), WordNet's words; see MODEL_CARD.md",
    )
    for own in adapting.trained(directory):
        of = ", ".join(own.collections) or "all collections"
        learned = f"{own.learned_from} approved assets of {of} (sha256 {own.assets}), {own.trained:%Y-%m-%d}"
        use = "join the two" if own.name == name else "here, not in use"
        yield Part(own.name, use, f"trained here from {own.parent}", "yours", own.sha256, learned)
    for one in ModelStore(directory).pulled():
        source = f"{one.repository} at {one.revision}, {one.file}"
        use = "sees" if one.name == name else "here, not in use"
        yield Part(one.name, use, source, one.licence, one.sha256, _learned_from(one.name))
    architecture, _, file = name.partition("/")
    if Path(file).is_file():
        with Path(file).open("rb") as opened:
            found = hashlib.file_digest(opened, "sha256").hexdigest()
        yield Part(f"{architecture}, a checkpoint", "sees", file, "not known", found, "not known")


def _learned_from(name: str) -> str:
    tag = name.partition("/")[2]
    return next((data for start, data in _DATA.items() if tag.startswith(start)), "not known: see its repository")
