"""The README's two commands, as on a new machine: a clone, a new home, no virtual environment, nothing cached."""

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import httpx
import pytest

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("machine") / "loupe"
    subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", str(ROOT), str(made)], check=True)
    return made


@pytest.fixture(scope="module")
def environment(clone: Path) -> dict[str, str]:
    home = clone.parent / "home"
    home.mkdir()
    kept = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "LANG", "SSL_", "REQUESTS_"))}
    return kept | {"HOME": str(home), "PATH": os.environ["PATH"], "PIP_NO_CACHE_DIR": "1"}


@pytest.fixture(scope="module")
def demo_made(clone: Path, environment: dict[str, str]) -> Iterator[str]:
    """`make demo`, and the address it serves on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = clone.parent / "demo.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["make", "demo"],
            cwd=clone,
            env=environment | {"LOUPE_PORT": str(port)},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        address = f"http://127.0.0.1:{port}"
        try:
            while process.poll() is None and not answers(address):
                Event().wait(0.5)
            assert process.poll() is None, log.read_text()
            yield address
        finally:
            if process.poll() is None:  # else why it ended is what the test has to say
                os.killpg(process.pid, signal.SIGINT)
                process.wait(timeout=60)
    assert address in log.read_text().replace("\n", "")


def answers(address: str) -> bool:
    try:
        return httpx.get(f"{address}/health/ready").is_success
    except httpx.ConnectError:
        return False


def test_make_demo_answers(demo_made: str) -> None:
    with httpx.Client(base_url=demo_made, headers={"Origin": demo_made}, timeout=60) as client:
        assert "<title>Loupe</title>" in client.get("/").text
        client.post("/v1/demo/sign-in", json={"user": "mara"}).raise_for_status()
        page = client.post("/v1/search", json={"text": "cosy evening with a glass of red"}).json()
    assert page["hits"][0]["asset"]["id"] == "wine-and-djembe-room"


def test_make_test_runs_tests(clone: Path, environment: dict[str, str], demo_made: str) -> None:
    run = subprocess.run(
        ["make", "test", "TESTS=tests/unit/search/test_query.py"],
        cwd=clone,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert " passed in " in run.stdout
    assert subprocess.run(["git", "status", "--porcelain"], cwd=clone, capture_output=True, text=True).stdout == ""
