"""A coarse index over the vectors of one segment: which rows are worth scoring, and when enough have been.

Rows lie in lists of near ones (inverted lists over k-means; Jégou, Douze, Schmid 2011), and of each row a code of a few
dozen bytes is kept (product quantisation, scanned in registers; André, Kermarrec, Le Scouarnec 2017). How many lists a
query must look through differs by orders of magnitude: one of a picture finds its answer in a few, one of a text in
more, and one whose filter hides the lists that fit best in hundreds. Fixed settings fail some of them silently. So the
lists left aside are asked, each time, how many rows better than the worst found so far they still hold by expectation:

    expected misses = sum over lists of (allowed rows in it) * P[row's inner product > threshold]

where allowed rows are counted or, since a filter may be new and to count is a pass over all rows, expected from some of
the list's. A row's inner product with the query is that of the list's centroid, which is known, and that of the row's
residual, whose deviation is known from a sample of residuals, and whose distribution was counted when the index was
made. What is expected is weighed by what came of it so far: the lists that were looked through were expected to hold
some number of rows above the threshold, and hold as many as were asked for. Looking ends when the sum is below a
tolerance. Nothing in it is tuned to a kind of filter or of query.

In the lists that are looked through either codes tell which allowed rows to score or, where these are so few and far
between that reading the codes of all others takes longer, each is scored.

Useful for: segments of tens of thousands of rows and more. Not useful for: few allowed rows (`rows` scores them all).
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import faiss
import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from search.embedding import Vector
from search.engine import VectorRows
from search.engines.embedded.rows import Numbers, Rows, Scores, parts

CODES: Final = "lists.faiss"
_MODEL: Final = "lists.npz"

#: Rows of a list begin at a multiple of this, so that allowed rows are counted by whole words of a bitmap.
_WORD: Final = 64

#: Lists, as so many times the root of how many rows there are. Of more, fewer rows need looking at, but more centroids.
_LISTS: Final = 3

#: Rows learned from, for each list and in all, and rounds of k-means over these, and then over all rows.
_OF_A_LIST: Final = 48
_LEARNED: Final = 1 << 16
_ROUNDS: Final = 20
_ROUNDS_OF_ALL: Final = 2

#: Dimensions that codes are made of, as a share of all, and how many of them share a 4-bit code.
_KEPT: Final = 4
_TOGETHER: Final = 2

#: Dimensions along which centroids are known, where codes are not made of more. What queries are multiplied with is to
#: be small, as between them it leaves the processor's caches.
_ALONG: Final = 192

#: The foremost of these dimensions along which it is known how far the rows of a list spread.
_SPREAD: Final = 32

#: Queries, and errors, that the model is made of; rows added at a time, and compared with all centroids at a time.
_SAMPLED: Final = 512
_ERRORS: Final = 1 << 12
_ADDED: Final = 1 << 16
_COMPARED: Final = 1 << 11

#: The least variance, so that a list of equal rows deviates by something.
_LEAST: Final = 1e-9

#: Deviations by which a residual may lie towards the query, float64 [points], where the distribution is counted.
_STEP: Final = 0.05
_STEPS: Final = 200
_DEVIATIONS: Final = _STEP * np.arange(_STEPS + 1)

#: The share of an answer that may be missed by expectation, by leaving lists aside and by trusting codes: of its first
#: so many, and of what comes after them. What is missed are nearly always the last, which matter little to who asks for
#: hundreds. Of what is expected of lists less than a quarter comes to be missed; where allowed rows are named, half, so
#: that half of it is tolerated there.
_MISSED_BY_LISTS: Final = 0.0125
_OF_NAMED: Final = 0.5
_MISSED_BY_CODES: Final = 0.01
_FIRST_OF_ANSWER: Final = 100
_MISSED_AFTER: Final = 0.035

#: Rows that the model's word for what lists hold counts as much as, beside those that were found; and how far these may
#: lessen what is expected of others. The lists looked through were chosen for promising most, so they disappoint more.
_TRUSTED: Final = 5.0
_LESSENED: Final = 0.5

#: FAISS's way to scan codes that keeps what is best in a reservoir, for one query at a time. The one that it would take
#: by itself is for several, and a sixth slower.
_ONE_BY_ONE: Final = 11

#: Allowed rows in the lists that are looked into first: so many at least, or so many times those asked for; and lists
#: that are put in order to find these, about so many, as one of some lists apart tells.
_FIRST: Final = 4000
_FIRST_TIMES: Final = 50
_SORTED: Final = 256
_APART: Final = 8

#: The same where allowed rows are named, each of which is scored; and the share of all lists that have some of them if
#: they are scattered.
_FIRST_NAMED: Final = 500
_FIRST_NAMED_TIMES: Final = 5
_SCATTERED: Final = 0.25

#: Rows of a list that tell how many of it are allowed; and how many rows, of lists that may have no allowed one, are
#: looked at for it before allowed ones are counted.
_SAMPLED_OF_LIST: Final = 32
_DOUBTED: Final = 100_000

#: Rows that are scored for their codes: so many at once, and all but those whose code is so many deviations below what
#: is wanted. A deviation is what codes are off by on average, times a factor: what turns out best is odder than most
#: rows, and the rows of wide lists are further off than others.
_SCORED: Final = 600
_REACH: Final = 5.0
_UNSURE: Final = 1.2

#: Rows whose codes are asked for at once, for each row of the answer: in the first lists, and where it is known what a
#: row must reach; then so many times as many, for which all codes are looked at again. FAISS puts what it returns in
#: order, which takes longer than to look at it.
_FETCHED: Final = 8
_FETCHED_LATER: Final = 3
_FETCHED_AGAIN: Final = 2

#: Rows that are scored for their codes before a scan of all is the better way.
_HOPELESS: Final = 1 << 17

#: Codes looked at before the threshold is seen anew, or so many times those looked at before, whichever is more.
_AT_ONCE: Final = 150_000
_MORE: Final = 2


class Found(msgspec.Struct, frozen=True):
    """The best rows, best first, their inner products, how many rows were looked at, and whether that was a scan."""

    rows: Numbers
    scores: Scores
    scored: int
    whole: bool


class Allowed:
    """Which rows may be found. Safe to share between threads, which may count the same twice.

    `count` says how many there are, and `selector` tells FAISS which (None: all), by what codes go by (`Lists.rename`).
    `listed`, [lists], is how many each list has: by expectation, from a sample of its rows, until somebody calls
    `settle`. Until then `doubtful`, bool [lists], names those of whose sample no row is allowed: they may have none.
    """

    def __init__(
        self,
        count: int,
        selector: Any,
        mark: Callable[[], NDArray[np.uint8]],
        listed: NDArray[Any],
        doubtful: NDArray[np.bool_] | None = None,
    ) -> None:
        """`mark` makes `bits`, which takes a pass over all rows."""
        self.count, self.selector = count, selector
        self.listed, self.doubtful = listed, doubtful
        self._mark = mark

    @cached_property
    def bits(self) -> NDArray[np.uint8]:
        """The rows as bits, uint8, eight a byte, the lowest first."""
        return self._mark()

    def settle(self, lists: "Lists") -> None:
        """Count how many each list has."""
        self.listed = lists.counts(self.bits)
        self.doubtful = None


class Named(msgspec.Struct, frozen=True):
    """Rows that may be found, few enough to be named, int64 [m], by what codes go by (`Lists.rename`): the list of
    each, uint16 or wider [m], and how many each list has, int64 [lists]."""

    names: Numbers
    lists: NDArray[Any]
    listed: Numbers

    @property
    def count(self) -> int:
        return len(self.names)

    @property
    def scattered(self) -> bool:
        """Whether they are in so many lists that to leave some aside is to leave many rows."""
        return int(np.count_nonzero(self.listed)) > _SCATTERED * len(self.listed)


class Lists:
    """Lists over the rows of a segment. Safe to share between threads."""

    def __init__(self, codes: Any, model: Mapping[str, NDArray[Any]], rows: Rows) -> None:
        self.rows, self.codes = rows, codes
        self.codes.implem = _ONE_BY_ONE
        self.axes, self.turn, self.centroids = model["axes"], model["turn"], model["centroids"]
        self.variances, self.lost = model["variances"], model["lost"]
        self.beyond, self.sizes = model["beyond"], model["sizes"]
        self._filled = np.flatnonzero(self.sizes)
        words = -(-self.sizes // _WORD)
        begins = np.cumsum(words) - words
        self._words = begins[self._filled]
        # The list of each row, or of what it goes by; in few bytes, as they are read out of order.
        self._list_of = np.repeat(np.arange(len(words), dtype=np.min_scalar_type(len(words))), _WORD * words)
        # Some rows of each list, evenly spaced, int64 [sampled, lists]; of one without rows, any. To count lists one by
        # one takes four times as long.
        spaced = np.arange(_SAMPLED_OF_LIST)[:, None] * self.sizes // _SAMPLED_OF_LIST
        self.sample = _WORD * begins + spaced
        self.sample[:, self.sizes == 0] = 0
        self._row_of: NDArray[np.int32] | None = None
        self._first_name = 0

    @classmethod
    def open(cls, directory: Path, rows: Rows) -> "Lists":
        """Read what `write` wrote. Only for files that a generation's manifest vouches for."""
        with np.load(directory / _MODEL) as model:
            return cls(faiss.read_index(str(directory / CODES)), dict(model), rows)

    def best(self, query: Vector, allowed: Allowed | Named, limit: int) -> Found:
        """The `limit` best of the allowed rows but for a few in a thousand; fewer only where fewer are allowed."""
        look: _Look = (
            _LookAtRows(self, query, allowed, limit)
            if isinstance(allowed, Named)
            else _LookAtCodes(self, query, allowed, limit)
        )
        look.into(look.nearest())
        while len(chosen := look.promising()):
            look.into(chosen)
        return look.found()

    def counts(self, bits: NDArray[np.uint8]) -> Numbers:
        """How many of some rows (uint8, eight a byte, the lowest first) each list has, int64 [lists]."""
        words = np.bitwise_count(bits.view(np.uint64))
        counts = np.zeros(len(self.sizes), np.int64)
        counts[self._filled] = np.add.reduceat(words, self._words, dtype=np.int64)
        return counts

    def expected(self, seen: NDArray[np.uint8]) -> NDArray[np.float64]:
        """How many rows of each list are allowed by expectation, float64 [lists], if so many of its `sample` are.

        If each share is as likely as another beforehand, it is (k + 1) / (m + 2) where k of m are (Laplace's rule of
        succession).
        """
        expected: NDArray[np.float64] = self.sizes * ((seen + 1) / (_SAMPLED_OF_LIST + 2))
        return expected

    def rename(self, names: Numbers, row_of: NDArray[np.int32], first: int) -> None:
        """Have codes go by other numbers than those of their rows: names[row], where the row is row_of[name - first].

        So FAISS can be told by these numbers which rows are allowed, without a pass over all rows.
        """
        held = self.codes.invlists
        for number in self._filled.tolist():
            ids = faiss.rev_swig_ptr(held.get_ids(number), held.list_size(number))
            ids[:] = names[ids]
        self._row_of, self._first_name = row_of, first
        self._list_of = self._list_of.take(row_of)

    def rows_named(self, names: Numbers) -> Numbers:
        """The rows, int64 [m], that go by these names."""
        return names if self._row_of is None else self._row_of.take(names - self._first_name).astype(np.int64)

    def named(self, names: Numbers) -> Named:
        """The rows that go by these names, int64 [m], as those that may be found."""
        lists = self._list_of.take(names - self._first_name)
        return Named(names, lists, np.bincount(lists, minlength=len(self.sizes)))


class _Look(ABC):
    """One query on its way through the lists, of which those are looked into first that have `first` allowed rows."""

    def __init__(
        self, lists: Lists, query: Vector, allowed: Allowed | Named, limit: int, first: int, tolerated: float = 1
    ) -> None:
        self._lists, self._rows, self._limit, self._first = lists, lists.rows, limit, first
        sure = min(limit, _FIRST_OF_ANSWER)
        after = _MISSED_AFTER * (limit - sure)
        self._by_lists = tolerated * (_MISSED_BY_LISTS * sure + after)
        self._by_codes = _MISSED_BY_CODES * sure + after
        self._asked = self._rows.asked(query)
        self._along, self._square = lists.axes @ query, query @ query
        self._near = lists.centroids @ self._along
        self._deviations = np.sqrt(lists.variances @ _squares(self._along[:_SPREAD], self._square))
        self._foremost = self._near + 2 * self._deviations
        self._counts = self._certain = allowed.listed
        self._seen = np.zeros(0, np.int64)
        self._threshold = -np.inf
        self._possible = np.zeros(0, np.float32), np.zeros(0, np.int64)
        self._scored = 0
        self._whole = False

    @abstractmethod
    def into(self, chosen: Numbers) -> None:
        """Find what is best in some lists, and be done with them."""

    def found(self) -> Found:
        """The best of those that are possible by the high plane alone."""
        rough, rows = self._possible
        best, scores = self._rows.exactly(self._asked, rough, rows, self._limit)
        return Found(best, scores, self._scored, self._whole)

    def nearest(self) -> Numbers:
        """The lists nearest to the query, enough to learn a first threshold from."""
        apart = np.where(self._certain > 0, -self._foremost, np.inf)
        some = apart[::_APART]
        place = min(_SORTED // _APART, len(some) - 1)
        for most in (np.partition(some, place)[place], np.inf):  # to put all of them in order takes longer
            order: Numbers = (apart <= most).nonzero()[0]
            order = order.take(apart.take(order).argsort())
            allowed = self._certain.take(order).cumsum()
            if allowed[-1] >= self._first:
                break
        return order[: int(allowed.searchsorted(min(self._first, allowed[-1]))) + 1]

    def promising(self) -> Numbers:
        """Lists without which more rows than tolerated would be missed by expectation: the best of them, if many."""
        steps = (self._threshold - self._near) / (_STEP * self._deviations)
        beyond = self._lists.beyond.take(steps.clip(0, _STEPS).astype(np.intp))
        chosen = self._without_which(beyond)
        if self._counted_for(chosen):
            chosen = self._without_which(beyond)
        most = max(_AT_ONCE, _MORE * self._scored)
        return chosen[: int(self._lists.sizes.take(chosen).cumsum().searchsorted(most)) + 1]

    def _without_which(self, beyond: NDArray[np.float64]) -> Numbers:
        """All such lists, best first, if these shares of their rows are beyond the threshold, float64 [lists]."""
        expected = self._counts * beyond
        of_seen = float(expected.take(self._seen).sum())
        expected[self._seen] = 0
        if self._threshold > -np.inf:
            expected *= max(_LESSENED, (self._limit + _TRUSTED) / (of_seen + _TRUSTED))
        left = float(expected.sum())
        if left <= self._by_lists:
            return np.zeros(0, np.int64)
        likely = (expected > self._by_lists / len(expected)).nonzero()[0]  # all others together are tolerated
        likely = likely.take((-expected.take(likely)).argsort())
        return likely[: int(np.count_nonzero(left - expected.take(likely).cumsum() > self._by_lists)) + 1]

    def _counted_for(self, _: Numbers) -> bool:
        """Whether more is known of how many allowed rows lists have, since these were chosen."""
        return False

    def _learn(self, more: Numbers) -> None:
        """Score some more rows, and see by that what a row must reach."""
        scores, rows = self._possible
        scores = np.concatenate((scores, self._rows.roughly(self._asked, more)))
        if len(scores) >= self._limit:
            self._threshold = float(np.partition(scores, -self._limit)[-self._limit])
        self._possible = scores, np.concatenate((rows, more))

    def _done(self, chosen: Numbers, scored: int) -> None:
        """Be done with some lists, in which so many rows were looked at."""
        scores, rows = self._possible
        possible = self._rows.possible(scores, self._threshold, self._asked.blur)
        self._possible = scores[possible], rows[possible]
        self._seen = np.concatenate((self._seen, chosen))
        self._scored += scored


class _LookAtRows(_Look):
    """Few rows may be found: of the lists that are come to, all that may be."""

    def __init__(self, lists: Lists, query: Vector, named: Named, limit: int) -> None:
        super().__init__(lists, query, named, limit, max(_FIRST_NAMED, _FIRST_NAMED_TIMES * limit), _OF_NAMED)
        self._named = named

    def into(self, chosen: Numbers) -> None:
        into = np.zeros(len(self._counts), np.bool_)
        into[chosen] = True
        more = self._lists.rows_named(self._named.names[into.take(self._named.lists)])
        self._learn(more)
        self._done(chosen, len(more))


class _LookAtCodes(_Look):
    """Many rows may be found: of the lists that are come to, those whose codes promise something."""

    def __init__(self, lists: Lists, query: Vector, allowed: Allowed, limit: int) -> None:
        self._doubtful = allowed.doubtful  # first: once there is none, all are counted
        super().__init__(lists, query, allowed, limit, max(_FIRST, _FIRST_TIMES * limit))
        if self._doubtful is not None:
            self._certain = np.where(self._doubtful, 0, self._counts)
        self._turned = lists.turn @ self._along[: len(lists.turn)]
        self._off = _UNSURE * math.sqrt(lists.lost @ _squares(self._along, self._square))
        self._allowed = allowed

    def nearest(self) -> Numbers:
        chosen = super().nearest()
        if self._doubtful is None:
            return chosen
        passed_over = self._doubtful & (self._foremost > self._foremost[chosen[-1]])
        return super().nearest() if self._counted_for(np.flatnonzero(passed_over)) else chosen

    def _counted_for(self, chosen: Numbers) -> bool:
        # To look through lists that may have no allowed row takes longer, if they are many, than to count.
        if self._doubtful is None or self._lists.sizes[chosen[self._doubtful[chosen]]].sum() <= _DOUBTED:
            return False
        self._allowed.settle(self._lists)
        self._counts = self._certain = self._allowed.listed
        self._doubtful = None
        return True

    def into(self, chosen: Numbers) -> None:
        sizes = int(self._lists.sizes[chosen].sum())
        most = sizes if self._doubtful is not None else int(self._counts[chosen].sum())
        step = max(_SCORED, 2 * self._limit)
        fetched = _FETCHED_LATER if len(self._seen) else _FETCHED
        wanted = min(max(_SCORED, fetched * self._limit), most)
        codes, candidates = self._scan(chosen, wanted)
        done = 0
        while True:
            part = codes[done : done + step]
            close = int(np.count_nonzero(part >= self._threshold - _REACH * self._off))
            # As they lie, which is quicker to read.
            self._learn(np.sort(self._lists.rows_named(candidates[done : done + close])))
            done += len(part)
            if not len(part) or done == most or self._settled(codes[:done], most - done):
                break
            if done == len(codes):
                if done < wanted:  # there are no others
                    break
                wanted = min(_FETCHED_AGAIN * wanted, most)
                if wanted > _HOPELESS:
                    self._scan_all()
                    return
                more, others = self._scan(chosen, wanted)
                # All that are better than the last were there before, and some of those as good.
                last = codes[-1]
                new, alike = more < last, more == last
                new[alike] = ~np.isin(others[alike], candidates[codes == last])
                codes = np.concatenate((codes, more[new]))
                candidates = np.concatenate((candidates, others[new]))
        self._done(chosen, sizes)

    def _settled(self, codes: Scores, left: int) -> bool:
        """Whether hardly any of the rows that were left by their codes, all worse than `codes`, reach the threshold.

        Towards worse codes there are exponentially more rows, at a rate that the worse half of `codes` tells, and what
        codes are off by is taken for normal. With d from the worst code to the threshold, R codes, growth g and
        deviation s, as many rows reach it as R g exp(g u) Q((d + u) / s) du adds up to, for u from 0 on.
        """
        deviation, apart = self._off, self._threshold - float(codes[-1])
        growth = math.log(2) / max(float(codes[len(codes) // 2] - codes[-1]), _LEAST)
        tilted = growth * deviation
        reaching = math.exp(min(700.0, tilted * tilted / 2 - growth * apart)) * _normal(apart / deviation - tilted)
        missed = len(codes) * (reaching - _normal(apart / deviation))
        return bool(min(missed, left * _normal(apart / deviation)) <= self._by_codes)

    def _scan_all(self) -> None:
        """Codes cannot tell what is best (there are very many like it, or codes are poor): score every row."""
        rows, _ = self._rows.best_of_all(self._asked, self._allowed.bits, self._allowed.count, self._limit)
        self._possible = self._rows.roughly(self._asked, rows), rows
        self._seen = np.arange(len(self._counts))
        self._scored += len(self._rows)
        self._whole = True

    def _scan(self, chosen: Numbers, wanted: int) -> tuple[Scores, Numbers]:
        """The scores of the codes that come nearest to the query, best first, of allowed rows of the chosen lists, and
        what these codes go by."""
        # FAISS is handed bare addresses: what lies there must be held until it returns.
        near = self._near[chosen]
        scores, rows = np.empty((1, wanted), np.float32), np.empty((1, wanted), np.int64)
        self._lists.codes.search_preassigned_c(
            1,
            faiss.swig_ptr(self._turned),
            wanted,
            faiss.swig_ptr(chosen),
            faiss.swig_ptr(near),
            faiss.swig_ptr(scores),
            faiss.swig_ptr(rows),
            False,
            faiss.IVFSearchParameters(nprobe=len(chosen), sel=self._allowed.selector),
        )
        there = int(np.count_nonzero(rows[0] >= 0))  # where there are fewer, the last are -1
        return scores[0, :there], rows[0, :there]


def write(vectors: VectorRows, directory: Path) -> Numbers:
    """Learn from vectors, float32 [n, d], and write `Lists` over rows of them: which vector each is, -1 for none."""
    generator = np.random.default_rng(0)
    n, dimension = vectors.shape
    count = round(_LISTS * n**0.5)
    sample = np.sort(generator.choice(n, min(n, max(_LEARNED, _OF_A_LIST * count)), replace=False))
    learned = vectors[sample]
    axes, turn = _axes(learned, max(2, dimension // _KEPT // 2 * 2), generator)
    basis = turn @ axes[: len(turn)]
    kept = _kmeans(learned @ basis.T, count)
    for _ in range(_ROUNDS_OF_ALL):  # rounds of Lloyd's over all rows, as k-means has seen but some
        kept = (_assigned(vectors, kept, basis)[1] @ basis.T).astype(np.float32)
    lists, means = _assigned(vectors, kept, basis)
    # Within the basis the centroids are those that codes are relative to; across it, the means.
    centroids = (kept @ basis + means - (means @ basis.T) @ basis).astype(np.float32)
    order, sizes = _order(lists, count)
    residuals = learned - centroids[lists[sample]]
    codes = _codes(kept, (residuals @ basis.T).astype(np.float32))
    spread = axes[:_SPREAD]
    squares = np.zeros((count, len(spread) + 1))
    for _, part in parts(np.arange(len(order)), _ADDED):
        part = part[order[part] >= 0]
        these, within = vectors[order[part]], lists[order[part]]
        projected = np.ascontiguousarray(these @ basis.T)
        # Told the lists, FAISS need not look for them again; codes are packed for registers at the end.
        codes.add_core(len(part), faiss.swig_ptr(projected), faiss.swig_ptr(part), faiss.swig_ptr(within))
        these -= centroids[within]
        squares += _sums(_squares(these @ spread.T, (these * these).sum(axis=1)), within, count)
    variances = _variances(squares / np.maximum(sizes, 1)[:, None], dimension)
    some = residuals[generator.choice(len(residuals), min(_ERRORS, len(residuals)), replace=False)]
    lost = some - codes.pq.decode(codes.pq.compute_codes(some @ basis.T)) @ basis
    model: dict[str, NDArray[Any]] = {
        "axes": axes,
        "turn": turn,
        "centroids": centroids @ axes.T,
        "variances": variances,
        "lost": _variances(_squares(lost @ axes.T, (lost * lost).sum(axis=1)).mean(axis=0, dtype=float), dimension),
        "sizes": sizes,
        "beyond": _beyond(learned, residuals, variances[lists[sample]], spread, generator),
    }
    faiss.write_index(faiss.IndexIVFPQFastScan(codes), str(directory / CODES))
    np.savez(directory / _MODEL, allow_pickle=False, **model)
    return order


def _axes(
    learned: NDArray[np.float32], kept: int, generator: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The directions in which vectors lie most, float32 [axes, d], and a random turn within the first, [kept, kept].

    As they lie from the origin, not from their mean: of inner products nothing is to be left out that all have in
    common. Turned, each direction tells as much as another, as product quantisation would have it.
    """
    _, axes = np.linalg.eigh((learned.T @ learned).astype(np.float64))
    turn, _ = np.linalg.qr(generator.standard_normal((kept, kept)))
    return np.ascontiguousarray(axes[:, ::-1][:, : max(kept, _ALONG)].T.astype(np.float32)), turn.astype(np.float32)


def _squares(along: NDArray[np.float32], whole: NDArray[np.float32]) -> NDArray[np.float32]:
    """The squares of how far vectors lie along some axes, [..., axes], and last of how far across them, if `whole` is
    the square of their length, [...]: [..., axes + 1]."""
    squares = along * along
    across = np.maximum(0, whole - squares.sum(axis=-1))
    return np.concatenate([squares, across[..., None]], axis=-1)


def _variances(squares: NDArray[np.float64], dimension: int) -> NDArray[np.float32]:
    """Variances along some axes, and last in any direction across them, from the means of `_squares`: like these."""
    directions = np.ones(squares.shape[-1])
    directions[-1] = max(1, dimension - len(directions) + 1)
    return (squares / directions + _LEAST).astype(np.float32)


def _sums(values: NDArray[np.float32], lists: Numbers, count: int) -> NDArray[np.float64]:
    """The sum of the values, float32 [m, k], of each list, float64 [lists, k]."""
    member = csr_array((np.ones(len(lists)), lists, np.arange(len(lists) + 1)), shape=(len(lists), count))
    sums: NDArray[np.float64] = member.T @ values
    return sums


def _kmeans(learned: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """The centroids that k-means finds, float32 [count, kept]."""
    kept = learned.shape[1]
    means = faiss.Clustering(kept, count)
    means.niter, means.max_points_per_centroid, means.min_points_per_centroid = _ROUNDS, _OF_A_LIST, 1
    means.train(np.ascontiguousarray(learned), faiss.IndexFlatL2(kept))
    centroids: NDArray[np.float32] = faiss.vector_to_array(means.centroids).reshape(count, kept)
    return centroids


def _assigned(
    vectors: VectorRows, centroids: NDArray[np.float32], basis: NDArray[np.float32]
) -> tuple[Numbers, NDArray[np.float64]]:
    """The list of each vector, int64 [n], and the mean of each list, float64 [lists, d]."""
    n, dimension = vectors.shape
    lists = np.empty(n, np.int64)
    sums = np.zeros((len(centroids), dimension))
    for _, part in parts(np.arange(n), _ADDED):
        these = vectors[part]
        lists[part] = _nearest(these @ basis.T, centroids)
        sums += _sums(these, lists[part], len(sums))
    return lists, sums / np.maximum(np.bincount(lists, minlength=len(sums)), 1)[:, None]


def _nearest(projected: NDArray[np.float32], centroids: NDArray[np.float32]) -> Numbers:
    """Which centroid each of some vectors is nearest to, int64 [m].

    By numpy's BLAS: what FAISS is built with does not know newer processors, and takes four times as long on some.
    """
    towards, half = np.ascontiguousarray(centroids.T), (centroids * centroids).sum(axis=1) / 2
    nearest = np.empty(len(projected), np.int64)
    for start, part in parts(projected, _COMPARED):
        near = part @ towards
        near -= half
        nearest[start : start + len(part)] = near.argmax(axis=1)
    return nearest


def _order(lists: Numbers, count: int) -> tuple[Numbers, Numbers]:
    """Which vector each row is, list by list, each list filled up with -1 to whole words; and the lists' sizes."""
    sizes = np.bincount(lists, minlength=count)
    ends = np.cumsum(-(-sizes // _WORD) * _WORD)
    order = np.full(ends[-1], -1, np.int64)
    vectors = np.argsort(lists, kind="stable")
    within = np.arange(len(lists)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    order[np.repeat(ends - -(-sizes // _WORD) * _WORD, sizes) + within] = vectors
    return order, sizes


def _codes(centroids: NDArray[np.float32], residuals: NDArray[np.float32]) -> Any:
    """The empty index of codes, which are learned from residuals, float32 [m, kept]."""
    count, kept = centroids.shape
    quantizer = faiss.IndexFlatL2(kept)
    quantizer.add(centroids)
    codes = faiss.IndexIVFPQ(quantizer, kept, count, kept // _TOGETHER, 4, faiss.METRIC_INNER_PRODUCT)
    codes.by_residual = True
    codes.pq.cp.min_points_per_centroid = 1  # it only warns of fewer than 39
    codes.pq.train(residuals[:_LEARNED])
    codes.is_trained = True
    return codes


def _beyond(
    learned: NDArray[np.float32],
    residuals: NDArray[np.float32],
    variances: NDArray[np.float32],
    axes: NDArray[np.float32],
    generator: np.random.Generator,
) -> NDArray[np.float64]:
    """The share of residuals that lie further towards a query than each of _DEVIATIONS, float64 [points].

    Counted for queries that are like what is indexed (an image) and for others that lie between such (a text); the
    larger share counts. What lies beyond all that was counted is continued as an exponential.
    """
    first, second = (learned[generator.choice(len(learned), _SAMPLED // 2)] for _ in range(2))
    some = generator.choice(len(residuals), min(len(residuals), _LEARNED // 4), replace=False)
    shares = []
    for queries in (first, first + second):
        squares = _squares((queries @ axes.T).astype(np.float32), (queries * queries).sum(axis=1))
        towards = residuals[some] @ queries.T / np.sqrt(variances[some] @ squares.T)
        shares.append(1 - np.searchsorted(np.sort(towards.ravel()), _DEVIATIONS, side="right") / towards.size)
    larger: NDArray[np.float64] = np.max(shares, axis=0)
    counted = int(np.count_nonzero(larger > 20 / towards.size))
    last = np.log(larger[counted - 1])
    slope = (last - np.log(larger[counted // 2])) / max(1, counted - 1 - counted // 2)
    larger[counted:] = np.exp(last + slope * np.arange(1, len(larger) - counted + 1))
    return larger


def _normal(deviations: float) -> float:
    """The share of a normal distribution that lies further up than so many deviations."""
    return math.erfc(deviations / math.sqrt(2)) / 2
