"""Uneven rows are counted as they are read: long ones, empty ones and large values among them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroaring import BitMap

from search.ragged import TOLD, Ragged

numbers = st.sampled_from([0, 1, 2, 3, 65_535, 65_536, 65_537, 131_071])
#: Values on both sides of what fits 16 bits, and rows of more than any number of slots.
values = st.integers(0, 9) | st.integers(65_490, 65_550)
rows = st.lists(values, max_size=3) | st.lists(values, min_size=30, max_size=70)


@given(st.lists(st.dictionaries(numbers, rows), max_size=3), st.frozensets(numbers))
def test_counts_are_those_of_the_rows(changes: list[dict[int, list[int]]], asked: frozenset[int]) -> None:
    ragged, held = Ragged(np.int32), dict[int, list[int]]()
    for change in changes:
        held |= change
        ragged = _replaced(ragged, change)
        read = [value for number in sorted(asked) for value in held.get(number, [])]
        assert ragged.rows(BitMap(asked)).tolist() == read
        assert (
            ragged.counts(BitMap(asked), 65_551).tolist()
            == np.bincount(np.array(read, np.int64), minlength=65_551).tolist()
        )


#: Values on both sides of where the low byte ends, and of what can be told.
told = st.sampled_from([0, 1, 255, 256, 257, 1024, TOLD - 1])
single = told | st.sampled_from([TOLD, TOLD + 1, 65_551, 1 << 30])


@given(st.lists(st.dictionaries(numbers, st.none() | single), max_size=3), st.frozensets(told))
def test_rows_are_found_by_the_one_value_they_hold(changes: list[dict[int, int | None]], asked: frozenset[int]) -> None:
    ragged, held = Ragged(np.int32), dict[int, int | None]()
    for change in changes:
        held |= change
        ragged = _replaced(ragged, {number: [] if value is None else [value] for number, value in change.items()})

        assert ragged.holding(np.array(sorted(asked), np.int64)) == BitMap(n for n, v in held.items() if v in asked)


@pytest.mark.parametrize("other", [3, 70_000])
def test_where_a_row_holds_two_values_it_is_not_looked_for_by_one(other: int) -> None:
    ragged = _replaced(Ragged(np.int32), {2: [7], other: [7, 8]})

    assert ragged.holding(np.array([7])) is None
    assert _replaced(ragged, {other: [8]}).holding(np.array([7])) == BitMap([2])


def _replaced(ragged: Ragged, change: dict[int, list[int]]) -> Ragged:
    replaced = sorted(change)
    lengths = np.array([len(change[number]) for number in replaced], np.int32)
    flat = np.array([value for number in replaced for value in change[number]], np.int32)
    return ragged.replaced(BitMap(replaced), np.array(replaced, np.int64), lengths, flat)
