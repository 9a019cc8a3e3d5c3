"""Keyword search within a scope, over Tantivy.

A match is scored by the share of the query's words that occur, each weighed by the field it stands in, and not by
BM25: how rare a word is depends on all documents, also on those that a person may not find, and would show through
the score. For the same reason a word that is spelt nearly so counts the same whether or not the word itself occurs
elsewhere: an asset's score for a word is what the best of its own words is worth (`search.engines.embedded.words`).

No query text ever reaches Tantivy's query parser, which a deeply nested text can crash: text is cut into words by
the same analyser as the documents, and queries are built from those words, a bounded number of them.
"""

import unicodedata
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import tantivy
from pyroaring import BitMap

from search.engine import Document, Match
from search.engines.embedded import words
from search.policy import Scope

#: What a word is worth by the field it stands in: in a title it says more of an asset than in passing.
FIELDS: Final = {"title": 1.0, "keywords": 1.0, "description": 0.9, "body": 0.8, "name": 0.8}

#: What a word is worth where only one that is spelt nearly so occurs: less than any field makes of the word itself.
NEAR: Final = 0.75

#: What an id or a file name is worth that is the whole query: certainty, whatever the other legs say.
WHOLE: Final = 6.0

_LONGEST_NAME: Final = 300
_WRITER_BYTES: Final = 64 << 20


def strangeness(query: str) -> float:
    """See `Engine.strangeness`."""
    sought = words.wanted(query)
    return sum(word.reach > 0 for word in sought) / len(sought) if sought else 0.0


def matching_words(query: str, text: str) -> tuple[str, ...]:
    """See `Engine.matching_words`."""
    return tuple(words.matching(query, text))


def _schema() -> tantivy.Schema:
    builder = tantivy.SchemaBuilder()
    for name in ("asset", "segment"):
        builder.add_integer_field(name, fast=True)
    for name in FIELDS:
        builder.add_text_field(name, tokenizer_name="loupe")
    for name in ("spelled", "whole"):
        builder.add_text_field(name, tokenizer_name="raw", index_option="basic")
    return builder.build()


class KeywordIndex:
    """A read-only Tantivy index, one document a segment."""

    def __init__(self, index: tantivy.Index) -> None:
        self._schema = index.schema
        self._searcher = index.searcher()

    @classmethod
    def build(cls, documents: Iterable[Document], directory: Path) -> None:
        """Write an index of the documents into a new directory."""
        directory.mkdir()
        index = tantivy.Index(_schema(), path=str(directory))
        index.register_tokenizer("loupe", words.STEMMED)
        writer = index.writer(_WRITER_BYTES, num_threads=1)
        for document in documents:
            writer.add_document(
                tantivy.Document(
                    asset=document.asset,
                    segment=document.segment,
                    title=document.title,
                    keywords=list(document.keywords),
                    description=document.description,
                    name=document.name,
                    body=document.body,
                    spelled=_spellings(document),
                    whole=[_folded(name) for name in document.names],
                )
            )
        writer.commit()
        writer.wait_merging_threads()

    @classmethod
    def load(cls, directory: Path) -> "KeywordIndex":
        """Read what `build` wrote. Only for files that a generation's manifest vouches for."""
        index = tantivy.Index.open(str(directory))
        index.register_tokenizer("loupe", words.STEMMED)
        return cls(index)

    def search(self, scope: Scope, text: str, limit: int) -> list[Match]:
        """See `Engine.keywords`: any of the words, each counted in the field where it weighs most."""
        if limit < 1:
            return []
        name = _folded(text)
        sought = [self._word(word) for word in words.wanted(text)]
        found = [
            tantivy.Query.boolean_query(
                [(tantivy.Occur.Should, tantivy.Query.boost_query(word, 1 / len(sought))) for word in sought]
            )
        ]
        if 0 < len(name) <= _LONGEST_NAME:
            found.append(self._worth(tantivy.Query.term_query(self._schema, "whole", name), WHOLE))
        return self._within(scope, tantivy.Query.disjunction_max_query(found), limit)

    def containing(self, scope: Scope, phrase: str) -> BitMap:
        """See `Engine.containing`."""
        stems = words.STEMMED.analyze(phrase)[: words.MAX_WORDS]
        if not stems:
            return BitMap()
        if len(stems) == 1:
            query = self._in_any_field(tantivy.Query.term_query, stems[0])
        else:
            query = self._in_any_field(tantivy.Query.phrase_query, stems)
        return BitMap(match.asset for match in self._within(scope, query, len(scope)))

    def _numbers(self, field: str, addresses: list[tantivy.DocAddress]) -> list[int]:
        return [int(value or 0) for value in self._searcher.fast_field_values(field, addresses)]

    def _word(self, word: words.Word) -> tantivy.Query:
        """A word where it stands, or else where one stands that is spelt nearly so."""
        there = self._in_any_field(tantivy.Query.term_query, word.stem)
        if not word.reach:
            return there
        near = tantivy.Query.fuzzy_term_query(self._schema, "spelled", words.key(word.spelled), distance=word.reach)
        return tantivy.Query.disjunction_max_query([there, self._worth(near, NEAR)])

    def _in_any_field(self, make: Callable[..., tantivy.Query], value: str | list[str]) -> tantivy.Query:
        """Counted in the field where it weighs most."""
        fields = [self._worth(make(self._schema, field, value), weight) for field, weight in FIELDS.items()]
        return tantivy.Query.disjunction_max_query(fields)

    @staticmethod
    def _worth(query: tantivy.Query, worth: float) -> tantivy.Query:
        return tantivy.Query.const_score_query(query, worth)

    def _within(self, scope: Scope, query: tantivy.Query, limit: int) -> list[Match]:
        """The best document of each asset of the scope. Reads on until the page is full or the matches are through."""
        documents = self._searcher.num_docs
        wanted = min(4 * limit, documents)
        while wanted:
            hits = self._searcher.search(query, wanted, count=False).hits
            addresses = [address for _, address in hits]
            assets, segments = (self._numbers(field, addresses) for field in ("asset", "segment"))
            found: dict[int, Match] = {}
            for (score, _), asset, segment in zip(hits, assets, segments, strict=True):
                if asset in scope and asset not in found:
                    found[asset] = Match(asset, segment, score)
            if len(found) >= limit or len(hits) < wanted or wanted == documents:
                return list(found.values())[:limit]
            wanted = min(4 * wanted, documents)
        return []


def _spellings(document: Document) -> list[str]:
    """The document's distinct words of letters, as `words.key` writes them."""
    return [words.key(word) for word in set(words.SPELLED.analyze(document.words)) if word.isalpha()]


def _folded(name: str) -> str:
    """A name without regard to case, spaces, and how its accents are written."""
    return " ".join(unicodedata.normalize("NFC", name).casefold().split())
