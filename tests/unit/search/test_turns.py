"""Whoever waits longest is next, and none is given to two."""

from threading import Thread

from search.turns import Turns


def test_whoever_waits_longest_is_next() -> None:
    turns = Turns(["the only one"])
    order: list[int] = []

    def use(number: int) -> None:
        one = turns.take()
        order.append(number)
        turns.give_back(one)

    held = turns.take()
    people = [Thread(target=use, args=(number,)) for number in range(20)]
    for number, one in enumerate(people):
        one.start()
        while len(turns._waiting) <= number:
            assert one.is_alive()
    turns.give_back(held)
    for one in people:
        one.join()
    assert order == list(range(20))


def test_what_was_given_back_is_taken_first_unless_it_is_to_be_last() -> None:
    turns = Turns("abc")
    assert [turns.take(), turns.take()] == ["a", "b"]
    turns.give_back("b")
    turns.give_back("a", last=True)
    assert [turns.take() for _ in range(3)] == ["b", "c", "a"]


def test_none_is_given_to_two() -> None:
    turns = Turns(range(3))
    at_work: set[int] = set()
    uses: list[int] = []

    def use() -> None:
        for _ in range(500):
            one = turns.take()
            assert one not in at_work
            at_work.add(one)
            uses.append(one)
            at_work.remove(one)
            turns.give_back(one)

    people = [Thread(target=use) for _ in range(8)]
    for one in people:
        one.start()
    for one in people:
        one.join()
    assert len(uses) == 4_000
