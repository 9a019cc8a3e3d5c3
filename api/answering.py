"""A search on its way to an answer: answered where it came in, or by processes that do nothing but search.

Threads of Python take turns at the interpreter. In a process that both searches and speaks HTTP, a request waits to be
read while another is searched for, and a search waits while a request is read; and a connection, once made, stays with
the process that it led to, whether or not another has less to do. So where there are several processes, one answers
people: it reads requests, makes vectors of texts, those that come together at once, and gives each search to whichever
of the others is idle. These have one thread and take one search at a time.

They speak over sockets in a directory that only their user may enter, for they take the one that asks at its word as to
who is asking. What a process had in hand when it died is given to another, once: a search that ends two is not tried on
all.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from time import monotonic, perf_counter, sleep
from typing import Final

import msgspec
import numpy as np
from litestar.status_codes import HTTP_200_OK
from PIL import Image

from api import errors
from api.metrics import Metrics
from api.schemas import page_out
from search.embedding import Vector
from search.engine import Space
from search.errors import LoupeError
from search.query import SearchRequest
from search.searcher import Prepared, Searcher
from search.trace import Stage, Trace
from search.turns import Turns
from search.types import Plan, Principal

_log = logging.getLogger(__name__)

#: To how many processes a search is given before it is given up.
_TRIES: Final = 2

#: How long, in seconds, another process has to take the place of one that died, and how often it is looked for.
_REPLACED_WITHIN: Final = 10.0
_LOOK: Final = 0.02


class Asked(msgspec.Struct, frozen=True):
    """A search: who asks for what, and since when (seconds of `perf_counter`, which processes of one machine share)."""

    principal: Principal
    prepared: Prepared
    begun: float


class Answer(msgspec.Struct, frozen=True):
    """What goes out: an HTTP status, and JSON."""

    status: int
    body: bytes

    @property
    def found(self) -> bool:
        """Whether it is a page, and not why there is none."""
        return self.status == HTTP_200_OK


Answering = Callable[[Searcher, Asked, Trace], Answer]
"""What answers a search; `trace` is filled in. Errors are raised, or are the answer."""


def answer(searcher: Searcher, asked: Asked, trace: Trace) -> Answer:
    """Answer here."""
    page = searcher.answer(asked.principal, asked.prepared, trace)
    return Answer(HTTP_200_OK, msgspec.json.encode(page_out(page, 1000 * (perf_counter() - asked.begun))))


class Desk:
    """Where searches come in: each is prepared, answered and counted."""

    def __init__(self, searcher: Callable[[], Searcher], answering: Answering, measures: Metrics) -> None:
        """`searcher` gives what is to answer a request that begins."""
        self._searcher = searcher
        self._answering = answering
        self._measures = measures

    def search(self, principal: Principal, request: SearchRequest, images: Iterable[Image.Image] = ()) -> Answer:
        """One page. `images` are decoded here, in the time that is told. Raises LoupeError."""
        begun = perf_counter()
        trace = Trace()
        searcher = self._searcher()
        prepared = searcher.prepare(principal, request, list(images), trace)
        answer = self._answering(searcher, Asked(principal, prepared, begun), trace)
        if answer.found:
            self._measures.searched(perf_counter() - begun, trace)
        return answer


# ---- between processes


class _Told(msgspec.Struct, frozen=True):
    """`Answer` as it is sent, and the trace of it."""

    answer: Answer
    seconds: dict[Stage, float]
    plans: list[tuple[Space, Plan]]


def _bytes(vector: Vector) -> bytes:
    return vector.tobytes()


def _vector(_: type, sent: bytes) -> Vector:
    return np.frombuffer(sent, np.float32)


#: Vectors, which alone it does not know, are sent as the bytes of their float32.
_encoder: Final = msgspec.msgpack.Encoder(enc_hook=_bytes)
_searches: Final = msgspec.msgpack.Decoder(Asked, dec_hook=_vector)
_tellings: Final = msgspec.msgpack.Decoder(_Told)

#: What a process that searches says first.
_HERE: Final = b"here"


# ---- the one that answers people


class Team:
    """Processes that search, by the doors at which they are reached. Safe to share between threads."""

    def __init__(self, doors: Sequence[Path]) -> None:
        self._idle = Turns(map(_Colleague, doors))

    def answer(self, _: Searcher, asked: Asked, trace: Trace) -> Answer:
        """Have one of them answer. Raises LoupeError when they die of it."""
        message = _encoder.encode(asked)
        for _try in range(_TRIES):
            with trace.stage("wait"):
                colleague = self._idle.take()
            try:
                told = _tellings.decode(colleague.ask(message))
            except (EOFError, OSError) as error:
                _log.error("A process ended over a search (%s).", str(error) or type(error).__name__)
            else:
                trace.add(told.seconds, told.plans)
                return told.answer
            finally:
                # Else it is the first to be asked again: what it needs is in the processor's caches.
                self._idle.give_back(colleague, last=not colleague.alive)
        raise LoupeError("The processes that search ended over this.", "The server's log says how; try again.")


class _Colleague:
    """One process that searches, asked by one thread at a time, and whichever takes its place."""

    def __init__(self, door: Path) -> None:
        self._door = door
        self._connection: Connection | None = None

    @property
    def alive(self) -> bool:
        """Whether it was there when it was last asked."""
        return self._connection is not None

    def ask(self, message: bytes) -> bytes:
        """Raises EOFError or OSError when it ends meanwhile, or no other takes its place in time."""
        connection = self._reached()
        try:
            connection.send_bytes(message)
            return connection.recv_bytes()
        except (EOFError, OSError):
            self._let_go()
            raise

    def _reached(self) -> Connection:
        if self._connection and self._connection.poll():  # nothing is to be read, so this is the end of it
            self._let_go()
        ends = monotonic() + _REPLACED_WITHIN
        while self._connection is None:
            try:
                self._connection = Client(str(self._door), "AF_UNIX")
                self._connection.recv_bytes()  # while one is dying, its door may still take whoever comes
            except (FileNotFoundError, ConnectionError, EOFError):
                self._let_go()
                if monotonic() > ends:
                    raise
                sleep(_LOOK)
        return self._connection

    def _let_go(self) -> None:
        if self._connection:
            self._connection.close()
        self._connection = None


# ---- those that search


def work(searcher: Searcher, door: Path, listening: Callable[[], None]) -> None:
    """Answer whoever comes to the door, one after the other, until the process is ended."""
    door.unlink(missing_ok=True)
    with Listener(str(door), "AF_UNIX") as listener:
        listening()
        while True:
            with listener.accept() as asker, suppress(EOFError, ConnectionError):
                asker.send_bytes(_HERE)
                while True:
                    asker.send_bytes(_encoder.encode(_told(searcher, asker.recv_bytes())))


def _told(searcher: Searcher, message: bytes) -> _Told:
    trace = Trace()
    try:
        told = answer(searcher, _searches.decode(message), trace)
    except LoupeError as error:
        told = _refused(errors.problem(error))
    except Exception:
        _log.exception("A search failed")
        told = _refused(errors.INTERNAL)
    return _Told(told, trace.seconds, trace.plans)


def _refused(problem: errors.Problem) -> Answer:
    return Answer(problem.status, msgspec.json.encode(problem))
