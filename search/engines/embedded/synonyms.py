"""Synonyms: a text file of a library's own words for the same thing, applied to queries as they come.

One rule a line; `#` begins a comment:

    car, automobile, motor car      each finds the others
    jpg, jpeg => photo              the left find the right, not the other way round

A rule speaks of words in any of their forms ("cars"). Several words count where they stand side by side. Rules do not
lead on to one another. The file is looked at before each search and read again once it has changed; nothing is indexed
anew. A line that is no rule is named in the log and left out; the others hold.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from search.engines.embedded.analysis import Languages, cut, forms

_log = logging.getLogger(__name__)

#: Its name in the data directory.
FILE: Final = "synonyms.txt"

#: Terms that one rule may list, and words that one term may have.
MAX_TERMS: Final = 32
MAX_TERM_WORDS: Final = 5

Term = tuple[str, ...]
Rule = tuple[Term, tuple[Term, ...]]

#: A form of a term's first word to the forms of each of its words, and what it finds as well.
_Filed = dict[str, list[tuple[list[tuple[str, ...]], tuple[Term, ...]]]]


class Synonyms:
    """Rules, each of a term (its words in lower case) and the terms that it finds as well."""

    def __init__(self, rules: Sequence[Rule] = ()) -> None:
        self._rules = rules
        self._filed: dict[Languages, _Filed] = {}

    def of(self, said: Sequence[tuple[str, ...]], languages: Languages) -> list[tuple[Term, ...]]:
        """For each word of a query, given by its forms in the languages, what to look for as well."""
        found: list[dict[Term, None]] = [{} for _ in said]
        filed = self._in(languages) if self._rules else {}
        for place, stems in enumerate(said):
            for term, others in (rule for stem in stems for rule in filed.get(stem, ())):
                there = said[place : place + len(term)]
                if len(there) == len(term) and all(not set(a).isdisjoint(b) for a, b in zip(there, term, strict=True)):
                    for one in found[place : place + len(term)]:
                        one.update(dict.fromkeys(others))
        return [tuple(one) for one in found]

    def _in(self, languages: Languages) -> _Filed:
        """The rules under each form of their first word."""
        if languages not in self._filed:
            filed: _Filed = {}
            for term, others in self._rules:
                stems = [forms(word, languages) for word in term]
                for first in stems[0]:
                    filed.setdefault(first, []).append((stems, others))
            self._filed[languages] = filed
        return self._filed[languages]


NONE: Final = Synonyms()


class SynonymsFile:
    """A file of rules as it is now. It need not exist."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int] | None = None
        self._rules = NONE

    def now(self) -> Synonyms:
        """The rules in force. What is wrong with the file is logged once; what can be read holds."""
        try:
            status = self._path.stat()
            seen = status.st_mtime_ns, status.st_size
        except OSError:
            seen = None
        if seen != self._seen:
            rules, problems = read(self._path)
            self._seen, self._rules = seen, Synonyms(rules)
            for problem in problems:
                _log.error("%s", problem)
        return self._rules


def read(path: Path) -> tuple[list[Rule], list[str]]:
    """The rules of a file, none if there is no file, and what is wrong with it by line."""
    rules: list[Rule] = []
    problems = []
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        return [], []
    except (OSError, UnicodeDecodeError) as error:
        return [], [f"{path} cannot be read: {error}."]
    for number, line in enumerate(lines, 1):
        try:
            rules += parsed(line)
        except ValueError as error:
            problems.append(f"{path}, line {number}: {error}")
    return rules, problems


def parsed(line: str) -> list[Rule]:
    """The rules of one line. Raises ValueError, saying what is wrong with it."""
    said = line.partition("#")[0]
    if not said.strip():
        return []
    left, arrow, right = said.partition("=>")
    terms = _terms(left)
    if arrow:
        finds = _terms(right)
        return [(term, finds) for term in terms]
    if len(terms) < 2:
        raise ValueError("One word alone is no rule; write `car, automobile` or `jpg => photo`.")
    return [(term, tuple(other for other in terms if other != term)) for term in terms]


def _terms(listed: str) -> tuple[Term, ...]:
    terms = []
    for part in listed.split(","):
        term = tuple(cut(part))
        if not term or "=>" in part:
            raise ValueError("A word is missing beside a comma or `=>`, or there is more than one `=>`.")
        if len(term) > MAX_TERM_WORDS:
            raise ValueError(f"`{part.strip()}` has more than {MAX_TERM_WORDS} words.")
        terms.append(term)
    if len(terms) > MAX_TERMS:
        raise ValueError(f"{len(terms)} words are listed; at most {MAX_TERMS} are taken.")
    return tuple(dict.fromkeys(terms))
