"""Nearest neighbours within a scope: exact or nearly so, always as many as asked for, and never from outside it."""

import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path

import faiss
import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pyroaring import BitMap

from search import policy
from search.columns import Columns
from search.engine import Plan, Vectors
from search.engines.embedded import lists
from search.engines.embedded import vectors as planner
from search.engines.embedded.vectors import VectorIndex
from search.errors import InvalidInput
from search.types import Action, Asset, Licence, MediaType, Principal, Rights, Status
from tests.conftest import NOW, everyone_may

ASSETS = 6000


@pytest.fixture(scope="module")
def everything() -> policy.Scope:
    """A scope of the assets 0 to ASSETS, made the only way there is; tests narrow it."""
    grants = everyone_may("c", Action.find, Action.use)
    owned = Rights(licence=Licence.owned)
    first = Asset(0, "a", "", "", MediaType.image, "", "c", Status.approved, NOW, rights=owned)
    assets = (msgspec.structs.replace(first, ordinal=n, id=f"a{n}") for n in range(ASSETS + 1))
    columns = Columns().updated(put=assets, collection_grants={"c": grants})
    return policy.scope(Principal("x"), None, NOW, columns)


@pytest.fixture
def listed_early(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thresholds as for a large index, on a small one."""
    monkeypatch.setattr(planner, "LISTED", 1000)
    monkeypatch.setattr(planner, "_GATHERED", 50)
    monkeypatch.setattr(planner, "_NAMED_SHARE", 0.13)


def vectors(rows: np.ndarray, assets: Iterable[int], first: int = 100) -> Vectors:
    numbers = np.array(list(assets), np.int64)
    return Vectors("picture-model", rows.astype(np.float32), np.arange(len(numbers)) + first, numbers)


def written(made: Vectors, folder: Path) -> VectorIndex:
    VectorIndex.write(made, folder)
    return VectorIndex.open(folder)


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


def clustered(generator: np.random.Generator, count: int, dimension: int = 48) -> tuple[np.ndarray, np.ndarray]:
    """Rows in forty uneven clusters, and the cluster of each."""
    middles = generator.standard_normal((40, dimension))
    cluster = generator.choice(40, count, p=generator.dirichlet(np.full(40, 0.7)))
    spread = generator.uniform(0.2, 0.9, 40)[cluster, None]
    return unit(middles[cluster] + spread * generator.standard_normal((count, dimension))), cluster


@settings(max_examples=100, deadline=None)
@given(
    st.data(),
    hnp.arrays(np.float32, st.tuples(st.integers(1, 40), st.just(4)), elements=st.floats(-1, 1, width=32)),
    st.integers(1, 12),
)
def test_nearest_equals_brute_force_for_any_scope(
    everything: policy.Scope, data: st.DataObject, rows: np.ndarray, limit: int
) -> None:
    owners = data.draw(st.lists(st.integers(1, 12), min_size=len(rows), max_size=len(rows)))
    allowed = data.draw(st.frozensets(st.integers(1, 14)))
    query = rows[0]
    with tempfile.TemporaryDirectory() as folder:
        index = written(vectors(rows, owners), Path(folder) / "index")
        answer = index.nearest(everything.narrowed(BitMap(allowed)), query, limit)
    found = list(answer.matches)
    best: dict[int, float] = {}
    for row, owner in zip(rows, owners, strict=True):
        if owner in allowed:
            best[owner] = max(best.get(owner, -np.inf), float(row @ query))
    assert {match.asset for match in found} <= allowed
    assert len(found) == min(limit, len(best))
    expected = sorted(best.values(), reverse=True)[:limit]
    # Rows are kept in 16 bits, so that four products may be off by a few hundred-thousandths.
    assert np.allclose([match.score for match in found], expected, atol=1e-4)
    assert all(abs(best[match.asset] - match.score) < 1e-4 for match in found)
    assert answer.plan.allowed == sum(owner in allowed for owner in owners)


def share_missed(similar: np.ndarray, found: list[int], allowed: np.ndarray) -> float:
    """The share of the ten best that are allowed which were not found, of equal ones any counts."""
    return float(np.mean(similar[found] < np.sort(similar[allowed])[-10] - 1e-5))


def filters(
    generator: np.random.Generator, similar: np.ndarray, cluster: np.ndarray
) -> Iterator[tuple[str, np.ndarray]]:
    """Which rows may be found, bool [n]: scattered, those like the query, those unlike it, one cluster, all but it."""
    by_likeness = np.argsort([-similar[cluster == n].mean() if (cluster == n).any() else 2.0 for n in range(40)])
    yield "all", np.ones(len(similar), bool)
    for share in (0.5, 0.1, 0.03, 0.002):
        yield f"random {share}", generator.random(len(similar)) < share
    for count in (1, 5, 20):
        yield f"near {count}", np.isin(cluster, by_likeness[:count])
        yield f"all but near {count}", ~np.isin(cluster, by_likeness[:count])
    yield "unlike", similar <= np.quantile(similar, 0.3)
    yield "none", np.zeros(len(similar), bool)


def missed_in_a_library(everything: policy.Scope, folder: Path, seed: int) -> dict[str, list[float]]:
    """The share of the ten best that each query misses, by filter."""
    generator = np.random.default_rng(seed)
    rows, cluster = clustered(generator, ASSETS)
    index = written(vectors(rows, range(ASSETS)), folder)
    like_rows = rows[generator.choice(ASSETS, 12)] + 0.1 * generator.standard_normal((12, 48))
    between = rows[generator.choice(ASSETS, 12)] + rows[generator.choice(ASSETS, 12)]
    shifted = between + 4 * generator.standard_normal(48)  # as texts lie away from all pictures
    missed: dict[str, list[float]] = {}
    methods = set()
    for query in unit(np.concatenate([like_rows, between, shifted])):
        similar = rows @ query
        for name, allowed in filters(generator, similar, cluster):
            answer = index.nearest(everything.narrowed(BitMap(np.flatnonzero(allowed))), query, 10)
            found = [match.asset for match in answer.matches]
            wanted = min(10, int(allowed.sum()))
            assert allowed[found].all() and len(set(found)) == len(found) == wanted, name
            assert np.allclose([match.score for match in answer.matches], similar[found], atol=1e-4)
            methods.add(answer.plan.method)
            if wanted:
                worst = np.sort(similar[allowed])[-wanted]
                missed.setdefault(name, []).append(1 - np.mean(similar[found] >= worst - 1e-5))
    assert methods == {"gather", "lists", "none"} or methods == {"gather", "lists"}
    return missed


def above(bound: float, missed: dict[str, list[float]]) -> dict[str, float]:
    return {name: float(np.mean(shares)) for name, shares in missed.items() if np.mean(shares) > bound}


@pytest.mark.usefixtures("listed_early")
@pytest.mark.parametrize("sampled", [32, 3])
def test_lists_miss_next_to_nothing_whatever_the_filter_and_the_query(
    everything: policy.Scope, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sampled: int
) -> None:
    monkeypatch.setattr(lists, "_SAMPLED_OF_LIST", sampled)
    monkeypatch.setattr(lists, "_DOUBTED", 600)
    libraries = [missed_in_a_library(everything, tmp_path / str(seed), seed) for seed in range(4, 16)]
    assert above(0.01, libraries[0]) == {}
    assert above(0.0075, {name: [*chain(*(missed[name] for missed in libraries))] for name in libraries[0]}) == {}


@pytest.mark.usefixtures("listed_early")
def test_what_was_found_sets_the_model_right(
    everything: policy.Scope, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists, "_FIRST", 50)
    monkeypatch.setattr(lists, "_FIRST_TIMES", 2)
    libraries = []
    for seed in range(9, 21):
        generator = np.random.default_rng(seed)
        rows, _ = clustered(generator, ASSETS)
        queries = unit(rows[generator.choice(ASSETS, 20)] + rows[generator.choice(ASSETS, 20)])
        index = written(vectors(rows, range(ASSETS)), tmp_path / str(seed))
        assert index._lists is not None
        libraries.append((rows, queries, index, index._lists.beyond))

    def looked(trusted: float, times: float) -> tuple[float, int]:
        """The share that is missed, and the rows that are scored, of a model that expects so many times as much."""
        monkeypatch.setattr(lists, "_TRUSTED", trusted)
        missed, scored = [], 0
        for rows, queries, index, model in libraries:
            monkeypatch.setattr(index._lists, "beyond", model * times)
            for query in queries:
                answer = index.nearest(everything, query, 10)
                similar = rows @ query
                missed.append(share_missed(similar, [match.asset for match in answer.matches], np.ones(ASSETS, bool)))
                scored += answer.plan.scored
        return float(np.mean(missed)), scored

    trusted = lists._TRUSTED
    blindly_missed, _ = looked(1e9, 1 / 50)
    missed, _ = looked(trusted, 1 / 50)
    assert missed < blindly_missed / 2
    _, blindly_scored = looked(1e9, 50)
    missed, bounded = looked(trusted, 50)
    assert bounded < 0.97 * blindly_scored and missed <= 0.01
    monkeypatch.setattr(lists, "_LESSENED", 0.0)
    missed, scored = looked(trusted, 50)
    assert scored < 0.9 * blindly_scored and missed <= 0.01


@pytest.mark.usefixtures("listed_early")
@pytest.mark.parametrize("doubted", [0, 600, 10**9])
def test_a_sample_that_tells_nothing_costs_no_answer(
    everything: policy.Scope, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, doubted: int
) -> None:
    monkeypatch.setattr(lists, "_SAMPLED_OF_LIST", 3)
    monkeypatch.setattr(lists, "_DOUBTED", doubted)
    generator = np.random.default_rng(12)
    rows, _ = clustered(generator, ASSETS)
    index = written(vectors(rows, range(ASSETS)), tmp_path / "index")
    assert index._lists is not None
    allowed = np.ones(ASSETS, bool)
    allowed[index._assets[index._lists.sample]] = False
    missed = []
    for query in unit(rows[generator.choice(ASSETS, 20)] + rows[generator.choice(ASSETS, 20)]):
        answer = index.nearest(everything.narrowed(BitMap(np.flatnonzero(allowed))), query, 10)
        found, similar = [match.asset for match in answer.matches], rows @ query
        assert allowed[found].all() and len(set(found)) == 10
        missed.append(share_missed(similar, found, allowed))
    assert np.mean(missed) <= 0.01


@pytest.mark.usefixtures("listed_early")
def test_a_score_is_the_same_among_few_and_among_many(everything: policy.Scope, tmp_path: Path) -> None:
    generator = np.random.default_rng(15)
    rows, _ = clustered(generator, ASSETS, 50)  # dimensions that are padded
    index = written(vectors(rows, range(ASSETS)), tmp_path / "index")
    for query in (rows[0], *unit(generator.standard_normal((5, 50)))):
        many = {match.asset: match.score for match in index.nearest(everything, query, 100).matches}
        few = index.nearest(everything.narrowed(BitMap(many)), query, 100)
        assert {match.asset: match.score for match in few.matches} == many


@pytest.mark.usefixtures("listed_early")
def test_a_filter_that_hides_what_is_near_is_counted_before_codes_are_read(
    everything: policy.Scope, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists, "_DOUBTED", 600)
    done: list[str] = []

    def note(of: type, name: str) -> None:
        method = getattr(of, name)

        def noted(*given: object) -> object:
            done.append(name)
            return method(*given)

        monkeypatch.setattr(of, name, noted)

    note(lists.Allowed, "settle")
    note(lists._LookAtCodes, "_scan")
    rows, _ = clustered(np.random.default_rng(14), ASSETS)
    index = written(vectors(rows, range(ASSETS)), tmp_path / "index")
    far = rows @ rows[0] < np.median(rows @ rows[0])
    index.nearest(everything.narrowed(BitMap(np.flatnonzero(far))), rows[0], 10)
    assert done[:2] == ["settle", "_scan"]
    done.clear()
    index.nearest(everything.narrowed(BitMap(range(0, ASSETS, 2))), rows[0], 10)
    assert done and "settle" not in done


@pytest.mark.usefixtures("listed_early")
def test_threads_that_meet_a_filter_at_once_find_the_same(
    everything: policy.Scope, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists, "_SAMPLED_OF_LIST", 3)
    monkeypatch.setattr(lists, "_DOUBTED", 0)
    rows, cluster = clustered(np.random.default_rng(13), ASSETS)
    index = written(vectors(rows, range(ASSETS)), tmp_path / "index")
    with ThreadPoolExecutor(8) as threads:
        for number in range(20):
            scope = everything.narrowed(BitMap(np.flatnonzero(cluster % 20 != number)))
            asked = [threads.submit(index.nearest, scope, rows[number], 10) for _ in range(8)]
            for answer in (one.result() for one in asked):
                found = [match.asset for match in answer.matches]
                assert len(found) == 10 and (cluster[found] % 20 != number).all()
                assert share_missed(rows @ rows[number], found, cluster % 20 != number) <= 0.1


@pytest.mark.usefixtures("listed_early")
def test_of_few_rows_those_are_scored_whose_lists_promise_something(
    everything: policy.Scope, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists, "_FIRST_NAMED", 50)
    generator = np.random.default_rng(11)
    rows, cluster = clustered(generator, ASSETS)
    index = written(vectors(rows, range(ASSETS)), tmp_path / "index")
    scattered = generator.random(ASSETS) < 0.1
    missed, scored = [], []
    for query in unit(rows[generator.choice(ASSETS, 30)] + 0.1 * generator.standard_normal((30, 48))):
        answer = index.nearest(everything.narrowed(BitMap(np.flatnonzero(scattered))), query, 10)
        found, similar = [match.asset for match in answer.matches], rows @ query
        assert (answer.plan.method, answer.plan.allowed) == ("lists", int(scattered.sum()))
        assert scattered[found].all()
        missed.append(share_missed(similar, found, scattered))
        scored.append(answer.plan.scored / answer.plan.allowed)
    assert np.mean(missed) <= 0.01 and np.mean(scored) < 0.5
    # Where as many lie together, there is little to leave aside.
    largest = np.flatnonzero(cluster == np.bincount(cluster).argmax())[:700]
    assert len(largest) > 300
    together = index.nearest(everything.narrowed(BitMap(largest)), rows[largest[0]], 10)
    assert together.plan == Plan("gather", len(largest), len(largest))


@pytest.mark.usefixtures("listed_early")
@pytest.mark.parametrize("rows_of_each", [1, 2])
@pytest.mark.parametrize("share", [0.1, 0.5])
def test_assets_may_begin_at_any_number_and_leave_some_out(
    everything: policy.Scope, tmp_path: Path, rows_of_each: int, share: float
) -> None:
    generator = np.random.default_rng(17)
    assets = 700 + generator.permutation(ASSETS - 700)[:3000]
    rows, _ = clustered(generator, rows_of_each * len(assets))
    index = written(vectors(rows, np.repeat(assets, rows_of_each)), tmp_path / "index")
    wanted = BitMap(np.flatnonzero(generator.random(ASSETS) < share))
    place = np.flatnonzero([asset in wanted for asset in assets.tolist()])
    missed = []
    for query in rows[generator.choice(len(rows), 10)]:
        similar = (rows @ query).reshape(len(assets), rows_of_each).max(axis=1)
        best = assets[place[np.argsort(-similar[place])]].tolist()
        methods = []
        for limit in (10, len(place) // 4):  # of so many of few, each is scored
            answer = index.nearest(everything.narrowed(wanted), query, limit)
            found = [match.asset for match in answer.matches]
            assert len(set(found)) == len(found) == limit and BitMap(found) <= wanted
            missed.append(len(set(best[:limit]) - set(found)) / limit)
            methods.append(answer.plan.method)
        assert methods == ["lists", "gather" if share < 0.5 else "scan"]
    assert np.mean(missed) <= 0.01


@pytest.mark.usefixtures("listed_early")
def test_assets_of_many_rows_are_found_once_by_their_best(everything: policy.Scope, tmp_path: Path) -> None:
    generator = np.random.default_rng(5)
    rows, _ = clustered(generator, 3000)
    owners = generator.integers(0, 150, 3000)
    index = written(vectors(rows, owners), tmp_path / "index")
    query = unit(rows[:2].sum(axis=0))
    for allowed in (BitMap(range(150)), BitMap(range(0, 150, 3))):
        answer = index.nearest(everything.narrowed(allowed), query, 40)
        best = {owner: float((rows[owners == owner] @ query).max()) for owner in allowed}
        expected = sorted(best, key=lambda owner: -best[owner])[:40]
        assert len({match.asset for match in answer.matches} & set(expected)) >= 39
        assert len(answer.matches) == 40
        assert all(abs(rows[match.segment - 100] @ query - best[match.asset]) < 1e-4 for match in answer.matches)


@pytest.mark.usefixtures("listed_early")
def test_equal_rows_fill_a_page(everything: policy.Scope, tmp_path: Path) -> None:
    rows = np.repeat(unit(np.random.default_rng(6).standard_normal((2, 32))), 1500, axis=0)
    index = written(vectors(rows, range(3000)), tmp_path / "index")
    answer = index.nearest(everything.narrowed(BitMap(range(1000, 3000))), rows[-1], 200)
    assert [match.score for match in answer.matches] == pytest.approx([1.0] * 200, abs=1e-4)
    assert {match.asset for match in answer.matches} <= set(range(1500, 3000))


@pytest.mark.usefixtures("listed_early")
@pytest.mark.parametrize("every", [1, 2])
def test_what_is_asked_for_again_is_scored_once_where_codes_are_alike(
    everything: policy.Scope, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every: int
) -> None:
    monkeypatch.setattr(lists, "_SCORED", 30)
    monkeypatch.setattr(lists, "_REACH", 1e9)
    monkeypatch.setattr(lists._LookAtCodes, "_settled", lambda *_: False)
    scored: list[np.ndarray] = []
    learn = lists._Look._learn
    monkeypatch.setattr(lists._Look, "_learn", lambda look, more: [scored.append(more), learn(look, more)])
    few, _ = clustered(np.random.default_rng(16), 40)
    index = written(vectors(np.repeat(few, ASSETS // 40, axis=0), range(ASSETS)), tmp_path / "index")
    some = everything.narrowed(BitMap(range(0, ASSETS, every)))
    runs = []
    for fetched in (1, ASSETS):  # asked for again and again, and all at once
        monkeypatch.setattr(lists, "_FETCHED", fetched)
        scored.clear()
        index.nearest(some, few[0], 10)
        runs.append(np.concatenate(scored))
        assert len(scored) > 4
    again, once = map(np.sort, runs)
    assert len(once) > len(some) / 2
    assert np.array_equal(again, np.unique(again))
    assert np.array_equal(again, once)


@pytest.mark.usefixtures("listed_early")
def test_where_lists_cannot_tell_every_row_is_scored(
    everything: policy.Scope, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists, "_HOPELESS", 1000)
    monkeypatch.setattr(lists._LookAtCodes, "_settled", lambda *_: False)
    generator = np.random.default_rng(8)
    rows, _ = clustered(generator, 6000)
    index = written(vectors(rows, range(6000)), tmp_path / "index")
    answer = index.nearest(everything.narrowed(BitMap(range(5000))), rows[7], 100)
    assert answer.plan.method == "scan"
    similar = rows[:5000] @ rows[7]
    found = [match.asset for match in answer.matches]
    assert np.allclose([match.score for match in answer.matches], similar[found], atol=1e-5)
    assert np.allclose(similar[found], np.sort(similar)[: -len(found) - 1 : -1], atol=1e-5)


def test_an_asset_without_rows_has_none(everything: policy.Scope, tmp_path: Path) -> None:
    rows = np.eye(4)
    index = written(vectors(rows, [3, 4, 5, 7]), tmp_path / "index")
    owners = {3: 0, 4: 1, 5: 2, 7: 3}
    for asset in range(12):
        expected = rows[owners[asset]][None] if asset in owners else np.zeros((0, 4))
        assert np.array_equal(index.rows_of(everything, asset), expected), asset
    assert index.rows_of(everything.narrowed(BitMap([1])), 5).shape == (0, 4)


def test_the_plan_says_what_was_done(everything: policy.Scope, tmp_path: Path) -> None:
    index = written(vectors(np.eye(8), range(8)), tmp_path / "index")
    query = np.eye(8, dtype=np.float32)[2]
    assert index.nearest(everything, query, 3).plan == Plan("scan", 8, 8)
    assert index.nearest(everything.narrowed(BitMap([2])), query, 3).plan == Plan("gather", 1, 1)
    nothing = index.nearest(everything.narrowed(BitMap()), query, 3)
    assert (list(nothing.matches), nothing.plan) == ([], Plan("none", 0, 0))


def test_a_search_keeps_to_one_thread_in_whichever_thread_it_is_made(everything: policy.Scope, tmp_path: Path) -> None:
    index = written(vectors(np.eye(8), range(8)), tmp_path / "index")

    def searched() -> int:
        index.nearest(everything, np.eye(8, dtype=np.float32)[2], 3)
        return int(faiss.omp_get_max_threads())

    with ThreadPoolExecutor(1) as request:
        assert request.submit(searched).result() == 1


@pytest.mark.parametrize("query", [np.array([np.nan, 0, 0]), np.array([1, 0]), np.array([np.inf, 0, 0])])
def test_bad_query_vectors_are_refused(everything: policy.Scope, query: np.ndarray, tmp_path: Path) -> None:
    index = written(vectors(np.eye(3), [1, 2, 3]), tmp_path / "index")
    with pytest.raises(InvalidInput):
        index.nearest(everything, query.astype(np.float32), 5)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_vectors_that_are_not_finite_are_not_indexed(bad: float, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput):
        written(vectors(np.full((1, 3), bad), [1]), tmp_path / "index")
