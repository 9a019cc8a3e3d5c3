"""Files that are there in full or not at all, also after the power failed: synced, and their folders with them."""

import os
from pathlib import Path


def sync(path: Path) -> None:
    """Have what was written to a file, or the names in a folder, on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def move(file: Path, to: Path) -> None:
    """Put a finished file, or folder whose files are synced, in its place; it is there for good once this returns."""
    sync(file)
    file.replace(to)
    sync(to.parent)


def folder(path: Path) -> None:
    """Make a folder, and those above it, where there is none."""
    if not path.is_dir():
        folder(path.parent)
        path.mkdir(exist_ok=True)
        sync(path.parent)
