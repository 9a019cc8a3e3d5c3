"""The vectors of queries: kept for texts that are asked again, made together for texts that are asked at once.

A text model reads eight short texts in little more than twice the time of one. So texts that come while it is at work
are read together when it is done. None waits for company: one that finds the model idle is read at once.

What is kept are vectors by text, never answers: the gate, the search and the judgement are made anew for everyone. All
that could show of another person's search is, by the milliseconds saved, that somebody asked for the very same text
not long ago.
"""

from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain
from threading import Lock
from typing import Final

import msgspec

from search.embedding import Models, Vector, Vectors

Pair = tuple[Vector, Vector]
"""What a text is among pictures and among words, float32 [d] each (see `Models.read`)."""

#: How many texts are kept, and how long one may be: at most 30 MB with loupe-mini.
KEPT: Final = 4_096
LONGEST_KEPT: Final = 200

#: How many texts are read together at most, and how many characters, each text counted as long as the longest beside
#: it: short ones are padded to it, and would wait as long.
TOGETHER: Final = 32
CHARACTERS_TOGETHER: Final = 2_000


class Counts(msgspec.Struct, frozen=True):
    """What happened so far: texts answered from what is kept, and how many batches were read of which size."""

    kept: int
    batches: Mapping[int, int]


class QueryVectors:
    """Reads texts with the models of a library. Safe to share between threads; a thread of its own ends with it."""

    def __init__(self, models: Models, kept: int = KEPT) -> None:
        """`kept` is how many texts are kept: those asked for last."""
        self._models = models
        self._most = kept
        self._lock = Lock()
        self._kept: OrderedDict[str, Pair] = OrderedDict()
        self._waiting: dict[str, Future[Pair]] = {}
        self._reader = ThreadPoolExecutor(1, "read-queries")
        self._from_kept = 0
        self._batches: Counter[int] = Counter()

    @property
    def counts(self) -> Counts:
        with self._lock:
            return Counts(self._from_kept, dict(self._batches))

    def read(self, texts: Sequence[str]) -> list[Pair]:
        """The vectors of each text, read-only. What the models raise reaches everyone who waits for what they read."""
        with self._lock:
            found = [self._recalled(text) or self._awaited(text) for text in texts]
        return [one.result() if isinstance(one, Future) else one for one in found]

    def _recalled(self, text: str) -> Pair | None:
        pair = self._kept.get(text)
        if pair:
            self._kept.move_to_end(text)
            self._from_kept += 1
        return pair

    def _awaited(self, text: str) -> Future[Pair]:
        """What will be known of a text: the same for all who ask for it before it is."""
        if text not in self._waiting:
            # A call for each text, so that none is left: the first reads all that waits, the others what is left.
            self._reader.submit(self._read_waiting)
            self._waiting[text] = Future()
        return self._waiting[text]

    def _read_waiting(self) -> None:
        with self._lock:
            texts = _together(self._waiting)
        if not texts:
            return
        try:
            pairs = _pairs(*self._models.read_all(texts))
        except BaseException as error:
            for waiting in self._settled(texts):
                waiting.set_exception(error)
        else:
            self._keep(texts, pairs)
            for waiting, pair in zip(self._settled(texts), pairs, strict=True):
                waiting.set_result(pair)

    def _keep(self, texts: Sequence[str], pairs: Sequence[Pair]) -> None:
        with self._lock:
            self._batches[len(texts)] += 1
            self._kept |= {text: pair for text, pair in zip(texts, pairs, strict=True) if len(text) <= LONGEST_KEPT}
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)

    def _settled(self, texts: Sequence[str]) -> list[Future[Pair]]:
        """Those who wait for the texts, for which nobody waits any more."""
        with self._lock:
            return [self._waiting.pop(text) for text in texts]


def _together(waiting: Iterable[str]) -> list[str]:
    """Those that have waited longest, as many as are read together; at least one if any waits."""
    texts: list[str] = []
    longest = 0
    for text in waiting:
        longest = max(longest, len(text))
        if len(texts) == TOGETHER or (texts and longest * (len(texts) + 1) > CHARACTERS_TOGETHER):
            break
        texts.append(text)
    return texts


def _pairs(for_pictures: Vectors, for_words: Vectors) -> list[Pair]:
    """Row by row, read-only; copies, since a view would keep its whole batch in memory."""
    pairs = [(seen.copy(), said.copy()) for seen, said in zip(for_pictures, for_words, strict=True)]
    for vector in chain(*pairs):
        vector.setflags(write=False)
    return pairs
