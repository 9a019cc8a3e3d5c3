"""The fixed background that queries are judged against (`search.embedding.Standard`), for models that bring none.

`background.webp` is a sheet of 8 x 8 small pictures: photographs, drawings and paintings of many kinds, all in the
public domain or under CC0, none of them from anybody's library.
"""

from pathlib import Path
from typing import Final

from PIL import Image

_SHEET: Final = Path(__file__).parent / "background.webp"
_SIDE: Final = 8


def pictures() -> list[Image.Image]:
    """64 small RGB pictures."""
    with Image.open(_SHEET) as sheet:
        size = sheet.width // _SIDE
        boxes = [(x * size, y * size, (x + 1) * size, (y + 1) * size) for y in range(_SIDE) for x in range(_SIDE)]
        return [sheet.convert("RGB").crop(box) for box in boxes]
