"""Engines are measured as told: answers lie within the filter, what fails is named, the picture is one."""

from pathlib import Path
from xml.etree import ElementTree

import click
import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks import filtered, growth, vectors
from benchmarks.engines import ENGINES, RECALL
from benchmarks.filtered import GOALS, Met, Run, measured, picture, reached, scanned
from benchmarks.vectors import CASES, DIMENSION, Kind, Made

ROWS = 2_000
QUERIES = 4
HERE = ("Loupe", "FAISS IVF")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    chance = np.random.default_rng(2)
    middles = chance.standard_normal((12, DIMENSION))[chance.integers(12, size=300)]
    base = vectors.unit((middles + chance.standard_normal((300, DIMENSION))).astype(np.float32))
    return vectors.made(base, ROWS, tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def questions(made: Made) -> Path:
    rows = np.array(made.rows[: 2 * QUERIES])
    return vectors.asked(made, {Kind.image: rows[:QUERIES], Kind.text: rows[QUERIES:]}, "reported")


@pytest.fixture(scope="module")
def run(made: Made, questions: Path) -> Run:
    return measured(HERE, made, questions, QUERIES, 60)


def test_every_case_is_measured_and_no_answer_lies_outside_its_filter(run: Run) -> None:
    assert not run.failed
    assert tuple(run.engines) == HERE
    for one in run.engines.values():
        assert [(cell.query, cell.kept, cell.share) for cell in one.cells] == [
            (kind, case.kept, case.share) for kind in Kind for case in CASES
        ]
        assert all(cell.outside == 0 and cell.asked == QUERIES and cell.p95 >= cell.median > 0 for cell in one.cells)
        assert one.bytes > ROWS * DIMENSION
        assert one.peak >= one.resident > one.before > 0


def test_loupe_finds_what_is_right(run: Run) -> None:
    assert min(cell.recall for cell in run.engines["Loupe"].cells) >= RECALL


def test_what_is_built_is_kept(made: Made, questions: Path, run: Run) -> None:
    again = measured(HERE[:1], made, questions, QUERIES, 60)
    assert again.engines["Loupe"].build_seconds == run.engines["Loupe"].build_seconds
    assert (made.folder / "loupe.built.json").exists()


def test_what_fails_is_named_with_the_reason(made: Made, tmp_path: Path) -> None:
    (tmp_path / "none.json").write_text("{}")
    (made.folder / "faiss-ivf.built.json").unlink()
    late = measured(["FAISS IVF"], made, tmp_path / "none.json", QUERIES, 0)
    assert late.failed == {"FAISS IVF": "not built within 0 s"}
    broken = measured(["Loupe"], made, tmp_path / "missing.json", QUERIES, 60)
    assert "exit code 2" in broken.failed["Loupe"]
    assert "missing.json" in broken.failed["Loupe"]


def test_goals_are_parts_of_an_exact_scan(made: Made, questions: Path, run: Run) -> None:
    assert scanned(made, questions) > 0
    cells = run.engines["Loupe"].cells
    slowest = max(cell.median for cell in cells)
    assert all(0 < cell.united <= cell.median for cell in cells)
    for goal in GOALS:
        cases = sum(cell.share <= 0.001 for cell in cells) if goal.few else len(cells)
        assert reached(cells, 1e9, goal, Met.again)[:2] == (cases, cases)
        assert reached(cells, 1e-9, goal, Met.again)[:2] == (0, cases)
    assert reached(cells, 2 * slowest, GOALS[0], Met.new)[2] == pytest.approx(0.5)


def test_the_picture_has_a_point_for_each_cell_and_a_name_for_each_engine(run: Run) -> None:
    drawn = ElementTree.fromstring(picture(run))  # noqa: S314 (it was made here)
    circles = [one for one in drawn.iter() if one.tag.endswith("circle")]
    assert len(circles) == len(HERE) * (2 * len(CASES) + 1)
    said = "".join(drawn.itertext())
    assert all(name in said for name in HERE)


def test_each_engine_says_what_it_spends_least_first() -> None:
    for engine in ENGINES.values():
        assert list(engine.efforts) == sorted(engine.efforts)
    assert filtered.LOUPE in ENGINES


@pytest.mark.parametrize(
    ("command", "option", "told"),
    [
        (filtered.main, "--rows", "0"),
        (filtered.main, "--queries", "0"),
        (growth.main, "--sizes", "10000,,100000"),
        (growth.main, "--sizes", "100"),
        (vectors.main, "--rows", "-1"),
    ],
)
def test_numbers_that_cannot_be_measured_are_refused_before_anything_is_made(
    command: click.Command, option: str, told: str, tmp_path: Path
) -> None:
    (tmp_path / "captions.csv").touch()
    (tmp_path / "images").mkdir()
    cache = tmp_path / "cache"
    answer = CliRunner().invoke(command, ["--captioned", str(tmp_path), "--cache", str(cache), option, told])
    assert answer.exit_code == 2 and f"Invalid value for '{option}'" in answer.output
    assert not cache.exists()
