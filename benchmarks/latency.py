"""How long a search takes through HTTP: `python -m benchmarks.latency [--rounds N] [--json FILE]`.

A server over the demo library, one client on a warm connection, the 30 sample queries in turn. Beside it, in the same
run and on the same machine: a request that does no search (what HTTP costs by itself) and the text encoder alone, so
that machines can be compared by ratio. Milliseconds.
"""

import socket
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle, islice
from pathlib import Path
from time import perf_counter, sleep

import click
import httpx
import msgspec
from rich.console import Console
from rich.table import Table

from benchmarks.libraries import asked
from benchmarks.measures import COUNT
from search.models.loading import load_models


class Row(msgspec.Struct, frozen=True):
    """What one thing takes, in milliseconds."""

    name: str
    median: float
    p95: float


@click.command()
@click.option("--rounds", type=COUNT, default=10, show_default=True, help="How often each query is asked.")
@click.option("--json", "as_json", type=click.Path(dir_okay=False, path_type=Path), help="Write the figures here too.")
def main(rounds: int, as_json: Path | None) -> None:
    """Measure warm search through HTTP on the demo library."""
    texts = [one.text for one in asked("sample")]
    with served() as client:
        rows = [
            measure("search through HTTP", lambda text: search(client, text), texts, rounds),
            measure("HTTP alone", lambda _: client.get("/health/live").raise_for_status(), texts, rounds),
        ]
    encoder = load_models().text
    rows.append(measure("text encoder alone", lambda text: encoder.embed_texts([text]), texts, rounds))
    table = Table(title=f"{len(texts) * rounds} warm calls each, milliseconds", title_justify="left")
    table.add_column("what")
    table.add_column("median", justify="right")
    table.add_column("95 %", justify="right")
    for row in rows:
        table.add_row(row.name, f"{row.median:.1f}", f"{row.p95:.1f}")
    Console().print(table)
    if as_json:
        as_json.write_bytes(msgspec.json.format(msgspec.json.encode(rows)) + b"\n")


@contextmanager
def served() -> Iterator[httpx.Client]:
    """A client, signed in, of a server of its own over a demo library that was just built."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    loupe = [sys.executable, "-m", "api"]
    with tempfile.TemporaryDirectory(prefix="loupe-latency-") as scratch:
        command = [*loupe, "demo", "--data-dir", scratch, "--port", str(port)]
        server = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        address = f"http://127.0.0.1:{port}"
        try:
            with httpx.Client(base_url=address, headers={"Origin": address}, timeout=30) as client:
                while not _ready(client):
                    if server.poll() is not None:
                        raise SystemExit(f"`{' '.join(command)}` ended with exit code {server.returncode}.")
                    sleep(0.5)
                client.post("/v1/demo/sign-in", json={"user": "mara"}).raise_for_status()
                yield client
        finally:
            server.terminate()
            server.wait()


def search(client: httpx.Client, text: str) -> None:
    client.post("/v1/search", json={"text": text}).raise_for_status()


def measure(name: str, call: Callable[[str], object], texts: Sequence[str], rounds: int) -> Row:
    """Each text `rounds` times, after one round that does not count."""
    for text in texts:
        call(text)
    taken = []
    for text in islice(cycle(texts), len(texts) * rounds):
        start = perf_counter()
        call(text)
        taken.append(1000 * (perf_counter() - start))
    return Row(name, round(statistics.median(taken), 2), round(statistics.quantiles(taken, n=20)[-1], 2))


def _ready(client: httpx.Client) -> bool:
    try:
        return client.get("/health/ready").is_success
    except httpx.ConnectError:
        return False


if __name__ == "__main__":
    main()
