"""What the server bears: `python -m benchmarks.load [--assets N [--captioned DIR]] [--data-dir DIR] [--json FILE]`.

A server of its own on this machine and one client, which speaks HTTP over plain sockets, because a client library would
take as much of the processors as the searches that it asks for. In turn:

* idle: one search at a time, of texts asked before (their vectors are kept) and of texts never asked;
* a steady stream of texts asked before: searches arrive at a fixed rate, at random moments (a Poisson process), whether
  or not earlier ones are answered, and each is timed from the moment at which it was due, so that queueing counts;
* as many as it bears, of either kind: few connections and many, each of which asks as soon as it is answered;
* long: as many requests as are wanted, the server's memory looked at all along.

Times are milliseconds; the server's processor time is what it tells itself at `/metrics`, its memory what the system
says of its processes. No phase takes longer than `--at-most` seconds, whatever was wanted.
"""

import asyncio
import math
import os
import random
import re
import socket
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from functools import lru_cache, partial
from itertools import cycle, islice
from pathlib import Path
from time import perf_counter, process_time, sleep
from typing import Final

import click
import httpx
import msgspec
import numpy as np
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families
from rich.table import Table

from api import compose
from api.auth import Tokens, read_people
from api.processes import children
from benchmarks.at_scale import Embedded, build, vocabulary
from benchmarks.libraries import PHOTOS
from benchmarks.measures import AMOUNT, CAPTIONED, CONSOLE, COUNT, memory_of
from benchmarks.vectors import CACHE, CHUNK, maker, photographs
from search.embedding import Vectors
from search.engine import Space
from search.library import Library
from search.models.loading import load_models
from search.models.loupe_mini.data import captioned as captions_of
from search.types import Principal, Role

_LENGTH: Final = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.IGNORECASE)

#: Texts whose vectors the server keeps, and the words that texts are made of.
_KNOWN: Final = 300
_WORDS: Final = 4_000

#: The most connections of the steady stream; a search that is due when all are taken waits for one.
_MOST_AT_ONCE: Final = 64


class Row(msgspec.Struct, frozen=True):
    """One phase: milliseconds of a search, searches a second, and processor milliseconds a search."""

    phase: str
    searches: int
    failed: int
    median: float
    p95: float
    p99: float
    per_second: float
    server_cpu: float
    client_cpu: float


class Look(msgspec.Struct, frozen=True):
    """The memory of all of the server's processes after so many searches, MB, what they share counted in each: all that
    is resident, and of it what is the processes' own and no page of a mapped file."""

    searches: int
    resident: float
    own: float


class Memory(msgspec.Struct, frozen=True):
    """The server's memory over the long phase, and by how many MB what is its own grew in the second half, once there
    are as many vectors of texts as are kept (None: too short to tell)."""

    looks: Sequence[Look]
    own_per_10_000_searches: float | None


class Report(msgspec.Struct, frozen=True):
    """All figures of a run; `stages` are mean milliseconds, `told` the counters of the planner and the encoder."""

    assets: int
    rows: Sequence[Row]
    memory: Memory
    stages: Mapping[str, float]
    told: Mapping[str, float]


@click.command()
@click.option("--assets", type=COUNT, help="Serve a made library of so many assets. [default: the demo library]")
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the library is, or is made and stays. [default: one is made and thrown away]",
)
@click.option(
    "--captioned",
    type=CAPTIONED,
    help="Photographs with captions: make vectors of them and ask in their words. [default: the demo's, any words]",
)
@click.option(
    "--cache", type=click.Path(file_okay=False, path_type=Path), default=CACHE, help="Where their vectors are."
)
@click.option("--user", help="Who searches: one of the library's people. [default: the first]")
@click.option("--processes", type=COUNT, default=1, show_default=True, help="How many processes search.")
@click.option("--rate", type=AMOUNT, default=100.0, show_default=True, help="Searches a second of the steady stream.")
@click.option(
    "--seconds", type=AMOUNT, default=10.0, show_default=True, help="How long the stream and the crowds last."
)
@click.option(
    "--connections",
    type=COUNT,
    multiple=True,
    default=(4, 16),
    show_default=True,
    help="How many ask at once in a crowd.",
)
@click.option("--requests", type=COUNT, default=2_000, show_default=True, help="Searches of the long phase.")
@click.option("--at-most", type=AMOUNT, default=1_800.0, show_default=True, help="The most seconds of any phase.")
@click.option("--json", "as_json", type=click.Path(dir_okay=False, path_type=Path), help="Write the figures here too.")
def main(
    assets: int | None,
    data_dir: Path | None,
    captioned: Path | None,
    cache: Path,
    user: str | None,
    processes: int,
    rate: float,
    seconds: float,
    connections: tuple[int, ...],
    requests: int,
    at_most: float,
    as_json: Path | None,
) -> None:
    """Measure the server under load."""
    with ExitStack() as stack:
        scratch = tempfile.TemporaryDirectory(prefix="loupe-load-")
        directory = data_dir or Path(stack.enter_context(scratch))
        if not any(directory.glob("catalog.sqlite")):
            make(directory, assets, captioned, cache)
        server = stack.enter_context(served(directory, user, processes))
        asked = measured(
            server,
            partial(words_of, asked_by(captioned)) if captioned else texts,
            rate=rate,
            seconds=seconds,
            connections=connections,
            requests=requests,
            at_most=at_most,
        )
        report = asyncio.run(asked)
    show(report)
    if as_json:
        as_json.write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")


# ---- the library


def make(directory: Path, assets: int | None, captioned: Path | None, cache: Path) -> None:
    """The demo library, or one of so many assets, whose vectors are made of photographs and their captions, as
    `benchmarks.vectors` does, or, where there are none, `mixed` of the demo's pictures and of `texts`."""
    if assets is None:
        command = [sys.executable, "-m", "api", "demo", "--data-dir", str(directory), "--build-only"]
        subprocess.run(command, stderr=subprocess.DEVNULL, check=True)
        return
    models = load_models()
    ids = compose.model_ids(models)
    if captioned is None:
        seen = models.visual.embed_images(Image.open(path) for path in sorted(PHOTOS.glob("*.jpg")))
        passages = list(islice(texts(2), _KNOWN))
    else:
        seen = photographs(captioned, cache).base
        source = captions_of(captioned)
        passages = [each[0] for place, each in enumerate(source.texts) if place not in source.left_out]
    said = models.text.embed_passages([[text] for text in passages])
    made = {
        space: Embedded(ids[space], partial(mixed, base) if captioned is None else rows_of(base))
        for space, base in zip(Space, (seen, said), strict=True)
    }
    build(directory, assets, vectors=made)
    library = Library(directory)
    with library.writer():
        library.publish(library.engine(ids), ids)
    library.close()


def mixed(base: Vectors, start: int, stop: int) -> Vectors:
    """Unit vectors float32 [stop - start, d], each a mixture of three of `base` [n, d] (Dirichlet, 1/2 each) with noise
    of a third of its length; the same for the same places."""
    generator = np.random.default_rng(start)
    size, dimension = stop - start, base.shape[1]
    shares = generator.dirichlet((0.5, 0.5, 0.5), size).astype(np.float32)
    rows = np.einsum("nk,nkd->nd", shares, base[generator.integers(len(base), size=(size, 3))])
    rows += generator.normal(0, 0.3 / math.sqrt(dimension), rows.shape).astype(np.float32)
    unit: Vectors = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit


def rows_of(base: Vectors) -> Callable[[int, int], Vectors]:
    """What makes the vectors from one place up to another of those that `base` gives, float32 [stop - start, d]."""
    chunk = lru_cache(maxsize=1)(maker(base))

    def rows(start: int, stop: int) -> Vectors:
        whole = range(start // CHUNK, -(-stop // CHUNK))
        parts = [chunk(number)[max(start - number * CHUNK, 0) : stop - number * CHUNK] for number in whole]
        return np.concatenate(parts)

    return rows


# ---- the server


class Served:
    """A running server: its port, a person's token to search with, how many processes search, and what it tells an
    administrator."""

    def __init__(self, pid: int, port: int, token: str, administrator: str, assets: int, processes: int) -> None:
        self.pid = pid
        self.port = port
        self.token = token
        self.assets = assets
        self.processes = processes
        self._metrics = httpx.Client(
            base_url=f"http://127.0.0.1:{port}", headers={"Authorization": f"Bearer {administrator}"}, timeout=60
        )

    def told(self) -> dict[str, float]:
        """What stands at `/metrics`, by name and labels."""
        families = text_string_to_metric_families(self._metrics.get("/metrics").raise_for_status().text)
        return {
            one.name + "".join(f" {value}" for value in one.labels.values()): one.value
            for family in families
            for one in family.samples
            if not one.name.endswith(("_bucket", "_created"))
        }

    def memory(self) -> tuple[float, float]:
        """MB of all its processes: what is resident, and what of it is in no file."""
        pids = (self.pid, *children(self.pid))
        resident, own = (sum(memory_of(name, pid) for pid in pids) / 1e6 for name in ("VmRSS", "RssAnon"))
        return resident, own

    def close(self) -> None:
        self._metrics.close()

    def ready(self) -> bool:
        try:
            return self._metrics.get("/health/ready").is_success
        except httpx.ConnectError:
            return False


@contextmanager
def served(directory: Path, user: str | None, processes: int) -> Iterator[Served]:
    """`loupe serve` over the library until the block ends, by so many processes; `user` is one of its people, the first
    if not said."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    people = {person.user: person.principal for person in read_people(directory)}
    library = Library(directory)
    tokens, assets = Tokens(library.secret()), library.catalog.counts()["assets"]
    library.close()
    asker = people[user] if user else next(iter(people.values()))
    administrator = Principal("load", roles=frozenset({Role.administrator}))
    token, administers = (tokens.make(one, timedelta(days=1))[0] for one in (asker, administrator))
    command = [sys.executable, "-m", "api", "serve", "--data-dir", str(directory), "--port", str(port)]
    settings = {"LOUPE_SIGN_IN": "token", "LOUPE_PROCESSES": str(processes)}
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, env=os.environ | settings)
    server = Served(process.pid, port, token, administers, assets, processes)
    try:
        while not server.ready():
            if process.poll() is not None:
                raise SystemExit(f"`{' '.join(command)}` ended with exit code {process.returncode}.")
            sleep(0.2)
        yield server
    finally:
        server.close()
        process.terminate()
        process.wait()


# ---- the client


class Connection:
    """One connection that is kept, and one search on it at a time."""

    def __init__(self, port: int, head: bytes) -> None:
        self._port = port
        self._head = head

    @classmethod
    async def open(cls, server: Served) -> "Connection":
        head = (
            f"POST /v1/search HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nAuthorization: Bearer {server.token}\r\n"
            "Content-Type: application/json\r\nContent-Length: "
        )
        made = cls(server.port, head.encode())
        await made._connect()
        return made

    async def _connect(self) -> None:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)

    async def search(self, text: str) -> bool:
        """Ask and read the whole answer; whether it was one."""
        return (await self._asked(text))[0].startswith(b"HTTP/1.1 200 ")

    async def answer(self, text: str) -> bytes:
        """Ask, and what is answered, as JSON."""
        return (await self._asked(text))[1]

    async def _asked(self, text: str) -> tuple[bytes, bytes]:
        """The head and the body of the answer."""
        if self._reader.at_eof():  # the server lets go of what was not used for some seconds
            self._writer.close()
            await self._connect()
        body = msgspec.json.encode({"text": text})
        self._writer.write(b"%s%d\r\n\r\n%s" % (self._head, len(body), body))
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if length is None:
            raise SystemExit(f"The server answered without a length: {head!r}.")
        return head, await self._reader.readexactly(int(length[1]))

    def close(self) -> None:
        self._writer.close()


class Phase:
    """What one phase came to: milliseconds of each search that was answered."""

    def __init__(self) -> None:
        self.taken: list[float] = []
        self.failed = 0

    async def timed(self, connection: Connection, text: str, due: float) -> None:
        if await connection.search(text):
            self.taken.append(1000 * (perf_counter() - due))
        else:
            self.failed += 1


async def measured(
    server: Served,
    texts: Callable[[int], Iterator[str]],
    *,
    rate: float,
    seconds: float,
    connections: Sequence[int],
    requests: int,
    at_most: float,
    known: int = _KNOWN,
) -> Report:
    """Every phase in turn. `texts` makes those of a seed, and `known` is how many the server has vectors of."""
    asked_before = list(islice(texts(0), known))
    fresh = texts(1)
    rows: list[Row] = []
    looks: list[Look] = []

    async def run(name: str, number: int, wanted: Callable[[Phase, Sequence[Connection]], Awaitable[None]]) -> None:
        rows.append(await phase(server, name, number, wanted, at_most))

    async def long(one: Phase, crowd: Sequence[Connection]) -> None:
        mixed = (text for pair in zip(cycle(asked_before), fresh, strict=False) for text in pair)
        looking = asyncio.create_task(look(server, one, looks))
        try:
            await asking(one, crowd, islice(mixed, requests))
        finally:
            looking.cancel()

    await warm(server, asked_before)
    await run("idle, known texts", 1, partial(alone, texts=asked_before))
    await run("idle, fresh texts", 1, partial(alone, texts=list(islice(fresh, known))))
    steady = partial(stream, texts=cycle(asked_before), rate=rate, seconds=seconds)
    await run(f"{rate:g} a second, known", _MOST_AT_ONCE, steady)
    for kind, of_kind in (("known", cycle(asked_before)), ("fresh", fresh)):
        for number in connections:
            await run(f"{number} asking at once, {kind}", number, partial(asking, texts=of_kind, seconds=seconds))
    await run("long, half of them fresh", max(connections), long)
    told = server.told()
    return Report(server.assets, rows, memory(looks), stages(told), counted(told))


async def warm(server: Served, texts: Sequence[str]) -> None:
    """Ask every text, by enough connections for every process that searches to be at work."""
    crowd = [await Connection.open(server) for _ in range(2 * server.processes)]
    await asking(Phase(), crowd, iter(texts))
    for connection in crowd:
        connection.close()


async def phase(
    server: Served,
    name: str,
    connections: int,
    wanted: Callable[[Phase, Sequence[Connection]], Awaitable[None]],
    at_most: float,
) -> Row:
    """Run one phase until it ends or its time is up."""
    one = Phase()
    crowd = [await Connection.open(server) for _ in range(connections)]
    before, client, begun = server.told(), process_time(), perf_counter()
    try:
        async with asyncio.timeout(at_most):
            await wanted(one, crowd)
    except TimeoutError:
        name += " (cut short)"
    took, client = perf_counter() - begun, process_time() - client
    cpu = server.told()["process_cpu_seconds_total"] - before["process_cpu_seconds_total"]
    for connection in crowd:
        connection.close()
    median, p95, p99 = np.quantile(one.taken, (0.5, 0.95, 0.99)).tolist()
    number = len(one.taken)
    return Row(name, number, one.failed, median, p95, p99, number / took, 1000 * cpu / number, 1000 * client / number)


async def look(server: Served, one: Phase, looks: list[Look]) -> None:
    """Every second, how many searches there were and the server's memory."""
    while True:
        looks.append(Look(len(one.taken), *server.memory()))
        await asyncio.sleep(1)


async def alone(one: Phase, crowd: Sequence[Connection], texts: Sequence[str]) -> None:
    """One after the other."""
    for text in texts:
        await one.timed(crowd[0], text, perf_counter())


async def stream(one: Phase, crowd: Sequence[Connection], texts: Iterator[str], rate: float, seconds: float) -> None:
    """An open loop: arrivals do not wait for answers."""
    free = asyncio.Queue[Connection]()
    for connection in crowd:
        free.put_nowait(connection)

    async def arrive(text: str, due: float) -> None:
        connection = await free.get()
        await one.timed(connection, text, due)
        free.put_nowait(connection)

    chance = random.Random(0)
    begun = due = perf_counter()
    async with asyncio.TaskGroup() as group:
        while (due := due + chance.expovariate(rate)) < begun + seconds:
            await asyncio.sleep(due - perf_counter())
            group.create_task(arrive(next(texts), due))


async def asking(one: Phase, crowd: Sequence[Connection], texts: Iterator[str], seconds: float = math.inf) -> None:
    """A closed loop: each connection asks as soon as it is answered, until texts or time run out."""
    ends = perf_counter() + seconds

    async def ask(connection: Connection) -> None:
        while (now := perf_counter()) < ends and (text := next(texts, None)) is not None:
            await one.timed(connection, text, now)

    async with asyncio.TaskGroup() as group:
        for connection in crowd:
            group.create_task(ask(connection))


def texts(seed: int) -> Iterator[str]:
    """Two to six frequent English words, without end; no two seeds have more than chance in common."""
    words = vocabulary()[:_WORDS]
    chance = random.Random(seed)
    while True:
        yield " ".join(chance.choices(words, k=chance.randint(2, 6)))


def asked_by(captioned: Path) -> Sequence[str]:
    """All captions of the photographs that no vector is made of."""
    source = captions_of(captioned)
    return [caption for place in sorted(source.left_out) for caption in source.texts[place]]


def words_of(captions: Sequence[str], seed: int) -> Iterator[str]:
    """Every run of three to eight words in a caption, each once, in an order of the seed's own."""
    runs = {
        " ".join(words[begin : begin + length])
        for words in map(str.split, captions)
        for length in range(3, 9)
        for begin in range(len(words) - length + 1)
    }
    shuffled = sorted(runs)
    random.Random(seed).shuffle(shuffled)
    return iter(shuffled)


# ---- what came of it


def memory(looks: Sequence[Look]) -> Memory:
    """The slope is by least squares (numpy's `polyfit`)."""
    late = looks[len(looks) // 2 :]
    if len(late) < 3:
        return Memory(looks, None)
    slope, _ = np.polyfit([one.searches for one in late], [one.own for one in late], 1)
    return Memory(looks, 10_000 * float(slope))


def stages(told: Mapping[str, float]) -> dict[str, float]:
    """Mean milliseconds of each stage of a search, over the whole run."""
    name = "loupe_search_stage_seconds"
    found = [key.removeprefix(f"{name}_count ") for key in told if key.startswith(f"{name}_count ")]
    return {stage: 1000 * told[f"{name}_sum {stage}"] / told[f"{name}_count {stage}"] for stage in found}


def counted(told: Mapping[str, float]) -> dict[str, float]:
    """What the planner chose, what it scored, and where vectors of texts came from."""
    wanted = ("loupe_vector", "loupe_query_texts", "loupe_encoder_batch")
    return {key: value for key, value in told.items() if key.startswith(wanted)}


def show(report: Report) -> None:
    idle = report.rows[0].median
    table = Table(title=f"{report.assets:,} assets, milliseconds", title_justify="left")
    for heading in ("", "searches", "failed", "median", "95 %", "99 %", "99 % / idle median", "a second"):
        table.add_column(heading, justify="right" if heading else "left")
    table.add_column("processor: server", justify="right")
    table.add_column("client", justify="right")
    for row in report.rows:
        times = (f"{value:.1f}" for value in (row.median, row.p95, row.p99, row.p99 / idle, row.per_second))
        table.add_row(
            row.phase, f"{row.searches:,}", str(row.failed), *times, f"{row.server_cpu:.1f}", f"{row.client_cpu:.1f}"
        )
    CONSOLE.print(table)
    first, last, slope = report.memory.looks[0], report.memory.looks[-1], report.memory.own_per_10_000_searches
    grown = "" if slope is None else f", {slope:+.2f} MB per 10,000 searches in the second half"
    CONSOLE.print(
        f"Memory over {last.searches:,} searches: {first.resident:,.0f} MB at first, {last.resident:,.0f} at last; "
        f"of it in no file {first.own:,.0f} and {last.own:,.0f}{grown}."
    )
    CONSOLE.print("Mean of each stage: " + ", ".join(f"{name} {value:.2f}" for name, value in report.stages.items()))
    for name, value in report.told.items():
        CONSOLE.print(f"  {name} {value:,.0f}", style="dim")


if __name__ == "__main__":
    main()
