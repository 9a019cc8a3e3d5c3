"""Keyword search within a scope.

A match is scored by the share of the query's words that occur, each weighed by the field it stands in, and not by
BM25: how rare a word is depends on all documents, also on those that a person may not find, and would show through
the score. For the same reason a word that is spelt nearly so counts the same whether or not the word itself occurs
elsewhere: an asset's score for a word is what the best of its own words is worth (`search.engines.embedded.words`).

With such scores nothing is left to skip by a bound (block-max WAND and its like), and each word's documents are lists
of numbers that are cut down to the scope before anything is scored: what a search costs depends on how often its words
occur, and hardly on who asks. So pages are full and exact in any scope, and a change of rights needs no change here.
`python -m benchmarks.keywords` measures this beside Tantivy's own ranking, with over-fetching.
"""

import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from search.bitmaps import as_array, as_bitmap, as_flags
from search.engine import Document, Matches
from search.engines.embedded.analysis import ENGLISH, Languages, cut, forms
from search.engines.embedded.postings import Builder, Numbers, Postings, row_of, weight_of
from search.engines.embedded.synonyms import NONE, Synonyms
from search.engines.embedded.vocabulary import Vocabulary
from search.engines.embedded.words import MAX_WORDS, Word, wanted
from search.errors import GenerationDamaged
from search.kept import Kept
from search.policy import Scope

#: What a word is worth by the weight of the field it stands in, in hundredths: in a title or a keyword it says more of
#: an asset than in a description, and there more than in passing.
WORTH: Final = np.array([80, 90, 100], np.uint16)

#: What a word is worth where only a synonym occurs.
ALIKE: Final = np.array([72, 81, 90], np.uint16)

#: What a word is worth where only one that is spelt nearly so occurs: less than any field makes of the word itself.
NEAR: Final = np.array([75, 75, 75], np.uint16)

#: What an id or a file name is worth that is the whole query: certainty, whatever the other legs say.
WHOLE: Final = 6.0

#: Scopes of fewer than this share of all documents are looked up in a word's list, for others the list is gone through.
_FEW: Final = 1 / 64

#: Scopes whose documents are kept, a byte each.
_KEPT: Final = 16

FORMAT: Final = 1

_ABOUT: Final = "about.json"
_VOCABULARY: Final = "vocabulary"
_POSTINGS: Final = "postings"


class About(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How an index was made: its format, and the languages whose endings its words were cut by."""

    format: int
    languages: Languages


class KeywordIndex:
    """A read-only index, one document a segment."""

    def __init__(self, languages: Languages, vocabulary: Vocabulary, postings: Postings) -> None:
        self.languages = languages
        self._vocabulary = vocabulary
        self._postings = postings
        self._kept: Kept[NDArray[np.bool_]] = Kept(_KEPT)

    @classmethod
    def build(cls, documents: Iterable[Document], directory: Path, languages: Languages = ENGLISH) -> None:
        """Write an index of the documents into a new directory."""
        directory.mkdir()
        builder = Builder()
        for document in documents:
            builder.add(msgspec.structs.replace(document, names=[_folded(name) for name in document.names]))
        builder.save(directory / _POSTINGS)
        Vocabulary.build(builder.numbers, directory / _VOCABULARY, languages)
        (directory / _ABOUT).write_bytes(msgspec.json.encode(About(FORMAT, languages)))

    @classmethod
    def load(cls, directory: Path) -> "KeywordIndex":
        """Read what `build` wrote. Only for files that a manifest vouches for. Raises GenerationDamaged."""
        try:
            about = msgspec.json.decode((directory / _ABOUT).read_bytes(), type=About)
        except (OSError, msgspec.DecodeError) as error:
            raise GenerationDamaged(f"What its keyword index is cannot be read ({error}).") from error
        if about.format != FORMAT:
            raise GenerationDamaged(f"Its keyword index has format {about.format}; this release reads {FORMAT}.")
        return cls(about.languages, Vocabulary.load(directory / _VOCABULARY), Postings.load(directory / _POSTINGS))

    def search(self, scope: Scope, text: str, limit: int, synonyms: Synonyms = NONE) -> Matches:
        """See `Engine.keywords`: any of the words, each counted in the field where it weighs most."""
        if limit < 1:
            return Matches.none()
        within = _Within(scope, self._postings, self._kept)
        sought = wanted(text, self.languages, synonyms)
        full = 100 * max(len(sought), 1)
        total = np.zeros(within.size, np.uint16)
        found = []
        for word in sought:
            places, worth = self._word(within, word)
            found.append(np.compress(total.take(places) == 0, places))
            np.add.at(total, places, worth)
        places, _ = within.keep(self._postings.named(_folded(text)))
        found.append(np.compress(total.take(places) == 0, places))
        total[places] = np.uint16(WHOLE * full)
        places = np.concatenate(found)
        return self._best(within, places, total.take(places), limit, full)

    def containing(self, scope: Scope, phrase: str) -> BitMap:
        """See `Engine.containing`."""
        said = [self._same(word) for word in cut(phrase)[:MAX_WORDS]]
        if not said or not all(said):
            return BitMap()
        within = _Within(scope, self._postings, self._kept)
        lists = [self._postings.of(word) for word in said[0]] if len(said) == 1 else [self._postings.side_by_side(said)]
        assets = [self._postings.assets[within.rows(within.keep(entries)[0])] for entries in lists]
        return as_bitmap(np.concatenate(assets))

    def _same(self, word: str) -> list[int]:
        return self._vocabulary.same(forms(word, self.languages))

    def _word(self, within: "_Within", word: Word) -> tuple[NDArray[np.int64], NDArray[np.uint16]]:
        """Where in the scope a word occurs, a synonym, or one that is spelt nearly so, and what the best is worth."""
        same = self._vocabulary.same(word.forms)
        lists = [(self._postings.of(number), WORTH) for number in same]
        for alike in word.alike:
            others = [self._same(one) for one in alike]
            if len(others) == 1:
                lists += [(self._postings.of(number), ALIKE) for number in others[0]]
            elif all(others):
                lists.append((self._postings.side_by_side(others), ALIKE))
        if word.reach:
            near = self._vocabulary.near(word.spelled, word.reach)
            lists += [(self._postings.of(number), NEAR) for number in near if number not in same]
        kept = [(within.keep(entries), worth) for entries, worth in lists]
        found = [(places, worth.take(weights)) for (places, weights), worth in kept if len(places)]
        if len(found) == 1:
            return found[0]
        packed = np.concatenate([np.zeros(0, np.int64), *(places << 8 | worth for places, worth in found)])
        packed.sort(kind="stable")  # a merge of the lists, each of which is in order: a tenth of the time, or less
        places = packed >> 8
        last = np.ones(len(places), np.bool_)
        last[:-1] = places[1:] != places[:-1]
        return places[last], (packed[last] & 0xFF).astype(np.uint16)

    def _best(
        self, within: "_Within", places: NDArray[np.int64], scores: NDArray[np.uint16], limit: int, full: int
    ) -> Matches:
        """The best document of each asset: the highest score first, of equal ones the newest asset."""
        wanted = 2 * limit
        while True:
            # An asset can have many documents: take more until enough assets are among them, and one over, since of
            # the last (the oldest with the lowest score) some documents may have been left.
            some = _highest(places, scores, wanted)
            rows, worth = within.rows(places.take(some)), scores.take(some)
            assets = self._postings.assets.take(rows)
            first = np.flatnonzero(np.diff(assets, prepend=-1))
            if len(first) > limit or len(some) == len(places):
                break
            wanted *= 4
        if not len(first):
            return Matches.none()
        best = np.maximum.reduceat(worth, first)
        is_best = np.flatnonzero(worth == np.repeat(best, np.diff(first, append=len(rows))))
        first = is_best[np.searchsorted(is_best, first)]
        top = first[np.lexsort((-assets[first], -best.astype(np.int64)))[:limit]]
        return Matches(
            assets[top].astype(np.int64), self._postings.segments[rows[top]].astype(np.int64), worth[top] / full
        )


def _highest(places: NDArray[np.int64], scores: NDArray[np.uint16], count: int) -> NDArray[np.int64]:
    """Which have the `count` highest scores, of equal ones those with the last places; in order of place."""
    if count >= len(scores):
        return places.argsort()
    as_high = np.bincount(scores)[::-1].cumsum()  # few different ones: to count them is quicker than to part them
    least = len(as_high) - 1 - int(as_high.searchsorted(count))
    above = np.flatnonzero(scores > least)
    equal = np.flatnonzero(scores == least)
    last = np.argpartition(places.take(equal), len(above) - count)[len(above) - count :]
    some = np.concatenate([above, equal.take(last)])
    return some.take(places.take(some).argsort())


class _Within:
    """The documents of a scope, as places from 0 to `size`: of few documents each has its own, else rows are places."""

    def __init__(self, scope: Scope, postings: Postings, kept: Kept[NDArray[np.bool_]]) -> None:
        """`kept` are the documents of scopes, as flags."""
        known = postings.assets
        self._few: Numbers | None = None
        self._allowed: NDArray[np.bool_] | None = None
        self.size = len(known)
        if postings.everything.issubset(scope.assets):
            return
        if len(scope.assets) < _FEW * len(known):
            ordinals = as_array(scope.assets & postings.everything) - postings.first
            starts = postings.begins[ordinals].astype(np.int64)
            counts = postings.begins[ordinals + 1] - starts
            self.size = int(counts.sum())
            offsets = np.arange(self.size) - np.repeat(np.cumsum(counts) - counts, counts)
            self._few = (np.repeat(starts, counts) + offsets).astype(np.uint32)
        else:
            last = max(int(known[-1]), scope.assets.max())
            self._allowed = kept.of(scope.key, lambda: as_flags(scope.assets, last + 1)[known])

    def keep(self, entries: Numbers) -> tuple[NDArray[np.int64], Numbers]:
        """The places of the entries (by row, one a document) that are within the scope, and their weights."""
        if self._few is None:
            kept = entries if self._allowed is None else np.compress(self._allowed.take(row_of(entries)), entries)
            return row_of(kept).astype(np.int64), weight_of(kept)
        if not len(entries) or not len(self._few):
            return np.zeros(0, np.int64), entries[:0]
        if len(self._few) < len(entries):
            at = np.minimum(np.searchsorted(entries, self._few << np.uint32(2)), len(entries) - 1)
            places = np.flatnonzero(row_of(entries[at]) == self._few)
            return places, weight_of(entries[at[places]])
        rows = row_of(entries)
        places = np.minimum(np.searchsorted(self._few, rows), len(self._few) - 1)
        there = self._few[places] == rows
        return places[there], weight_of(entries[there])

    def rows(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """The documents at the places."""
        return places if self._few is None else self._few[places].astype(np.int64)


def _folded(name: str) -> str:
    """A name without regard to case, spaces, and how its accents are written."""
    return " ".join(unicodedata.normalize("NFC", name).casefold().split())
