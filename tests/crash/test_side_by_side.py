"""A server and an indexer on one library: searches are answered throughout, and what is new is found meanwhile."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from api.demo import LIBRARY
from benchmarks.while_indexing import Report
from search.engines.embedded import generation
from search.serving import serving


@pytest.mark.long
def test_what_is_taken_in_is_found_while_more_is_taken_in(demo_library: Path, tmp_path: Path) -> None:
    shutil.copytree(demo_library, tmp_path / "library")
    command = [sys.executable, "-m", "benchmarks.while_indexing", "--files", "40", "--seconds", "3"]
    paths = ["--data-dir", str(tmp_path / "library"), "--json", str(tmp_path / "report.json")]
    run = subprocess.run([*command, *paths], capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    report = msgspec.json.decode((tmp_path / "report.json").read_bytes(), type=Report)
    assert [row.failed for row in report.rows] == [0, 0]
    assert min(row.searches for row in report.rows) > 0
    assert report.found_after
    published = max(generation.numbers(tmp_path / "library" / "generations"))
    assert published >= 3, "the demo's, one while it indexed, one at its end"


@pytest.mark.long
def test_a_processor_is_left_to_a_server(tmp_path: Path) -> None:
    """Of each thread and process that an indexer has, when it has them all."""
    mine = os.sched_getaffinity(0)
    folder, library = tmp_path / "pictures", tmp_path / "library"
    folder.mkdir()
    library.mkdir()
    for photo in sorted((LIBRARY / "photos").glob("*.jpg"))[:40]:
        shutil.copy(photo, folder)
    command = [sys.executable, "-m", "api", "index", str(folder), "--data-dir", str(library), "--json"]
    expected = mine - {min(mine)} if len(mine) > 1 else mine
    with serving(library), subprocess.Popen(command, stdout=subprocess.PIPE) as indexer:
        assert indexer.stdout
        indexer.stdout.readline()  # the first of the photographs is done
        threads = list(Path(f"/proc/{indexer.pid}/task").iterdir())
        children = [int(child) for thread in threads for child in (thread / "children").read_text().split()]
        found = [os.sched_getaffinity(number) for number in (*(int(thread.name) for thread in threads), *children)]
        indexer.terminate()
        indexer.communicate()
    assert children
    assert len(found) > 3
    assert found == [expected] * len(found)
