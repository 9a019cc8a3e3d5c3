"""What is published part by part answers as what is published as a whole."""

import tempfile
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyroaring import BitMap

from search import policy
from search.engine import Corpus, Document, Space, Vectors
from search.engines import embedded
from search.engines.embedded import EmbeddedEngine, generation
from tests.unit.search.engines.test_embedded import MODELS, scope_of

ASSETS = 40
WORDS = ("boat", "espresso", "harvest", "lighthouse", "sea")


class Item(msgspec.Struct, frozen=True):
    """An asset: its vectors, [n, 3] whole numbers, a title, and a passage (empty: none)."""

    rows: tuple[tuple[int, int, int], ...]
    title: str
    passage: str


class Shelf:
    """A source in memory, whose journal is a list."""

    def __init__(self) -> None:
        self.items: dict[int, Item] = {}
        self.journal: list[int] = []
        self.asked: list[BitMap | None] = []

    def put(self, asset: int, item: Item | None) -> None:
        self.items.pop(asset, None)
        if item:
            self.items[asset] = item
        self.journal.append(asset)

    def changed_since(self, head: int) -> tuple[int, BitMap]:
        return len(self.journal), BitMap(self.journal[head:])

    def corpus(self, assets: BitMap | None = None) -> Corpus:
        self.asked.append(assets)
        chosen = {asset: item for asset, item in self.items.items() if assets is None or asset in assets}
        rows = [(asset, 100 * asset + n, row) for asset, item in chosen.items() for n, row in enumerate(item.rows)]
        documents = [Document(asset, title=item.title) for asset, item in chosen.items()]
        documents += [Document(asset, 100 * asset, body=item.passage) for asset, item in chosen.items() if item.passage]
        spaces = {}
        if rows:
            owners, segments, numbers = zip(*rows, strict=True)
            spaces[Space.visual] = Vectors(
                "picture-model", np.array(numbers, np.float32), np.array(segments), np.array(owners)
            )
        return Corpus(len(self.journal), spaces, documents)


def said(engine: EmbeddedEngine, scope: policy.Scope) -> list[object]:
    """Answers to a few questions of every kind."""
    queries = np.eye(3, dtype=np.float32)
    near = [list(engine.nearest(scope, Space.visual, query, limit).matches) for query in queries for limit in (3, 99)]
    ties = [sorted((round(match.score, 3), match.asset) for match in matches) for matches in near if len(matches) > 3]
    words = [list(engine.keywords(scope, text, limit)) for text in (*WORDS, "boat sea", "botes") for limit in (2, 99)]
    phrases = [set(engine.containing(scope, phrase)) for phrase in (*WORDS, "boat sea")]
    rows = [engine.vectors_of(scope, Space.visual, asset).round(3).tolist() for asset in range(ASSETS + 1)]
    scores = [[round(match.score, 3) for match in matches] for matches in near]
    return [ties, scores, words, phrases, rows]


texts = st.lists(st.sampled_from(WORDS), max_size=3).map(" ".join)
rows = st.lists(st.tuples(*[st.integers(-3, 3)] * 3), max_size=3).map(tuple)
items = st.builds(Item, rows, texts, texts)
changes = st.dictionaries(st.integers(0, ASSETS), st.none() | items, max_size=3)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(items, min_size=4, max_size=8),
    st.lists(st.tuples(changes, st.booleans()), min_size=1, max_size=5),
    st.frozensets(st.integers(0, ASSETS)),
)
def test_parts_answer_as_the_whole(
    first: list[Item], rounds: list[tuple[dict[int, Item | None], bool]], allowed: frozenset[int]
) -> None:
    shelf = Shelf()
    for asset in range(ASSETS - 3):
        shelf.put(asset, first[asset % len(first)])
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patched:
        patched.setattr(embedded, "_SMALL", 4)
        engine, other = (EmbeddedEngine(Path(folder) / name, MODELS) for name in ("parts", "whole"))
        reader = EmbeddedEngine(Path(folder) / "parts", MODELS)
        engine.catch_up(shelf)
        for changed, settle in rounds:
            for asset, item in changed.items():
                shelf.put(asset, item)
            engine.catch_up(shelf, settle=settle)
            reader.refresh()
        other.publish(shelf.corpus())
        for scope in (scope_of(range(ASSETS + 1)), scope_of(allowed)):
            assert said(engine, scope) == said(reader, scope) == said(other, scope)
        assert engine.head == other.head


def shelf_of(count: int) -> Shelf:
    shelf = Shelf()
    for asset in range(count):
        shelf.put(asset, Item(((asset, 1, 0),), "boat", ""))
    return shelf


def test_a_few_changes_are_written_and_nothing_else(tmp_path: Path) -> None:
    shelf = shelf_of(100)
    engine = EmbeddedEngine(tmp_path, MODELS)
    engine.catch_up(shelf)
    shelf.put(7, Item((), "lighthouse", ""))
    shelf.put(200, Item((), "lighthouse", ""))
    engine.catch_up(shelf, settle=False)
    assert shelf.asked == [None, BitMap([7, 200])]
    before, now = (tmp_path / number / "0" / "keywords" / "about.json" for number in ("00000001", "00000002"))
    assert before.samefile(now), "what did not change is a link and no copy"
    assert {match.asset for match in engine.keywords(scope_of(range(300)), "lighthouse", 9)} == {7, 200}
    assert 7 not in engine.containing(scope_of(range(300)), "boat"), "what an older part says of it is past"
    engine.catch_up(shelf, settle=False)
    assert (len(shelf.asked), generation.numbers(tmp_path)) == (2, [1, 2]), "nothing new, nothing written"


def test_parts_are_folded_as_those_of_their_size_gather(tmp_path: Path) -> None:
    shelf = shelf_of(1000)
    engine = EmbeddedEngine(tmp_path, MODELS)
    engine.catch_up(shelf)
    most = 0
    for asset in range(1000, 1060):
        shelf.put(asset, Item((), "sea", ""))
        engine.catch_up(shelf, settle=False)
        most = max(most, len(list((tmp_path / f"{engine.generation:08d}").iterdir())) - 1)
    written = sum(len(assets) for assets in shelf.asked if assets is not None)
    assert most <= 5
    assert written < 60 * 16
    engine.catch_up(shelf, settle=True)
    assert len(list((tmp_path / f"{engine.generation:08d}").iterdir())) - 1 == 1, "at rest few parts remain"
    assert len(engine.keywords(scope_of(range(1300)), "sea", 999)) == 60


def test_a_part_of_which_much_is_past_is_written_anew(tmp_path: Path) -> None:
    shelf = shelf_of(100)
    engine = EmbeddedEngine(tmp_path, MODELS)
    engine.catch_up(shelf)
    for asset in range(24):
        shelf.put(asset, None)
        engine.catch_up(shelf, settle=False)
    folders = generation.folders(generation.open_verified(tmp_path, engine.generation))
    assert (folders[0] / "visual").is_dir()
    for asset in range(24, 30):
        shelf.put(asset, None)
        engine.catch_up(shelf, settle=False)
    assert None in shelf.asked[1:], "the first part was folded in, and so everything was read"
