"""How texts are cut into words, and which words are forms of one: the same for documents and for queries.

A word's forms are its stems in each of the library's languages (Snowball; Porter 2001), accents folded after and before
it is stemmed, as people leave them out. Two words are the same if any form of theirs is. No language is detected: texts
of a few words are told apart badly, and a text and a query that were judged differently would not meet. A word always
meets itself, whatever its language, because both sides are cut alike.
"""

import unicodedata
from functools import cache, lru_cache
from typing import Final

import tantivy

from search.types import Language

Languages = tuple[Language, ...]

ENGLISH: Final = (Language.english,)


def _analyser(tokenizer: tantivy.Tokenizer, *filters: tantivy.Filter) -> tantivy.TextAnalyzer:
    builder = tantivy.TextAnalyzerBuilder(tokenizer)
    for one in filters:
        builder = builder.filter(one)
    return builder.build()


_CUT: Final = _analyser(tantivy.Tokenizer.simple(), tantivy.Filter.remove_long(60), tantivy.Filter.lowercase())
_FOLD: Final = _analyser(tantivy.Tokenizer.raw(), tantivy.Filter.ascii_fold())


@cache
def _stemmer(language: Language) -> tantivy.TextAnalyzer:
    return _analyser(tantivy.Tokenizer.raw(), tantivy.Filter.stemmer(language.name))


def cut(text: str) -> list[str]:
    """The words of a text in lower case, in order. Those of more than 60 bytes are none."""
    words: list[str] = _CUT.analyze(unicodedata.normalize("NFC", text))
    return words


def folded(word: str) -> str:
    """The word with its letters' accents left out, and others written out ("straße": "strasse")."""
    return word if word.isascii() else str(_FOLD.analyze(word)[0])


@lru_cache(maxsize=1 << 15)
def forms(word: str, languages: Languages) -> tuple[str, ...]:
    """The stems of a lower-case word in each language: of the word as it is, and as it is without accents."""
    plain = folded(word)
    found = []
    for language in languages:
        stem = _stemmer(language).analyze
        found += [f"{language}:{folded(stem(word)[0])}", f"{language}:{folded(stem(plain)[0])}"]
    return tuple(dict.fromkeys(found))
