"""Searches are given to processes that search: real sockets, each process a thread."""

import logging
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from threading import Barrier, Event, Thread
from time import perf_counter

import msgspec
import numpy as np
import pytest

from api import answering
from api.answering import Answer, Asked, Team, work
from search.embedding import Curve
from search.engine import Space
from search.errors import LoupeError, NotFound
from search.query import SearchRequest, understand
from search.query_vectors import Meaning
from search.searcher import Prepared, Searcher
from search.trace import Trace
from search.types import Filters, NotClearedCount, Page, Plan, Principal, Usage


class Found(Searcher):
    """In the place of a searcher over a library: it tells what it was asked."""

    def __init__(self, find: Callable[[Principal, Prepared], Page]) -> None:
        self._find = find

    def answer(self, principal: Principal, prepared: Prepared, trace: Trace) -> Page:
        trace.plans.append((Space.text, Plan("lists", 3, 2)))
        with trace.stage("keyword"):
            return self._find(principal, prepared)


NOBODY = Found(lambda *_: PAGE)
PAGE = Page((), 0, {}, NotClearedCount(), None)
MARA = Principal("mara", frozenset({"marketing"}))


def asked(text: str = "a cat") -> Asked:
    request = SearchRequest(text=text, filters=Filters(type=("image",)), usage=Usage(territory="DE"))
    vector = np.arange(3, dtype=np.float32)
    prepared = Prepared(
        understand(request, "mara"), {text: Meaning(vector, -vector, Curve(0.1, 20.0), Curve(0.3, 9.5))}, (2 * vector,)
    )
    return Asked(MARA, prepared, perf_counter())


@pytest.fixture
def employ(tmp_path: Path) -> Callable[[Callable[[Principal, Prepared], Page]], Path]:
    """Sets a process to work, and gives its door."""
    doors: list[Path] = []

    def employ(find: Callable[[Principal, Prepared], Page]) -> Path:
        doors.append(tmp_path / str(len(doors)))
        listening = Event()
        Thread(target=work, args=(Found(find), doors[-1], listening.set), daemon=True).start()
        assert listening.wait(10)
        return doors[-1]

    return employ


def test_what_was_asked_arrives_and_what_was_found_comes_back(employ: Callable[..., Path]) -> None:
    arrived: list[tuple[Principal, Prepared]] = []

    def find(principal: Principal, prepared: Prepared) -> Page:
        arrived.append((principal, prepared))
        return PAGE

    one, trace = asked(), Trace()
    answer = Team([employ(find)]).answer(NOBODY, one, trace)
    said = [msgspec.json.decode(each.body) for each in (answer, answering.answer(NOBODY, asked(), Trace()))]
    assert all(0 <= page.pop("tookMs") < 10_000 for page in said)
    assert said[0] == said[1]
    assert answer.found
    [(principal, prepared)] = arrived
    assert (principal, prepared.query) == (MARA, one.prepared.query)
    sent, came = one.prepared.texts["a cat"], prepared.texts["a cat"]
    assert (came.of_pictures, came.of_words) == (sent.of_pictures, sent.of_words)
    for vector, other in zip(sent[:2], came[:2], strict=True):
        assert other.dtype == np.float32
        assert np.array_equal(vector, other)
    assert np.array_equal(prepared.pictures, one.prepared.pictures)
    assert trace.plans == [(Space.text, Plan("lists", 3, 2))]
    assert set(trace.seconds) == {"wait", "keyword"}


def test_each_has_one_search_at_a_time_and_all_are_at_work(employ: Callable[..., Path]) -> None:
    together = Barrier(2)

    def find(principal: Principal, prepared: Prepared) -> Page:
        together.wait(10)
        return PAGE

    team = Team([employ(find), employ(find)])
    answers: list[Answer] = []
    people = [Thread(target=lambda: answers.append(team.answer(NOBODY, asked(), Trace()))) for _ in range(6)]
    for one in people:
        one.start()
    for one in people:
        one.join()
    assert [answer.status for answer in answers] == [200] * 6


def test_errors_come_back_as_problems(employ: Callable[..., Path], caplog: pytest.LogCaptureFixture) -> None:
    def find(principal: Principal, prepared: Prepared) -> Page:
        if prepared.query.text == "a cat":
            raise NotFound("There is no such asset.", "Look again.")
        raise ZeroDivisionError("secret")

    team = Team([employ(find)])
    refused = team.answer(NOBODY, asked(), Trace())
    assert refused.status == 404
    assert not refused.found
    problem = msgspec.json.decode(refused.body)
    assert (problem["type"], problem["remedy"]) == ("urn:loupe:problem:not-found", "Look again.")
    with caplog.at_level(logging.CRITICAL):
        failed = team.answer(NOBODY, asked("a dog"), Trace())
    assert failed.status == 500
    assert b"secret" not in failed.body


def test_a_search_that_ends_two_processes_is_given_up_and_the_next_is_answered(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A door behind which the first two die over what they are asked."""
    door = tmp_path / "door"

    def die_twice() -> None:
        for _ in range(2):
            door.unlink(missing_ok=True)
            with Listener(str(door), "AF_UNIX") as listener, listener.accept() as asker:
                asker.send_bytes(answering._HERE)
                asker.recv_bytes()
        work(Found(lambda *_: PAGE), door, lambda: None)

    Thread(target=die_twice, daemon=True).start()
    team = Team([door])
    with caplog.at_level(logging.CRITICAL), pytest.raises(LoupeError, match="ended over this"):
        team.answer(NOBODY, asked(), Trace())
    assert team.answer(NOBODY, asked(), Trace()).found


def test_one_that_dies_between_two_searches_is_not_noticed(tmp_path: Path) -> None:
    door = tmp_path / "door"
    gone = Event()

    def end_after_one() -> None:
        with Listener(str(door), "AF_UNIX") as listener, listener.accept() as asker:
            asker.send_bytes(answering._HERE)
            asker.send_bytes(answering._encoder.encode(answering._told(NOBODY, asker.recv_bytes())))
        gone.set()
        work(Found(lambda *_: PAGE), door, lambda: None)

    Thread(target=end_after_one, daemon=True).start()
    team = Team([door])
    assert team.answer(NOBODY, asked(), Trace()).found
    assert gone.wait(10)
    assert team.answer(NOBODY, asked(), Trace()).found


def test_the_door_opens_again_for_another_that_asks(employ: Callable[..., Path]) -> None:
    """What one that died had asked is nobody's any more."""
    door = employ(lambda *_: PAGE)
    with suppress(OSError):
        first: Connection = Client(str(door), "AF_UNIX")
        first.send_bytes(b"\xc1 that is no search")
        first.close()
    assert Team([door]).answer(NOBODY, asked(), Trace()).found
