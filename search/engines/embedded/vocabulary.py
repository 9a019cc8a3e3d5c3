"""The distinct words of an index, each with its number, as a small Tantivy index: one document a word.

Useful for: finding the words that are forms of one, or that are spelt nearly so (Levenshtein automata over the sorted
words: Schulz and Mihov 2002). Which documents a word stands in is for `search.engines.embedded.postings`.

No query text ever reaches Tantivy's query parser, which a deeply nested text can crash.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import tantivy

from search.engines.embedded.analysis import Languages, folded, forms
from search.engines.embedded.words import key
from search.kept import Kept

_WRITER_BYTES: Final = 64 << 20

#: Words whose forms were looked for last: a search asks twice for each of its own.
_KEPT: Final = 4096


def _schema() -> tantivy.Schema:
    builder = tantivy.SchemaBuilder()
    builder.add_integer_field("number", fast=True)
    for name in ("forms", "spelled"):
        builder.add_text_field(name, tokenizer_name="raw", index_option="basic")
    return builder.build()


class Vocabulary:
    """A read-only dictionary from forms and spellings to the numbers of words."""

    def __init__(self, index: tantivy.Index) -> None:
        self._schema = index.schema
        self._searcher = index.searcher()
        self._same: Kept[list[int]] = Kept(_KEPT)

    @classmethod
    def build(cls, words: Iterable[str], directory: Path, languages: Languages) -> None:
        """Write lower-case words, numbered from 1, into a new directory."""
        directory.mkdir()
        writer = tantivy.Index(_schema(), path=str(directory)).writer(_WRITER_BYTES, num_threads=1)
        for number, word in enumerate(words, 1):
            plain = folded(word)
            spelled = [key(plain)] if plain.isalpha() else []
            writer.add_document(tantivy.Document(number=number, forms=list(forms(word, languages)), spelled=spelled))
        writer.commit()
        writer.wait_merging_threads()

    @classmethod
    def load(cls, directory: Path) -> "Vocabulary":
        """Read what `build` wrote. Only for files that a generation's manifest vouches for."""
        return cls(tantivy.Index.open(str(directory)))

    def same(self, forms: Iterable[str]) -> list[int]:
        """The words that have one of the forms. Do not modify the answer."""
        wanted = tuple(forms)
        return self._same.of(wanted, lambda: self._having(wanted))

    def _having(self, forms: Iterable[str]) -> list[int]:
        terms = [tantivy.Query.term_query(self._schema, "forms", form) for form in forms]
        return self._numbers(tantivy.Query.boolean_query([(tantivy.Occur.Should, term) for term in terms]))

    def near(self, spelled: str, reach: int) -> list[int]:
        """The words spelt as `spelled` (folded) but for at most `reach` letters (see `words.within`)."""
        return self._numbers(tantivy.Query.fuzzy_term_query(self._schema, "spelled", key(spelled), distance=reach))

    def _numbers(self, query: tantivy.Query) -> list[int]:
        hits = self._searcher.search(query, max(self._searcher.num_docs, 1), count=False).hits
        found = self._searcher.fast_field_values("number", [address for _, address in hits])
        return sorted(int(value or 0) for value in found)
