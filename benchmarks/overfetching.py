"""What the keyword index is measured beside: the same scores in Tantivy, filtered by classes and by reading on.

Each document bears a visibility class, into which collections are folded. A narrow scope asks Tantivy for the classes
that any of its assets is in; what comes back is tested against the scope, and four times as much is asked for until the
page is full. So did Loupe 0.1, without the classes.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import numpy as np
import tantivy
from numpy.typing import NDArray
from pyroaring import BitMap

from search.engine import Document
from search.engines.embedded import words
from search.policy import Scope

CLASSES: Final = 64

#: Scopes of fewer than this share of all assets name their classes.
NARROW: Final = 0.2

_FIELDS: Final = {"title": 1.0, "keywords": 1.0, "description": 0.9, "body": 0.8, "name": 0.8}
_NEAR: Final = 0.75
_WHOLE: Final = 6.0


def _analyser(*, stem: bool) -> tantivy.TextAnalyzer:
    builder = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple())
    builder = builder.filter(tantivy.Filter.remove_long(60)).filter(tantivy.Filter.lowercase())
    builder = builder.filter(tantivy.Filter.ascii_fold())
    return (builder.filter(tantivy.Filter.stemmer("english")) if stem else builder).build()


_SPELLED: Final = _analyser(stem=False)
_STEMMED: Final = _analyser(stem=True)


def _schema() -> tantivy.Schema:
    builder = tantivy.SchemaBuilder()
    builder.add_integer_field("asset", fast=True)
    builder.add_integer_field("visibility", indexed=True)
    for name in _FIELDS:
        builder.add_text_field(name, tokenizer_name="loupe")
    for name in ("spelled", "whole"):
        builder.add_text_field(name, tokenizer_name="raw", index_option="basic")
    return builder.build()


class Overfetching:
    """One Tantivy document a segment. `classes` is the visibility class of each asset, by ordinal (int64)."""

    def __init__(self, index: tantivy.Index, classes: NDArray[np.int64]) -> None:
        self._schema = index.schema
        self._searcher = index.searcher()
        self._classes = classes

    @classmethod
    def build(cls, documents: Iterable[Document], directory: Path, classes: NDArray[np.int64]) -> "Overfetching":
        directory.mkdir()
        index = tantivy.Index(_schema(), path=str(directory))
        index.register_tokenizer("loupe", _STEMMED)
        writer = index.writer(64 << 20, num_threads=1)
        for one in documents:
            spelled = [words.key(word) for word in set(_SPELLED.analyze(one.words)) if word.isalpha()]
            writer.add_document(
                tantivy.Document(
                    asset=one.asset,
                    visibility=int(classes[one.asset]),
                    title=one.title,
                    keywords=list(one.keywords),
                    description=one.description,
                    name=one.name,
                    body=one.body,
                    spelled=spelled,
                    whole=[name.casefold() for name in one.names],
                )
            )
        writer.commit()
        writer.wait_merging_threads()
        index.reload()
        return cls(index, classes)

    def search(self, scope: Scope, text: str, limit: int) -> BitMap:
        """The assets of the page."""
        sought = [self._word(word) for word in words.wanted(text)]
        found = [
            tantivy.Query.boolean_query(
                [(tantivy.Occur.Should, tantivy.Query.boost_query(word, 1 / len(sought))) for word in sought]
            ),
            self._worth(tantivy.Query.term_query(self._schema, "whole", text.casefold()), _WHOLE),
        ]
        return self._within(scope, tantivy.Query.disjunction_max_query(found), limit)

    def containing(self, scope: Scope, phrase: str) -> BitMap:
        """The assets of the scope that hold the phrase."""
        stems = _STEMMED.analyze(phrase)
        if len(stems) == 1:
            return self._within(scope, self._in_any_field(tantivy.Query.term_query, stems[0]), len(scope))
        return self._within(scope, self._in_any_field(tantivy.Query.phrase_query, stems), len(scope))

    def _word(self, word: words.Word) -> tantivy.Query:
        there = self._in_any_field(tantivy.Query.term_query, word.forms[0].removeprefix("en:"))
        if not word.reach:
            return there
        near = tantivy.Query.fuzzy_term_query(self._schema, "spelled", words.key(word.spelled), distance=word.reach)
        return tantivy.Query.disjunction_max_query([there, self._worth(near, _NEAR)])

    def _in_any_field(self, make: Callable[..., tantivy.Query], value: str | list[str]) -> tantivy.Query:
        fields = [self._worth(make(self._schema, field, value), weight) for field, weight in _FIELDS.items()]
        return tantivy.Query.disjunction_max_query(fields)

    @staticmethod
    def _worth(query: tantivy.Query, worth: float) -> tantivy.Query:
        return tantivy.Query.const_score_query(query, worth)

    def _filtered(self, scope: Scope, query: tantivy.Query) -> tantivy.Query:
        if len(scope) >= NARROW * len(self._classes):
            return query
        ordinals = np.frombuffer(scope.assets.to_array(), np.uint32)
        classes = np.unique(self._classes[ordinals]).tolist()
        terms = [tantivy.Query.term_query(self._schema, "visibility", one) for one in classes]
        some = tantivy.Query.boolean_query([(tantivy.Occur.Should, term) for term in terms])
        return tantivy.Query.boolean_query([(tantivy.Occur.Must, query), (tantivy.Occur.Must, self._worth(some, 0.0))])

    def _within(self, scope: Scope, query: tantivy.Query, limit: int) -> BitMap:
        documents = self._searcher.num_docs
        query = self._filtered(scope, query)
        wanted = min(4 * limit, documents)
        while wanted:
            hits = self._searcher.search(query, wanted, count=False).hits
            assets = self._searcher.fast_field_values("asset", [address for _, address in hits])
            found = BitMap()
            for asset in (int(value or 0) for value in assets):
                if asset in scope:
                    found.add(asset)
                    if len(found) == limit:
                        return found
            if len(hits) < wanted or wanted == documents:
                return found
            wanted = min(4 * wanted, documents)
        return BitMap()
