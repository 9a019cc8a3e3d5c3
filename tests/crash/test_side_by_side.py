"""A server and an indexer on one library: searches are answered throughout, and what is new is found meanwhile."""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from benchmarks.while_indexing import Report
from search.engines.embedded import generation


@pytest.mark.long
def test_what_is_taken_in_is_found_while_more_is_taken_in(tmp_path: Path) -> None:
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
