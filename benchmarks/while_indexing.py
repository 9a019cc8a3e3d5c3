"""A server and an indexer at work on one library: `python -m benchmarks.while_indexing [--files N] [--json FILE]`.

A server over the demo library, or one of `benchmarks.load`, and a client that asks for texts at a fixed rate, at random
moments: first while nothing else happens, then while `loupe index` takes in new photographs (the demo's, each with a
few bytes of its own after the end, so that none is known). How long searches take in either case, and how long after
the indexer has said that a file is in a search by its name finds it. Client, server and indexer share the machine.
"""

import asyncio
import math
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from time import perf_counter

import click
import msgspec
import numpy as np
from rich.table import Table

from benchmarks.libraries import PHOTOS
from benchmarks.load import Connection, Phase, Row, Served, make, phase, served, stream, texts, warm
from benchmarks.measures import AMOUNT, CONSOLE, COUNT

#: Texts that are asked for, and connections that searches wait for.
_KNOWN = 100
_MOST_AT_ONCE = 32

#: How often, in seconds, it is asked whether a file is found.
_ASKED_EVERY = 0.05


class Report(msgspec.Struct, frozen=True):
    """What came of it. `found_after`: seconds from when a file was said to be in until it was found, of some files."""

    assets: int
    files: int
    indexed_per_second: float
    rows: tuple[Row, Row]
    found_after: tuple[float, ...]


@click.command()
@click.option("--files", type=COUNT, default=300, show_default=True, help="How many photographs are taken in.")
@click.option("--rate", type=AMOUNT, default=5.0, show_default=True, help="Searches a second.")
@click.option("--seconds", type=AMOUNT, default=20.0, show_default=True, help="How long the first phase lasts.")
@click.option("--assets", type=COUNT, help="Of a made library of so many assets. [default: the demo's]")
@click.option(
    "--data-dir", type=click.Path(file_okay=False, path_type=Path), help="Where such a library is, or is made."
)
@click.option("--json", "as_json", type=click.Path(dir_okay=False, path_type=Path), help="Write the figures here too.")
def main(
    files: int, rate: float, seconds: float, assets: int | None, data_dir: Path | None, as_json: Path | None
) -> None:
    """Measure searches while an indexer is at work."""
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="loupe-while-")))
        directory = data_dir or scratch / "library"
        if not (directory / "catalog.sqlite").is_file():
            make(directory, assets, None, scratch)
        folder = scratch / "new"
        photographs(folder, files)
        server = stack.enter_context(served(directory, None, 1))
        report = asyncio.run(measured(server, directory, folder, files, rate, seconds))
    show(report)
    if as_json:
        as_json.write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")


def photographs(folder: Path, number: int) -> None:
    """So many files that no library knows."""
    folder.mkdir()
    for place, photo in enumerate(islice(cycle(sorted(PHOTOS.glob("*.jpg"))), number)):
        copy = folder / f"new{place:05d}.jpg"
        shutil.copyfile(photo, copy)
        with copy.open("ab") as file:
            file.write(str(copy).encode())


async def measured(server: Served, directory: Path, folder: Path, files: int, rate: float, seconds: float) -> Report:
    asked = list(islice(texts(0), _KNOWN))
    await warm(server, asked)
    waits: list[asyncio.Task[float]] = []
    said: list[float] = []

    async def indexing(one: Phase, crowd: Sequence[Connection]) -> None:
        searching = asyncio.create_task(stream(one, crowd, cycle(asked), rate, math.inf))
        await indexed(server, directory, folder, waits, said)
        searching.cancel()

    alone = await phase(
        server, "nothing else", _MOST_AT_ONCE, partial(stream, texts=cycle(asked), rate=rate, seconds=seconds), math.inf
    )
    beside = await phase(server, "indexing", _MOST_AT_ONCE, indexing, math.inf)
    after = await asyncio.gather(*waits)
    return Report(server.assets, files, files / max(said[-1] - said[0], 1e-9), (alone, beside), tuple(after))


async def indexed(
    server: Served, directory: Path, folder: Path, waits: list[asyncio.Task[float]], said: list[float]
) -> None:
    """Have the folder indexed; `said` is when each file was said to be in, `waits` how long until some were found."""
    command = [sys.executable, "-m", "api", "index", str(folder), "--data-dir", str(directory), "--json"]
    indexer = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    async for line in _lines(indexer):
        told = msgspec.json.decode(line, type=dict[str, object])
        if told["event"] == "progress":
            said.append(perf_counter())
            if not waits or waits[-1].done():  # of one file at a time
                waits.append(asyncio.create_task(found(server, str(told["name"]))))
    if await indexer.wait():
        raise SystemExit(f"`{' '.join(command)}` ended with exit code {indexer.returncode}.")


async def _lines(process: asyncio.subprocess.Process) -> AsyncIterator[bytes]:
    """What it says, line by line."""
    while process.stdout and (line := await process.stdout.readline()):
        yield line


async def found(server: Served, name: str) -> float:
    """The seconds until a search for a file's name finds something with certainty: the file."""
    begun = perf_counter()
    async with asyncio.timeout(60):
        connection = await Connection.open(server)
        while name.encode() not in await connection.answer(name):
            await asyncio.sleep(_ASKED_EVERY)
        connection.close()
    return perf_counter() - begun


def show(report: Report) -> None:
    table = Table(title=f"{report.assets:,} assets and {report.files:,} more, milliseconds", title_justify="left")
    for heading in ("beside it", "searches", "failed", "median", "95 %"):
        table.add_column(heading, justify="right" if table.columns else "left")
    for row in report.rows:
        table.add_row(row.phase, str(row.searches), str(row.failed), f"{row.median:.1f}", f"{row.p95:.1f}")
    CONSOLE.print(table)
    idle, busy = report.rows
    CONSOLE.print(f"95 % while indexing: {busy.p95 / idle.p95:.2f} times as long.")
    median, most = float(np.median(report.found_after)), max(report.found_after)
    CONSOLE.print(
        f"{report.indexed_per_second:.1f} files a second; found {median:.1f} s after each was in, {most:.1f} at most "
        f"(of {len(report.found_after)})."
    )


if __name__ == "__main__":
    main()
