"""How long a newcomer waits: `python -m benchmarks.first_start [--json FILE]`.

A clone of this repository's last commit, a new home, no virtual environment and no cache of packages: seconds from the
first `make demo` to the first answered search, and the same for the second.
"""

import os
import signal
import socket
import subprocess
import tempfile
from pathlib import Path
from time import perf_counter, sleep

import click
import httpx
import msgspec
from rich.console import Console

ROOT = Path(__file__).parents[1]


@click.command()
@click.option("--json", "as_json", type=click.Path(dir_okay=False, path_type=Path), help="Write the figures here too.")
def main(as_json: Path | None) -> None:
    """Measure the first and the second start of the demo."""
    with tempfile.TemporaryDirectory(prefix="loupe-start-") as scratch:
        clone, home = Path(scratch) / "loupe", Path(scratch) / "home"
        home.mkdir()
        subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", str(ROOT), str(clone)], check=True)  # noqa: S607
        seconds = {name: round(start(clone, home), 1) for name in ("first", "second")}
    Console().print(
        f"First start {seconds['first']} s, second start {seconds['second']} s, until a search is answered."
    )
    if as_json:
        as_json.write_bytes(msgspec.json.format(msgspec.json.encode(seconds)) + b"\n")


def start(clone: Path, home: Path) -> float:
    """Seconds until `make demo` answers a search; it is stopped then."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {"HOME": str(home), "PIP_NO_CACHE_DIR": "1", "LOUPE_PORT": str(port)}
    begun = perf_counter()
    process = subprocess.Popen(["make", "demo"], cwd=clone, env=environment, start_new_session=True)  # noqa: S607
    try:
        while not answers(f"http://127.0.0.1:{port}/v1/search?q=hot+drink"):
            if process.poll() is not None:
                raise SystemExit(f"`make demo` ended with exit code {process.returncode}.")
            sleep(0.2)
        return perf_counter() - begun
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
            process.wait()


def answers(address: str) -> bool:
    try:
        return httpx.get(address, timeout=30).is_success
    except httpx.ConnectError:
        return False


if __name__ == "__main__":
    main()
