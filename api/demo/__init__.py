"""The demo: a marketing team's library that comes with Loupe, and the people to sign in as."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from api import compose
from api.settings import Settings
from indexer.pipeline import Progress, Summary

_HERE: Final = Path(__file__).parent
LIBRARY: Final = _HERE / "library"


def demo_settings(settings: Settings) -> Settings:
    """The given settings with what the demo library needs: a group cleared for sensitive material."""
    return msgspec.structs.replace(settings, sensitive_groups=["cleared-sensitive"])


def build(settings: Settings, progress: Callable[[Progress], None]) -> Summary:
    """Index the demo library into the data directory; what is there already costs a stat a file."""
    directory = Path(settings.data_dir)
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    shutil.copyfile(_HERE / "people.json", directory / "people.json")
    grants = json.loads((_HERE / "collections.json").read_text(encoding="utf-8"))
    return compose.index(settings, [LIBRARY], LIBRARY / "manifest.jsonl", collection_grants=grants, progress=progress)
