"""What an organisation has approved of its pictures, as examples to learn from."""

import hashlib
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from threading import Event

import torch
from PIL import Image

from indexer import facts
from indexer.pipeline import Progress
from search.library import Library
from search.models.adapting import Example
from search.models.loupe_mini import LoupeMini, look, transform
from search.types import Asset, SegmentKind, Status

#: The preview that pictures are taken from, by its long side.
_PREVIEW = 640


def approved(library: Library, collections: Collection[str]) -> list[Asset]:
    """The approved pictures of the collections (none: of all), with a preview and with words of their own."""
    return [
        asset
        for asset in library.catalog.every_asset()
        if asset.status is Status.approved
        and (not collections or asset.collection in collections)
        and any(one.kind is SegmentKind.image for one in library.catalog.segments_of(asset.ordinal))
        and library.renditions.preview(asset.content_hash, _PREVIEW).is_file()
        and texts_of(asset)
    ]


def digest(assets: Collection[Asset]) -> str:
    """A sha256 over ids, contents and words: which examples these were."""
    lines = (f"{one.id} {one.content_hash} {texts_of(one)}" for one in sorted(assets, key=lambda one: one.id))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def texts_of(asset: Asset) -> tuple[str, ...]:
    """What is said of an asset. A title made of the file's name says nothing."""
    title = "" if asset.title == facts.title_of(Path(asset.path)) else asset.title
    return tuple(dict.fromkeys(filter(None, (title, asset.description, asset.alt_text, *asset.keywords))))


def examples(
    library: Library,
    mini: LoupeMini,
    assets: Collection[Asset],
    progress: Callable[[Progress], None],
    stop: Event,
) -> Iterator[Example]:
    """Look at the assets. Ends early once `stop` is set."""
    views = transform()
    for done, asset in enumerate(assets, start=1):
        if stop.is_set():
            return
        with (
            Image.open(library.renditions.preview(asset.content_hash, _PREVIEW)) as preview,
            torch.inference_mode(),
        ):
            features, logits = look(mini.sight, views(preview.convert("RGB")))
        names = asset.keywords or texts_of(asset)[:1]
        yield Example(asset.id, features.numpy(), logits.numpy(), texts_of(asset), names)
        progress(Progress(done, len(assets), Path(asset.path).name))
