"""Whether somebody serves a library, so that long work beside a server leaves a processor to searches.

Loads nothing: who asks has no threads yet.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

#: Lies in the data directory; each server of it holds a shared lock.
LOCK: Final = "serving.lock"


@contextmanager
def serving(directory: Path) -> Iterator[None]:
    """Be a server of the library in the directory. The lock frees when the process ends, however it ends."""
    descriptor = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


def served(directory: Path) -> bool:
    """Whether anybody serves the library in the directory at this moment."""
    try:
        descriptor = os.open(directory / LOCK, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
