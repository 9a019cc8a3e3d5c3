"""The libraries and queries that relevance is measured on, each indexed as a person would index it.

* sample: the demo's 120 photographs, with the titles, descriptions and keywords of `credits.json`, or bare: under
  meaningless names and with nothing said of them.
* spoken: the same, and the demo's recordings with their transcripts.
* captioned: photographs with five captions each (`captions.csv`: image, caption), those held out from training. The
  first caption is the description, the second is asked for.
"""

import json
import math
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec
from PIL import Image

from api import compose
from api.demo import LIBRARY
from api.settings import Settings
from search import policy
from search.columns import Columns
from search.engine import Matches, Space
from search.fusion import LEGS
from search.models.loupe_mini.data import captioned as captions_of
from search.query import SearchRequest
from search.types import Hit, Leg, Principal

PHOTOS: Final = LIBRARY / "photos"
PERSON: Final = Principal("benchmark")
DEPTH: Final = 100

_QUERIES: Final = Path(__file__).parent / "queries"


class Asked(msgspec.Struct, frozen=True, rename={"unlike": "not"}):
    """What is asked for, and the names of the files that answer it. `image` is the name of a sample photograph."""

    text: str = ""
    unlike: str = ""
    image: str = ""
    kind: str = ""
    relevant: frozenset[str] = frozenset()


def asked(name: str) -> list[Asked]:
    """The queries in `benchmarks/queries`: sample, mixed, spoken or nonsense."""
    return msgspec.json.decode((_QUERIES / f"{name}.json").read_bytes(), type=list[Asked])


def credited() -> list[dict[str, Any]]:
    """What is known of each of the demo's photographs."""
    listed: list[dict[str, Any]] = json.loads((PHOTOS / "credits.json").read_bytes())
    return listed


class Shelf:
    """A library freshly indexed, its assets known by the names that queries are judged by."""

    def __init__(self, opened: compose.Opened, names: Mapping[str, str]) -> None:
        self.opened = opened
        self._names = names
        catalog = opened.library.catalog
        assets = list(catalog.every_asset())
        self._name_of = {asset.ordinal: names[asset.id] for asset in assets}
        columns = Columns().updated(put=assets, collection_grants=catalog.collection_grants())
        self.scope = policy.scope(PERSON, None, datetime.now(UTC), columns)

    def search(self, query: Asked) -> Sequence[tuple[str, Hit]]:
        """What a person gets, by name. An image that is searched by is itself left out."""
        images = [Image.open(PHOTOS / query.image)] if query.image else []
        request = SearchRequest(text=query.text, unlike=query.unlike, limit=DEPTH)
        page = self.opened.searcher.search(PERSON, request, images)
        named = [(self._names[hit.asset.id], hit) for hit in page.hits]
        return [(name, hit) for name, hit in named if name != query.image]

    def fused(self, query: Asked) -> list[str]:
        return [name for name, _ in self.search(query)]

    def by_leg(self, query: Asked) -> dict[str, list[str]]:
        """What each leg by itself would give for the text of the query."""
        return {leg: [self._name_of[m.asset] for m in found] for leg, found in self.matches(query.text).items()}

    def evidence(self, text: str) -> dict[str, dict[Leg, float]]:
        """What each leg says of every asset that it has anything to say of."""
        evidence = self.opened.searcher.evidence(PERSON, text)
        rows = (zip(LEGS, said, strict=True) for said in evidence.said.tolist())
        return {
            self._name_of[asset]: {leg: value for leg, value in row if not math.isnan(value)}
            for asset, row in zip(evidence.assets.tolist(), rows, strict=True)
        }

    def matches(self, text: str) -> dict[str, Matches]:
        engine, models = self.opened.engine, self.opened.models
        for_pictures, for_words = models.read(text)
        return {
            "pictures (vectors)": engine.nearest(self.scope, Space.visual, for_pictures, DEPTH).matches,
            "descriptions (vectors)": engine.nearest(self.scope, Space.text, for_words, DEPTH).matches,
            "keywords": engine.keywords(self.scope, text, DEPTH),
        }


@contextmanager
def sample(model: str, *, described: bool) -> Iterator[Shelf]:
    """The demo's photographs, with all that is said of them or with nothing."""
    with _indexed(model, _photographs(described=described)) as shelf:
        yield shelf


@contextmanager
def spoken(model: str) -> Iterator[Shelf]:
    """The demo's photographs and recordings; a recording's name is its file's without the ending."""
    recordings = [
        _Row(file, file.stem, {"title": file.stem.replace("-", " ")})
        for file in sorted((*LIBRARY.glob("audio/*"), *LIBRARY.glob("video/*")))
        if file.suffix != ".vtt"
    ]
    with _indexed(model, [*_photographs(described=True), *recordings]) as shelf:
        yield shelf


@contextmanager
def captioned(model: str, photographs: Mapping[Path, Sequence[str]]) -> Iterator[Shelf]:
    """Photographs described by their first caption."""
    rows = [_Row(path, path.name, {"description": captions[0]}) for path, captions in photographs.items()]
    with _indexed(model, rows) as shelf:
        yield shelf


def held_out(folder: Path) -> dict[Path, list[str]]:
    """The photographs of a captioned folder that training leaves out, with their captions."""
    source = captions_of(folder)
    return {source.paths[place]: list(source.texts[place]) for place in sorted(source.left_out)}


def cut_outs(folder: Path) -> dict[Path, str]:
    """Pictures of a folder, however deep, that have a text of the same name beside them, whose first line is taken."""
    return {
        path: text.read_text(encoding="utf-8").splitlines()[0].strip()
        for path in sorted(folder.rglob("*.png"))
        if (text := path.with_suffix(".txt")).is_file()
    }


class _Row(msgspec.Struct, frozen=True):
    """A file, the name that it is judged by, and what the manifest says of it."""

    file: Path
    name: str
    said: Mapping[str, Any]


def _photographs(*, described: bool) -> list[_Row]:
    told = ("title", "description", "keywords") if described else ()
    return [_Row(PHOTOS / one["file"], one["file"], {name: one[name] for name in told}) for one in credited()]


@contextmanager
def _indexed(model: str, rows: Sequence[_Row]) -> Iterator[Shelf]:
    """Index copies of the files, named by number where nothing is said of them."""
    with tempfile.TemporaryDirectory(prefix="loupe-relevance-") as scratch:
        folder = Path(scratch) / "files"
        folder.mkdir()
        manifest = folder / "manifest.jsonl"
        with manifest.open("w", encoding="utf-8") as lines:
            for number, row in enumerate(rows):
                path = f"{number:04}-{row.name}" if row.said.get("title") else f"{number:04}"
                path = Path(path).stem + row.file.suffix
                shutil.copyfile(row.file, folder / path)
                if (transcript := row.file.with_suffix(".vtt")).is_file():
                    shutil.copyfile(transcript, (folder / path).with_suffix(".vtt"))
                line = {"path": path, "id": f"{number:04}", "status": "approved", "licence": "owned", **row.said}
                lines.write(json.dumps(line) + "\n")
        settings = Settings(data_dir=str(Path(scratch) / "data"), model=model)
        compose.index(settings, [folder], manifest)
        with compose.opened(settings) as opened:
            yield Shelf(opened, {f"{number:04}": row.name for number, row in enumerate(rows)})
