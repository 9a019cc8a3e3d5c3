"""What tests share: small assets, libraries and the moment they live in."""

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from time import monotonic
from typing import Any

import httpx
import msgspec
import pytest
from hypothesis import HealthCheck, settings

from search.catalog import Catalog, Intake
from search.embedding import Models
from search.models.loading import load_models
from search.types import (
    Action,
    Asset,
    Grant,
    Licence,
    MediaType,
    ResourceKind,
    Rights,
    Segment,
    SegmentKind,
    Status,
    SubjectKind,
)

# How long an example takes says more of the machine than of the code; machines are shared.
settings.register_profile("loupe", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("loupe")

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)

MakeIntake = Callable[..., Intake]


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    opened = Catalog.at(tmp_path / "catalog.sqlite")
    yield opened
    opened.close()


@pytest.fixture
def make_intake() -> MakeIntake:
    """Intakes of an approved, owned picture in the collection "open", with whatever is said otherwise."""

    def make(name: str, *, segments: tuple[Segment, ...] = (), collection: str = "open", **changes: object) -> Intake:
        asset = Asset(
            ordinal=0,
            id=name,
            path=f"/library/{name}.jpg",
            content_hash=f"hash-{name}",
            media_type=MediaType.image,
            mime="image/jpeg",
            collection=collection,
            status=Status.approved,
            added=NOW,
            rights=Rights(licence=Licence.owned),
        )
        asset = msgspec.structs.replace(asset, **changes)
        picture = Segment(0, 0, SegmentKind.image, asset.content_hash)
        return Intake(asset, mtime_ns=1, facts_digest="d", embedded={}, segments=segments or (picture,))

    return make


def everyone_may(collection: str, *actions: Action) -> tuple[Grant, ...]:
    return tuple(Grant(ResourceKind.collection, collection, SubjectKind.everyone, "", action) for action in actions)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take minutes come first: else one of the processes that share the files ends with them alone."""
    long = {item.path for item in items if item.get_closest_marker("long")}
    items.sort(key=lambda item: item.path not in long)


# ---- what is counted, told when all is done


_TALLY = pytest.StashKey[Counter[str]]()


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Counter[str]:
    """How often what was survived or refused."""
    return request.config.stash.setdefault(_TALLY, Counter())


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workeroutput"):  # one of several processes that share the tests (pytest-xdist)
        session.config.workeroutput["tally"] = dict(session.config.stash.get(_TALLY, Counter()))


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    node.config.stash.setdefault(_TALLY, Counter()).update(getattr(node, "workeroutput", {}).get("tally", {}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for what, times in sorted(config.stash.get(_TALLY, Counter()).items()):
        terminalreporter.write_line(f"{times:,} {what}")


# ---- the demo library, built once, and served once for all tests that look at it


class Server(msgspec.Struct, frozen=True):
    """A `loupe` process that serves a library, its data directory, and its number."""

    address: str
    data_dir: Path
    pid: int

    @contextmanager
    def client(self, user: str | None = None) -> Iterator[httpx.Client]:
        """A client, signed in as one of the demo's people or as nobody."""
        with httpx.Client(base_url=self.address, headers={"Origin": self.address}, timeout=60) as client:
            if user is not None:
                client.post("/v1/demo/sign-in", json={"user": user}).raise_for_status()
            yield client


@contextmanager
def serving(*command: str, data_dir: Path, **environment: str) -> Iterator[Server]:
    """Run `loupe COMMAND` with a free port until the block ends."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = data_dir.with_suffix(".log")
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "api", *command, "--data-dir", str(data_dir), "--port", str(port)],
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | environment,
        )
        try:
            address = f"http://127.0.0.1:{port}"
            deadline = monotonic() + 300
            while not _answers(address):
                assert process.poll() is None, log.read_text()
                assert monotonic() < deadline, log.read_text()
                Event().wait(0.2)
            yield Server(address, data_dir, process.pid)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=30)


def _answers(address: str) -> bool:
    try:
        return httpx.get(f"{address}/health/ready").is_success
    except httpx.ConnectError:
        return False


@pytest.fixture(scope="session")
def demo_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data directory of the demo, to be copied and left as it is: built by the first of the processes that share
    the tests, which the others wait for."""
    mine = tmp_path_factory.getbasetemp()
    shared = mine.parent if "PYTEST_XDIST_WORKER" in os.environ else mine
    library = shared / "demo-library"
    with library.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not library.exists():
            begun = library.with_suffix(".begun")
            command = [sys.executable, "-m", "api", "demo", "--build-only", "--data-dir", str(begun)]
            run = subprocess.run(command, capture_output=True, text=True)
            assert run.returncode == 0, run.stderr
            begun.rename(library)
    return library


@pytest.fixture(scope="session")
def demo(demo_library: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The demo as `loupe demo` serves it."""
    own = tmp_path_factory.mktemp("demo") / "library"
    shutil.copytree(demo_library, own)
    with serving("demo", data_dir=own) as server:
        yield server


@pytest.fixture(scope="session")
def models() -> Models:
    return load_models()
