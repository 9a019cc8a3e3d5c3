"""What the server tells of its work, in Prometheus' text format: counts and times, never a word, a name or an asset."""

from collections.abc import Callable, Iterator
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from search.query_vectors import TOGETHER
from search.searcher import Searcher
from search.trace import Trace

_SECONDS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)
_ROWS: Final = tuple(10**power for power in range(9))
_TEXTS: Final = (1, 2, 4, 8, 16, TOGETHER)


class Metrics:
    """The measures of one server, counted from its start on. Safe to share between threads."""

    def __init__(self, searcher: Callable[[], Searcher]) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._registry.register(_Searching(searcher))
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

    def text(self) -> bytes:
        """All of it as it stands."""
        return generate_latest(self._registry)


class _Searching(Collector):
    """What the searcher counts itself, looked up when it is asked for."""

    def __init__(self, searcher: Callable[[], Searcher]) -> None:
        self._searcher = searcher

    def collect(self) -> Iterator[Metric]:
        searcher = self._searcher()
        yield GaugeMetricFamily("loupe_generation", "The published index that answers.", value=searcher.generation)
        counts = searcher.query_vectors
        read = sum(size * number for size, number in counts.batches.items())
        texts = CounterMetricFamily("loupe_query_texts", "Texts by where their vectors came from.", labels=["from"])
        texts.add_metric(["kept"], counts.kept)
        texts.add_metric(["model"], read)
        yield texts
        within = [sum(number for size, number in counts.batches.items() if size <= most) for most in _TEXTS]
        buckets = [*((str(most), number) for most, number in zip(_TEXTS, within, strict=True)), ("+Inf", within[-1])]
        yield HistogramMetricFamily(
            "loupe_encoder_batch_texts", "Texts that the model read together.", buckets=buckets, sum_value=read
        )

    def describe(self) -> Iterator[Metric]:
        """Nothing beforehand: to be registered it need not be asked, before there is a library."""
        yield from ()
