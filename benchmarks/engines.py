"""Loupe's vector engine and its peers, each behind the same methods, and a process for each to be measured in.

`python -m benchmarks.engines build NAME VECTORS INDEX` builds an index of the vectors in a folder, and
`… measure NAME VECTORS INDEX ASKED OUT` opens it and asks. `benchmarks.filtered` calls both.

Every peer filters by its own means. Where it keeps payload, that is indexed and it is given a condition: Qdrant Edge,
LanceDB, zvec. Where it takes a set of rows (FAISS, hnswlib), or where an answer is picked over afterwards (usearch,
which has no filters in Python), the set is made as Loupe's is: which rows have a bucket that is wanted is kept ready,
as an application keeps what a person may see; uniting the collections is part of the search.

That is how a filter is met for the first time: no two queries have the same. Who searches once mostly searches again:
so each query is asked once more, under its filter that was asked for before, with another query, and that each engine
may have kept as it likes.

At the effort that counts there are three rounds where a search takes milliseconds, of which the one with the least
median counts: what else a machine does comes and goes, and would fall on one engine and not on another. A filter is new
in each, since all others have been met meanwhile, if the queries are more than the filters that an engine keeps.

What an engine wrote is read once before it is opened, so that none is told apart by what the system had let go of.
"""

import importlib
import json
import statistics
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from itertools import pairwise
from pathlib import Path
from time import perf_counter
from typing import Any, ClassVar, Final

import click
import msgspec
import numpy as np
from numpy.typing import NDArray

from benchmarks.measures import memory_of
from benchmarks.vectors import (
    CASES,
    COLLECTIONS,
    DIMENSION,
    NEAREST,
    Asked,
    Filter,
    Floats,
    Made,
    opened,
    read,
)

#: What recall an answer must have on average to count.
RECALL: Final = 0.99
THREADS: Final = 2

EVERYTHING: Final = 0
#: An engine that can is told to look at everything as well, where a search takes longer than this, seconds.
_QUICK: Final = 0.001
#: More effort is not tried once a search takes this long, and a round ends early once it took so long, seconds.
_SLOW: Final = 0.025
_ROUND: Final = 5.0
_FEWEST: Final = 20
_WARMING: Final = 5
_BATCH: Final = 10_000
_READ: Final = 1 << 24
#: Rounds at the effort that counts, and how long a search may take for it to be more than one, seconds.
_ROUNDS: Final = 3
_BRIEF: Final = 0.01
_REFINED: Final = 5


class Engine(ABC):
    """An index, opened. `efforts` are what a search may spend, the least first, in its own measure."""

    package: ClassVar[str]
    efforts: ClassVar[Sequence[int]]
    exact: ClassVar[bool] = False
    """Whether it can be told to look at everything that the filter keeps, which is the effort EVERYTHING."""

    @staticmethod
    @abstractmethod
    def build(vectors: Made, index: Path) -> None:
        """Write an index of the vectors into a folder that does not exist yet."""

    @abstractmethod
    def __init__(self, vectors: Made, index: Path) -> None: ...

    @abstractmethod
    def kept(self, chosen: Filter) -> Any:
        """What an application could keep of a filter between searches."""

    def settled(self, kept: Any) -> Any:
        """The same, with everything worked out that can be before a query is known."""
        return kept

    @abstractmethod
    def search(self, query: Floats, settled: Any, effort: int) -> Sequence[int]:
        """At most ten rows, best first."""


class _Collections:
    """Which collection each row is in, as Loupe keeps such a column."""

    def __init__(self, vectors: Made) -> None:
        from pyroaring import BitMap

        from search.counting import Counted, Held

        rows = np.arange(len(vectors.rows))
        column = Counted.empty()
        numbers = np.array([column.values[str(collection)] for collection in range(COLLECTIONS)], np.int32)
        held = Held(rows, np.ones(len(rows), np.int32), numbers[vectors.collections])
        self._column = column.replaced(BitMap(rows), held)
        self._having = {
            str(collection): BitMap(vectors.by_collection[begin:end])
            for collection, (begin, end) in enumerate(pairwise(vectors.begins))
        }

    def united(self, names: Sequence[str]) -> Any:
        """The rows in one of some collections, as a bitmap."""
        return self._column.any_of(names, self._having.__getitem__)


def _names(chosen: Filter) -> Sequence[str] | None:
    return None if chosen.collections is None else [str(collection) for collection in chosen.collections]


# ---- Loupe


class Loupe(Engine):
    package = "loupe-search"
    efforts = (0,)

    @staticmethod
    def build(vectors: Made, index: Path) -> None:
        from search.engine import Vectors
        from search.engines.embedded.vectors import VectorIndex

        count = len(vectors.rows)
        rows = Vectors("benchmark", vectors.rows, np.arange(count), np.arange(count))
        VectorIndex.write(rows, index)

    def __init__(self, vectors: Made, index: Path) -> None:
        from pyroaring import BitMap

        from search.engines.embedded.vectors import VectorIndex

        self._bitmap = BitMap
        self._index = VectorIndex.open(index)
        self._scope = _everything(len(vectors.rows))
        self._vectors = vectors
        self._collections = _Collections(vectors)

    def kept(self, chosen: Filter) -> Any:
        wanted = self._bitmap(np.flatnonzero(chosen.takes(self._vectors.buckets))) if chosen.by_bucket else None
        return wanted, _names(chosen)

    def settled(self, kept: Any) -> Any:
        wanted, listed = kept
        scope = self._scope
        if listed is not None:
            scope = scope.narrowed(self._collections.united(listed))
        if wanted is not None:
            scope = scope.narrowed(wanted)
        return scope

    def search(self, query: Floats, settled: Any, effort: int) -> Sequence[int]:
        return [match.asset for match in self._index.nearest(settled, query, NEAREST).matches]


def _everything(count: int) -> Any:
    """The gate's scope over so many assets, all of which a person may find."""
    from pyroaring import BitMap

    from search import policy
    from search.columns import Columns
    from search.types import Action, Asset, Grant, MediaType, Principal, ResourceKind, Status, SubjectKind

    now = datetime.now(UTC)
    everyone = Grant(ResourceKind.collection, "all", SubjectKind.everyone, "", Action.find)
    one = Asset(
        ordinal=0, id="one", path="", content_hash="", media_type=MediaType.image, mime="", collection="all",
        status=Status.approved, added=now,
    )  # fmt: skip
    told = Columns().updated(put=[one], collection_grants={"all": (everyone,)})

    class Alike(Columns):
        """What holds for the one asset holds for all."""

        def of(self, column: str, value: object) -> BitMap:
            return BitMap(range(count)) if told.of(column, value) else BitMap()

    columns = Alike()
    columns.collection_grants = told.collection_grants
    scope = policy.scope(Principal("benchmark"), None, now, columns)
    if len(scope) != count:
        raise SystemExit("The gate did not let everything through.")
    return scope


# ---- what takes a set of rows


class _Sets(Engine):
    """Filters as sets of rows: whether each row is kept, bool [n]."""

    def __init__(self, vectors: Made, index: Path) -> None:
        self._vectors = vectors
        self._collections = _Collections(vectors)

    def kept(self, chosen: Filter) -> Any:
        return chosen.takes(self._vectors.buckets) if chosen.by_bucket else None, _names(chosen)

    def settled(self, kept: Any) -> Any:
        """None for no filter."""
        from search.bitmaps import as_flags

        wanted, listed = kept
        united: NDArray[np.bool_] | None = wanted
        if listed is not None:
            united = as_flags(self._collections.united(listed), len(self._vectors.rows))
            if wanted is not None:
                united &= wanted
        return united


class _Faiss(_Sets):
    package = "faiss-cpu"

    def __init__(self, vectors: Made, index: Path) -> None:
        import faiss

        faiss.omp_set_num_threads(1)  # two stall each other for milliseconds whenever a core is wanted elsewhere
        super().__init__(vectors, index)
        self._index = faiss.read_index(str(index / "index.faiss"))

    def kept(self, chosen: Filter) -> Any:
        kept = super().kept(chosen)
        return self._packed(kept) if chosen.collections is None else kept

    def settled(self, kept: Any) -> Any:
        return self._packed(kept) if isinstance(kept, tuple) else kept

    def search(self, query: Floats, settled: Any, effort: int) -> Sequence[int]:
        import faiss

        selector = None if settled is None else faiss.IDSelectorBitmap(settled)
        _, rows = self._index.search(query[None], NEAREST, params=self._parameters(effort, selector))
        return [row for row in rows[0].tolist() if row >= 0]

    def _packed(self, kept: Any) -> NDArray[np.uint8] | None:
        united = super().settled(kept)
        return None if united is None else np.packbits(united, bitorder="little")

    @abstractmethod
    def _parameters(self, effort: int, selector: Any) -> Any: ...


def _write(index: Any, folder: Path) -> None:
    import faiss

    folder.mkdir()
    faiss.write_index(index, str(folder / "index.faiss"))


class FaissHnsw(_Faiss):
    """32 links a node, 40 candidates when building (FAISS's own choices)."""

    efforts = (32, 64, 128, 256, 512, 1024, 2048)

    @staticmethod
    def build(vectors: Made, index: Path) -> None:
        import faiss

        faiss.omp_set_num_threads(THREADS)
        made = faiss.IndexHNSWFlat(DIMENSION, 32, faiss.METRIC_INNER_PRODUCT)
        made.hnsw.efConstruction = 40
        for rows in _batches(vectors.rows, 50_000):
            made.add(rows)
        _write(made, index)

    def _parameters(self, effort: int, selector: Any) -> Any:
        import faiss

        return faiss.SearchParametersHNSW(efSearch=effort, sel=selector)


class FaissIvf(_Faiss):
    """4 sqrt(n) lists of float32 rows."""

    efforts = (4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096)

    @staticmethod
    def build(vectors: Made, index: Path) -> None:
        import faiss

        faiss.omp_set_num_threads(THREADS)
        lists = round(4 * len(vectors.rows) ** 0.5)
        made = faiss.index_factory(DIMENSION, f"IVF{lists},Flat", faiss.METRIC_INNER_PRODUCT)
        made.cp.niter = 10
        made.train(np.array(vectors.rows[: 50 * lists]))
        for rows in _batches(vectors.rows, 50_000):
            made.add(rows)
        _write(made, index)

    def _parameters(self, effort: int, selector: Any) -> Any:
        import faiss

        return faiss.SearchParametersIVF(nprobe=min(effort, self._index.nlist), sel=selector)


class Hnswlib(_Sets):
    """16 links a node, 100 candidates when building."""

    package = "hnswlib"
    efforts = (32, 64, 128, 256, 512, 1024, 2048)

    @staticmethod
    def build(vectors: Made, index: Path) -> None:
        made = _hnswlib()
        made.init_index(max_elements=len(vectors.rows), M=16, ef_construction=100, random_seed=1)
        made.set_num_threads(THREADS)
        for begin in range(0, len(vectors.rows), 50_000):
            rows = vectors.rows[begin : begin + 50_000]
            made.add_items(rows, np.arange(begin, begin + len(rows)))
        index.mkdir()
        made.save_index(str(index / "index.bin"))

    def __init__(self, vectors: Made, index: Path) -> None:
        super().__init__(vectors, index)
        self._index = _hnswlib()
        self._index.load_index(str(index / "index.bin"))

    def search(self, query: Floats, settled: Any, effort: int) -> Sequence[int]:
        self._index.set_ef(effort)
        # A method of bytes is the quickest callable there is.
        chosen = {} if settled is None else {"filter": settled.tobytes().__getitem__}
        wanted = NEAREST if settled is None else min(NEAREST, int(np.count_nonzero(settled)))
        try:
            rows, _ = self._index.knn_query(query, k=wanted, num_threads=1, **chosen)
        except RuntimeError:  # it found fewer than are wanted, and returns none
            return []
        found: list[int] = rows[0].tolist()
        return found


def _hnswlib() -> Any:
    return importlib.import_module("hnswlib").Index(space="ip", dim=DIMENSION)


class Usearch(_Sets):
    """16 links a node, 128 candidates when building (its own choices), float16. Effort: how many are asked for."""

    package = "usearch"
    efforts = (16, 64, 256, 1024, 4096, 16384)

    @staticmethod
    def build(vectors: Made, index: Path) -> None:
        made = _usearch()
        for begin in range(0, len(vectors.rows), 50_000):
            rows = vectors.rows[begin : begin + 50_000]
            made.add(np.arange(begin, begin + len(rows)), np.array(rows), threads=THREADS)
        index.mkdir()
        made.save(str(index / "index.usearch"))

    def __init__(self, vectors: Made, index: Path) -> None:
        super().__init__(vectors, index)
        self._index = _usearch()
        self._index.load(str(index / "index.usearch"))

    def search(self, query: Floats, settled: Any, effort: int) -> Sequence[int]:
        self._index.expansion_search = max(64, effort)
        rows = self._index.search(query, effort, threads=1).keys.astype(np.int64)
        found: list[int] = (rows if settled is None else rows[settled[rows]])[:NEAREST].tolist()
        return found


def _usearch() -> Any:
    return importlib.import_module("usearch.index").Index(ndim=DIMENSION, metric="ip", dtype="f16")


# ---- what keeps payload


class Qdrant(Engine):
    """16 links a node, 100 candidates when building (its own choices), one segment, vectors as float32 and, for
    looking, as int8. Payload indexed."""

    package = "qdrant-edge-py"
    efforts = (32, 64, 128, 256, 512, 1024, 2048, 4096)
    exact = True

    @staticmethod
    def build(vectors: Made, index: Path) -> None:
        q = importlib.import_module("qdrant_edge")
        config = q.EdgeConfig(
            vectors=q.EdgeVectorParams(size=DIMENSION, distance=q.Distance.Dot),
            hnsw_config=q.HnswIndexConfig(m=16, ef_construct=100, full_scan_threshold=10_000),
            quantization_config=q.ScalarQuantizationConfig(type=q.ScalarType.Int8),
            optimizers=q.EdgeOptimizersConfig(default_segment_number=1, max_segment_size=100_000_000),
            wal_enabled=False,
        )
        index.mkdir()
        shard = q.EdgeShard.create(str(index), config)
        for field in ("bucket", "collection"):
            shard.update(q.UpdateOperation.create_field_index(field, q.PayloadSchemaType.Integer))
        for begin in range(0, len(vectors.rows), _BATCH):
            own = slice(begin, begin + _BATCH)
            given = zip(
                vectors.rows[own].tolist(), vectors.buckets[own].tolist(), vectors.collections[own].tolist(),
                strict=True,
            )  # fmt: skip
            points = [
                q.Point(begin + place, row, {"bucket": bucket, "collection": collection})
                for place, (row, bucket, collection) in enumerate(given)
            ]
            shard.update(q.UpdateOperation.upsert_points(points))
        while shard.optimize():
            pass
        shard.flush()
        shard.close()

    def __init__(self, vectors: Made, index: Path) -> None:
        self._q = importlib.import_module("qdrant_edge")
        self._shard = self._q.EdgeShard.load(str(index))

    def kept(self, chosen: Filter) -> Any:
        q = self._q
        must = []
        if chosen.by_bucket:
            wanted = q.RangeFloat(gte=float(chosen.first), lt=float(chosen.below))
            must.append(q.FieldCondition("bucket", range=wanted))
        if chosen.collections is not None:
            must.append(q.FieldCondition("collection", match=q.MatchAny(list(chosen.collections))))
        return q.Filter(must=must) if must else None

    def search(self, query: Floats, settled: Any, effort: int) -> Sequence[int]:
        q = self._q
        rescored = q.QuantizationSearchParams(rescore=True, oversampling=2.0)
        request = q.SearchRequest(
            query=q.Query.Nearest(query.tolist()),
            limit=NEAREST,
            filter=settled,
            params=q.SearchParams(hnsw_ef=effort or None, exact=effort == EVERYTHING, quantization=rescored),
        )
        return [point.id for point in self._shard.search(request)]


class Lance(Engine):
    """Partitions of HNSW graphs over 8-bit rows, rescored; bitmap and B-tree indexes over payload."""

    package = "lancedb"
    efforts = (8, 16, 32, 64, 128, 256, 512)
    exact = True

    @staticmethod
    def build(vectors: Made, index: Path) -> None:
        lancedb, pa = importlib.import_module("lancedb"), importlib.import_module("pyarrow")
        fields = {"id": pa.int64(), "bucket": pa.int32(), "collection": pa.int32()}
        schema = pa.schema([*fields.items(), ("vector", pa.list_(pa.float32(), DIMENSION))])

        def batches() -> Iterable[Any]:
            for begin in range(0, len(vectors.rows), _BATCH):
                own = slice(begin, begin + _BATCH)
                rows = pa.FixedSizeListArray.from_arrays(pa.array(vectors.rows[own].ravel()), DIMENSION)
                numbers = (
                    np.arange(begin, begin + len(rows)),
                    vectors.buckets[own].astype(np.int32),
                    vectors.collections[own].astype(np.int32),
                )
                yield pa.RecordBatch.from_arrays([*map(pa.array, numbers), rows], schema=schema)

        reader = pa.RecordBatchReader.from_batches(schema, batches())
        table = lancedb.connect(str(index)).create_table("vectors", reader)
        table.create_scalar_index("bucket", index_type="BTREE")
        table.create_scalar_index("collection", index_type="BITMAP")
        kinds = importlib.import_module("lancedb.index")
        table.create_index("vector", config=kinds.HnswSq(distance_type="dot"))

    def __init__(self, vectors: Made, index: Path) -> None:
        self._table = importlib.import_module("lancedb").connect(str(index)).open_table("vectors")

    def kept(self, chosen: Filter) -> Any:
        return _condition(chosen, " AND ", "collection IN ({})")

    def search(self, query: Floats, settled: Any, effort: int) -> Sequence[int]:
        asked = self._table.search(query).distance_type("dot").limit(NEAREST).select(["id", "_distance"])
        if effort == EVERYTHING:
            asked = asked.bypass_vector_index()
        else:
            asked = asked.nprobes(effort).ef(max(NEAREST * _REFINED, effort)).refine_factor(_REFINED)
        if settled:
            asked = asked.where(settled)
        found: list[int] = asked.to_arrow()["id"].to_pylist()
        return found


class Zvec(Engine):
    """16 links a node, 100 candidates when building, over 8-bit rows, rescored; payload indexed."""

    package = "zvec"
    efforts = (32, 64, 128, 256, 512, 1024, 2048)
    exact = True

    @staticmethod
    def build(vectors: Made, index: Path) -> None:
        z = importlib.import_module("zvec")
        z.init(optimize_threads=THREADS, query_threads=THREADS)
        payload = z.InvertIndexParam(enable_range_optimization=True)
        small = z.QuantizeType.INT8
        graph = z.HnswIndexParam(metric_type=z.MetricType.IP, m=16, ef_construction=100, quantize_type=small)
        schema = z.CollectionSchema(
            "vectors",
            fields=[z.FieldSchema(name, z.DataType.INT32, index_param=payload) for name in ("bucket", "collection")],
            vectors=z.VectorSchema("vector", z.DataType.VECTOR_FP32, DIMENSION, index_param=graph),
        )
        collection = z.create_and_open(str(index), schema)
        for begin in range(0, len(vectors.rows), 1_000):
            own = slice(begin, begin + 1_000)
            given = zip(
                vectors.rows[own], vectors.buckets[own].tolist(), vectors.collections[own].tolist(), strict=True
            )
            documents = [
                z.Doc(str(begin + place), vectors={"vector": row}, fields={"bucket": b, "collection": c})
                for place, (row, b, c) in enumerate(given)
            ]
            if not all(status.ok() for status in collection.insert(documents)):
                raise SystemExit("zvec refused vectors.")
        collection.optimize()
        collection.flush()
        collection.close()

    def __init__(self, vectors: Made, index: Path) -> None:
        self._z = importlib.import_module("zvec")
        self._z.init(query_threads=THREADS)
        self._collection = self._z.open(str(index), self._z.CollectionOption(read_only=True))

    def kept(self, chosen: Filter) -> Any:
        return _condition(chosen, " and ", "collection in ({})")

    def search(self, query: Floats, settled: Any, effort: int) -> Sequence[int]:
        spent = self._z.HnswQueryParam(
            ef=effort or NEAREST, is_linear=effort == EVERYTHING, is_using_refiner=True, scale_factor=3.0
        )
        asked = self._z.Query("vector", vector=query, param=spent)
        found = self._collection.query(asked, topk=NEAREST, filter=settled, output_fields=[])
        return [int(one.id) for one in found]


def _condition(chosen: Filter, both: str, within: str) -> str | None:
    parts = []
    if chosen.by_bucket:
        parts.append(f"bucket >= {chosen.first}{both}bucket < {chosen.below}")
    if chosen.collections is not None:
        parts.append(within.format(", ".join(map(str, chosen.collections))))
    return both.join(parts) or None


def _batches(rows: Floats, size: int) -> Iterable[Floats]:
    for begin in range(0, len(rows), size):
        yield np.ascontiguousarray(rows[begin : begin + size])


ENGINES: Final[Mapping[str, type[Engine]]] = {
    "Loupe": Loupe,
    "Qdrant Edge": Qdrant,
    "LanceDB": Lance,
    "zvec": Zvec,
    "usearch": Usearch,
    "hnswlib": Hnswlib,
    "FAISS HNSW": FaissHnsw,
    "FAISS IVF": FaissIvf,
}


# ---- measuring


class Cell(msgspec.Struct, frozen=True):
    """One case for one kind of query, at the quickest effort whose recall reaches 0.99, or else the best recall.

    Milliseconds, of searches with a new filter, of the same less what it takes an engine that is given sets to make one
    of what the filter is made of (`united`), and of those `again` with one that was asked for before. `outside`
    counts rows that the filter does not keep; `asked` is how many queries there was time for.
    """

    query: str
    kept: str
    share: float
    effort: int
    recall: float
    median: float
    p95: float
    united: float
    united_p95: float
    again: float
    again_p95: float
    asked: int
    outside: int


class Measured(msgspec.Struct, frozen=True):
    """What one engine did. Memory in MiB: resident before the index was opened, after the last query, at most."""

    version: str
    build_seconds: float
    bytes: int
    open_seconds: float
    before: float
    resident: float
    peak: float
    cells: list[Cell]


def measure(engine: Engine, asked: Iterable[Asked], vectors: Made) -> Iterable[Cell]:
    """Every case for every kind of query."""
    for of_kind in asked:
        for place in range(len(CASES)):
            yield _cell(engine, of_kind, place, vectors)


def _cell(engine: Engine, asked: Asked, place: int, vectors: Made) -> Cell:
    rounds: list[Cell] = []
    for effort in engine.efforts:
        rounds.append(_round(engine, asked, place, effort, vectors))
        if rounds[-1].recall >= RECALL or rounds[-1].median > 1000 * _SLOW:
            break
    if engine.exact and (rounds[-1].recall < RECALL or rounds[-1].median > 1000 * _QUICK):
        rounds.append(_round(engine, asked, place, EVERYTHING, vectors))
    chosen = max(rounds, key=lambda one: (min(one.recall, RECALL), -one.median))
    effort, times = chosen.effort, _ROUNDS if chosen.median < 1000 * _BRIEF else 1
    others = [_round(engine, asked, place, effort, vectors) for _ in range(times - 1)]
    best = min([chosen, *others], key=lambda one: one.median)
    again = min((_again(engine, asked, place, effort) for _ in range(times)), key=_median)
    return msgspec.structs.replace(best, again=_median(again), again_p95=_p95(again))


def _round(engine: Engine, asked: Asked, place: int, effort: int, vectors: Made) -> Cell:
    """The queries one by one, each with a filter that is new, after a few that do not count, at one effort."""
    found: list[Sequence[int]] = []
    taken: list[float] = []
    united: list[float] = []
    filters = asked.filters[place]
    # With the last ones: until their turn comes an engine has met others, and has not kept theirs.
    for query, chosen in zip(asked.queries[-_WARMING:], filters[-_WARMING:], strict=True):
        engine.search(query, engine.settled(engine.kept(chosen)), effort)
    # Made before anything is timed: else making it would empty the processor's caches of whatever a search needs.
    ready = {chosen: engine.kept(chosen) for chosen in filters}
    for query, chosen in zip(asked.queries, filters, strict=True):
        kept = ready[chosen]
        start = perf_counter()
        settled = engine.settled(kept)
        begun = perf_counter()
        rows = engine.search(query, settled, effort)
        end = perf_counter()
        taken.append(end - start)
        united.append(end - begun)
        found.append(rows)
        if sum(taken) > _ROUND and len(taken) >= _FEWEST:
            break
    outside = sum(
        not (chosen.takes(vectors.buckets[row]) and (chosen.collections is None or vectors.collections[row] in listed))
        for rows, chosen in zip(found, filters, strict=False)
        for listed in [set(chosen.collections or ())]
        for row in rows
    )
    case = CASES[place]
    return Cell(
        query=asked.kind, kept=case.kept, share=case.share, effort=effort, recall=round(asked.recall(place, found), 4),
        median=_median(taken), p95=_p95(taken), united=_median(united), united_p95=_p95(united),
        again=0.0, again_p95=0.0, asked=len(taken), outside=outside,
    )  # fmt: skip


def _again(engine: Engine, asked: Asked, place: int, effort: int) -> list[float]:
    """The seconds of each query under its filter, for which another query was asked just before."""
    taken: list[float] = []
    for number, (query, chosen) in enumerate(zip(asked.queries, asked.filters[place], strict=True)):
        settled = engine.settled(engine.kept(chosen))
        engine.search(asked.queries[number - 1], settled, effort)
        start = perf_counter()
        engine.search(query, settled, effort)
        taken.append(perf_counter() - start)
        if sum(taken) > _ROUND:
            break
    return taken


def _median(taken: Sequence[float]) -> float:
    """The median of some seconds, in milliseconds."""
    return round(1000 * statistics.median(taken), 3)


def _p95(taken: Sequence[float]) -> float:
    """What 95 % of some seconds take at most, in milliseconds."""
    return round(1000 * float(np.quantile(taken, 0.95)), 3)


# ---- the processes

_FOLDER: Final = click.Path(exists=True, file_okay=False, path_type=Path)


@click.group()
def main() -> None:
    """Build or measure one engine, in this process."""


@main.command()
@click.argument("name", type=click.Choice(list(ENGINES)))
@click.argument("vectors", type=_FOLDER)
@click.argument("index", type=click.Path(path_type=Path))
def build(name: str, vectors: Path, index: Path) -> None:
    """Build an index, and write beside it how long it took."""
    start = perf_counter()
    ENGINES[name].build(opened(vectors), index)
    built = {"seconds": round(perf_counter() - start, 1), "version": metadata.version(ENGINES[name].package)}
    index.with_suffix(".built.json").write_text(json.dumps(built), encoding="ascii")


@main.command("measure")
@click.argument("name", type=click.Choice(list(ENGINES)))
@click.argument("vectors", type=_FOLDER)
@click.argument("index", type=_FOLDER)
@click.argument("asked", type=click.Path(exists=True, path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
def measure_command(name: str, vectors: Path, index: Path, asked: Path, out: Path) -> None:
    """Open an index, ask, and write what came of it."""
    made, questions = opened(vectors), read(asked)
    _read_through(index)
    before = memory_of("VmRSS") / 2**20
    start = perf_counter()
    engine = ENGINES[name](made, index)
    open_seconds = perf_counter() - start
    cells = list(measure(engine, questions, made))
    built = json.loads(index.with_suffix(".built.json").read_bytes())
    size = sum(path.stat().st_blocks * 512 for path in index.rglob("*") if path.is_file())
    out.write_bytes(
        msgspec.json.encode(
            Measured(
                built["version"], built["seconds"], size, round(open_seconds, 3), round(before, 1),
                round(memory_of("VmRSS") / 2**20, 1), round(memory_of("VmHWM") / 2**20, 1), cells,
            )
        )
    )  # fmt: skip


@main.command("scan")
@click.argument("vectors", type=_FOLDER)
@click.argument("asked", type=click.Path(exists=True, path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
def scan_command(vectors: Path, asked: Path, out: Path) -> None:
    """Have FAISS look at all vectors, exactly, and write the median milliseconds: what the machine is worth."""
    import faiss

    faiss.omp_set_num_threads(THREADS)
    index = faiss.IndexFlatIP(DIMENSION)
    for rows in _batches(opened(vectors).rows, _BATCH):
        index.add(rows)
    taken: list[float] = []
    for query in np.concatenate([of_kind.queries for of_kind in read(asked)]):
        start = perf_counter()
        index.search(query[None], NEAREST)
        taken.append(perf_counter() - start)
        if sum(taken) > _ROUND and len(taken) >= _FEWEST:
            break
    out.write_bytes(msgspec.json.encode(round(1000 * statistics.median(taken), 3)))


def _read_through(folder: Path) -> None:
    """Have the system hold what is in a folder, as far as there is memory."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb", buffering=0) as file:
                while file.read(_READ):
                    pass


if __name__ == "__main__":
    main()
