"""Keyword search: in any scope what going through its documents one by one finds, in the same order."""

import unicodedata
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search.engine import Document, Match
from search.engines.embedded import postings
from search.engines.embedded.analysis import cut, folded, forms
from search.engines.embedded.keywords import FORMAT, KeywordIndex
from search.engines.embedded.synonyms import NONE, Synonyms, parsed
from search.engines.embedded.words import Word, wanted, within
from search.errors import GenerationDamaged
from search.types import Language
from tests.unit.search.engines.test_embedded import scope_of

LANGUAGES = (Language.german, Language.english)
SYNONYMS = Synonyms(parsed("boat, vessel, sea going ship") + parsed("katze => red boat"))

_WORDS = st.sampled_from(
    [
        "red",
        "boat",
        "boats",
        "vessel",
        "sea",
        "going",
        "ship",
        "the",
        "lighthouse",
        "lighthuose",
        "katze",
        "katzen",
        "über",
    ]
)
_TEXTS = st.lists(_WORDS, max_size=5).map(" ".join)
_DOCUMENTS = st.builds(
    Document,
    asset=st.integers(1, 9),
    title=_TEXTS,
    keywords=st.lists(_TEXTS, max_size=2),
    description=_TEXTS,
    name=_TEXTS,
    body=_TEXTS,
    names=st.lists(st.sampled_from(["Boat.jpg", "red boat", "x1"]), max_size=1),
)


def same(said: str, forms_sought: Sequence[str]) -> bool:
    return not set(forms(said, LANGUAGES)).isdisjoint(forms_sought)


def stands(phrase: Sequence[str], text: Sequence[str]) -> bool:
    sought = [forms(word, LANGUAGES) for word in phrase]
    return any(
        all(same(said, one) for said, one in zip(text[start:], sought, strict=False))
        for start in range(len(text) - len(sought) + 1)
    )


def fields(document: Document) -> list[tuple[int, list[str]]]:
    """Each value of the document, cut, with what a word in it is worth."""
    values = [(100, document.title), *((100, one) for one in document.keywords), (90, document.description)]
    return [(worth, cut(value)) for worth, value in [*values, (80, document.name), (80, document.body)]]


def worth_of(word: Word, document: Document) -> int:
    """By the definition: the word itself, nine tenths for a synonym, 75 for one that is spelt nearly so."""
    found = [0]
    for worth, text in fields(document):
        found += [worth for said in text if same(said, word.forms)]
        found += [worth * 9 // 10 for alike in word.alike if stands(alike, text)]
        found += [75 for said in text if word.reach and within(word.spelled, folded(said), word.reach)]
    return max(found)


def one_by_one(documents: Sequence[Document], allowed: frozenset[int], text: str, limit: int) -> list[Match]:
    name = " ".join(unicodedata.normalize("NFC", text).casefold().split())
    sought = wanted(text, LANGUAGES, SYNONYMS)
    best: dict[int, Match] = {}
    for document in sorted(documents, key=lambda one: (one.asset, one.segment)):
        score = sum(worth_of(word, document) for word in sought) / (100 * max(len(sought), 1))
        score = 6.0 if name in {one.casefold() for one in document.names} else score
        if document.asset in allowed and score > best.get(document.asset, Match(0, 0, 0.0)).score:
            best[document.asset] = Match(document.asset, document.segment, score)
    return sorted(best.values(), key=lambda match: (-match.score, -match.asset))[:limit]


@settings(max_examples=50)
@given(
    st.lists(_DOCUMENTS, max_size=12),
    st.frozensets(st.integers(1, 10)),
    st.lists(_TEXTS | st.sampled_from(["BOAT.jpg", "Red Boat", "", "?"]), min_size=4, max_size=8),
    st.integers(1, 10),
)
def test_search_is_what_going_through_one_by_one_finds(
    documents: list[Document], allowed: frozenset[int], texts: list[str], limit: int
) -> None:
    documents = [
        Document(*(getattr(one, name) if name != "segment" else place for name in one.__struct_fields__))
        for place, one in enumerate(documents)
    ]
    scope = scope_of(allowed)
    with TemporaryDirectory() as directory:
        KeywordIndex.build(iter(documents), Path(directory) / "index", LANGUAGES)
        index = KeywordIndex.load(Path(directory) / "index")
        for text in texts:
            assert list(index.search(scope, text, limit, SYNONYMS)) == one_by_one(documents, allowed, text, limit), text
            phrase = cut(text)
            containing = {
                one.asset for one in documents if phrase and any(stands(phrase, said) for _, said in fields(one))
            }
            assert set(index.containing(scope, text)) == containing & allowed, text


def test_many_documents_of_one_asset_do_not_push_out_others(tmp_path: Path) -> None:
    passages = [Document(asset, segment=n + 1, body="red boat") for asset in (7, 8) for n in range(400)]
    others = [Document(n, title="red sky") for n in (1, 2, 3)]
    KeywordIndex.build([*passages, *others], tmp_path / "index")
    index = KeywordIndex.load(tmp_path / "index")
    scope = scope_of([1, 2, 3, 7, 8])
    found = list(index.search(scope, "red boat", 4))
    assert [(match.asset, match.segment) for match in found] == [(8, 1), (7, 1), (3, 0), (2, 0)]
    assert list(index.search(scope, "red boat", 1)) == found[:1]


@pytest.mark.parametrize("share", [0.5, 0.01, 0.001])
def test_wide_and_narrow_scopes_agree(tmp_path: Path, share: float) -> None:
    """However a scope is gone through, an asset of it scores the same."""
    documents = [Document(n, title="boat " * (n % 3), body="red" if n % 7 else "") for n in range(1, 3001)]
    KeywordIndex.build(documents, tmp_path / "index")
    index = KeywordIndex.load(tmp_path / "index")
    everything = {match.asset: match.score for match in index.search(scope_of(range(1, 3001)), "red boat", 3000)}
    allowed = range(1, 3001, round(1 / share))
    found = list(index.search(scope_of(allowed), "red boat", 3000))
    assert {match.asset: match.score for match in found} == {n: everything[n] for n in allowed if n in everything}
    assert set(index.containing(scope_of(allowed), "boat")) == {n for n in allowed if n % 3}


def test_an_index_is_the_same_however_much_is_sorted_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    documents = [Document(n % 50, segment=n, title=f"red {n % 7}", body="boat " * (n % 4)) for n in range(300)]
    for at_once in (1 << 22, 1, 100):
        monkeypatch.setattr(postings, "_AT_ONCE", at_once)
        KeywordIndex.build(documents, tmp_path / str(at_once))
    for path in (tmp_path / str(1 << 22) / "postings").iterdir():
        assert path.read_bytes() == (tmp_path / "1" / "postings" / path.name).read_bytes()
        assert path.read_bytes() == (tmp_path / "100" / "postings" / path.name).read_bytes()


def test_an_index_says_its_languages_and_another_format_is_refused(tmp_path: Path) -> None:
    KeywordIndex.build([Document(1, title="boat")], tmp_path / "index", LANGUAGES)
    assert KeywordIndex.load(tmp_path / "index").languages == LANGUAGES
    (tmp_path / "index" / "about.json").write_text(f'{{"format": {FORMAT + 1}, "languages": ["en"]}}')
    with pytest.raises(GenerationDamaged, match="format"):
        KeywordIndex.load(tmp_path / "index")
    (tmp_path / "index" / "about.json").unlink()
    with pytest.raises(GenerationDamaged):
        KeywordIndex.load(tmp_path / "index")


def test_of_equal_ones_the_newest_come_first(tmp_path: Path) -> None:
    KeywordIndex.build([Document(n, title="boat") for n in range(1, 101)], tmp_path / "index")
    index = KeywordIndex.load(tmp_path / "index")
    assert [match.asset for match in index.search(scope_of(range(1, 91)), "boat", 3)] == [90, 89, 88]


@pytest.mark.parametrize(("field", "worth"), [("title", 0.9), ("description", 0.81), ("body", 0.72)])
def test_a_synonym_counts_a_little_less_than_the_word(tmp_path: Path, field: str, worth: float) -> None:
    documents = [Document(1, **{field: "the vessel"}), Document(2, **{field: "a sea going ship"})]  # type: ignore[arg-type]
    KeywordIndex.build([*documents, Document(3, title="sea ship")], tmp_path / "index", LANGUAGES)
    index = KeywordIndex.load(tmp_path / "index")
    scope = scope_of([1, 2, 3])
    assert list(index.search(scope, "boats", 5, SYNONYMS)) == [Match(2, 0, worth), Match(1, 0, worth)]
    assert list(index.search(scope, "boats", 5, NONE)) == []
