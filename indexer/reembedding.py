"""Moving a library to another model: everything is embedded anew, in the background of whatever else goes on.

Pictures come from their stored previews where those are large enough for any model, else from the originals. Work goes
in small batches, each durable and each under the writer's lock for as long as it takes only, so that an indexer can
work in between and stopping at any moment loses at most the batch in hand. The library moves over when nothing is left
to do: a generation of the new vectors is published, and only then the new name is written down. Until then every
search is answered with the old model, whose vectors stay.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Event
from typing import Final

import msgspec
from PIL import Image

from indexer.media import Decoder, Limits, picture
from indexer.pipeline import Progress, decoded_again, frame_key, set_aside
from search.catalog import SetAside
from search.corpus import KINDS, embed_segments
from search.embedding import Models
from search.engine import Space
from search.errors import LibraryBusy, LoupeError
from search.library import Library
from search.types import Asset, Segment, SegmentKind

#: The preview that pictures are taken from, by its long side; larger than what any model looks at.
PREVIEW: Final = 640
BATCH: Final = 16
_RETRY_SECONDS: Final = 1.0


class Reembedded(msgspec.Struct, frozen=True):
    """What came of it. `set_aside` names the files whose pictures could not be had; they are found by words alone."""

    embedded: int
    set_aside: tuple[SetAside, ...]
    interrupted: bool


class Reembedder:
    """Embeds a library with other models. Takes the library's writer lock itself, batch by batch."""

    def __init__(self, library: Library, models: Models, limits: Limits) -> None:
        self._library = library
        self._models = models
        self._limits = limits
        self._ids = {Space.visual: str(models.visual.model_id), Space.text: str(models.text.model_id)}

    def run(
        self, name: str, progress: Callable[[Progress], None] = lambda _: None, stop: Event | None = None
    ) -> Reembedded:
        """Embed all that lacks a vector of the models, then move the library over to them under `name`.

        Once `stop` is set, it ends after the batch in hand, and the next run goes on from there.
        """
        stop = stop or Event()
        aside: dict[str, SetAside] = {}
        done = 0
        # What is rendered on the way is not needed here.
        with self._library.staging("staging-model") as folder, closing(Decoder(self._limits, folder)) as decoder:
            while True:
                lacking = self._lacking(aside)
                for start in range(0, len(lacking), BATCH):
                    part = lacking[start : start + BATCH]
                    with self._turn(stop) as mine:
                        if not mine:
                            return Reembedded(done, tuple(aside.values()), interrupted=True)
                        aside |= self._embed(part, decoder)
                    done += len(part)
                    progress(Progress(done, done + len(lacking) - start - len(part), Path(part[-1]).name))
                with self._turn(stop) as mine:
                    if not mine:
                        return Reembedded(done, tuple(aside.values()), interrupted=True)
                    # An indexer may have taken in more meanwhile.
                    if not self._lacking(aside):
                        self._library.publish(self._library.engine(self._ids), self._ids)
                        self._library.use(name)
                        return Reembedded(done - len(aside), tuple(aside.values()), interrupted=False)

    def _lacking(self, aside: Mapping[str, SetAside]) -> list[str]:
        """The paths of what has segments without a vector, but for those that could not be had."""
        return sorted(self._library.lacking(self._ids) - aside.keys())

    def _embed(self, paths: Sequence[str], decoder: Decoder) -> dict[str, SetAside]:
        """Embed what these assets lack. Returns those that could not be had."""
        catalog = self._library.catalog
        aside: dict[str, SetAside] = {}
        pictures: dict[str, Image.Image] = {}
        texts: dict[str, Segment] = {}
        for path in paths:
            asset = catalog.asset_at(path)
            if asset is None:
                continue
            segments = catalog.segments_of(asset.ordinal)
            texts |= {one.embedding_key: one for one in segments if one.kind in KINDS[Space.text]}
            try:
                pictures |= self._pictures(asset, [one for one in segments if one.kind in KINDS[Space.visual]], decoder)
            except (LoupeError, OSError) as error:
                aside[path] = set_aside(path, error, asset.byte_size)
        visual, text = self._ids[Space.visual], self._ids[Space.text]
        seen = self._models.visual.embed_images(pictures.values())
        catalog.put_embeddings(visual, dict(zip(pictures, seen, strict=True)))
        new = {key: texts[key] for key in texts.keys() - catalog.embeddings(text, list(texts)).keys()}
        read = embed_segments(self._models.text, list(new.values()))
        catalog.put_embeddings(text, dict(zip(new, read, strict=True)))
        return aside

    def _pictures(self, asset: Asset, segments: Sequence[Segment], decoder: Decoder) -> dict[str, Image.Image]:
        """The pictures of segments without a vector, by embedding key. Raises MediaError, OSError."""
        stored = self._library.catalog.embeddings(self._ids[Space.visual], [one.embedding_key for one in segments])
        wanted = {one.embedding_key: one for one in segments if one.embedding_key not in stored}
        if not wanted:
            return {}
        preview = self._library.renditions.preview(asset.content_hash, PREVIEW)
        if preview.is_file() and all(one.kind is SegmentKind.image for one in wanted.values()):
            with Image.open(preview) as opened:
                return dict.fromkeys(wanted, opened.convert("RGB"))
        frames = {frame_key(asset.content_hash, frame): frame for frame in decoded_again(asset, decoder).frames}
        return {key: picture(frames[key]) for key in wanted if key in frames}

    @contextmanager
    def _turn(self, stop: Event) -> Iterator[bool]:
        """Hold the writer's lock once it is free; False when asked to stop before."""
        while not stop.is_set():
            try:
                with self._library.writer():
                    yield True
                    return
            except LibraryBusy:
                stop.wait(_RETRY_SECONDS)
        yield False
