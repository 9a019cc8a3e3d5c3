"""Words: what is looked for, what is near enough, and which words of a text matched."""

from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.engines.embedded import words

_LETTERS = st.text("abcz", min_size=1, max_size=6)


@cache
def _apart(word: str, other: str) -> int:
    """Optimal string alignment by its definition, without a table."""
    if not word or not other:
        return len(word) + len(other)
    ways = [
        _apart(word[:-1], other) + 1,
        _apart(word, other[:-1]) + 1,
        _apart(word[:-1], other[:-1]) + (word[-1] != other[-1]),
    ]
    if len(word) > 1 and len(other) > 1 and word[-1] == other[-2] and word[-2] == other[-1]:
        ways.append(_apart(word[:-2], other[:-2]) + 1)
    return min(ways)


@given(_LETTERS, _LETTERS, st.integers(1, 2))
def test_near_is_what_the_definition_says(word: str, other: str, reach: int) -> None:
    assert words.within(word, other, reach) == (word[0] == other[0] and _apart(word, other) <= reach)


@pytest.mark.parametrize("word", ["bear", "beer", "boat", "mountains", "flowers", "sky", "2041", "b2b4x"])
def test_what_is_known_short_or_no_word_is_taken_as_meant(word: str) -> None:
    assert [one.reach for one in words.wanted(word)] == [0]


@pytest.mark.parametrize(
    ("word", "reach"), [("eifel", 1), ("becah", 1), ("butterlfy", 2), ("orchester", 2), ("macaw", 1)]
)
def test_what_is_not_known_may_be_misspelt(word: str, reach: int) -> None:
    assert [one.reach for one in words.wanted(word)] == [reach]


@pytest.mark.parametrize(
    ("query", "left"),
    [
        ("a cup of the sea", ["cup", "sea"]),
        ("die Katze auf dem Tisch", ["katze", "tisch"]),
        ("Wellen und Felsen an der Küste", ["wellen", "felsen", "kuste"]),
        ("un chat sur la table", ["chat", "table"]),
        ("una playa con palmeras", ["playa", "palmeras"]),
        ("die hard", ["die", "hard"]),
        ("a van on the road", ["van", "road"]),
        ("fur coat", ["fur", "coat"]),
        ("la la land", ["la", "land"]),
    ],
)
def test_function_words_of_the_querys_language_are_left_out(query: str, left: list[str]) -> None:
    assert [word.spelled for word in words.wanted(query)] == left


def test_function_words_are_looked_for_when_there_is_nothing_else() -> None:
    for query in ("the", "to be or not to be", "auf der"):
        assert words.wanted(query)


@pytest.mark.parametrize(
    ("query", "text", "found"),
    [
        ("butterlfy", "A Butterfly on lavender; butterflies", ("Butterfly",)),
        ("eifel towers", "The tower of Monsieur Eiffel", ("Eiffel", "tower")),
        ("Katzen", "Eine Katze", ("Katze",)),
        ("cafe", "Café au lait", ("Café",)),
        ("bear", "a beer", ()),
        ("IMG_2041.jpg", "IMG_2041 0a1f", ("IMG", "2041")),
        ("bird birds", "Birds", ("Birds",)),
        ("the", "nothing of it", ()),
    ],
)
def test_the_words_that_matched_are_those_of_the_text(query: str, text: str, found: tuple[str, ...]) -> None:
    assert words.matching(query, text) == found


@given(st.text(max_size=80), st.text(max_size=80))
def test_any_texts_can_be_compared(query: str, text: str) -> None:
    assert all(word in text for word in words.matching(query, text))
    assert len(words.wanted(query)) <= words.MAX_WORDS
