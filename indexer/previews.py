"""Previews and proxies that are gone, made again from the files that they were made of."""

from collections.abc import Callable
from contextlib import closing
from threading import Event

import msgspec

from indexer.media import Decoder, Limits
from indexer.pipeline import Progress, decoded_again, set_aside
from search.catalog import SetAside
from search.errors import MediaError
from search.library import Library


class Remade(msgspec.Struct, frozen=True):
    """How many assets have their previews again, of which files none could be made, and whether some are left."""

    made: int
    set_aside: tuple[SetAside, ...]
    interrupted: bool


def remake(library: Library, limits: Limits, progress: Callable[[Progress], None], stop: Event) -> Remade:
    """Make what is gone, until `stop` is set. Call with the writer's lock held."""
    lacking = [asset for asset in library.catalog.every_asset() if not library.renditions.whole(asset)]
    aside: list[SetAside] = []
    done = 0
    with library.staging() as staging, closing(Decoder(limits, staging)) as decoder:
        for asset in lacking:
            if stop.is_set():
                break
            try:
                library.renditions.take(asset.content_hash, decoded_again(asset, decoder).renditions)
            except (MediaError, OSError) as error:
                aside.append(set_aside(asset.path, error))
            done += 1
            progress(Progress(done, len(lacking), asset.file_name))
    return Remade(done - len(aside), tuple(aside), interrupted=done < len(lacking))
