"""Who serves a library is known to others for as long as they do."""

import os
import signal
from pathlib import Path

from search.serving import served, serving


def test_a_library_is_served_while_anybody_serves_it(tmp_path: Path) -> None:
    assert not served(tmp_path)
    with serving(tmp_path):
        assert served(tmp_path)
        with serving(tmp_path):
            assert served(tmp_path)
        assert served(tmp_path)
    assert not served(tmp_path)
    assert not served(tmp_path / "nowhere")


def test_a_server_that_was_killed_serves_no_more(tmp_path: Path) -> None:
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        with serving(tmp_path):
            os.write(write, b".")
            signal.pause()
    os.read(read, 1)
    assert served(tmp_path)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert not served(tmp_path)
    os.close(read)
    os.close(write)
