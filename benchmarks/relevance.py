"""How good the first results are: `python -m benchmarks.relevance [--model NAME] [--json FILE]`.

30 queries in people's own words, each with the pictures of the sample library that answer it (`queries.json`). Two
libraries are indexed for it: one with the titles, descriptions and keywords of `credits.json`, one with pictures under
meaningless names and nothing else. `fused` and `pictures alone` are what a person gets from `Searcher.search`; the rows
by leg rank the same library by one leg only.

hit@k: the share of queries with a right answer among the first k. MRR: the mean of 1 / the first right answer's rank
(Voorhees 1999).
"""

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click
import msgspec
from rich.console import Console
from rich.table import Table

from api import compose
from api.demo import LIBRARY
from api.settings import Settings
from search import policy
from search.columns import Columns
from search.engine import Match, Space
from search.query import SearchRequest
from search.types import Principal

PHOTOS: Final = LIBRARY / "photos"
QUERIES: Final = Path(__file__).parent / "queries.json"
PERSON: Final = Principal("benchmark")
DEPTH: Final = 100


class Query(msgspec.Struct, frozen=True):
    """What is asked, and the files that answer it."""

    query: str
    relevant: frozenset[str]


class Row(msgspec.Struct, frozen=True):
    """The figures of one way to rank."""

    name: str
    hit_at_1: float
    hit_at_5: float
    hit_at_10: float
    mrr: float


#: A way to rank: a text to file names, best first.
Ranking = Callable[[str], Sequence[str]]


@click.command()
@click.option("--model", default="loupe-mini", show_default=True, help="The model that sees.")
@click.option("--json", "as_json", type=click.Path(dir_okay=False, path_type=Path), help="Write the figures here too.")
def main(model: str, as_json: Path | None) -> None:
    """Measure relevance on the sample library."""
    queries = msgspec.json.decode(QUERIES.read_bytes(), type=list[Query])
    rows: list[Row] = []
    with indexed(model, described=True) as (library, names):
        legs = by_leg(library, names)
        rows += [measure(name, queries, rank) for name, rank in legs.items()]
        rows.append(measure("fused", queries, fused(library, names)))
    with indexed(model, described=False) as (library, names):
        rows.append(measure("pictures alone", queries, fused(library, names)))
    Console().print(_table(model, queries, rows))
    if as_json:
        report = {"model": model, "queries": len(queries), "rows": rows}
        as_json.write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")


@contextmanager
def indexed(model: str, *, described: bool) -> Iterator[tuple[compose.Opened, Mapping[str, str]]]:
    """The sample library, freshly indexed, and the file name of each asset id."""
    credited = json.loads((PHOTOS / "credits.json").read_bytes())
    with tempfile.TemporaryDirectory(prefix="loupe-relevance-") as scratch:
        folder = Path(scratch) / "pictures"
        folder.mkdir()
        rows = []
        for number, one in enumerate(credited):
            path = one["file"] if described else f"{number:04}.jpg"
            shutil.copyfile(PHOTOS / one["file"], folder / path)
            said = {name: one[name] for name in ("title", "description", "keywords")} if described else {}
            rows.append({"path": path, "id": f"{number:04}", "status": "approved", "licence": "owned", **said})
        manifest = folder / "manifest.jsonl"
        manifest.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        settings = Settings(data_dir=str(Path(scratch) / "data"), model=model)
        compose.index(settings, [folder], manifest)
        with compose.opened(settings) as library:
            yield library, {f"{number:04}": one["file"] for number, one in enumerate(credited)}


def by_leg(library: compose.Opened, names: Mapping[str, str]) -> dict[str, Ranking]:
    """Rankings by one leg each, of everything in the library."""
    catalog, engine, models = library.library.catalog, library.engine, library.models
    assets = list(catalog.every_asset())
    columns = Columns().updated(put=assets, collection_grants=catalog.collection_grants())
    scope = policy.scope(PERSON, None, datetime.now(UTC), columns)
    of = {asset.ordinal: names[asset.id] for asset in assets}

    def ranking(found: Callable[[str], Sequence[Match]]) -> Ranking:
        return lambda text: [of[match.asset] for match in found(text)]

    return {
        "pictures (vectors)": ranking(
            lambda text: engine.nearest(scope, Space.visual, models.visual.embed_texts([text])[0], DEPTH)
        ),
        "descriptions (vectors)": ranking(
            lambda text: engine.nearest(scope, Space.text, models.text.embed_texts([text])[0], DEPTH)
        ),
        "keywords": ranking(lambda text: engine.keywords(scope, text, DEPTH)),
    }


def fused(library: compose.Opened, names: Mapping[str, str]) -> Ranking:
    """The order a person gets."""

    def rank(text: str) -> Sequence[str]:
        page = library.searcher.search(PERSON, SearchRequest(text=text, limit=DEPTH))
        return [names[hit.asset.id] for hit in page.hits]

    return rank


def measure(name: str, queries: Sequence[Query], rank: Ranking) -> Row:
    """The figures of a ranking over all queries."""
    firsts = [_first(rank(one.query), one.relevant) for one in queries]

    def hit(k: int) -> float:
        return round(sum(first is not None and first <= k for first in firsts) / len(firsts), 4)

    mrr = round(sum(1 / first for first in firsts if first) / len(firsts), 4)
    return Row(name, hit(1), hit(5), hit(10), mrr)


def _first(ranked: Sequence[str], relevant: frozenset[str]) -> int | None:
    """The rank of the first right answer, counted from 1."""
    return next((place for place, name in enumerate(ranked, start=1) if name in relevant), None)


def _table(model: str, queries: Sequence[Query], rows: Sequence[Row]) -> Table:
    table = Table(title=f"{model}, {len(queries)} queries on the sample library", title_justify="left")
    table.add_column("ranked by")
    for heading in ("hit@1", "hit@5", "hit@10", "MRR"):
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(row.name, *(f"{value:.2f}" for value in (row.hit_at_1, row.hit_at_5, row.hit_at_10, row.mrr)))
    return table


if __name__ == "__main__":
    main()
