"""Publishing while an indexer is at work, so that what it has taken in is found within seconds."""

import logging
from collections.abc import Callable
from threading import Event, Thread
from types import TracebackType
from typing import Final, Self

from search.errors import LoupeError

_log = logging.getLogger(__name__)

#: Seconds from one publishing to the next, at least: each costs the readers a moment, and the indexer some work.
EVERY: Final = 1.5


class Publisher:
    """Calls `publish` from a thread of its own, soon after it is told of something new, until the block ends."""

    def __init__(self, publish: Callable[[], None], every: float = EVERY) -> None:
        self._publish = publish
        self._every = every
        self._new = Event()
        self._ended = Event()
        self._thread = Thread(target=self._run, name="publisher")

    def tell(self) -> None:
        """There is something new."""
        self._new.set()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._new.set()
        self._thread.join()

    def _run(self) -> None:
        while self._new.wait() and not self._ended.is_set():
            self._new.clear()
            try:
                self._publish()
            except LoupeError as error:  # the run goes on, and what stands at its end is said then
                _log.warning("What is new is not found yet: %s", error)
            self._ended.wait(self._every)
