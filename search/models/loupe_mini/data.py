"""What loupe-mini's heads learn from: pictures with texts, each picture in several views.

Three sources, none of which comes with a clone:

* captioned photographs: `captions.csv` (image, caption) and `images/`;
* one photograph for each class of ImageNet-1k, named `WNID_name.jpg`, told of by class names in several phrases and by
  WordNet (Miller 1995): synonyms, what it is a kind of, its definition;
* drawings: the Open Clip Art Library as Debian packages it (`png/` and `svg/`), told of by their titles and keywords.
"""

import csv
import hashlib
import html
import json
import re
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray
from open_clip import IMAGENET_CLASSNAMES
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from search.models.loupe_mini import squared

SIZE: Final = 260
HELD_OUT: Final = 1000
CLASSES_LEFT_OUT: Final = 200

PHRASES: Final = (
    "{}",
    "a photo of a {}",
    "a {} on a white background",
    "a drawing of a {}",
    "a cartoon {}",
    "a close-up of a {}",
    "a picture with a {} in it",
    "a black and white photo of a {}",
    "the {} outdoors",
    "many {}s",
)

#: Drawings that are called alike in one folder are mostly variations of a shape; more of them teach nothing.
_ALIKE: Final = 6
_UNTOLD: Final = frozenset({"", "symbol", "sign", "clip art", "hash", "miscellany", "signs and symbols"})

Views = Callable[[Image.Image, np.random.Generator], list[Image.Image]]


class Source(msgspec.Struct, frozen=True):
    """Pictures of one kind: a path and at least one text each, and how they are looked at.

    `left_out` names those, by their place, that are kept for measuring.
    """

    paths: Sequence[Path]
    texts: Sequence[Sequence[str]]
    views: Views
    left_out: frozenset[int]


def captioned(folder: Path) -> Source:
    """Photographs with captions; 1,000 of them, chosen by the hash of their names, are left out."""
    captions: dict[str, list[str]] = defaultdict(list)
    with (folder / "captions.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            captions[row["image"]].append(row["caption"])
    names = sorted(captions)
    return Source(
        [folder / "images" / name for name in names],
        [captions[name] for name in names],
        _of_photograph,
        frozenset(first_by_hash(names, HELD_OUT)),
    )


def classes(folder: Path, wordnet: Path) -> Source:
    """A photograph for each class; 200 of them, chosen by the hash of their names, are left out."""
    paths = sorted((folder / "images").iterdir())
    nouns = _nouns(wordnet)
    texts = [
        _told(name, nouns, path.name.split("_")[0].removeprefix("n"))
        for name, path in zip(IMAGENET_CLASSNAMES, paths, strict=True)
    ]
    return Source(paths, texts, _of_class, frozenset(first_by_hash([p.name for p in paths], CLASSES_LEFT_OUT)))


def drawings(folder: Path, apart: Path) -> Source:
    """Drawings with their titles and keywords. Those that `apart`, a list of credits, names are left out."""
    measured_on = {one["source_path"].partition("/svg/")[2] for one in json.loads(apart.read_bytes())}
    paths: list[Path] = []
    texts: list[list[str]] = []
    left_out: set[int] = set()
    count: Counter[tuple[Path, str]] = Counter()
    for path in sorted((folder / "png").rglob("*.png")):
        named = path.relative_to(folder / "png").with_suffix(".svg")
        said = _said_in(folder / "svg" / named)
        title = _plain(said[0]) or _plain(path.stem)
        kind = (path.parent, re.sub(r"\W+|_", "", title.lower())[:14])
        count[kind] += 1
        if count[kind] <= _ALIKE and len(title) > 2:
            if named.as_posix() in measured_on:
                left_out.add(len(paths))
            paths.append(path)
            texts.append(_titled(title, [word for word in map(_plain, said[1]) if word.lower() not in _UNTOLD]))
    return Source(paths, texts, _of_drawing, frozenset(left_out))


def first_by_hash(names: Sequence[str], count: int) -> list[int]:
    """The places of the `count` names whose sha256 is lowest: a split that stays the same however they are listed."""
    return sorted(range(len(names)), key=lambda place: hashlib.sha256(names[place].encode()).digest())[:count]


def viewed(source: Source) -> Iterator[list[Image.Image]]:
    """The views of each picture, always the same, [SIZE, SIZE] RGB each."""
    for path in source.paths:
        with Image.open(path) as opened:
            image = Image.new("RGB", opened.size, "white")
            image.paste(opened, mask=opened.convert("RGBA").getchannel("A"))
        image.thumbnail((4 * SIZE, 4 * SIZE), Image.Resampling.BICUBIC)
        yield source.views(image, np.random.default_rng(zlib.crc32(path.name.encode())))


# ---- what is told of pictures


class _Noun(msgspec.Struct, frozen=True):
    words: list[str]
    definition: str
    kind_of: list[str]


def _nouns(wordnet: Path) -> Mapping[str, _Noun]:
    """WordNet's nouns by offset, from its `data.noun` (format: wndb(5WN))."""
    nouns: dict[str, _Noun] = {}
    with (wordnet / "data.noun").open(encoding="ascii") as lines:
        for line in lines:
            if line.startswith(" "):
                continue
            fields, _, definition = line.partition("|")
            field = fields.split()
            words = int(field[3], 16)
            after = 4 + 2 * words
            pointers = [field[after + 1 + 4 * n : after + 5 + 4 * n] for n in range(int(field[after]))]
            nouns[field[0]] = _Noun(
                [field[4 + 2 * n].replace("_", " ") for n in range(words)],
                definition.split('; "')[0].strip(),
                [offset for symbol, offset, *_ in pointers if symbol == "@"],
            )
    return nouns


def _told(name: str, nouns: Mapping[str, _Noun], offset: str) -> list[str]:
    noun = nouns[offset]
    kinds: list[str] = []
    above = noun
    while above.kind_of and len(kinds) < 2:
        above = nouns[above.kind_of[0]]
        kinds.append(above.words[0])
    return [
        *(phrase.format(name) for phrase in PHRASES),
        *noun.words[:4],
        noun.definition,
        f"{name}: {noun.definition}",
        *kinds,
        *(f"{name}, a kind of {kind}" for kind in kinds),
    ]


def _titled(title: str, keywords: Sequence[str]) -> list[str]:
    told = [title, f"a drawing of {title.lower()}", f"{title.lower()} clip art"]
    if keywords:
        told += [f"{title}, {', '.join(keywords[:4])}", " ".join(keywords[:4])]
    return told


def _said_in(svg: Path) -> tuple[str, list[str]]:
    """The title and the keywords in a drawing's metadata; nothing where there is none."""
    written = svg.read_text(encoding="utf-8", errors="replace") if svg.is_file() else ""
    metadata = re.search(r"<metadata.*?</metadata>", written, re.DOTALL)
    if metadata is None:
        return "", []
    title = re.search(r"<dc:title>(.*?)</dc:title>", metadata[0], re.DOTALL)
    subject = re.search(r"<dc:subject>.*?</dc:subject>", metadata[0], re.DOTALL)
    keywords = re.findall(r"<rdf:li>(.*?)</rdf:li>", subject[0], re.DOTALL) if subject else []
    return html.unescape(title[1]) if title else "", [html.unescape(word) for word in keywords]


def _plain(name: str) -> str:
    """A name without the numbers, versions and remarks that people put into names of files."""
    name = re.sub(r"hash(\(0x\w+\))?|\bv\.?\d.*|\(.*?\)", "", re.sub(r"[_-]+", " ", name))
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", re.sub(r"\d+", "", name))
    return " ".join(name.split()).strip(" .,")


# ---- how pictures are looked at; the first two views are those that `loupe_mini.transform` makes


def _of_photograph(image: Image.Image, chance: np.random.Generator) -> list[Image.Image]:
    middle = _middle(image)
    return [middle, _mirrored(middle), _part(image, chance), _mirrored(_part(image, chance))]


def _of_class(image: Image.Image, chance: np.random.Generator) -> list[Image.Image]:
    middle = _middle(image)
    return [
        _whole(image),
        _mirrored(_middle(squared(image))),
        middle,
        _part(image, chance),
        _mirrored(_part(image, chance)),
        _on_flat(image, (255, 255, 255), chance),
        _drawn(middle),
        _mirrored(_part(image, chance)).convert("L").convert("RGB"),
    ]


def _of_drawing(image: Image.Image, chance: np.random.Generator) -> list[Image.Image]:
    return [_whole(image), _mirrored(_middle(squared(image))), _on_flat(image, (255, 255, 255), chance)]


def _middle(image: Image.Image) -> Image.Image:
    return ImageOps.fit(image, (SIZE, SIZE), Image.Resampling.BICUBIC)


def _whole(image: Image.Image) -> Image.Image:
    return image.resize((SIZE, SIZE), Image.Resampling.BICUBIC)


def _mirrored(image: Image.Image) -> Image.Image:
    return ImageOps.mirror(image)


def _part(image: Image.Image, chance: np.random.Generator) -> Image.Image:
    """Between a third and all of the picture, a little stretched (Szegedy et al. 2015)."""
    share, ratio = chance.uniform(0.35, 0.95), np.exp(chance.uniform(np.log(3 / 4), np.log(4 / 3)))
    area = share * image.width * image.height
    width = min(image.width, round(float(np.sqrt(area * ratio))))
    height = min(image.height, round(float(np.sqrt(area / ratio))))
    left, top = int(chance.integers(image.width - width + 1)), int(chance.integers(image.height - height + 1))
    return image.resize((SIZE, SIZE), Image.Resampling.BICUBIC, (left, top, left + width, top + height))


def _on_flat(image: Image.Image, colour: tuple[int, int, int], chance: np.random.Generator) -> Image.Image:
    """The whole picture, smaller, somewhere on a flat ground, as products are shown."""
    side = int(SIZE * chance.uniform(0.5, 0.95))
    small = ImageOps.contain(image, (side, side), Image.Resampling.BICUBIC)
    ground = Image.new("RGB", (SIZE, SIZE), colour)
    ground.paste(small, (int(chance.integers(SIZE - small.width + 1)), int(chance.integers(SIZE - small.height + 1))))
    return ground


def _drawn(image: Image.Image) -> Image.Image:
    """As if drawn: few strong colours, dark outlines."""
    edges = image.convert("L").filter(ImageFilter.FIND_EDGES).point(lambda level: 255 if level > 55 else 0)
    smooth = image.filter(ImageFilter.MedianFilter(7))
    colours: NDArray[np.uint8] = np.asarray(ImageEnhance.Color(ImageOps.posterize(smooth, 2)).enhance(1.6)).copy()
    colours[np.asarray(edges) > 0] = 0
    return Image.fromarray(colours)
