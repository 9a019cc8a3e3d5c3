"""What few may use at a time, given to whoever waits longest.

A semaphore gives it to one that just came, where that is quicker than the one it wakes, which then waits anew.
"""

from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future
from threading import Lock
from typing import Generic, TypeVar

T = TypeVar("T")


class Turns(Generic[T]):
    """Things that are used by one thread at a time. Safe to share between threads."""

    def __init__(self, free: Iterable[T]) -> None:
        self._lock = Lock()
        self._free = deque(free)
        self._waiting: deque[Future[T]] = deque()

    def take(self) -> T:
        """One that is free, of several the first; waits until there is one."""
        with self._lock:
            if self._free:
                return self._free.popleft()
            turn: Future[T] = Future()
            self._waiting.append(turn)
        return turn.result()

    def give_back(self, one: T, *, last: bool = False) -> None:
        """To be taken next by whoever waits, or, if nobody does, before the others that are free or `last` of them."""
        with self._lock:
            if self._waiting:
                self._waiting.popleft().set_result(one)
            elif last:
                self._free.append(one)
            else:
                self._free.appendleft(one)
