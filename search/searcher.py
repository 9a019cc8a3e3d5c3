"""The only read path: every search, view, suggestion and file goes through here, and through the gate.

A request becomes a `Scope` by way of `search.policy`; the legs rank within that scope; `search.fusion` makes one order;
and each hit is read back from the catalog and judged once more, so that a stale index can disclose nothing.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pyroaring import BitMap

from search import facets, policy
from search.bitmaps import as_array, as_bitmap
from search.catalog import Catalog
from search.columns import Columns
from search.corpus import metadata_document, shown_text
from search.embedding import Curve, Models, Vector
from search.engine import Engine, Matches, Space
from search.errors import NotCleared, NotFound
from search.excerpts import excerpt, holds
from search.fusion import LEGS, Evidence, Ranked, Ranking, doubted, fuse, less, mean
from search.query import MAX_DEPTH, Query, SearchRequest, check_examples, check_usage, understand
from search.query_vectors import Counts, Meaning, QueryVectors, meanings
from search.renditions import RenditionStore
from search.trace import Trace
from search.turns import Turns
from search.types import (
    Action,
    Asset,
    Clearance,
    Hit,
    Leg,
    NotClearedCount,
    Page,
    Plan,
    Principal,
    Segment,
    SegmentKind,
    Usage,
    Why,
)

#: How many assets each leg brings at least; deeper pages bring more.
DEPTH: Final = 400

#: How many searches are worked on at once, while others wait for a turn, or for the model. Of two, one has the
#: interpreter while the other is in FAISS, Tantivy or SQLite, which leave it to others. More would take turns at the
#: interpreter within a search, whenever it comes back from such a library, which costs each as much as its own work.
AT_ONCE: Final = 2


class View(msgspec.Struct, frozen=True):
    """One asset as one person sees it, with its spoken or written passages in order."""

    asset: Asset
    clearance: Clearance
    reviewable: bool
    passages: tuple[Segment, ...] = ()


class Prepared(msgspec.Struct, frozen=True, eq=False):
    """A request that was understood, with the meanings of its texts and the vectors of its pictures: what any process
    over the same library and models can answer."""

    query: Query
    texts: Mapping[str, Meaning]
    pictures: Sequence[Vector]


class Suggestion(msgspec.Struct, frozen=True):
    """A completion: `kind` is `keyword` or `title`."""

    text: str
    kind: str


class _State(msgspec.Struct, frozen=True):
    """The columns at one journal number, and the scopes over them."""

    head: int
    columns: Columns
    scopes: policy.Scopes


class _Reading(msgspec.Struct, frozen=True):
    """One leg's way to look for something: its best matches in a scope, and what scores, [n], say as evidence."""

    leg: Leg
    find: Callable[[policy.Scope, int], tuple[Matches, Plan | None]]
    evidence: Callable[[NDArray[np.float64]], NDArray[np.float64]]


class _Want:
    """One thing looked for: what each leg says of each asset, and by which of its segments."""

    def __init__(self, scope: policy.Scope, depth: int, readings: Sequence[_Reading], strangeness: float = 0.0) -> None:
        """The `depth` best of each leg; what one leg found, another that had more to tell is asked about as well."""
        best = [(reading, *reading.find(scope, depth)) for reading in readings]
        by_each = [as_bitmap(matches.assets) for _, matches, _ in best]
        found = BitMap.union(BitMap(), *by_each)
        told = []
        for (reading, matches, _), known in zip(best, by_each, strict=True):
            if len(matches) >= depth and (others := found - known):
                told.append((reading, *reading.find(scope.narrowed(others), len(others))))
        self._searches = [*best, *told]
        assets = as_array(found)
        said = np.full((len(assets), len(LEGS)), np.nan)
        self._segments = np.full((len(assets), len(LEGS)), -1, np.int64)
        for reading, matches, _ in self._searches:
            where = np.searchsorted(assets, matches.assets), LEGS.index(reading.leg)
            said[where] = reading.evidence(matches.scores)
            self._segments[where] = matches.segments
        self.evidence = Evidence(assets, said)
        if strangeness:
            self.evidence = doubted(self.evidence, strangeness)

    def segments(self, asset: int) -> dict[Leg, int]:
        """By which segment (0: the metadata as a whole) each leg found an asset, if it did."""
        assets = self.evidence.assets
        place = int(np.searchsorted(assets, asset))
        if place == len(assets) or assets[place] != asset:
            return {}
        segments = zip(LEGS, self._segments[place].tolist(), strict=True)
        return {leg: segment for leg, segment in segments if segment >= 0}

    def plan(self, asset: int, leg: Leg) -> Plan | None:
        """How a vector leg came to look at the asset: in its own search, or asked about what another leg had found."""
        for reading, matches, plan in self._searches:
            if reading.leg is leg and asset in matches.assets:
                return plan
        return None


class Searcher:
    """Answers people. Safe to share between threads; writes nothing but the audit log."""

    def __init__(
        self,
        catalog: Catalog,
        engine: Engine,
        models: Models,
        renditions: RenditionStore,
        settings: policy.Settings = policy.Settings(),
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._catalog = catalog
        self._engine = engine
        self._models = models
        self._query_vectors = QueryVectors(models)
        self._renditions = renditions
        self._settings = settings
        self._clock = clock
        self._lock = Lock()
        self._turns = Turns(range(AT_ONCE))
        self._state = self._state_of(0, Columns())

    # ---- for those who run Loupe

    @property
    def generation(self) -> int:
        """The number of the published index that answers; 0 before the first."""
        return self._engine.generation

    @property
    def query_vectors(self) -> Counts:
        """How texts came by their vectors since the model was loaded."""
        return self._query_vectors.counts

    def refresh(self) -> None:
        """Take in what was published, and what the catalog holds now. Each request does the latter, so that rights hold
        at once; but the first time, over a million assets, it takes seconds, and to open an index, milliseconds."""
        self._engine.refresh()
        self._current()

    # ---- searching

    def search(
        self,
        principal: Principal,
        request: SearchRequest,
        images: Sequence[Image.Image] = (),
        trace: Trace | None = None,
    ) -> Page:
        """One page of an answer. `images` are looked for together with the text; `trace` is filled in.

        Administrators see with each hit how the vector legs went about it. Raises BadQuery, NotFound.
        """
        trace = trace or Trace()
        return self.answer(principal, self.prepare(principal, request, images, trace), trace)

    def prepare(
        self, principal: Principal, request: SearchRequest, images: Sequence[Image.Image], trace: Trace
    ) -> Prepared:
        """The part of `search` that needs the models. Raises BadQuery."""
        query = understand(request, principal.user)
        check_examples(len(images) + len(query.similar_to))
        with trace.stage("encode"):
            return Prepared(query, self._read(query), tuple(self._models.visual.embed_images(images)))

    def answer(self, principal: Principal, prepared: Prepared, trace: Trace) -> Page:
        """The other part, which needs all else. Raises BadQuery, NotFound."""
        with self._turn(trace):
            return self._answer(principal, prepared, trace)

    @contextmanager
    def _turn(self, trace: Trace) -> Iterator[None]:
        with trace.stage("wait"):
            turn = self._turns.take()
        try:
            yield
        finally:
            self._turns.give_back(turn)

    def _answer(self, principal: Principal, prepared: Prepared, trace: Trace) -> Page:
        query = prepared.query
        with trace.stage("scope"):
            columns, found = self._scope(principal, query.usage)
        with trace.stage("keyword"):
            for phrase in query.phrases:
                found = found.narrowed(self._engine.containing(found, phrase))
            for phrase in query.barred:
                found = found.narrowed(found.assets - self._engine.containing(found, phrase))
        if not (query.text or prepared.pictures or query.similar_to):
            found = self._without(found, prepared, trace)
        picked = facets.picked(columns, query.filters, found)
        filtered = facets.matching(found, picked)
        drawn = filtered
        if query.usage and not query.include_not_cleared:
            drawn = filtered.narrowed(filtered.cleared)
        order, wants = self._rank(principal, prepared, drawn, trace)
        with trace.stage("read-back"):
            hits, offset = self._page(principal, query, order, wants)
        with trace.stage("facets"):
            counts = facets.counts(columns, query, found, picked)
            not_cleared = facets.not_cleared(filtered) if query.usage else NotClearedCount()
        return Page(
            hits=hits,
            total=len(drawn),
            facets=counts,
            not_cleared=not_cleared,
            next_cursor=query.cursor(offset) if offset < len(order) else None,
        )

    def evidence(self, principal: Principal, text: str) -> Evidence:
        """What each leg says of every asset that the person may find and that it has anything to say of."""
        _, scope = self._scope(principal, None)
        return self._text_want(text, meanings(self._models, [text])[0], scope, len(scope), Trace()).evidence

    def suggest(self, principal: Principal, text: str, limit: int = 8) -> list[Suggestion]:
        """Keywords and titles of what the person may find, in which a word begins with `text`."""
        columns, scope = self._scope(principal, None)
        if not text.split():
            return []
        found = {
            keyword.casefold(): Suggestion(keyword, "keyword") for keyword in _keywords(columns, text, scope, limit)
        }
        titles = columns.titles_beginning(text, scope.assets)
        while len(found) < limit and (part := list(islice(titles, limit - len(found)))):
            assets = self._catalog.assets(part)
            for asset in (assets[ordinal] for ordinal in part if ordinal in assets):
                if policy.verdict(asset, principal, None, self._clock(), self._settings).findable:
                    found.setdefault(asset.title.casefold(), Suggestion(asset.title, "title"))
        return list(found.values())

    # ---- one asset

    def view(self, principal: Principal, id: str, usage: Usage | None = None) -> View:
        """Raises NotFound, the same for what is hidden and what does not exist."""
        view = self._judged(principal, id, usage)
        passages = (s for s in self._catalog.segments_of(view.asset.ordinal) if s.kind is SegmentKind.passage)
        return msgspec.structs.replace(view, passages=tuple(passages))

    def preview(self, principal: Principal, id: str, size: int) -> Path:
        """The WebP preview, long side at most `size` (256, 640, 1280). Raises NotFound."""
        asset = self._judged(principal, id, None).asset
        return self._existing(self._renditions.preview(asset.content_hash, size))

    def playback(self, principal: Principal, id: str) -> Path:
        """The low-rate proxy of a video or sound. Raises NotFound."""
        asset = self._judged(principal, id, None).asset
        return self._existing(self._renditions.playback(asset.content_hash))

    def original(self, principal: Principal, id: str, usage: Usage | None) -> tuple[Asset, Path]:
        """The file itself, once the use is cleared and the audit log says so. Raises NotFound, NotCleared."""
        view = self._judged(principal, id, usage)
        detail: dict[str, object] = {"usage": msgspec.to_builtins(usage)}
        if not view.clearance.cleared:
            reasons = tuple(reason.value for reason in view.clearance.reasons)
            self._catalog.audit(principal.user, "download_denied", id, detail | {"reasons": reasons})
            raise NotCleared("You may not use this asset so.", reasons, "Ask its steward, or name another use.")
        path = self._existing(Path(view.asset.path))
        self._catalog.audit(principal.user, "download", id, detail | {"content_hash": view.asset.content_hash})
        return view.asset, path

    def _judged(self, principal: Principal, id: str, usage: Usage | None) -> View:
        asset = self._catalog.asset(id)
        if asset is not None:
            judged = policy.verdict(asset, principal, check_usage(usage), self._clock(), self._settings)
            if judged.findable:
                return View(asset, judged.clearance, judged.reviewable)
        raise NotFound("There is no such asset.", "It may have been removed, or you may not see it.")

    def _existing(self, path: Path | None) -> Path:
        if path is None or not path.is_file():
            raise NotFound("There is no such file for this asset.")
        return path

    # ---- inside

    def _scope(self, principal: Principal, usage: Usage | None) -> tuple[Columns, policy.Scope]:
        """The gate's answer over what the catalog holds at this moment."""
        state = self._current()
        return state.columns, state.scopes.of(principal, usage, self._clock())

    def _current(self) -> _State:
        """Brought up to date with the journal, so that every change holds from the next request on."""
        if self._catalog.head() == self._state.head:
            return self._state
        with self._lock:
            state = self._state
            if state.head == 0:
                head = self._catalog.head()
                grants = self._catalog.collection_grants()
                columns = state.columns.updated(facts=self._catalog.facts(), collection_grants=grants)
                self._state = self._state_of(head, columns)
                return self._state
            changes = self._catalog.changes_since(state.head)
            facts = list(self._catalog.facts(changes.assets))
            columns = state.columns.updated(
                facts=facts,
                removed=changes.assets.difference(*(part.ordinal for part in facts)),
                collection_grants=self._catalog.collection_grants() if changes.grants else None,
            )
            self._state = self._state_of(changes.head, columns)
            return self._state

    def _state_of(self, head: int, columns: Columns) -> _State:
        return _State(head, columns, policy.Scopes(columns, self._settings))

    def _read(self, query: Query) -> Mapping[str, Meaning]:
        """The meaning of each text of the query."""
        texts = [*filter(None, [query.text]), *query.unlike]
        return dict(zip(texts, self._query_vectors.read(texts), strict=True))

    def _rank(
        self,
        principal: Principal,
        prepared: Prepared,
        scope: policy.Scope,
        trace: Trace,
    ) -> tuple[Ranking, Sequence[_Want]]:
        """The order of the assets drawn on, as deep as is served, and what was looked for."""
        query, read = prepared.query, prepared.texts
        depth = min(max(DEPTH, 2 * (query.offset + query.limit)), MAX_DEPTH)
        examples = [self._judged(principal, name, None).asset for name in query.similar_to]
        scope = scope.narrowed(scope.assets - BitMap(asset.ordinal for asset in examples))
        said = [self._text_want(query.text, read[query.text], scope, depth, trace)] if query.text else []
        shown = list(self._alike(principal, examples, prepared.pictures, scope, depth, trace))
        wants = [*said, *shown]
        if not wants:
            return _Newest(scope.assets), []
        unlike = [self._text_want(text, read[text], scope, depth, trace) for text in query.unlike]
        with trace.stage("fusion"):
            of_text = query.text_weight if said and shown else float(bool(said))
            weights = [of_text] * len(said) + [(1 - of_text) / len(shown)] * len(shown) if shown else [of_text]
            order = mean([fuse(want.evidence) for want in wants], weights)
            for unwanted in unlike:
                order = less(order, fuse(unwanted.evidence))
        return order, wants

    def _without(self, scope: policy.Scope, prepared: Prepared, trace: Trace) -> policy.Scope:
        """For browsing: the scope less what matches any unwanted text strongly (of a text, the MAX_DEPTH best)."""
        for text in prepared.query.unlike:
            order = fuse(self._text_want(text, prepared.texts[text], scope, MAX_DEPTH, trace).evidence)
            scope = scope.narrowed(scope.assets - BitMap(one.asset for one in order if not one.weak))
        return scope

    def _alike(
        self,
        principal: Principal,
        examples: Sequence[Asset],
        seen: Sequence[Vector],
        scope: policy.Scope,
        depth: int,
        trace: Trace,
    ) -> Iterator[_Want]:
        """What is wanted by example, one by one."""
        for vector in seen:
            yield self._like_picture(vector, scope, depth, trace)
        if examples:
            _, visible = self._scope(principal, None)
            for asset in examples:
                yield self._similar_want(asset, visible, scope, depth, trace)

    def _text_want(self, text: str, read: Meaning, scope: policy.Scope, depth: int, trace: Trace) -> _Want:
        def keywords(among: policy.Scope, limit: int) -> tuple[Matches, None]:
            with trace.stage("keyword"):
                return self._engine.keywords(among, text, limit), None

        return _Want(
            scope,
            depth,
            [
                self._near(Leg.visual, read.for_pictures, read.of_pictures, trace),
                self._near(Leg.passage, read.for_words, read.of_words, trace),
                _Reading(Leg.keyword, keywords, lambda share: share),
            ],
            self._engine.strangeness(text),
        )

    def _near(self, leg: Leg, vector: Vector, curve: Curve, trace: Trace) -> _Reading:
        space = Space.visual if leg is Leg.visual else Space.text

        def nearest(among: policy.Scope, limit: int) -> tuple[Matches, Plan]:
            with trace.stage("visual" if leg is Leg.visual else "passage"):
                found = self._engine.nearest(among, space, vector, limit)
            trace.plans.append((space, found.plan))
            return found.matches, found.plan

        return _Reading(leg, nearest, curve.evidence)

    def _similar_want(
        self, asset: Asset, visible: policy.Scope, scope: policy.Scope, depth: int, trace: Trace
    ) -> _Want:
        """More like an asset: its pictures, or, for what has none, its words."""
        pictures = self._engine.vectors_of(visible, Space.visual, asset.ordinal)
        words = self._engine.vectors_of(visible, Space.text, asset.ordinal)
        if len(pictures):
            return self._like_picture(_summary(pictures), scope, depth, trace)
        if len(words):
            vector = self._models.text.more_like(words)
            near = self._near(Leg.passage, vector, self._models.text.standard.of(vector), trace)
            return _Want(scope, depth, [near])
        return _Want(scope, depth, [])

    def _like_picture(self, vector: Vector, scope: policy.Scope, depth: int, trace: Trace) -> _Want:
        curve = self._models.visual.calibration.image_image.of(vector)
        return _Want(scope, depth, [self._near(Leg.visual, vector, curve, trace)])

    def _page(
        self,
        principal: Principal,
        query: Query,
        order: Ranking,
        wants: Sequence[_Want],
    ) -> tuple[tuple[Hit, ...], int]:
        """The hits from `query.offset` on, each judged again by the catalog's word, and where the next page begins."""
        hits: list[Hit] = []
        offset = query.offset
        planned = policy.may(principal, Action.administer)
        while len(hits) < query.limit and offset < len(order):
            part = order[offset : offset + query.limit - len(hits)]
            offset += len(part)
            found = {one.asset: _reasons(wants, one) for one in part}
            told = {segment for by_leg in found.values() for segment in by_leg.values()}
            assets, segments = self._catalog.read_back(found, told)
            now = self._clock()
            for one in part:
                asset = assets.get(one.asset)
                if asset is None:
                    continue
                judged = policy.verdict(asset, principal, query.usage, now, self._settings)
                hidden = query.usage and not query.include_not_cleared and not judged.cleared
                if judged.findable and not hidden:
                    why = tuple(self._why(query, asset, found[one.asset], segments))
                    if planned:
                        why = tuple(_planned(each, asset.ordinal, wants) for each in why)
                    hits.append(Hit(asset, judged.reviewable, round(one.relevance, 4), one.weak, judged.clearance, why))
        return tuple(hits), offset

    def _why(
        self, query: Query, asset: Asset, reasons: Mapping[Leg, int], segments: Mapping[int, Segment]
    ) -> Iterator[Why]:
        """The reasons as they are shown."""
        for leg, number in reasons.items():
            segment = segments.get(number)
            why = Why(leg)
            if segment:
                why = Why(leg, shown_text(segment), segment.start, segment.end, segment.page)
            if leg is Leg.keyword:
                terms = self._engine.matching_words(query.text, why.text or metadata_document(asset).words)
                why = msgspec.structs.replace(why, text=_quoted(why.text, asset, terms), terms=terms)
            yield why


def _quoted(passage: str, asset: Asset, terms: Sequence[str]) -> str:
    """The words that were found as they stand: in the passage, or where the metadata say one of them first."""
    said = (asset.title, asset.description, asset.alt_text, ", ".join(asset.keywords), asset.creator)
    return excerpt(passage or next((text for text in said if holds(text, terms)), asset.title), terms)


def _reasons(wants: Sequence[_Want], ranked: Ranked) -> dict[Leg, int]:
    """The legs that speak for an asset, the strongest first (evidence against is no reason), and by which segment each
    found it, for the first thing wanted that it found it for."""
    found: dict[Leg, int] = {}
    for want in reversed(wants):
        found |= want.segments(ranked.asset)
    strongest = sorted(ranked.evidence.items(), key=lambda said: -said[1])
    return {leg: found[leg] for leg, said in strongest if said > 0 and leg in found}


def _planned(why: Why, asset: int, wants: Sequence[_Want]) -> Why:
    """The same, and how the leg came to look at the asset."""
    plans = (want.plan(asset, why.leg) for want in wants)
    return msgspec.structs.replace(why, plan=next(filter(None, plans), None))


def _summary(rows: NDArray[np.float32]) -> Vector:
    """The mean direction of some unit vectors, float32 [d]."""
    middle: Vector = rows.mean(axis=0)
    middle /= np.linalg.norm(middle)
    return middle


def _keywords(columns: Columns, begun: str, scope: policy.Scope, most: int) -> list[str]:
    """Keywords in which a word begins so, the most frequent in the scope first, of several spellings by case one."""
    asked = most
    while True:
        listed = columns.keywords_beginning(begun, scope.assets, asked)
        distinct: dict[str, str] = {}
        for keyword, _ in listed:
            distinct.setdefault(keyword.casefold(), keyword)
        if len(distinct) >= most or len(listed) < asked:
            return list(distinct.values())[:most]
        asked *= 2


class _Newest(Ranking):
    """Assets, the newest first."""

    def __init__(self, assets: BitMap) -> None:
        self._assets = assets

    def __len__(self) -> int:
        return len(self._assets)

    def at(self, place: int) -> Ranked:
        return Ranked(self._assets[-1 - place], 1.0, {})
