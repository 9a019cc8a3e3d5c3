"""Keyword search within a scope, over Tantivy.

A match is scored by the share of the query's words that occur, each weighed by the field it stands in, and not by
BM25: how rare a word is depends on all documents, also on those that a person may not find, and would show through
the score.

No query text ever reaches Tantivy's query parser, which a deeply nested text can crash: text is cut into words by
the same analyser as the documents, and queries are built from those words, a bounded number of them.
"""

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import tantivy
from pyroaring import BitMap

from search.engine import Document, Match
from search.policy import Scope

#: What a word is worth by the field it stands in: in a title it says more of an asset than in passing.
FIELDS: Final = {"title": 1.0, "keywords": 1.0, "description": 0.9, "body": 0.8, "name": 0.8}

#: Words of a query beyond this many are not looked for.
MAX_WORDS: Final = 32

#: English words that hold a sentence together and say nothing of what is sought.
_FUNCTION_WORDS: Final = re.findall(
    "[a-z]+",
    """
    a all am an and any are as at be been being both but by can could did do does doing each few for from had has
    have having he her here hers him his how i if in into is it its just me more most my no nor not of on once only
    or other our own same she should so some such than that the their them then there these they this those to too
    us very was we were what when where which while who whom why will with would you your
    """,
)

_WORD: Final = re.compile(r"\w+")
_WRITER_BYTES: Final = 64 << 20


def _analyser(*, stop: bool) -> tantivy.TextAnalyzer:
    """Lower case, accents folded, English endings cut (Porter2); for queries also without stop words."""
    builder = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple())
    builder = builder.filter(tantivy.Filter.remove_long(60)).filter(tantivy.Filter.lowercase())
    if stop:
        builder = builder.filter(tantivy.Filter.custom_stopword(_FUNCTION_WORDS))
    return builder.filter(tantivy.Filter.ascii_fold()).filter(tantivy.Filter.stemmer("english")).build()


_ALL_WORDS: Final = _analyser(stop=False)
_TELLING_WORDS: Final = _analyser(stop=True)


def _terms(text: str) -> list[str]:
    """The distinct terms to look for, in order; stop words only when there is nothing else."""
    found = _TELLING_WORDS.analyze(text) or _ALL_WORDS.analyze(text)
    return list(dict.fromkeys(found))[:MAX_WORDS]


def query_words(query: str) -> tuple[str, ...]:
    """See `Engine.query_words`."""
    wanted = set(_terms(query))
    return tuple(dict.fromkeys(word for word in _WORD.findall(query) if wanted.intersection(_ALL_WORDS.analyze(word))))


def matching_words(query: str, text: str) -> tuple[str, ...]:
    """See `Engine.matching_words`."""
    there = set(_ALL_WORDS.analyze(text))
    return tuple(word for word in query_words(query) if there.intersection(_ALL_WORDS.analyze(word)))


def _schema() -> tantivy.Schema:
    builder = tantivy.SchemaBuilder()
    for name in ("asset", "segment"):
        builder.add_integer_field(name, fast=True)
    for name in FIELDS:
        builder.add_text_field(name, tokenizer_name="loupe")
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
        index.register_tokenizer("loupe", _ALL_WORDS)
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
                )
            )
        writer.commit()
        writer.wait_merging_threads()

    @classmethod
    def load(cls, directory: Path) -> "KeywordIndex":
        """Read what `build` wrote. Only for files that a generation's manifest vouches for."""
        index = tantivy.Index.open(str(directory))
        index.register_tokenizer("loupe", _ALL_WORDS)
        return cls(index)

    def search(self, scope: Scope, text: str, limit: int) -> list[Match]:
        """See `Engine.keywords`: any of the words, each counted in the field where it weighs most."""
        terms = _terms(text)
        if not terms or limit < 1:
            return []
        words = [self._in_any_field(tantivy.Query.term_query, term, 1 / len(terms)) for term in terms]
        return self._within(scope, tantivy.Query.boolean_query([(tantivy.Occur.Should, word) for word in words]), limit)

    def containing(self, scope: Scope, phrase: str) -> BitMap:
        """See `Engine.containing`."""
        words = _ALL_WORDS.analyze(phrase)[:MAX_WORDS]
        if not words:
            return BitMap()
        if len(words) == 1:
            query = self._in_any_field(tantivy.Query.term_query, words[0], 1)
        else:
            query = self._in_any_field(tantivy.Query.phrase_query, words, 1)
        return BitMap(match.asset for match in self._within(scope, query, len(scope)))

    def _numbers(self, field: str, addresses: list[tantivy.DocAddress]) -> list[int]:
        return [int(value or 0) for value in self._searcher.fast_field_values(field, addresses)]

    def _in_any_field(self, make: Callable[..., tantivy.Query], value: str | list[str], worth: float) -> tantivy.Query:
        fields = [
            tantivy.Query.const_score_query(make(self._schema, field, value), worth * weight)
            for field, weight in FIELDS.items()
        ]
        return tantivy.Query.disjunction_max_query(fields)

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
