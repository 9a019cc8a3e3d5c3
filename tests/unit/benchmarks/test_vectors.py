"""What filtered search is measured on: filters keep what they say, exact answers are exact, vectors are no clumps."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

from benchmarks import vectors
from benchmarks.vectors import CASES, Asked, Case, Filter, Floats, Kept, Kind, Made

ROWS = 3_000


@pytest.fixture(scope="module")
def base() -> Floats:
    """Some clusters, like photographs in that their neighbourhoods have few dimensions."""
    chance = np.random.default_rng(1)
    middles = chance.standard_normal((12, 32))
    around = chance.standard_normal((300, 32)) @ np.diag(np.linspace(1, 0, 32))
    return vectors.unit((middles[chance.integers(12, size=300)] + around).astype(np.float32))


@pytest.fixture(scope="module")
def made(base: Floats, tmp_path_factory: pytest.TempPathFactory) -> Made:
    return vectors.made(base, ROWS, tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def asked(base: Floats, made: Made) -> Asked:
    return vectors.read(vectors.asked(made, {Kind.image: base[:7]}, "reported"))[0]


def test_vectors_are_made_once_and_fewer_are_the_first_of_more(base: Floats, made: Made, tmp_path: Path) -> None:
    cache = made.folder.parent
    written = (made.folder / "rows.npy").stat().st_mtime_ns
    assert vectors.made(base, ROWS, cache).folder == made.folder
    assert (made.folder / "rows.npy").stat().st_mtime_ns == written
    fewer = vectors.made(base, 1_000, tmp_path)
    assert np.array_equal(fewer.rows, made.rows[:1_000])
    assert np.allclose(np.linalg.norm(fewer.rows, axis=1), 1, atol=1e-5)


def test_made_vectors_lie_among_the_real_ones_and_in_as_many_dimensions(base: Floats, made: Made) -> None:
    real = vectors.likeness("", "", base[:100], base, themselves=True)
    few = np.array(made.rows[: len(base)])
    like = vectors.likeness("", "", few[:100], few, themselves=True)
    assert abs(like.tenth - real.tenth) < 0.1
    assert 0.6 < like.dimension_20 / real.dimension_20 < 1.7
    assert not np.isclose(few @ few.T - np.eye(len(few)), 1).any()


def test_collections_are_the_means_of_their_rows(made: Made) -> None:
    assert np.array_equal(np.sort(made.by_collection), np.arange(ROWS))
    for collection in np.unique(made.collections)[:20]:
        rows = made.by_collection[made.begins[collection] : made.begins[collection + 1]]
        assert (made.collections[rows] == collection).all()
        assert np.allclose(made.rows[rows].mean(axis=0), made.means[collection], atol=1e-5)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.kept}-{case.share}")
def test_a_filter_keeps_its_share(made: Made, base: Floats, case: Case) -> None:
    chosen = made.filter(case, base[0])
    kept = made.keeps(chosen)
    allowed = (made.buckets >= chosen.first) & (made.buckets < chosen.below)
    if chosen.collections is not None:
        allowed &= np.isin(made.collections, chosen.collections)
    assert np.array_equal(kept, np.flatnonzero(allowed))
    wanted = case.share * ROWS
    if case.kept in (Kept.near, Kept.far):
        assert round(wanted) <= len(kept) <= max(1, round(wanted)) + 3  # buckets are shared by some rows
    else:
        assert abs(len(kept) - wanted) < 5 * np.sqrt(wanted) + 1


def test_queries_differ_in_the_random_rows_they_may_see(made: Made, base: Floats) -> None:
    """Else a filter would be new to the first of them only."""
    chosen = {made.filter(Case(Kept.random, 0.5), query) for query in base[:7]}
    assert len(chosen) == 7


def test_near_is_nearer_than_random_and_far_farther(made: Made, base: Floats) -> None:
    likeness = {
        kept: float((made.rows[made.keeps(made.filter(Case(kept, 0.1), base[0]))] @ base[0]).mean())
        for kept in (Kept.near, Kept.random, Kept.far)
    }
    assert likeness[Kept.near] > likeness[Kept.random] + 0.1
    assert likeness[Kept.random] > likeness[Kept.far] + 0.1


def test_right_rows_are_those_of_a_sort_over_everything(made: Made, asked: Asked) -> None:
    for case, filters in enumerate(asked.filters):
        for place, chosen in enumerate(filters):
            kept = made.keeps(chosen)
            best = kept[np.argsort(-(made.rows[kept] @ asked.queries[place]), kind="stable")][:10]
            assert asked.right[case, place, : len(best)].tolist() == best.tolist()
            assert (asked.right[case, place, len(best) :] == -1).all()


def test_recall_counts_what_could_be_found(asked: Asked) -> None:
    case = CASES.index(Case(Kept.random, 0.001))  # keeps less than ten
    right = [[row for row in rows if row >= 0] for rows in asked.right[case].tolist()]
    assert asked.recall(case, right) == 1
    assert asked.recall(case, [rows[:1] for rows in right]) == np.mean([1 / len(rows) for rows in right])
    assert asked.recall(0, [[-5] * 10] * 7) == 0
    assert msgspec.structs.replace(asked, right=np.full_like(asked.right, -1)).recall(0, [[]] * 7) == 1


def test_exact_answers_are_computed_once(made: Made, base: Floats, asked: Asked) -> None:
    kept = vectors.asked(made, {Kind.image: base[:7]}, "reported")
    written = kept.stat().st_mtime_ns
    assert vectors.asked(made, {Kind.image: base[:7]}, "reported").stat().st_mtime_ns == written
    assert np.array_equal(asked.queries, base[:7])
    assert asked.filters[0][0] == Filter()
