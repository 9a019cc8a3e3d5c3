"""Bitmaps as arrays: read rightly whatever containers they are made of."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyroaring import BitMap

from search.bitmaps import Key, as_array, as_bitmap, as_bits, as_flags, of_bits

#: Numbers of several containers of 65,536 each.
_SIZE = 300_000

_SHARES = st.floats(0, 1) | st.sampled_from([0.0, 0.0001, 4096 / 65536, 0.5, 0.9999, 1.0])
_RANGES = st.tuples(st.integers(0, _SIZE), st.integers(0, _SIZE)).map(sorted)


@given(share=_SHARES, ranges=st.lists(_RANGES, max_size=6), optimised=st.booleans(), seed=st.integers(0, 9))
@settings(max_examples=60, deadline=None)
def test_a_bitmap_of_any_containers_is_read_as_it_is(
    share: float, ranges: list[list[int]], optimised: bool, seed: int
) -> None:
    some = np.random.default_rng(seed).random(_SIZE) < share
    bitmap = as_bitmap(np.flatnonzero(some))
    for start, stop in ranges:  # runs, and whole containers
        bitmap |= BitMap(range(start, stop))
        some[start:stop] = True
    if optimised:
        bitmap.run_optimize()

    assert np.array_equal(as_flags(bitmap, _SIZE), some)
    assert np.array_equal(as_array(bitmap), np.flatnonzero(some))
    assert of_bits(as_bits(bitmap, _SIZE)) == bitmap
    assert of_bits(np.packbits(some, bitorder="little")) == bitmap


@pytest.mark.parametrize("size", [0, 1, 65_536, 65_537])
def test_flags_are_as_many_as_are_asked_for(size: int) -> None:
    full = BitMap(range(size))

    assert as_flags(full, size).tolist() == [True] * size
    assert not as_flags(BitMap(), size).any()


@given(st.frozensets(st.integers(0, 9)), st.frozensets(st.integers(0, 9)))
def test_keys_are_equal_where_their_numbers_are(some: frozenset[int], others: frozenset[int]) -> None:
    kept = {Key(BitMap(some)): some}

    assert kept.get(Key(BitMap(others))) == (some if some == others else None)


def test_a_key_is_that_of_the_numbers_it_was_made_of() -> None:
    numbers = BitMap([1, 2, 5])
    key = Key(numbers)
    numbers.remove(2)
    numbers.add(3)

    assert key == Key(BitMap([1, 2, 5]))
    assert key != Key(numbers)
    assert hash(key) == hash(Key(numbers))  # as many, from 1 to 5: only what they are tells them apart
