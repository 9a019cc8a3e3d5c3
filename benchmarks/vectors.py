"""The vectors, queries and filters that filtered search is measured on: `python -m benchmarks.vectors --captioned DIR`.

There are a few thousand photographs and a million are wanted. So real vectors are mixed and perturbed: a made vector is
a photograph, moved some way towards a random mean of its nearest neighbours, further in random directions among them (a
smoothed bootstrap with the local covariance: Silverman, Young 1987), and a little in all directions, by noise that has
the spectrum of what the neighbours do not explain. The command prints how like real ones they are.

* Vectors are loupe-mini's, brought from 1,153 to 512 dimensions by the principal directions of the photographs (not
  centred, so that inner products survive) and to length one again.
* Image queries are photographs that training leaves out, text queries their captions, through the text tower. Neither
  has a part in what is made. Half of them are for tuning, the other half for what is reported.
* Each vector has a `bucket`, 0 to 9,999 by chance, and a `collection`, one of 1,000 clusters (k-means, so uneven).
* A filter keeps a share of the vectors: random ones (by bucket, from another one on for each query); those nearest to
  the query, as for a person who may see just what was asked for; or those farthest from it, as for one who may not.
  Near and far ones are collections of the query's own, as many as are needed, and thinned by bucket.
"""

import hashlib
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Final

import click
import msgspec
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.table import Table

from benchmarks.measures import CAPTIONED, CONSOLE

DIMENSION: Final = 512
BUCKETS: Final = 10_000
COLLECTIONS: Final = 1_000
#: How many of the nearest are asked for.
NEAREST: Final = 10
#: So many vectors are made at a time.
CHUNK: Final = 50_000
#: How many vectors there may be, of which the least filter keeps one by expectation; and queries of a kind.
ROWS: Final = click.IntRange(min=BUCKETS)
QUERIES: Final = click.IntRange(1, 500)
#: What filters keep of the vectors.
SHARES: Final = (0.5, 0.1, 0.01, 0.001, 0.0001)
CACHE: Final = Path.home() / ".cache" / "loupe-bench"

#: How a vector is made; changed numbers make other vectors. Chosen so that the table of `likeness` agrees.
_SEED: Final = 4
_MIXED: Final = 8  # neighbours moved towards
_MOST_MIXED: Final = 0.8  # how far at most
_AROUND: Final = 32  # neighbours whose covariance is the local one
_ALONG: Final = 0.85  # how much of it
_ASIDE: Final = 0.3  # how much of what the neighbours do not explain
_SAMPLE: Final = 100_000  # vectors that the collections are found from

#: Which way of making filters this is, as queries are kept with theirs.
_FILTERS: Final = 2

Floats = NDArray[np.float32]


class Kind(StrEnum):
    """What a query is."""

    image = "image"
    text = "text"


class Split(StrEnum):
    """Queries to tune on, and others to report."""

    tuning = "tuning"
    reported = "reported"


class Kept(StrEnum):
    """Which vectors a filter keeps, as seen from the query."""

    all = "all"
    random = "random"
    near = "near"
    far = "far"


class Filter(msgspec.Struct, frozen=True):
    """Keeps vectors whose bucket is `first` or more and less than `below`, and whose collection is listed; None: in any
    collection."""

    first: int = 0
    below: int = BUCKETS
    collections: tuple[int, ...] | None = None

    @property
    def by_bucket(self) -> bool:
        """Whether there are buckets that it does not keep."""
        return self.below - self.first < BUCKETS

    def takes(self, buckets: NDArray[np.uint16]) -> NDArray[np.bool_]:
        """Whether it keeps each of some buckets."""
        return (buckets >= self.first) & (buckets < self.below)


class Case(msgspec.Struct, frozen=True):
    """What a filter keeps, and which share of the vectors that is."""

    kept: Kept
    share: float


#: Everything, and each share of each kind.
CASES: Final = (
    Case(Kept.all, 1.0),
    *(Case(kept, share) for kept in (Kept.random, Kept.near, Kept.far) for share in SHARES),
)


class Photographs(msgspec.Struct, frozen=True):
    """Unit vectors of photographs to make others from, and of those left out with a caption each, float32 [n, 1153]."""

    base: Floats
    images: Floats
    captions: Floats

    def projected(self) -> "Photographs":
        """The same in 512 dimensions, each of length one."""
        directions: Floats = np.linalg.eigh(self.base.T @ self.base)[1][:, : -DIMENSION - 1 : -1]
        return Photographs(*(unit(each @ directions) for each in (self.base, self.images, self.captions)))


class Made(msgspec.Struct, frozen=True):
    """n vectors to search in: `rows` float32 [n, 512], in `folder`, mapped from disk; `buckets` uint16 [n]; and
    `collections` uint16 [n], with the mean of each as float32 [1000, 512].

    `by_collection` int64 [n] has the rows collection by collection, which begin at `begins` int64 [1001].
    """

    folder: Path
    rows: Floats
    buckets: NDArray[np.uint16]
    collections: NDArray[np.uint16]
    means: Floats
    by_collection: NDArray[np.int64]
    begins: NDArray[np.int64]

    def filter(self, case: Case, query: Floats) -> Filter:
        """The filter that keeps this share of the rows, as seen from the query, float32 [512]."""
        if case.kept in (Kept.all, Kept.random):
            width = round(case.share * BUCKETS)
            first = zlib.crc32(query.tobytes()) % (BUCKETS - width + 1)
            return Filter(first, first + width)
        likeness = self.means @ query  # the mean of the likenesses of a collection's rows
        order = np.argsort(-likeness if case.kept is Kept.near else likeness, kind="stable")
        sizes = np.diff(self.begins)[order]
        order, sizes = order[sizes > 0], sizes[sizes > 0]
        wanted = max(1, round(case.share * len(self.rows)))
        listed = order[: int(np.searchsorted(np.cumsum(sizes), wanted)) + 1].tolist()
        buckets = self.buckets[self._within(listed)]
        last = int(np.partition(buckets, wanted - 1)[wanted - 1])
        return Filter(0, last + 1, tuple(sorted(listed)))

    def keeps(self, chosen: Filter) -> NDArray[np.int64]:
        """The rows that a filter keeps, in order, int64 [m]."""
        if chosen.collections is None:
            return np.flatnonzero(chosen.takes(self.buckets))
        rows = self._within(chosen.collections)
        return np.sort(rows[chosen.takes(self.buckets[rows])])

    def _within(self, collections: Sequence[int]) -> NDArray[np.int64]:
        return np.concatenate([self.by_collection[self.begins[c] : self.begins[c + 1]] for c in collections])


class Asked(msgspec.Struct, frozen=True):
    """Queries of one kind, float32 [n, 512]; for each case a filter per query and the rows that are right.

    `right` int64 [cases, n, 10] has the nearest rows that the filter keeps, best first, -1 where it keeps fewer.
    """

    kind: Kind
    queries: Floats
    filters: Sequence[Sequence[Filter]]
    right: NDArray[np.int64]

    def recall(self, case: int, found: Sequence[Sequence[int]]) -> float:
        """The mean share of the right rows that were found, for queries from the first on.

        Where a filter keeps nothing, nothing is missed.
        """
        shares = []
        for right, rows in zip(self.right[case].tolist(), found, strict=False):
            wanted = {row for row in right if row >= 0}
            shares.append(len(wanted.intersection(rows)) / len(wanted) if wanted else 1.0)
        return float(np.mean(shares))


def photographs(folder: Path, cache: Path) -> Photographs:
    """The vectors of a captioned folder, embedded once (some ten minutes on two cores)."""
    # Here, since whoever only reads vectors measures its memory, and models are large.
    from search.models.loading import load_models
    from search.models.loupe_mini.data import captioned as captions_of

    models = load_models()
    source = captions_of(folder)
    left_out = sorted(source.left_out)
    kept = cache / f"photographs-{_digest(str(models.visual.model_id), *map(str, source.paths))}.npz"
    if not kept.exists():
        seen = models.visual.embed_images(_pictures(source.paths))
        captions = models.visual.embed_texts([source.texts[place][0] for place in left_out])
        cache.mkdir(parents=True, exist_ok=True)
        np.savez(kept, base=np.delete(seen, left_out, axis=0), images=seen[left_out], captions=captions)
    with np.load(kept) as read:
        return Photographs(read["base"], read["images"], read["captions"])


def made(base: Floats, count: int, cache: Path) -> Made:
    """`count` vectors made from unit vectors, float32 [n, 512]; fewer of them are the first of more."""
    recipe = (_SEED, _MIXED, _MOST_MIXED, _AROUND, _ALONG, _ASIDE, CHUNK, _SAMPLE, COLLECTIONS)
    folder = cache / f"vectors-{count}-{_digest(base.tobytes().hex(), *map(str, recipe))}"
    if not folder.exists():
        unfinished = folder.with_suffix(".unfinished")
        unfinished.mkdir(parents=True, exist_ok=True)
        rows = np.lib.format.open_memmap(unfinished / "rows.npy", "w+", np.float32, (count, base.shape[1]))
        make = maker(base)
        for chunk, begin in enumerate(range(0, count, CHUNK)):
            rows[begin : begin + CHUNK] = make(chunk)[: count - begin]
        rows.flush()
        chance = np.random.default_rng([_SEED, 1])
        np.save(unfinished / "buckets.npy", chance.integers(BUCKETS, size=count, dtype=np.uint16))
        collections, means = _clustered(rows)
        np.save(unfinished / "collections.npy", collections)
        np.save(unfinished / "means.npy", means)
        unfinished.rename(folder)
    return opened(folder)


def opened(folder: Path) -> Made:
    """What `made` wrote."""
    collections = np.load(folder / "collections.npy")
    return Made(
        folder=folder,
        rows=np.load(folder / "rows.npy", mmap_mode="r"),
        buckets=np.load(folder / "buckets.npy"),
        collections=collections,
        means=np.load(folder / "means.npy"),
        by_collection=np.argsort(collections, kind="stable"),
        begins=np.concatenate([[0], np.cumsum(np.bincount(collections, minlength=COLLECTIONS))]),
    )


def maker(base: Floats) -> Callable[[int], Floats]:
    """What makes the chunk of a number from unit vectors, float32 [n, d]: float32 [50000, d], always the same."""
    around = min(_AROUND, len(base) - 1)
    nearest = _nearest(base, around)
    unexplained = base - base[nearest[:, :_MIXED]].mean(axis=1)
    values, directions = np.linalg.eigh(unexplained.T @ unexplained / len(base))
    aside = (_ASIDE * np.sqrt(values.clip(min=0))[:, None] * directions.T).astype(np.float32)

    def make(chunk: int) -> Floats:
        chance = np.random.default_rng([_SEED, 0, chunk])
        begun = np.sort(chance.integers(len(base), size=CHUNK))
        along = chance.standard_normal((CHUNK, around), dtype=np.float32)
        weights = np.empty((CHUNK, 1 + around), np.float32)
        weights[:, 1:] = _ALONG / np.sqrt(around) * (along - along.mean(axis=1, keepdims=True))
        moved = chance.uniform(0, _MOST_MIXED, (CHUNK, 1)).astype(np.float32)
        mixed = chance.dirichlet(np.full(min(_MIXED, around), 0.5), CHUNK).astype(np.float32)
        weights[:, :1] = 1 - moved
        weights[:, 1 : 1 + mixed.shape[1]] += moved * mixed
        rows = chance.standard_normal((CHUNK, base.shape[1]), dtype=np.float32) @ aside
        first = np.searchsorted(begun, np.arange(len(base) + 1))
        for photograph in np.unique(begun):
            own = slice(first[photograph], first[photograph + 1])
            rows[own] += weights[own] @ base[[photograph, *nearest[photograph]]]
        return unit(rows)[chance.permutation(CHUNK)]

    return make


def asked(vectors: Made, queries: Mapping[Kind, Floats], name: str) -> Path:
    """A file with the queries of each kind, their filters and the exact answers, computed once for each `name`."""
    digest = _digest(str(_FILTERS), *(each.tobytes().hex() for each in queries.values()))
    kept = vectors.folder / f"{name}-{digest}.json"
    if not kept.exists():
        computed: dict[Kind, _Asked] = {}
        for kind, each in queries.items():
            filters = [[vectors.filter(case, query) for query in each] for case in CASES]
            computed[kind] = _Asked(each.tolist(), filters, exact(vectors, each, filters).tolist())
        kept.write_bytes(msgspec.json.encode(computed))
    return kept


def read(kept: Path) -> list[Asked]:
    """What `asked` wrote."""
    written = msgspec.json.decode(kept.read_bytes(), type=dict[Kind, _Asked])
    return [
        Asked(kind, np.array(one.queries, np.float32), one.filters, np.array(one.right))
        for kind, one in written.items()
    ]


class _Asked(msgspec.Struct, frozen=True):
    queries: list[list[float]]
    filters: list[list[Filter]]
    right: list[list[list[int]]]


def exact(vectors: Made, queries: Floats, filters: Sequence[Sequence[Filter]]) -> NDArray[np.int64]:
    """For each case and query the nearest rows that the filter keeps, int64 [cases, n, 10]: see `Asked.right`."""
    right = np.full((len(filters), len(queries), NEAREST), -1, np.int64)
    count = len(vectors.rows)
    at_once = max(1, 64_000_000 // count)
    for begin in range(0, len(queries), at_once):
        part = queries[begin : begin + at_once]
        scores = np.empty((len(part), count), np.float32)
        for block in range(0, count, CHUNK):
            scores[:, block : block + CHUNK] = part @ vectors.rows[block : block + CHUNK].T
        for case, chosen in enumerate(filters):
            for place in range(len(part)):
                rows = vectors.keeps(chosen[begin + place])
                best = _best(scores[place, rows], NEAREST)
                right[case, begin + place, : len(best)] = rows[best]
    return right


def queries_of(projected: Photographs, split: Split, count: int) -> dict[Kind, Floats]:
    """The first `count` queries of each kind of a split; at most half of the photographs left out."""
    half = len(projected.images) // 2
    own = slice(0, half) if split is Split.reported else slice(half, None)
    return {Kind.image: projected.images[own][:count], Kind.text: projected.captions[own][:count]}


def unit(vectors: Floats) -> Floats:
    """Each row divided by its length."""
    lengths: Floats = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / lengths


# ---- how like real ones the vectors are


class Likeness(msgspec.Struct, frozen=True):
    """How near its neighbours are to a probe, in the median, and in how many dimensions they lie.

    Dimensions are the maximum-likelihood estimate over Euclidean distances to the 20, 100 and 1,000 nearest (Levina,
    Bickel 2004), averaged over probes by their inverses (MacKay, Ghahramani 2005).
    """

    probes: str
    among: str
    first: float
    tenth: float
    hundredth: float
    dimension_20: float
    dimension_100: float
    dimension_1000: float


def likeness(probes: str, among: str, queries: Floats, rows: Floats, *, themselves: bool = False) -> Likeness:
    """Measure probes float32 [n, d] among rows float32 [m, d]; `themselves`: the probes are the first rows."""
    found = np.concatenate(
        [_highest(queries, rows[block : block + CHUNK], 1001) for block in range(0, len(rows), CHUNK)], axis=1
    )
    scores = -np.sort(-found, axis=1)[:, int(themselves) :]
    first, tenth, hundredth = (round(float(np.median(scores[:, place])), 3) for place in (0, 9, 99))
    return Likeness(probes, among, first, tenth, hundredth, *(_dimension(scores[:, :k]) for k in (20, 100, 1000)))


def _dimension(scores: Floats) -> float:
    """The estimate from the cosines of the k nearest, best first, float32 [n, k]."""
    distances = np.sqrt(np.maximum(2 - 2 * scores.astype(np.float64), 1e-9))
    return round(float(1 / np.log(distances[:, -1:] / distances[:, :-1]).mean()), 1)


class Projection(msgspec.Struct, frozen=True):
    """How captions find photographs: at 1, 5 and 10 their own among those left out, and how many of the ten
    photographs to make others from that are nearest in all dimensions are so in these."""

    dimensions: int
    hit_at_1: float
    hit_at_5: float
    hit_at_10: float
    same_for_text: float
    same_for_images: float


def projection(full: Photographs, projected: Photographs) -> Projection:
    """Measure vectors in the dimensions of `projected` against all."""
    own = projected.captions @ projected.images.T
    place = (own > np.diag(own)[:, None]).sum(axis=1)
    hits = [round(float((place < k).mean()), 3) for k in (1, 5, 10)]
    same = [
        _same(before @ full.base.T, after @ projected.base.T)
        for before, after in ((full.captions, projected.captions), (full.images, projected.images))
    ]
    return Projection(projected.base.shape[1], *hits, *same)


def _same(before: Floats, after: Floats) -> float:
    pairs = zip(before, after, strict=True)
    return round(float(np.mean([len(np.intersect1d(_best(a, 10), _best(b, 10))) / 10 for a, b in pairs])), 3)


# ---- inside


def _pictures(paths: Sequence[Path]) -> Iterator[Image.Image]:
    for path in paths:
        with Image.open(path) as image:
            yield image.convert("RGB")


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:10]


def _nearest(base: Floats, count: int) -> NDArray[np.int64]:
    """The places of the nearest others of each vector, best first, int64 [n, count]."""
    found = []
    for begin in range(0, len(base), CHUNK):
        scores = base[begin : begin + CHUNK] @ base.T
        scores[np.arange(len(scores)), begin + np.arange(len(scores))] = -2
        found.append(np.argsort(-scores, axis=1)[:, :count])
    return np.concatenate(found)


def _best(scores: Floats, count: int) -> NDArray[np.int64]:
    """The places of the highest scores, best first."""
    if len(scores) > count:
        highest = np.argpartition(scores, -count)[-count:]
        return highest[np.argsort(-scores[highest], kind="stable")]
    return np.argsort(-scores, kind="stable")


def _highest(queries: Floats, rows: Floats, count: int) -> Floats:
    scores: Floats = queries @ rows.T
    return scores if len(rows) <= count else np.partition(scores, -count, axis=1)[:, -count:]


def _clustered(rows: Floats) -> tuple[NDArray[np.uint16], Floats]:
    """The collection of each row, uint16 [n], and the mean of each collection, float32 [1000, d]."""
    import faiss

    clusters = faiss.Kmeans(
        rows.shape[1], min(COLLECTIONS, len(rows)), niter=8, seed=_SEED, spherical=True, min_points_per_centroid=1
    )
    clusters.train(np.array(rows[:_SAMPLE]))
    centres: Floats = clusters.centroids
    collections = np.concatenate(
        [np.argmax(rows[begin : begin + CHUNK] @ centres.T, axis=1) for begin in range(0, len(rows), CHUNK)]
    ).astype(np.uint16)
    sums = np.zeros((COLLECTIONS, rows.shape[1]))
    for begin in range(0, len(rows), CHUNK):
        own = collections[begin : begin + CHUNK]
        order = np.argsort(own, kind="stable")
        present, first = np.unique(own[order], return_index=True)
        sums[present] += np.add.reduceat(rows[begin : begin + CHUNK][order], first, axis=0)
    sizes = np.bincount(collections, minlength=COLLECTIONS).clip(min=1)
    return collections, (sums / sizes[:, None]).astype(np.float32)


# ---- the command


@click.command()
@click.option(
    "--captioned", type=CAPTIONED, required=True,
    help="Photographs with captions.",
)  # fmt: skip
@click.option("--rows", type=ROWS, default=100_000, show_default=True, help="How many vectors to make.")
@click.option("--cache", type=click.Path(file_okay=False, path_type=Path), default=CACHE, help="Where to keep them.")
@click.option("--json", "as_json", type=click.Path(dir_okay=False, path_type=Path), help="Write the figures here too.")
def main(captioned: Path, rows: int, cache: Path, as_json: Path | None) -> None:
    """Make vectors and say how like real ones they are."""
    full = photographs(captioned, cache)
    projected = full.projected()
    vectors = made(projected.base, rows, cache)
    projections = [projection(full, full), projection(full, projected)]
    likenesses = list(_likenesses(projected, vectors))
    sizes = np.sort(np.diff(vectors.begins))
    CONSOLE.print(_projections(projections), _likeness_table(likenesses, len(projected.base), rows))
    spread = np.quantile(sizes, (0, 0.1, 0.5, 0.9, 1)).astype(int).tolist()
    CONSOLE.print(f"Rows a collection: {spread} (least, 10 %, median, 90 %, most)")
    CONSOLE.print(f"{rows} vectors of {DIMENSION} dimensions are in {vectors.folder}")
    if as_json:
        figures = {"projection": projections, "likeness": likenesses, "collections": spread}
        as_json.write_bytes(msgspec.json.format(msgspec.json.encode(figures)) + b"\n")


def _likenesses(projected: Photographs, vectors: Made) -> Iterator[Likeness]:
    real = projected.base
    few = np.array(vectors.rows[: len(real)])
    for among, rows in (("real", real), ("made", few), ("all made", vectors.rows)):
        yield likeness("images", among, projected.images[:500], rows)
        yield likeness("captions", among, projected.captions[:500], rows)
        yield likeness("each other", among, rows[:500], rows, themselves=True)


def _projections(measured: Sequence[Projection]) -> Table:
    table = Table(title="captions finding their photograph, before and after projection", title_justify="left")
    for name in ("dimensions", "hit@1", "hit@5", "hit@10", "same ten, text", "same ten, images"):
        table.add_column(name, justify="right")
    for one in measured:
        table.add_row(*(str(value) for value in msgspec.structs.astuple(one)))
    return table


def _likeness_table(measured: Sequence[Likeness], few: int, many: int) -> Table:
    title = f"real vectors and made ones: cosines to the nearest, and local dimension ({few} of each; all: {many})"
    table = Table(title=title, title_justify="left")
    for name in ("probes", "among"):
        table.add_column(name)
    for name in ("1st", "10th", "100th", "dim. of 20", "of 100", "of 1,000"):
        table.add_column(name, justify="right")
    for one in sorted(measured, key=lambda one: one.probes):
        table.add_row(*(str(value) for value in msgspec.structs.astuple(one)))
    return table


if __name__ == "__main__":
    main()
