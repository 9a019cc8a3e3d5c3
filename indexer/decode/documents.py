"""PDF: the text of each page, pages as pictures, the first as preview."""

from pathlib import Path
from typing import Final

import pypdfium2
from PIL import Image

from indexer.decode import pictures
from indexer.decode.messages import Decoded, Frame, Limits, PageText
from indexer.decode.sniffing import Format
from search.errors import BrokenMedia
from search.renditions import PREVIEW_SIZES
from search.types import SegmentKind

#: Pages that can be found by how they look; the text of all others is still read.
PICTURED: Final = 200
#: Characters read of a document.
MAX_TEXT: Final = 5_000_000


def decode(path: Path, format: Format, limits: Limits, staging: Path) -> Decoded:
    """A PDF. Raises BrokenMedia when it is damaged or locked with a password."""
    try:
        with pypdfium2.PdfDocument(path) as document:
            return _decoded(document, format, limits, staging)
    except pypdfium2.PdfiumError as error:
        locked = "assword" in str(error)
        raise BrokenMedia(
            "It is locked with a password." if locked else f"It is damaged: {error}.",
            "Save it without a password." if locked else "Copy it again from where it came.",
        ) from error


def _decoded(document: pypdfium2.PdfDocument, format: Format, limits: Limits, staging: Path) -> Decoded:
    if not len(document):
        raise BrokenMedia("It has no pages.")
    frames: list[Frame] = []
    texts: list[PageText] = []
    read = 0
    first = _picture(document[0], max(PREVIEW_SIZES), limits)
    for number, page in enumerate(document, start=1):
        if number <= PICTURED:
            shown = first if number == 1 else _picture(page, 2 * pictures.EMBEDDED, limits)
            frames.append(pictures.frame(shown, SegmentKind.page, page=number))
        if read < MAX_TEXT:
            text = page.get_textpage().get_text_bounded()[: MAX_TEXT - read]
            read += len(text)
            if text.strip():
                texts.append(PageText(number, text))
        page.close()
    return Decoded(
        media_type=format.media_type,
        mime=format.mime,
        width=first.width,
        height=first.height,
        pages=len(document),
        renditions=pictures.previews(first, staging),
        frames=frames,
        page_texts=texts,
        embedded=_metadata(document),
    )


def _picture(page: pypdfium2.PdfPage, size: int, limits: Limits) -> Image.Image:
    """The page with its long side `size` pixels (a page may be as large as its author likes, its picture not)."""
    longest = max(page.get_size())
    bitmap = page.render(scale=min(size / longest, limits.max_pixels**0.5 / longest))
    picture: Image.Image = bitmap.to_pil().convert("RGB")
    return picture


def _metadata(document: pypdfium2.PdfDocument) -> pictures.Embedded:
    said = document.get_metadata_dict()
    stamp = said.get("CreationDate", "").removeprefix("D:")
    found: dict[str, str | list[str]] = {
        "title": said.get("Title", ""),
        "creator": said.get("Author", ""),
        "description": said.get("Subject", ""),
        "keywords": [word.strip() for word in said.get("Keywords", "").replace(";", ",").split(",") if word.strip()],
        "created": f"{stamp[:4]}-{stamp[4:6]}-{stamp[6:8]}" if stamp[:8].isdigit() else "",
    }
    return {name: value for name, value in found.items() if value}
