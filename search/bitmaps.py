"""Between roaring bitmaps and numpy, by the ways that cost milliseconds a million and not tens of them."""

from array import array
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap


def as_array(numbers: BitMap) -> NDArray[np.int64]:
    """The numbers of a bitmap, ascending, int64 [n]."""
    return np.frombuffer(numbers.to_array(), np.uint32).astype(np.int64)


def as_bitmap(numbers: NDArray[Any]) -> BitMap:
    """The bitmap of numbers from 0 to 2**32 - 1, [n]."""
    return BitMap(array("I", numbers.astype(np.uint32).tobytes()))
