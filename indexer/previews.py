"""Previews and proxies that are gone, made again from the files that they were made of."""

from collections.abc import Callable
from pathlib import Path
from threading import Event

import msgspec

from indexer.media import Decoder, Limits
from indexer.pipeline import Progress, hash_of
from search.catalog import SetAside
from search.errors import MediaError
from search.library import Library
from search.types import Asset


class Remade(msgspec.Struct, frozen=True):
    """How many assets have their previews again, and of which files none could be made, with the reason."""

    made: int
    set_aside: tuple[SetAside, ...]


def remake(library: Library, limits: Limits, progress: Callable[[Progress], None], stop: Event) -> Remade:
    """Make what is gone, until `stop` is set. Call with the writer's lock held."""
    lacking = [asset for asset in library.catalog.every_asset() if not library.renditions.whole(asset)]
    aside: list[SetAside] = []
    made = 0
    with library.staging() as staging:
        decoder = Decoder(limits, staging)
        try:
            for asset in lacking:
                if stop.is_set():
                    break
                if reason := _remade(library, decoder, asset):
                    aside.append(reason)
                else:
                    made += 1
                progress(Progress(made + len(aside), len(lacking), asset.file_name))
        finally:
            decoder.close()
    return Remade(made, tuple(aside))


def _remade(library: Library, decoder: Decoder, asset: Asset) -> SetAside | None:
    """Make those of one asset; why that could not be done, if so."""
    path = Path(asset.path)
    try:
        if hash_of(path) != asset.content_hash:
            return SetAside(asset.path, "changed", "It is another file than was indexed. Run `loupe index`.")
        for name, file in decoder.decode(path).renditions.items():
            library.renditions.take(asset.content_hash, name, Path(file))
    except MediaError as error:
        return SetAside(asset.path, error.code, str(error))
    except OSError as error:
        return SetAside(asset.path, "unreadable", f"It cannot be read: {error.strerror}.")
    return None
