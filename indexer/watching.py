"""Keeping a library in step with folders: what the operating system says has changed is looked at once it rests."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from threading import Event
from time import monotonic
from typing import Final

import watchfiles

from indexer.pipeline import Indexer, Progress, Summary
from indexer.sources import stamp
from search.errors import BadSettings, LoupeError
from search.library import Library

#: A file that nothing has happened to for so many seconds is looked at: one that is being copied is not whole yet.
RESTS: Final = 1.0

#: Milliseconds between two looks at what has come to rest.
_LOOK: Final = 500

#: Seconds after which all is looked at again: no system tells of every change, and of those on some disks none.
_ALL: Final = 3600.0

#: Seconds from a run that failed, as where another writes, to the next.
_AGAIN: Final = 5.0


class Watcher:
    """Indexes folders, and again what changes in them. `model` names the model in use, and `made` makes an indexer for
    it; `bar` opens a progress bar; `tell` is told how each run ended."""

    def __init__(
        self,
        library: Library,
        model: Callable[[], str],
        made: Callable[[], Indexer],
        bar: Callable[[], AbstractContextManager[Callable[[Progress], None]]],
        tell: Callable[[Summary | LoupeError], None],
    ) -> None:
        self._library = library
        self._model = model
        self._made = made
        self._bar = bar
        self._tell = tell

    def run(self, folders: Sequence[Path], manifest: Path | None, stop: Event) -> None:
        """Until `stop` is set. The writer's lock is held during each run, and free between them.

        An error in the first run, which looks at all, is raised as `Indexer.run` raises it; later ones are told, and
        all is looked at again.
        """
        indexer: Indexer | None = None
        looked_at: tuple[str, object] = ("", None)  # the model, and how the manifest was
        said = ""
        all_at, again_at = 0.0, 0.0
        waiting: set[Path] = set()
        while not stop.is_set():
            for rested in changes(folders, stop, without=self._library.directory):
                waiting |= rested
                now = monotonic()
                if now < again_at:
                    continue
                if looked_at != (now_is := (self._model(), manifest and stamp(manifest))):
                    all_at = now
                if not waiting and now < all_at:
                    continue
                try:
                    if indexer is None or looked_at[0] != now_is[0]:
                        indexer = self._made()
                    with self._library.writer(), self._bar() as step:
                        ended = indexer.run(folders, manifest, step, stop, None if now >= all_at else waiting)
                except LoupeError as error:
                    if not looked_at[0]:
                        raise
                    if str(error) != said:
                        self._tell(error)
                    said, again_at, all_at = str(error), now + _AGAIN, 0.0
                    continue
                all_at = now + _ALL if now >= all_at else all_at
                looked_at, said, waiting = now_is, "", set()
                self._tell(ended)
            all_at = 0.0  # a folder is another than it was


def changes(folders: Sequence[Path], stop: Event, *, without: Path | None = None) -> Iterator[set[Path]]:
    """Every moment the paths that were made, changed, moved or removed and have come to rest since; mostly none.

    What happens below `without` is not told of. The first set comes once what happens from then on is. Ends when `stop`
    is set, and when one of the folders is another than it was, as where a disk was mounted over it. Raises BadSettings
    where one cannot be watched, or is gone, or lies empty after a change of that kind: nobody can say then whether its
    files are gone or elsewhere.
    """
    roots = [folder.resolve() for folder in folders]
    for folder, root in zip(folders, roots, strict=True):
        if not root.is_dir():
            raise BadSettings(f"{folder} is not a folder, and only folders are watched.", "Name the folder it lies in.")
    first = [_identity(root) for root in roots]
    moving: dict[Path, float] = {}
    try:
        told = watchfiles.watch(
            *roots,
            watch_filter=None,
            rust_timeout=_LOOK,
            yield_on_timeout=True,
            stop_event=stop,
            ignore_permission_denied=True,
        )
        for events in told:
            now = monotonic()
            changed = {Path(path) for _, path in events}
            moving |= {path: now for path in changed if not (without and path.is_relative_to(without))}
            if [_identity(root) for root in roots] != first:
                for root in roots:
                    if not any(root.iterdir()):
                        raise BadSettings(
                            f"{root} is another folder than it was, and empty.",
                            "Mount what was there; or run `loupe index`, which marks its files as gone.",
                        )
                return
            rested = {path for path, at in moving.items() if now - at >= RESTS}
            for path in rested:
                del moving[path]
            yield rested
    except (OSError, RuntimeError) as error:  # the latter is what the library raises
        remedy = "Where there are too many folders, raise fs.inotify.max_user_watches; else set"
        raise BadSettings(
            f"The folders cannot be watched: {error}.", f"{remedy} WATCHFILES_FORCE_POLLING=true."
        ) from error


def _identity(folder: Path) -> tuple[int, int]:
    """What tells a folder from another of its name. Raises BadSettings."""
    try:
        found = folder.stat()
    except OSError as error:
        raise BadSettings(f"{folder} is not there any more.", "Bring it back and watch it again.") from error
    return found.st_dev, found.st_ino
