"""Excerpts: short, around the words found, cut between words, in any script."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.excerpts import LONGEST, excerpt, holds

FILLER = "the harvest was late that year and nobody minded much"


def test_a_short_text_is_whole_and_on_one_line() -> None:
    assert excerpt("Blue  boat\n at sea.", ["boat"]) == "Blue boat at sea."


def test_a_long_text_is_cut_around_the_first_word_found() -> None:
    text = f"{FILLER} " * 20 + "then came Espresso and " + f"{FILLER} " * 20
    cut = excerpt(text, ["espresso"])
    assert cut.startswith("… ")
    assert cut.endswith(" …")
    assert "then came Espresso and" in cut
    assert LONGEST - 60 < len(cut) <= LONGEST
    assert set(cut.split()) - {"…"} <= set(text.split()), "no word is cut"


def test_the_stretch_with_most_of_the_words_is_taken() -> None:
    text = f"{FILLER} espresso " * 12 + f"a machine for espresso {FILLER} " + f"{FILLER} machine " * 12
    assert "a machine for espresso" in excerpt(text, ["espresso", "machine"])


def test_beginnings_and_ends_are_not_marked_as_cut() -> None:
    text = f"Espresso {FILLER} " + f"{FILLER} " * 20 + "ends with tea"
    assert excerpt(text, ["Espresso"]).startswith("Espresso the harvest")
    assert excerpt(text, ["tea"]).endswith("ends with tea")
    assert excerpt(text, ["absent"]).startswith("Espresso the harvest")


def test_a_script_without_spaces_is_cut_too() -> None:
    text = "咖啡豆在阳光下晒干" * 60
    assert 0 < len(excerpt(text, ["咖啡"])) <= LONGEST


@pytest.mark.parametrize(("text", "there"), [("Blue boat", True), ("BLUE", True), ("bluebell", False), ("", False)])
def test_a_term_is_held_as_a_whole_word(text: str, there: bool) -> None:
    assert holds(text, ["blue"]) is there


@given(st.text(max_size=300), st.lists(st.text(max_size=5), max_size=3), st.integers(20, 60))
def test_any_text_is_cut_to_a_part_of_itself(text: str, terms: list[str], longest: int) -> None:
    cut = excerpt(text, terms, longest)
    assert len(cut) <= longest
    whole = " ".join(text.split())
    assert cut == whole or cut.removeprefix("… ").removesuffix(" …") in whole
