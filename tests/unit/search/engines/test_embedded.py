"""The embedded engine: exact within any scope, and publishes nothing that it would not verify."""

import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from search import policy
from search.columns import Columns
from search.corpus import metadata_document, name_words
from search.engine import Corpus, Document, Space, Vectors
from search.engines.embedded import EmbeddedEngine, generation
from search.engines.embedded.keywords import WHOLE, KeywordIndex
from search.engines.embedded.words import matching, strangeness
from search.errors import GenerationDamaged, ModelUnavailable
from search.library import Library
from search.types import Action, Asset, Language, Licence, MediaType, Principal, Rights, Status
from tests.conftest import NOW, everyone_may

MODELS = {Space.visual: "picture-model", Space.text: "word-model"}


def scope_of(ordinals: Iterable[int]) -> policy.Scope:
    """A scope of exactly these assets, made the only way there is."""
    grants = everyone_may("c", Action.find, Action.use)
    assets = [
        Asset(n, f"a{n}", "", "", MediaType.image, "", "c", Status.approved, NOW, rights=Rights(licence=Licence.owned))
        for n in ordinals
    ]
    columns = Columns().updated(put=assets, collection_grants={"c": grants})
    return policy.scope(Principal("x"), None, NOW, columns)


def vectors(rows: np.ndarray, assets: Iterable[int]) -> Vectors:
    numbers = np.array(list(assets), np.int64)
    return Vectors("picture-model", rows.astype(np.float32), np.arange(len(numbers)) + 100, numbers)


def corpus(head: int = 1) -> Corpus:
    spaces = {Space.visual: vectors(np.eye(3), [1, 2, 3])}
    documents = [
        Document(1, title="Espresso cup", keywords=["coffee"], description="A cup seen from above."),
        Document(2, title="Blue boat", name="espresso-machine"),
        Document(3, segment=7, body="We talked about the espresso harvest."),
    ]
    return Corpus(head, spaces, documents)


def test_an_assets_vectors_are_read_only_within_the_scope(tmp_path: Path) -> None:
    engine = EmbeddedEngine(tmp_path, MODELS)
    engine.publish(corpus())
    assert engine.vectors_of(scope_of([2]), Space.visual, 2).tolist() == [[0, 1, 0]]
    assert engine.vectors_of(scope_of([1]), Space.visual, 2).shape == (0, 3)


def test_keywords_stay_within_the_scope_and_weigh_fields(tmp_path: Path) -> None:
    engine = EmbeddedEngine(tmp_path, MODELS)
    engine.publish(corpus())
    found = list(engine.keywords(scope_of([1, 2, 3]), "ESPRESSOS", 10))
    assert found[0].asset == 1, "a title outweighs a file name or a passage"
    assert {(match.asset, match.segment) for match in found} == {(1, 0), (2, 0), (3, 7)}
    assert {match.asset for match in engine.keywords(scope_of([3]), "espresso", 10)} == {3}
    assert list(engine.keywords(scope_of([]), "espresso", 10)) == []


def test_a_keyword_score_does_not_depend_on_other_documents(tmp_path: Path) -> None:
    alone, crowd = tmp_path / "alone", tmp_path / "crowd"
    KeywordIndex.build([Document(1, title="red boat at sea")], alone)
    others = [Document(n, title="red boat " * n) for n in range(2, 60)]
    KeywordIndex.build([Document(1, title="red boat at sea"), *others], crowd)
    scope = scope_of([1])
    one, other = (list(KeywordIndex.load(path).search(scope, "red boat", 5)) for path in (alone, crowd))
    assert one == other


def test_a_misspelt_word_finds_those_spelt_nearly_so_and_the_word_itself_first(tmp_path: Path) -> None:
    texts = {
        1: "Butterfly",
        2: "Butterlfy",
        3: "Butter",
        4: "Outerfly",
        5: "Eiffel tower",
        6: "Beer garden",
        7: "Katze",
    }
    KeywordIndex.build([Document(n, title=text) for n, text in texts.items()], tmp_path / "index")
    index = KeywordIndex.load(tmp_path / "index")
    scope = scope_of(texts)

    def scores(text: str, among: policy.Scope = scope) -> dict[int, float]:
        return {match.asset: round(match.score, 4) for match in index.search(among, text, 10)}

    assert scores("butterlfy") == {2: 1.0, 1: 0.75}
    assert scores("butterlfy", scope_of([1])) == {1: 0.75}, "the same, whether or not the word itself is in scope"
    assert scores("eifel tower") == {5: 0.875}
    assert scores("bear") == {}
    assert scores("Katzen") == {7: 0.75}


def test_the_index_and_the_words_agree_on_what_is_near(tmp_path: Path) -> None:
    """What is found is what `words.matching` then shows."""
    texts = ["lighthouse", "lighthuose", "leghthous", "nighthouse", "lihgtohuse", "lighthousekeeper", "highthouse"]
    KeywordIndex.build([Document(n, title=text) for n, text in enumerate(texts)], tmp_path / "index")
    index = KeywordIndex.load(tmp_path / "index")
    for query in ("lighthuose", "lightouse", "ligthhouse", "lighthousr"):
        found = {texts[match.asset] for match in index.search(scope_of(range(len(texts))), query, 10)}
        assert found == {text for text in texts if matching(query, text)}, query


def test_a_whole_name_is_certain_and_its_parts_are_words(tmp_path: Path) -> None:
    assets = [
        Asset(n, id_, path, "", MediaType.image, "", "c", Status.approved, NOW, title="Eiffel tower, IMG 2041")
        for n, id_, path in [(1, "a-1", "/p/IMG_2041.jpg"), (2, "b-2", "/p/EiffelTower.jpg"), (3, "c", "/p/x/x.png")]
    ]
    KeywordIndex.build(map(metadata_document, assets), tmp_path / "index")
    index = KeywordIndex.load(tmp_path / "index")
    scope = scope_of([1, 2, 3])
    for text, first in {"IMG_2041.jpg": 1, "img_2041": 1, "a-1": 1, "EIFFELTOWER.JPG": 2, "B-2": 2, "c": 3}.items():
        best, *others = index.search(scope, text, 5)
        assert (best.asset, best.score) == (first, WHOLE), text
        assert all(match.score <= 1 for match in others)
    assert not len(index.search(scope_of([2, 3]), "a-1", 5)), "what is hidden is not found by its name either"


@pytest.mark.parametrize(
    ("stem", "words"),
    [
        ("IMG_2041", ["IMG_2041"]),
        ("EiffelTower2041", ["EiffelTower2041", "Eiffel", "Tower", "2041"]),
        ("eiffel-tower.final", ["eiffel-tower.final"]),
        ("myHTMLPage", ["myHTMLPage", "my", "HTML", "Page"]),
        ("übersichtKarte_3", ["übersichtKarte_3", "übersicht", "Karte"]),
    ],
)
def test_names_are_kept_whole_and_cut(stem: str, words: list[str]) -> None:
    assert list(name_words(stem)) == words


def test_phrases_must_stand_side_by_side(tmp_path: Path) -> None:
    engine = EmbeddedEngine(tmp_path, MODELS)
    engine.publish(corpus())
    scope = scope_of([1, 2, 3])
    assert list(engine.containing(scope, "seen from above")) == [1]
    assert list(engine.containing(scope, "cup from")) == []
    assert list(engine.containing(scope, "coffee")) == [1]
    assert list(engine.containing(scope_of([2]), "coffee")) == []


@pytest.mark.parametrize(
    "text",
    ["", "   ", "?!…", "🙂", "(" * 20_000, '"' * 99, "a AND (b OR", "title:x~9^-1", "the of and", "\x00", "x" * 10_000],
)
def test_no_text_is_too_strange_to_look_for(tmp_path: Path, text: str) -> None:
    engine = EmbeddedEngine(tmp_path, MODELS)
    engine.publish(corpus())
    scope = scope_of([1, 2, 3])
    assert len(engine.keywords(scope, text, 5)) <= 3
    assert len(engine.containing(scope, text)) <= 3


@pytest.mark.parametrize(
    ("query", "share"),
    [
        ("a dog on the beach", 0),
        ("butterlfy", 1),
        ("the butterlfy at sea", 0.5),
        ("Velunor mugs", 0.5),
        ("", 0),
        ("?!", 0),
    ],
)
def test_strange_are_words_that_english_does_not_know(query: str, share: float) -> None:
    assert strangeness(query) == share


def test_a_reader_moves_on_to_what_another_process_published(tmp_path: Path) -> None:
    writer, reader = (EmbeddedEngine(tmp_path, MODELS) for _ in range(2))
    assert list(reader.keywords(scope_of([1]), "espresso", 5)) == []
    writer.publish(corpus(head=5))
    reader.refresh()
    assert (reader.generation, reader.head) == (1, 5)
    for _ in range(3):
        writer.publish(corpus())
    assert generation.numbers(tmp_path) == [1, 3, 4], "old generations go, but for the last but one and what is read"
    reader.publish(corpus(head=9))
    assert (reader.generation, reader.head) == (5, 9), "whoever publishes next takes over from the newest"
    assert generation.numbers(tmp_path) == [1, 4, 5]
    reader.publish(corpus())
    assert generation.numbers(tmp_path) == [4, 5, 6], "what was read goes, and what another reads stays"


def test_every_damaged_file_is_found_before_it_is_served(tmp_path: Path) -> None:
    EmbeddedEngine(tmp_path, MODELS).publish(corpus())
    sound = tmp_path / "00000001"
    names = [path.relative_to(sound) for path in sound.rglob("*") if path.is_file() and path.suffix != ".lock"]
    assert len(names) > 5
    for number, name in enumerate(names, 2):
        copy = tmp_path / f"{number:08d}"
        shutil.copytree(sound, copy)
        damaged = bytearray((copy / name).read_bytes())
        damaged[len(damaged) // 2] ^= 1
        (copy / name).write_bytes(damaged)
        with pytest.raises(GenerationDamaged):
            generation.open_verified(tmp_path, number)
    reader = EmbeddedEngine(tmp_path, MODELS)
    reader.refresh()
    assert reader.generation == 1, "the newest sound one is served"


def test_missing_and_foreign_files_are_found(tmp_path: Path) -> None:
    EmbeddedEngine(tmp_path, MODELS).publish(corpus())
    (tmp_path / "00000001" / "0" / "visual" / "extra").write_text("x")
    with pytest.raises(GenerationDamaged, match="extra"):
        generation.open_verified(tmp_path, 1)


def test_another_models_vectors_are_refused(tmp_path: Path) -> None:
    other = EmbeddedEngine(tmp_path, {**MODELS, Space.visual: "another"})
    with pytest.raises(ModelUnavailable):
        other.publish(corpus())
    EmbeddedEngine(tmp_path, MODELS).publish(corpus())
    other.refresh()
    assert other.generation == 0


def test_a_generation_is_read_by_the_languages_it_was_made_for(tmp_path: Path) -> None:
    EmbeddedEngine(tmp_path, MODELS).publish(corpus())
    other = EmbeddedEngine(tmp_path, MODELS, (Language.german, Language.english))
    assert not other.outdated, "nothing is read yet"
    other.refresh()
    assert (other.languages, other.outdated) == ((Language.english,), True)
    assert len(other.keywords(scope_of([1, 2, 3]), "espresso", 5)) == 3, "it goes on answering until there is another"
    other.publish(corpus())
    assert (other.languages, other.outdated) == ((Language.german, Language.english), False)


def test_a_library_is_indexed_anew_for_other_languages(tmp_path: Path) -> None:
    library = Library(tmp_path, create=True)
    engine = library.engine(MODELS)
    engine.publish(corpus(head=library.catalog.head()))
    assert not library.stale(engine)
    library.close()
    other = Library(tmp_path, languages=(Language.german, Language.english))
    assert other.stale(other.engine(MODELS))
    other.close()


def test_an_unfinished_generation_is_swept_away(tmp_path: Path) -> None:
    (tmp_path / "unfinished-1").mkdir()
    (tmp_path / "unfinished-1" / "half").write_text("x")
    EmbeddedEngine(tmp_path, MODELS).publish(corpus())
    assert [path.name for path in tmp_path.iterdir()] == ["00000001"]
