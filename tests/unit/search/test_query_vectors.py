"""Texts are read once while they are kept, together when they wait at once, and nobody is left waiting."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search.embedding import Curve, Models, Standard, Vectors
from search.query_vectors import CHARACTERS_TOGETHER, LONGEST_KEPT, TOGETHER, Meaning, QueryVectors, _together


class Spelling:
    """Models that read letter by letter, and remember what they were asked together. They can be held up."""

    standard = Standard(Curve(midpoint=1.0, slope=2.0), np.eye(6, dtype=np.float32))
    text = SimpleNamespace(standard=standard)
    visual = SimpleNamespace(calibration=SimpleNamespace(text_image=standard))

    def __init__(self, before: Callable[[Sequence[str]], object] = lambda _: None) -> None:
        self.batches: list[list[str]] = []
        self.before = before

    def read_all(self, texts: Sequence[str]) -> tuple[Vectors, Vectors]:
        self.batches.append(list(texts))
        self.before(texts)
        rows = np.array([spelled(text) for text in texts], np.float32)
        return rows, -rows


def spelled(text: str) -> list[float]:
    return [float(text.count(letter)) for letter in "abcde"] + [float(len(text))]


def query_vectors(models: Any, **bound: int) -> QueryVectors:
    return QueryVectors(models, **bound)


def answers(read: Sequence[Meaning]) -> list[list[float]]:
    assert all(np.array_equal(one.for_pictures, -one.for_words) for one in read)
    assert all(one.of_pictures == Spelling.standard.of(one.for_pictures) for one in read)
    assert all(one.of_words == Spelling.standard.of(one.for_words) for one in read)
    return [one.for_pictures.tolist() for one in read]


def until(holds: Callable[[], bool]) -> None:
    for _ in range(30_000):
        if holds():
            return
        Event().wait(0.001)
    raise AssertionError("It never came to that.")


@pytest.fixture
def many() -> Iterable[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as pool:
        yield pool


def test_what_was_asked_before_is_not_read_again() -> None:
    models = Spelling()
    vectors = query_vectors(models)
    first, again = vectors.read(["a bee"]), vectors.read(["a bee"])
    assert answers(first) == answers(again) == [spelled("a bee")]
    assert models.batches == [["a bee"]]
    assert vectors.counts.kept == 1
    assert vectors.counts.batches == {1: 1}


def test_texts_of_one_request_are_read_together_and_in_order() -> None:
    models = Spelling()
    vectors = query_vectors(models)
    vectors.read(["bed"])
    assert answers(vectors.read(["cab", "bed", "ace", "cab"])) == [spelled(one) for one in ("cab", "bed", "ace", "cab")]
    assert models.batches == [["bed"], ["cab", "ace"]]
    assert vectors.read([]) == []


def test_those_that_wait_are_read_together(many: ThreadPoolExecutor) -> None:
    """While the first text is being read nine more come, two of them the same: they make one batch."""
    held, reading = Event(), Event()

    def hold(texts: Sequence[str]) -> None:
        reading.set()
        assert held.wait(30)

    models = Spelling(hold)
    vectors = query_vectors(models)
    first = many.submit(vectors.read, ["a"])
    assert reading.wait(30)
    others = ["b" * size for size in range(1, 9)]
    asked = [many.submit(vectors.read, [text]) for text in (*others, others[0])]
    until(lambda: len(vectors._waiting) == 9)  # the one that is read, and eight that wait
    held.set()
    assert answers(first.result(30)) == [spelled("a")]
    assert [answers(one.result(30)) for one in asked] == [[spelled(text)] for text in (*others, others[0])]
    assert models.batches[0] == ["a"]
    assert sorted(models.batches[1]) == sorted(others)
    assert len(models.batches) == 2


def test_an_error_reaches_everyone_who_waits_and_nobody_after(many: ThreadPoolExecutor) -> None:
    held, reading = Event(), Event()

    def fail(texts: Sequence[str]) -> None:
        reading.set()
        assert held.wait(30)
        if "bad" in texts:
            raise RuntimeError("cannot read that")

    models = Spelling(fail)
    vectors = query_vectors(models)
    first = many.submit(vectors.read, ["a"])
    assert reading.wait(30)
    asked = [many.submit(vectors.read, [text]) for text in ("bad", "b", "bad")]
    until(lambda: len(vectors._waiting) == 3)
    held.set()
    assert answers(first.result(30)) == [spelled("a")]
    for one in asked:
        with pytest.raises(RuntimeError, match="cannot read that"):
            one.result(30)
    models.before = lambda _: None
    assert answers(vectors.read(["bad", "b"])) == [spelled("bad"), spelled("b")]
    assert not vectors._waiting


def test_nobody_is_left_waiting(many: ThreadPoolExecutor) -> None:
    """Many threads ask for few texts over and over, of which few are kept; each gets its own."""
    models = Spelling()
    vectors = query_vectors(models, kept=3)
    asked = [f"{'abcde'[n % 5]}{n % 11}" for n in range(4_000)]
    got = many.map(lambda text: vectors.read([text]), asked, timeout=60)
    assert [answers(pairs) for pairs in got] == [[spelled(text)] for text in asked]
    assert len(vectors._kept) == 3
    assert not vectors._waiting
    assert vectors.counts.kept + sum(size * n for size, n in vectors.counts.batches.items()) <= len(asked)


def test_what_is_kept_is_bounded() -> None:
    models = Spelling()
    vectors = query_vectors(models, kept=2)
    for text in ("a", "b", "a", "c", "a", "b"):  # "a" is asked for often enough to stay
        vectors.read([text])
    assert models.batches == [["a"], ["b"], ["c"], ["b"]]
    long = "a" * (LONGEST_KEPT + 1)
    assert answers(vectors.read([long]) + vectors.read([long])) == [spelled(long)] * 2
    assert models.batches[-2:] == [[long], [long]]
    assert list(vectors._kept) == ["a", "b"]


def test_what_is_kept_cannot_be_written_to() -> None:
    seen, said, *_ = query_vectors(Spelling()).read(["a"])[0]
    assert not seen.flags.writeable
    assert not said.flags.writeable
    assert seen.base is None  # nor does it hold its whole batch in memory


@settings(max_examples=200)
@given(st.lists(st.text("ab", max_size=CHARACTERS_TOGETHER), unique=True, max_size=80))
def test_a_batch_is_the_longest_beginning_within_bounds(waiting: list[str]) -> None:
    texts = _together(waiting)
    assert texts == waiting[: len(texts)]
    assert bool(texts) == bool(waiting)

    def fits(some: Sequence[str]) -> bool:
        return len(some) <= TOGETHER and len(some) * max(map(len, some)) <= CHARACTERS_TOGETHER

    assert len(texts) <= 1 or fits(texts)
    assert texts == waiting or not fits(waiting[: len(texts) + 1])


TEXTS = ["a", "cosy evening with a glass of red", "🐶", "", "Sonnenuntergang", "bird " * 60, "a dog on a beach"]


def test_a_text_s_vectors_do_not_depend_on_what_is_read_with_it(models: Models) -> None:
    """Padding and batches change no more than the last digits."""
    together = QueryVectors(models).read(TEXTS)
    backwards = models.read_all(TEXTS[::-1])
    for place, (text, meaning) in enumerate(zip(TEXTS, together, strict=True)):
        for vector, alone, other in zip(meaning[:2], models.read(text), backwards, strict=True):
            np.testing.assert_allclose(vector, alone, atol=1e-6)
            np.testing.assert_allclose(other[len(TEXTS) - 1 - place], alone, atol=1e-6)
