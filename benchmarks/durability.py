"""What a library's durability costs, at N assets: `python -m benchmarks.durability [--assets N] [--json FILE]`.

A library of `benchmarks.load`, whose files do not exist and which so has no previews: how long it takes to check and
open what is published, to publish everything again from the catalog (a damaged index), to publish a few changed assets
and for a reader to move on to them, to check all there is, to back it up and restore it; and what an asset takes on
disk. Once each, in seconds, with files that the system may have in memory.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Final

import click
import msgspec
from rich.table import Table

from api import compose
from benchmarks.load import make
from benchmarks.measures import CONSOLE, COUNT
from search import backup, verification
from search.catalog import Intake
from search.library import CATALOG, Library
from search.models.loading import load_models

#: How many assets change at a time.
CHANGED: Final = (1, 100, 1_000)


class Report(msgspec.Struct, frozen=True):
    """Seconds by what is done, and bytes an asset by where they lie."""

    assets: int
    seconds: dict[str, float]
    bytes_an_asset: dict[str, float]


@click.command()
@click.option("--assets", type=COUNT, default=100_000, show_default=True, help="How many assets.")
@click.option("--json", "as_json", type=click.Path(dir_okay=False, path_type=Path), help="Write the figures here too.")
def main(assets: int, as_json: Path | None) -> None:
    """Measure opening, publishing, checking and backups."""
    with tempfile.TemporaryDirectory(prefix="loupe-durability-") as scratch:
        report = measured(Path(scratch), assets)
    table = Table(title=f"{report.assets:,} assets", title_justify="left")
    table.add_column("")
    table.add_column("", justify="right")
    for name, seconds in report.seconds.items():
        table.add_row(name, f"{seconds:.2f} s")
    for name, size in report.bytes_an_asset.items():
        table.add_row(f"{name}, an asset", f"{size:,.0f} bytes")
    CONSOLE.print(table)
    if as_json:
        as_json.write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")


def measured(scratch: Path, assets: int) -> Report:
    directory = scratch / "library"
    make(directory, assets, None, scratch)
    ids = compose.model_ids(load_models())
    seconds: dict[str, float] = {}

    @contextmanager
    def timed(name: str) -> Iterator[None]:
        begun = perf_counter()
        yield
        seconds[name] = perf_counter() - begun

    library = Library(directory)
    with timed("check and open what is published"):
        engine = library.engine(ids)
    with library.writer():
        with timed("publish everything again"):
            library.publish(engine, ids)
        places = {"catalog": directory / CATALOG, "index": max(library.generations.iterdir())}
        sizes = {name: _bytes(path) / assets for name, path in places.items()}
        for changed in CHANGED:
            _change(library, changed)
            reader = library.engine(ids)
            with timed(f"publish {changed:,} changed"):
                library.catch_up(engine, ids, settle=False)
            with timed(f"move on to {changed:,} changed"):
                reader.refresh()
    with timed("check everything"):
        wrong = list(verification.wrong(library))
    if wrong:
        raise SystemExit(f"The library is not sound: {wrong[0]}")
    file = scratch / "backup.tar"
    with timed("back up"):
        backup.write(library, file)
    library.close()
    with timed("restore, without its index"):
        backup.restore(file, scratch / "again")
    return Report(assets, seconds, sizes)


def _change(library: Library, number: int) -> None:
    """So many assets get another keyword."""
    catalog = library.catalog
    intakes = []
    for asset in catalog.every_asset(range(1, number + 1)):
        changed = msgspec.structs.replace(asset, keywords=(*asset.keywords, f"changed with {number}"))
        intakes.append(Intake(changed, 0, "", {}, tuple(catalog.segments_of(asset.ordinal))))
    catalog.take_in(intakes, by="durability")


def _bytes(path: Path) -> int:
    return sum(each.stat().st_size for each in (path.rglob("*") if path.is_dir() else [path]) if each.is_file())


if __name__ == "__main__":
    main()
