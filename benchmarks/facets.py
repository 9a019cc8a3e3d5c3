"""What surrounds a search, at N assets: `python -m benchmarks.facets [--rows N] [--directory DIR] [--json FILE]`.

Over a library of `benchmarks.at_scale`, in DIR if there is one, else made there or in a scratch directory: how long
opening takes, and memory; how long the first request takes after a change of one asset, and of one collection's grants;
and for several people, with and without a usage, the scope, all facets and counts (without filters, and under filters
drawn anew for each call from the library's own values, from one asset in two to a few; and asked for again, when they
are kept), a page of browsing, and suggestions. Medians and 95th percentiles in milliseconds.
"""

import resource
import statistics
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from itertools import product, repeat
from pathlib import Path
from time import perf_counter
from typing import Final

import click
import msgspec
import numpy as np
from rich.table import Table

from benchmarks import at_scale
from benchmarks.measures import CONSOLE, SAMPLE
from search import facets, policy
from search.catalog import Catalog, Intake
from search.columns import Columns
from search.engine import Space
from search.library import Library
from search.models.loading import load_models
from search.query import SearchRequest, understand
from search.searcher import Searcher
from search.types import (
    Action,
    Channel,
    CreatedRange,
    Filters,
    Grant,
    MediaType,
    Principal,
    ResourceKind,
    SubjectKind,
    Usage,
)

GATE: Final = policy.Settings(sensitive_groups=frozenset({"cleared-sensitive"}))
MODELS: Final = {Space.visual: "visual", Space.text: "text"}
USAGE: Final = Usage(channel=Channel.social, territory="DE")


#: What is printed together.
TABLES: Final = {
    "Scope and counts, milliseconds (median, 95 %)": ("scope", "counts", "counts, filtered", "counts, again"),
    "Requests that read the catalog as well": ("browsing", "suggest: a letter", "three letters", "two words"),
    "What the first request after a change waits for": ("of an asset", "of grants"),
}


class Row(msgspec.Struct, frozen=True):
    """What one thing takes, in milliseconds. `assets`: as many as the person may find."""

    person: str
    usage: bool
    assets: int
    name: str
    median: float
    p95: float


class Report(msgspec.Struct, frozen=True):
    """All figures at one size. Of memory: what the state of all assets holds, and what opening it took at most."""

    assets: int
    open_seconds: float
    held_megabytes: float
    peak_megabytes: float
    lacking: int
    lacking_seconds: float
    rows: Sequence[Row]


@click.command()
@click.option(
    "--rows", type=click.IntRange(min=at_scale.COLLECTIONS), default=100_000, show_default=True, help="How many assets."
)
@click.option("--calls", type=SAMPLE, default=100, show_default=True, help="How often each thing is done.")
@click.option("--directory", type=click.Path(file_okay=False, path_type=Path), help="Where the library is, or is made.")
@click.option("--json", "as_json", type=click.Path(dir_okay=False, path_type=Path), help="Write the figures here too.")
def main(rows: int, calls: int, directory: Path | None, as_json: Path | None) -> None:
    """Measure scopes, facets, suggestions and changes over a library of any size."""
    with _library(rows, directory) as library:
        report = _measured(library, calls)
    CONSOLE.print(
        f"{report.assets:,} assets: opened in {report.open_seconds} s, {report.held_megabytes:,.0f} MB held, "
        f"{report.peak_megabytes:,.0f} MB at most; "
        f"{report.lacking_seconds} s to see that {report.lacking:,} files lack vectors"
    )
    for title, names in TABLES.items():
        CONSOLE.print(_table(title, [row for row in report.rows if row.name in names]))
    if as_json:
        as_json.write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")


@contextmanager
def _library(rows: int, directory: Path | None) -> Iterator[Library]:
    """The library; a new one has vectors of a few numbers, for nothing here looks at them."""
    with tempfile.TemporaryDirectory(prefix="loupe-facets-") as scratch:
        place = directory or Path(scratch)
        if not (place / "catalog.sqlite").is_file():
            blank = {
                space: at_scale.Embedded(model_id, lambda start, stop: np.zeros((stop - start, 8), np.float32))
                for space, model_id in MODELS.items()
            }
            at_scale.build(place, rows, vectors=blank)
        library = Library(place)
        try:
            yield library
        finally:
            library.close()


def _measured(library: Library, calls: int) -> Report:
    catalog = library.catalog
    before = _resident()
    start = perf_counter()
    columns = Columns().updated(facts=catalog.facts(), collection_grants=catalog.collection_grants())
    opened = perf_counter() - start
    held, peak = _resident() - before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000 - before
    start = perf_counter()
    lacking = len(library.lacking(MODELS))
    looked = perf_counter() - start
    size = len(columns.all)
    rows = list(_of_people(columns, calls))
    del columns
    rows += _of_requests(library, size, calls)
    return Report(size, round(opened, 1), round(held), round(peak), lacking, round(looked, 1), rows)


def _of_people(columns: Columns, calls: int) -> Iterator[Row]:
    for person, usage in product(at_scale.PEOPLE, (None, USAGE)):
        yield from _of_person(columns, person.principal, usage, calls)


def _of_person(columns: Columns, principal: Principal, usage: Usage | None, calls: int) -> Iterator[Row]:
    now = datetime.now(UTC)
    scope = policy.scope(principal, usage, now, columns, GATE)

    def counts(columns: Columns, filters: Filters) -> None:
        query = understand(SearchRequest(filters=filters, usage=usage), principal.user)
        picked = facets.picked(columns, filters, scope)
        facets.counts(columns, query, scope, picked)
        facets.not_cleared(facets.matching(scope, picked))

    def row(name: str, each: Iterable[Callable[[], object]]) -> Row:
        return Row(principal.user, usage is not None, len(scope), name, *_timed(each))

    yield row("scope", repeat(lambda: policy.scope(principal, usage, now, columns, GATE), calls))
    # Of what has just been counted the counts are kept: by these columns, and not by copies of them.
    yield row("counts", [partial(counts, columns.updated(), Filters()) for _ in range(calls)])
    yield row("counts, filtered", [partial(counts, columns.updated(), filters) for filters in _filters(calls)])
    yield row("counts, again", repeat(partial(counts, columns, Filters()), calls))


def _filters(number: int) -> Iterator[Filters]:
    """From one asset in two to a few: the kind in turn, the values at random."""
    generator = np.random.default_rng(0)
    keywords, collections = at_scale.keywords(), at_scale.collections()
    for kind in range(number):
        common, rare, collection, year = generator.random(4)
        keyword = keywords[int(100 * common)]
        created = CreatedRange(first=f"{2007 + int(18 * year)}-01-01", last=f"{2009 + int(17 * year)}-06-30")
        yield (
            Filters(type=(MediaType.image,), orientation=("landscape",)),
            Filters(type=(MediaType.video, MediaType.document)),
            Filters(keyword=(keyword,)),
            Filters(keyword=(keywords[int(len(keywords) * rare)],)),
            Filters(collection=(collections[int(len(collections) * collection)],)),
            Filters(created=created),
            Filters(created=created, keyword=(keyword,), ai_generated=False, type=(MediaType.image,)),
        )[kind % 7]


def _of_requests(library: Library, size: int, calls: int) -> Iterator[Row]:
    """What people ask for through the searcher, which reads the catalog as well; and what the first request waits for
    after a change, over `size` assets."""
    searcher = Searcher(library.catalog, library.engine({}), load_models(), library.renditions, GATE)
    words = [at_scale.vocabulary()[place] for place in np.random.default_rng(0).integers(10_000, size=calls)]
    for person in at_scale.PEOPLE:
        principal = person.principal
        found = searcher.search(principal, SearchRequest(limit=1)).total

        def row(name: str, each: Iterable[Callable[[], object]], user: str = person.user, found: int = found) -> Row:
            return Row(user, False, found, name, *_timed(each))

        yield row("browsing", repeat(partial(searcher.search, principal, SearchRequest()), calls))
        yield row("suggest: a letter", [partial(searcher.suggest, principal, word[0]) for word in words])
        yield row("three letters", [partial(searcher.suggest, principal, word[:3]) for word in words])
        yield row("two words", [partial(searcher.suggest, principal, f"{word} a") for word in words])
    for name, changes in (("of an asset", _changes), ("of grants", _regrants)):
        each = _after(searcher.refresh, changes(library.catalog, calls))
        yield Row("anyone", False, size, name, *_timed(each))


def _after(see: Callable[[], object], changes: Iterator[None]) -> Iterator[Callable[[], object]]:
    """Each time something changed, the request that comes then."""
    for _ in changes:
        yield see


def _changes(catalog: Catalog, number: int) -> Iterator[None]:
    """An asset gets another keyword, and loses it."""
    asset = next(catalog.every_asset())
    parts = tuple(catalog.segments_of(asset.ordinal))
    for call in range(number):
        keywords = (*asset.keywords, "seen at once") if call % 2 == 0 else asset.keywords
        changed = msgspec.structs.replace(asset, keywords=keywords)
        catalog.take_in([Intake(changed, 0, "", {}, parts)], by="facets")
        yield


def _regrants(catalog: Catalog, number: int) -> Iterator[None]:
    """The largest collection is shared with somebody, and no longer."""
    name = at_scale.collections()[0]
    before = catalog.collection_grants()[name]
    shared = Grant(ResourceKind.collection, name, SubjectKind.user, "somebody", Action.find)
    for call in range(number):
        catalog.grant_collection(name, (*before, shared) if call % 2 == 0 else before)
        yield


def _timed(calls: Iterable[Callable[[], object]]) -> tuple[float, float]:
    """Median and 95th percentile in milliseconds, the first call left out."""
    taken = []
    for call in calls:
        start = perf_counter()
        call()
        taken.append(1000 * (perf_counter() - start))
    return round(statistics.median(taken[1:]), 2), round(statistics.quantiles(taken[1:], n=20)[-1], 2)


def _resident() -> float:
    """Megabytes in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6


def _table(title: str, rows: Sequence[Row]) -> Table:
    names = list(dict.fromkeys(row.name for row in rows))
    made = Table(title=title, title_justify="left")
    for heading in ("person", "finds", "usage"):
        made.add_column(heading)
    for name in names:
        made.add_column(name, justify="right")
    said: dict[tuple[str, str, str], dict[str, str]] = {}
    for row in rows:
        asked = (row.person, f"{row.assets:,}", "yes" if row.usage else "")
        said.setdefault(asked, {})[row.name] = f"{row.median:.1f}  {row.p95:.1f}"
    for asked, cells in said.items():
        made.add_row(*asked, *(cells[name] for name in names))
    return made


if __name__ == "__main__":
    main()
