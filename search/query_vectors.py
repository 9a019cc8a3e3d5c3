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
from threading import Lock
from typing import Final, NamedTuple

import msgspec

from search.embedding import Curve, Models, Vector


class Meaning(NamedTuple):
    """What a text is among pictures and among words, float32 [d] each (see `Models.read`), read-only, and what a cosine
    with each says (see `Standard`)."""

    for_pictures: Vector
    for_words: Vector
    of_pictures: Curve
    of_words: Curve


def meanings(models: Models, texts: Sequence[str]) -> list[Meaning]:
    """The meaning of each text. Vectors are copies, since a view would keep its whole batch in memory."""
    read = []
    for seen, said in zip(*models.read_all(texts), strict=True):
        vectors = seen.copy(), said.copy()
        for vector in vectors:
            vector.setflags(write=False)
        curves = models.visual.calibration.text_image.of(seen), models.text.standard.of(said)
        read.append(Meaning(*vectors, *curves))
    return read


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
        self._kept: OrderedDict[str, Meaning] = OrderedDict()
        self._waiting: dict[str, Future[Meaning]] = {}
        self._reader = ThreadPoolExecutor(1, "read-queries")
        self._from_kept = 0
        self._batches: Counter[int] = Counter()

    @property
    def counts(self) -> Counts:
        with self._lock:
            return Counts(self._from_kept, dict(self._batches))

    def read(self, texts: Sequence[str]) -> list[Meaning]:
        """The meaning of each text. What the models raise reaches everyone who waits for what they read."""
        with self._lock:
            found = [self._recalled(text) or self._awaited(text) for text in texts]
        return [one.result() if isinstance(one, Future) else one for one in found]

    def _recalled(self, text: str) -> Meaning | None:
        meaning = self._kept.get(text)
        if meaning:
            self._kept.move_to_end(text)
            self._from_kept += 1
        return meaning

    def _awaited(self, text: str) -> Future[Meaning]:
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
            read = meanings(self._models, texts)
        except BaseException as error:
            for waiting in self._settled(texts):
                waiting.set_exception(error)
        else:
            self._keep(texts, read)
            for waiting, meaning in zip(self._settled(texts), read, strict=True):
                waiting.set_result(meaning)

    def _keep(self, texts: Sequence[str], read: Sequence[Meaning]) -> None:
        with self._lock:
            self._batches[len(texts)] += 1
            self._kept |= {text: one for text, one in zip(texts, read, strict=True) if len(text) <= LONGEST_KEPT}
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)

    def _settled(self, texts: Sequence[str]) -> list[Future[Meaning]]:
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
