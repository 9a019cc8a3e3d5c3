"""How good the first results are: `python -m benchmarks.relevance [--model NAME] [--json FILE] [--compare FILE]`.

What every clone can measure:

* sample: 30 queries in people's own words over the demo's 120 photographs, by one leg each and fused, and over the
  same photographs with nothing said of them (`pictures alone`);
* titles: each photograph's title and description, looked for among the pictures alone;
* spoken: 26 questions about what is said in the demo's recordings, among all its photographs and recordings;
* mixed: text with a picture, text less something, quoted words;
* the break: what of the hits above it is right, what of the right ones is above it, and what nonsense brings up.

With data that cannot come with a clone: `--captioned DIR` (captions.csv: image, caption; images/) adds text to image,
image to image and fused search over 1,000 photographs that training left out; `--cut-outs DIR` pictures with a `.txt`
beside each, such as Tux Paint's stamps (Debian's tuxpaint-stamps-default; nothing was learned from them, but some dozen
are in the Open Clip Art Library as well); `--classes DIR` one photograph a class of ImageNet-1k, of which those that
training left out are named.

`--compare FILE` prints what changed against an earlier run's `--json`, with intervals.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import click
import msgspec
import numpy as np
from open_clip import IMAGENET_CLASSNAMES
from PIL import Image
from rich.progress import track
from rich.table import Table

from benchmarks import libraries
from benchmarks.libraries import Asked, Shelf
from benchmarks.measures import CAPTIONED, CONSOLE, Row, compared, interval, measured, table
from indexer.decode.pictures import flat
from search.embedding import Embedder, Vectors
from search.fusion import STRONG
from search.models.loading import load_models
from search.models.loupe_mini import sentences
from search.models.loupe_mini.data import CLASSES_LEFT_OUT, first_by_hash
from search.models.loupe_mini.train import ALIKE
from search.types import Hit

NEAREST: Final = 100
#: Where the break before weaker matches could stand.
BREAKS: Final = (0.5, 0.7, STRONG, 0.85, 0.9)


class Cut(msgspec.Struct, frozen=True):
    """A break: how many hits stand above it, what share of them is right, and what share of the right ones is there.

    `at` is the relevance that it stands at; `above` and `recall` hold one value a query, `precision` one for each query
    with a hit above the break.
    """

    set: str
    at: float
    above: list[float]
    precision: list[float]
    recall: list[float]


class Report(msgspec.Struct, frozen=True):
    """A whole run."""

    model: str
    rows: list[Row]
    cuts: list[Cut]


_DIRECTORY: Final = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command()
@click.option("--model", default="loupe-mini", show_default=True, help="The model that sees.")
@click.option("--captioned", type=CAPTIONED, help="Captioned photographs.")
@click.option("--cut-outs", type=_DIRECTORY, help="Pictures with a text beside each.")
@click.option("--classes", type=_DIRECTORY, help="One photograph a class.")
@click.option("--json", "as_json", type=click.Path(dir_okay=False, path_type=Path), help="Write the run here.")
@click.option("--compare", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="An earlier run.")
def main(
    model: str,
    captioned: Path | None,
    cut_outs: Path | None,
    classes: Path | None,
    as_json: Path | None,
    compare: Path | None,
) -> None:
    """Measure relevance."""
    rows: list[Row] = []
    cuts: list[Cut] = []
    for row, cut in _of_the_demo(model):
        rows += row
        cuts += cut
    if captioned:
        rows += _of_photographs(model, captioned)
    if cut_outs or classes:
        visual = load_models(model).visual
        if cut_outs:
            rows.append(_of_cut_outs(visual, cut_outs))
        if classes:
            rows.append(_of_classes(visual, classes))
    CONSOLE.print(table(f"{model}: mean and 95 % interval", rows))
    CONSOLE.print(_cut_table(cuts))
    if compare:
        CONSOLE.print(compared(msgspec.json.decode(compare.read_bytes(), type=Report).rows, rows))
    if as_json:
        as_json.write_bytes(msgspec.json.encode(Report(model, rows, cuts)) + b"\n")


# ---- the demo


def _of_the_demo(model: str) -> Iterator[tuple[list[Row], list[Cut]]]:
    queries, mixed, nonsense = (libraries.asked(name) for name in ("sample", "mixed", "nonsense"))
    with libraries.sample(model, described=True) as shelf:
        yield (
            [*_by_leg("sample", queries, shelf), _fused("mixed", mixed, shelf)],
            [
                *_cuts("sample", queries, shelf),
                *_cuts_by_kind(nonsense, shelf, ""),
            ],
        )
    with libraries.sample(model, described=False) as shelf:
        titles = [
            Asked(text=f"{one['title']}. {one['description']}", relevant=frozenset([one["file"]]))
            for one in libraries.credited()
        ]
        yield (
            [
                _fused("sample", queries, shelf, "pictures alone"),
                _fused("titles", titles, shelf, "pictures alone"),
            ],
            [*_cuts("sample, pictures alone", queries, shelf), *_cuts_by_kind(nonsense, shelf, ", pictures alone")],
        )
    spoken = libraries.asked("spoken")
    with libraries.spoken(model) as shelf:
        yield _by_leg("spoken", spoken, shelf), _cuts("spoken", spoken, shelf)


def _by_leg(name: str, queries: Sequence[Asked], shelf: Shelf) -> list[Row]:
    found = [shelf.by_leg(query) for query in queries]
    relevant = [query.relevant for query in queries]
    rows = [measured(name, leg, relevant, [ranked[leg] for ranked in found]) for leg in found[0]]
    return [*rows, _fused(name, queries, shelf)]


def _fused(name: str, queries: Sequence[Asked], shelf: Shelf, ranked_by: str = "fused") -> Row:
    return measured(name, ranked_by, [query.relevant for query in queries], [shelf.fused(query) for query in queries])


def _cuts(name: str, queries: Sequence[Asked], shelf: Shelf) -> list[Cut]:
    found = [shelf.search(query) for query in queries]
    return [_cut(name, at, queries, found) for at in BREAKS]


def _cut(name: str, at: float, queries: Sequence[Asked], found: Sequence[Sequence[tuple[str, Hit]]]) -> Cut:
    above, precision, recall = [], [], []
    for query, hits in zip(queries, found, strict=True):
        strong = {found for found, hit in hits if hit.relevance >= at}
        above.append(float(len(strong)))
        if strong and query.relevant:
            precision.append(len(strong & query.relevant) / len(strong))
        if query.relevant:
            recall.append(len(strong & query.relevant) / len(query.relevant))
    return Cut(name, at, above, precision, recall)


def _cuts_by_kind(nonsense: Sequence[Asked], shelf: Shelf, where: str) -> list[Cut]:
    kinds = dict.fromkeys(query.kind for query in nonsense)
    by_kind = {kind: [query for query in nonsense if query.kind == kind] for kind in kinds}
    return [cut for kind, queries in by_kind.items() for cut in _cuts(kind + where, queries, shelf)]


def _cut_table(cuts: Sequence[Cut]) -> Table:
    made = Table(title=f"what a break leaves above it; it stands at {STRONG}", title_justify="left")
    for heading in ("set", "at", "queries", "nothing above", "hits above", "precision", "recall"):
        made.add_column(heading, justify="left" if heading == "set" else "right")
    for cut in cuts:
        shares = [str(interval(values)) if values else "" for values in (cut.precision, cut.recall)]
        nothing = sum(not n for n in cut.above) / len(cut.above)
        made.add_row(cut.set, str(cut.at), str(len(cut.above)), f"{nothing:.0%}", f"{np.mean(cut.above):.1f}", *shares)
    return made


# ---- data that cannot come with a clone


def _of_photographs(model: str, folder: Path) -> Iterator[Row]:
    """Text to image and image to image by vectors alone, then fused search with one caption as description."""
    photographs = libraries.held_out(folder)
    names = [path.name for path in photographs]
    visual, judge = load_models(model).visual, sentences()
    seen = _seen(visual, list(photographs))
    every = [caption for captions in photographs.values() for caption in captions]
    of = [frozenset([path.name]) for path, captions in photographs.items() for _ in captions]
    yield measured(
        "captioned, text to image", "pictures (vectors)", of, _ranked(visual.embed_texts(every), seen, names)
    )
    said = [judge.encode(captions, normalize_embeddings=True).mean(axis=0) for captions in photographs.values()]
    middle = np.stack([one / np.linalg.norm(one) for one in said])
    alike = middle @ middle.T >= ALIKE
    np.fill_diagonal(alike, False)
    kept = np.flatnonzero(alike.any(axis=1))
    relevant = [frozenset(names[other] for other in np.flatnonzero(alike[one])) for one in kept]
    ranked = [
        [name for name in order if name != names[one]]
        for one, order in zip(kept, _ranked(seen[kept], seen, names), strict=True)
    ]
    yield measured("captioned, image to image", "pictures (vectors)", relevant, ranked)
    queries = [Asked(text=captions[1], relevant=frozenset([path.name])) for path, captions in photographs.items()]
    with libraries.captioned(model, photographs) as shelf:
        yield from _by_leg("captioned, described", queries, shelf)


def _of_cut_outs(visual: Embedder, folder: Path) -> Row:
    said = libraries.cut_outs(folder)
    names = [str(path) for path in said]
    ranked = _ranked(visual.embed_texts(list(said.values())), _seen(visual, list(said)), names)
    return measured("cut-outs", "pictures (vectors)", [frozenset([name]) for name in names], ranked)


def _of_classes(visual: Embedder, folder: Path) -> Row:
    """Zero-shot classification: which of the 1,000 names a photograph is nearest to."""
    paths = sorted((folder / "images").iterdir())
    chosen = [(paths[place], place) for place in first_by_hash([path.name for path in paths], CLASSES_LEFT_OUT)]
    named = visual.embed_texts(IMAGENET_CLASSNAMES) + visual.embed_texts(
        [f"a photo of a {n}" for n in IMAGENET_CLASSNAMES]
    )
    named /= np.linalg.norm(named, axis=1, keepdims=True)
    labels = [str(place) for place in range(len(paths))]
    ranked = _ranked(_seen(visual, [path for path, _ in chosen]), named, labels)
    return measured(
        "classes, zero-shot", "pictures (vectors)", [frozenset([str(place)]) for _, place in chosen], ranked
    )


def _seen(visual: Embedder, paths: Sequence[Path]) -> Vectors:
    return visual.embed_images(flat(Image.open(path)) for path in track(paths, "Looking"))


def _ranked(queries: Vectors, items: Vectors, names: Sequence[str]) -> list[list[str]]:
    """The names of the nearest items for each query, best first."""
    orders = np.argsort(-(queries @ items.T), axis=1)[:, : NEAREST + 1]
    return [[names[place] for place in order] for order in orders.tolist()]


if __name__ == "__main__":
    main()
