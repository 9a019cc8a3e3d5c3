"""What the server tells of its work, in Prometheus' text format: counts and times, never a word, a name or an asset."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from threading import Lock
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from search.query_vectors import TOGETHER, Counts
from search.searcher import Searcher
from search.trace import Trace

_SECONDS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)
_ROWS: Final = tuple(10**power for power in range(9))
_TEXTS: Final = (1, 2, 4, 8, 16, TOGETHER)


class Metrics:
    """The measures of one server, counted from its start on. Safe to share between threads."""

    def __init__(self, searcher: Callable[[], Searcher], processes: Callable[[], Sequence[int]]) -> None:
        """`processes` are those whose processor time and memory are told."""
        self._searcher = searcher
        self._registry = CollectorRegistry()
        self._registry.register(_Together(processes))
        self._requests = Counter("loupe_requests", "Requests answered.", ["route", "status"], registry=self._registry)
        self._searches = Histogram(
            "loupe_search_seconds", "How long searches took.", buckets=_SECONDS, registry=self._registry
        )
        self._stages = Histogram(
            "loupe_search_stage_seconds",
            "How long the stages of a search took.",
            ["stage"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._plans = Counter(
            "loupe_vector_searches", "Vector searches by method.", ["space", "method"], registry=self._registry
        )
        self._scored = Histogram(
            "loupe_vector_rows_scored",
            "Rows whose cosine a vector search took.",
            ["space"],
            buckets=_ROWS,
            registry=self._registry,
        )
        self._generation = Gauge("loupe_generation", "The published index that answers.", registry=self._registry)
        self._texts = Counter(
            "loupe_query_texts", "Texts by where their vectors came from.", ["from"], registry=self._registry
        )
        self._batches = Histogram(
            "loupe_encoder_batch_texts",
            "Texts that the model read together.",
            buckets=_TEXTS,
            registry=self._registry,
        )
        self._lock = Lock()
        self._counted: tuple[Searcher | None, Counts] = None, Counts(0, {})

    def answered(self, route: str, status: int) -> None:
        """Count a request. `route` is one of few: never the path that was asked for."""
        self._requests.labels(route, str(status)).inc()

    def searched(self, seconds: float, trace: Trace) -> None:
        """Count a search that was answered."""
        self._searches.observe(seconds)
        for stage, taken in trace.seconds.items():
            self._stages.labels(stage).observe(taken)
        for space, plan in trace.plans:
            self._plans.labels(space.value, plan.method).inc()
            self._scored.labels(space.value).observe(plan.scored)
        self._look()

    def _look(self) -> None:
        """Take over what the searcher that answers now counted since the last time."""
        with self._lock:
            now = self._searcher()
            counts = now.query_vectors
            known, before = self._counted
            before = before if known is now else Counts(0, {})
            self._counted = now, counts
        self._generation.set(now.generation)
        self._texts.labels("kept").inc(counts.kept - before.kept)
        for size, number in counts.batches.items():
            more = number - before.batches.get(size, 0)
            self._texts.labels("model").inc(size * more)
            for _ in range(more):
                self._batches.observe(size)

    def text(self) -> bytes:
        """All of it as it stands."""
        self._look()
        return generate_latest(self._registry)


class _Together(Collector):
    """What the system says of some processes, added up. Memory that they share counts in each."""

    def __init__(self, processes: Callable[[], Sequence[int]]) -> None:
        self._processes = processes

    def collect(self) -> Iterator[Metric]:
        sums: dict[str, Metric] = {}
        for pid in self._processes():
            for family in ProcessCollector(pid=partial(int, pid), registry=None).collect():
                known = sums.setdefault(family.name, family)
                if known is not family:
                    pairs = zip(known.samples, family.samples, strict=True)
                    known.samples = [one._replace(value=one.value + other.value) for one, other in pairs]
        yield from sums.values()
