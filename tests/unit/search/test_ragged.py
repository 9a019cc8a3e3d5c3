"""Uneven rows are counted as they are read: long ones, empty ones and large values among them."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from pyroaring import BitMap

from search.ragged import Ragged

numbers = st.sampled_from([0, 1, 2, 3, 65_535, 65_536, 65_537, 131_071])
#: Values on both sides of what fits 16 bits, and rows of more than any number of slots.
values = st.integers(0, 9) | st.integers(65_490, 65_550)
rows = st.lists(values, max_size=3) | st.lists(values, min_size=30, max_size=70)


@given(st.lists(st.dictionaries(numbers, rows), max_size=3), st.frozensets(numbers))
def test_counts_are_those_of_the_rows(changes: list[dict[int, list[int]]], asked: frozenset[int]) -> None:
    ragged, held = Ragged(np.int32), dict[int, list[int]]()
    for change in changes:
        held |= change
        replaced = sorted(change)
        lengths = np.array([len(change[number]) for number in replaced], np.int32)
        flat = np.array([value for number in replaced for value in change[number]], np.int32)
        ragged = ragged.replaced(BitMap(replaced), np.array(replaced, np.int64), lengths, flat)
        read = [value for number in sorted(asked) for value in held.get(number, [])]
        assert ragged.rows(BitMap(asked)).tolist() == read
        assert (
            ragged.counts(BitMap(asked), 65_551).tolist()
            == np.bincount(np.array(read, np.int64), minlength=65_551).tolist()
        )
