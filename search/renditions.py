"""Where the pictures and proxies made of an asset's content are kept: by content hash, so equal files share them."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from search import durable
from search.types import Asset

PREVIEW_SIZES: Final = (256, 640, 1280)


class RenditionStore:
    """Files under `directory`, two levels deep. A file is there in full or not at all."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def preview(self, content_hash: str, size: int) -> Path:
        """The WebP whose long side is at most `size` pixels (one of PREVIEW_SIZES)."""
        return self.path(content_hash, f"{size}.webp")

    def playback(self, content_hash: str) -> Path | None:
        """The low-rate proxy of a video or a sound, if one was made."""
        for name in ("playback.mp4", "playback.m4a"):
            if (path := self.path(content_hash, name)).is_file():
                return path
        return None

    def path(self, content_hash: str, name: str) -> Path:
        return self._folder(content_hash) / name

    def whole(self, asset: Asset) -> bool:
        """Whether all is there that was made of an asset."""
        previews = all(self.preview(asset.content_hash, size).is_file() for size in PREVIEW_SIZES)
        played = not asset.has_playback or self.playback(asset.content_hash)
        return (previews or not asset.has_preview) and bool(played)

    def hashes(self) -> set[str]:
        """The content hashes that there is something of."""
        return {path.name for path in self._directory.glob("*/*")}

    def remove(self, content_hash: str) -> None:
        """Remove whatever was made of a content."""
        shutil.rmtree(self._folder(content_hash), ignore_errors=True)

    def take(self, content_hash: str, files: Mapping[str, str]) -> None:
        """Move finished files in, by name. They are durable once this returns."""
        for name, file in files.items():
            target = self.path(content_hash, name)
            durable.folder(target.parent)
            durable.move(Path(file), target)

    def _folder(self, content_hash: str) -> Path:
        return self._directory / content_hash[:2] / content_hash
