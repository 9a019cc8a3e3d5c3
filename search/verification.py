"""Whether a library is as it was written: its catalog, its audit log, its key, what was published, and the previews."""

from collections.abc import Iterator
from pathlib import Path

from search.catalog import RESTORE
from search.engines.embedded import generation
from search.errors import BadSettings, GenerationDamaged
from search.library import Library


def wrong(library: Library) -> Iterator[str]:
    """All that is wrong, each with its remedy; nothing when all is sound."""
    for line in library.catalog.damages():
        yield f"The catalog: {line}. {RESTORE}"
    if (number := library.catalog.first_broken_audit_line()) is not None:
        yield f"The audit log does not hold from line {number} on."
    try:
        library.secret()
    except BadSettings as error:
        yield str(error)
    yield from _published(library.generations)
    yield from _previews(library)


def _published(parent: Path) -> Iterator[str]:
    for number in generation.numbers(parent):
        try:
            generation.open_verified(parent, number)
        except FileNotFoundError:
            continue  # it was swept away meanwhile
        except GenerationDamaged as error:
            yield f"Generation {number}: {error} Run `loupe rebuild`."


def _previews(library: Library) -> Iterator[str]:
    for asset in library.catalog.every_asset():
        if not library.renditions.whole(asset):
            yield f"{asset.path}: what was made of it to look at or to play is not all there. Run `loupe rebuild`."
