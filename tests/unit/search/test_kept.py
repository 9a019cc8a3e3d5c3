"""What is kept is what was made of the same, and no more of it than was said."""

from hypothesis import given
from hypothesis import strategies as st

from search.kept import Kept


@given(st.lists(st.integers(0, 6)), st.integers(1, 4))
def test_those_asked_for_last_are_kept(asked: list[int], most: int) -> None:
    kept: Kept[str] = Kept(most)
    made: list[int] = []
    last: list[int] = []

    def make(number: int) -> str:
        made.append(number)
        return f"of {number}"

    for number in asked:
        before = len(made)
        assert kept.of(number, lambda number=number: make(number)) == f"of {number}"
        assert (len(made) == before) == (number in last)
        last = [one for one in last if one != number][-(most - 1) :] if most > 1 else []
        last.append(number)
