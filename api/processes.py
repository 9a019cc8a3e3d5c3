"""Several processes, each a copy of one that has loaded the library: one that answers people, and others that search.

To load a library and its models in each would cost each the whole memory. A copy (fork) costs what it writes to:
models, columns and what was read of indexes are shared, the files of indexes in any case. What each does is
`api.answering`'s.

The one they are copies of answers nobody. Nothing is to run in threads of it, since a copy has only the one that makes
it. It makes another copy where one died, and passes on the signals to stop. Only for Linux.
"""

import ctypes
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from select import select
from time import monotonic, sleep
from typing import Final

from search.errors import LoupeError

_log = logging.getLogger(__name__)

#: A process that fails sooner than this, in seconds, does not fail by an accident that another one would be spared.
_SOON: Final = 3.0

#: How often it is looked, in seconds, whether one failed that is waited for.
_LOOK: Final = 0.5

#: Signals that are taken note of at once.
_AT_ONCE: Final = 1 << 10

_HEARD: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)
_DIE_WITH_PARENT: Final = 1  # PR_SET_PDEATHSIG of prctl(2)


def possible() -> bool:
    return sys.platform == "linux"


class Crew:
    """So many processes that `work`, each at a place of its own, from 0 on, and call what they are given when it is
    under way; then this is made.

    The one at place 0 stops when it is told to, once it answered what it was asked. The others serve it, and are ended
    after it or when the one that made them is gone; they hear no signal that was meant for all, such as Ctrl-C.

    `rest` is called before each is made: to let go of what is not to be shared. Signals to stop, and of processes that
    ended, must be `heard` meanwhile. Raises LoupeError when one fails as soon as it began.
    """

    def __init__(self, number: int, rest: Callable[[], None], work: Callable[[int, Callable[[], None]], None]) -> None:
        self._rest = rest
        self._work = work
        self._begun: dict[int, tuple[int, float]] = {}
        self._told, self._tell = os.pipe()
        try:
            for place in range(number):
                self._add(place)
            ready = 0
            while ready < number:
                if select([self._told], [], [], _LOOK)[0]:
                    ready += len(os.read(self._told, number))
                else:
                    self.tend()
        except BaseException:
            self.dismiss()
            raise

    def tend(self) -> None:
        """Make another process for each that ended. Raises LoupeError for one that failed as soon as it began."""
        for pid in list(self._begun):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if not ended:
                continue
            place, begun = self._begun.pop(pid)
            lived = monotonic() - begun
            how = os.waitstatus_to_exitcode(status)
            _log.error("A process (%d) ended after %.0f s (%d); another takes its place.", pid, lived, how)
            if lived < _SOON and how > 0:
                raise LoupeError("A process failed as soon as it began.", "What it said stands above.")
            if lived < _SOON:  # it was killed: should that go on, then slowly
                sleep(1)
            self._add(place)

    def dismiss(self) -> None:
        """Have all stop, once what was asked is answered."""
        for pid, (place, _) in sorted(self._begun.items(), key=lambda one: one[1]):
            os.kill(pid, signal.SIGKILL if place else signal.SIGTERM)
            os.waitpid(pid, 0)
        self._begun.clear()
        os.close(self._told)
        os.close(self._tell)

    def _say(self) -> None:
        os.write(self._tell, b".")

    def _add(self, place: int) -> None:
        self._rest()
        parent = os.getpid()
        signal.pthread_sigmask(signal.SIG_BLOCK, _HEARD)  # they wait until it is said who hears them
        pid = os.fork()
        if pid:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _HEARD)
            self._begun[pid] = place, monotonic()
            return
        code = 1
        try:
            ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL if place else signal.SIGTERM)
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGTERM, signal.SIG_IGN if place else signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.SIG_IGN if place else signal.default_int_handler)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _HEARD)
            if os.getppid() == parent:
                self._work(place, self._say)
            code = 0
        except KeyboardInterrupt:
            code = 0
        except BaseException:
            _log.exception("A process failed.")
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)  # what the copied one would do at its end is not this one's to do


@contextmanager
def heard() -> Iterator[Callable[[float], bool]]:
    """Gives what waits some seconds for a signal to stop, or until a process ended, and says whether to go on.

    It raises KeyboardInterrupt for Ctrl-C, which is raised nowhere else meanwhile: libraries swallow what is raised in
    what they call back. Signals may come to threads of libraries too, so it is not enough to block them in this one.
    """
    told: list[int] = []
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    before = {each: signal.signal(each, lambda number, _: told.append(number)) for each in _HEARD}
    woken_before = signal.set_wakeup_fd(wake, warn_on_full_buffer=False)

    def wait(seconds: float) -> bool:
        if not told and select([woken], [], [], seconds)[0]:
            os.read(woken, _AT_ONCE)
        came = told.copy()
        told.clear()
        if signal.SIGINT in came:
            raise KeyboardInterrupt
        return signal.SIGTERM not in came

    try:
        yield wait
    finally:
        signal.set_wakeup_fd(woken_before)
        for each, handler in before.items():
            signal.signal(each, handler)
        os.close(woken)
        os.close(wake)


def alone() -> list[int]:
    """This process."""
    return [os.getpid()]


def siblings() -> list[int]:
    """The processes that the same one made, this one included."""
    return children(os.getppid())


def children(pid: int) -> list[int]:
    """The processes that the main thread of one made, the oldest first."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()]
