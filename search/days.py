"""One day an asset: which assets have an earlier or a later one, by one comparison over all of them."""

from datetime import date
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from search.bitmaps import as_array, as_bitmap, of_bits
from search.kept import Kept

#: Answers that are kept: they speak of every asset there is and hold as long as these days do.
_KEPT: Final = 8

#: What stands for the day of an asset that has none: later than any.
_NONE: Final = np.iinfo(np.int32).max


class Days:
    """The days of those assets that have one (`known`). Never changes once made."""

    def __init__(self, known: BitMap | None = None, numbers: NDArray[np.int32] | None = None) -> None:
        """`numbers` are by asset, int32 [n]: 1 is 0001-01-01."""
        self.known = known or BitMap()
        self._numbers = np.zeros(0, np.int32) if numbers is None else numbers
        self._answers: Kept[BitMap] = Kept(_KEPT)

    def replaced(self, gone: BitMap, assets: NDArray[np.int64], days: NDArray[np.int64]) -> "Days":
        """A copy without the assets that are gone and with these, each with its day as a number."""
        more = max(0, int(assets.max(initial=-1)) + 1 - len(self._numbers))
        numbers = np.concatenate([self._numbers, np.full(more, _NONE, np.int32)])
        numbers[as_array(gone & self.known)] = _NONE
        numbers[assets] = days
        return Days((self.known - gone) | as_bitmap(assets), numbers)

    def before(self, day: date) -> BitMap:
        """The assets whose day is earlier. Do not modify the answer."""
        return self._compared(later=False, number=day.toordinal())

    def after(self, day: date) -> BitMap:
        """The assets whose day is later. Do not modify the answer."""
        return self._compared(later=True, number=day.toordinal())

    def _compared(self, *, later: bool, number: int) -> BitMap:
        """The last answers are kept: every scope asks for today."""

        def compare() -> BitMap:
            which = self._numbers > number if later else self._numbers < number
            answer = of_bits(np.packbits(which, bitorder="little"))
            return answer & self.known if later else answer

        return self._answers.of((later, number), compare)
