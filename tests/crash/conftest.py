"""What dies so that others can look at what it leaves."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from search.library import Library
from tests.crash.workload import Outcome, Task, Work


@pytest.fixture(scope="module")
def work() -> Iterator[Work]:
    """Works a task off in a process that may die of it."""
    command = [sys.executable, "-m", "tests.crash.workload"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as forking:
        assert forking.stdin and forking.stdout
        asked, told = forking.stdin, forking.stdout

        def worked(task: Task) -> Outcome:
            asked.write(msgspec.json.encode(task) + b"\n")
            asked.flush()
            return msgspec.json.decode(told.readline(), type=Outcome)

        yield worked
        asked.close()


@pytest.fixture
def library(work: Work, tmp_path: Path) -> Iterator[Library]:
    """A library of some operations, and files beside its catalog."""
    assert work(Task(str(tmp_path / "library"), 7, 0, 30)).acknowledged == 30
    made = Library(tmp_path / "library")
    made.secret()
    made.use("a model")
    staged = tmp_path / "staged"
    staged.write_bytes(os.urandom(5000))
    made.renditions.take("abcdef", {"256.webp": str(staged)})
    yield made
    made.close()
