"""One day an asset, bit-sliced: which assets have an earlier or a later one, in a few operations on whole bitmaps.

Bitmap `n` holds the assets whose day, as a number (1 is 0001-01-01), has bit `n` set, so that a comparison takes as
many steps as the highest day has bits (O'Neil, Quass 1997: Improved query performance with variant indexes).
"""

from collections.abc import Sequence
from datetime import date
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from search.bitmaps import as_bitmap

_BITS: Final = date.max.toordinal().bit_length()

#: Answers that are kept: they speak of every asset there is and hold as long as these days do.
_KEPT: Final = 8


class Days:
    """The days of those assets that have one (`known`). Never changes once made."""

    def __init__(self, known: BitMap | None = None, slices: Sequence[BitMap] | None = None) -> None:
        self.known = known or BitMap()
        self._slices = slices or [BitMap()] * _BITS
        self._answers: dict[int, tuple[BitMap, BitMap]] = {}

    def replaced(self, gone: BitMap, assets: NDArray[np.int64], days: NDArray[np.int64]) -> "Days":
        """A copy without the assets that are gone and with these, each with its day as a number."""
        slices = [
            (here - gone) | as_bitmap(assets[(days >> bit & 1).astype(bool)]) for bit, here in enumerate(self._slices)
        ]
        return Days((self.known - gone) | as_bitmap(assets), slices)

    def before(self, day: date) -> BitMap:
        """The assets whose day is earlier. Do not modify the answer."""
        return self._compared(day.toordinal())[0]

    def after(self, day: date) -> BitMap:
        """The assets whose day is later."""
        before, same = self._compared(day.toordinal())
        return self.known - before - same

    def _compared(self, number: int) -> tuple[BitMap, BitMap]:
        """The assets with a lower number, and those with the same. The last answers are kept: every scope asks for
        today."""
        answer = self._answers.get(number)
        if answer is None:
            answer = self._compare(number)
            self._answers = {**(self._answers if len(self._answers) < _KEPT else {}), number: answer}
        return answer

    def _compare(self, number: int) -> tuple[BitMap, BitMap]:
        """From the highest bit on, those that are alike so far part where their bits do."""
        lower, same = BitMap(), self.known
        for bit in reversed(range(_BITS)):
            if number >> bit & 1:
                lower |= same - self._slices[bit]
                same = same & self._slices[bit]
            else:
                same = same - self._slices[bit]
        return lower, same
