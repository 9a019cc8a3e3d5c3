"""Nothing acknowledged is lost, wherever and whenever the process is killed."""

import random
from collections import Counter
from pathlib import Path

import pytest

from search.corpus import CatalogSource
from search.engines.embedded import EmbeddedEngine, generation
from search.library import Library
from tests.crash.workload import MODELS, Task, Work, answers, expected, held, purged

pytestmark = pytest.mark.long

#: Operations of a task whose every boundary is tried, and kills at random moments.
OPERATIONS = 9
KILLS = 200


def survived(directory: Path, seed: int, acknowledged: int, scratch: Path) -> None:
    """The library holds what was acknowledged, and at most the operation in hand beside it; what is published is sound;
    and once caught up, it answers as if it had been made at one go, and has no word of what was purged."""
    library = Library(directory, create=True)
    assert len(library.secret()) == 32
    assert held(library) in (expected(seed, acknowledged), expected(seed, acknowledged + 1))
    for number in generation.numbers(directory / "generations"):
        generation.open_verified(directory / "generations", number)
    with library.writer():
        engine = library.engine(MODELS)
        library.finish_purges(engine, MODELS)
        library.catch_up(engine, MODELS)
    whole = EmbeddedEngine(scratch, dict(MODELS))
    whole.publish(CatalogSource(library.catalog, MODELS).corpus())
    assert answers(engine, library) == answers(whole, library)
    library.close()
    held_now = b"".join(path.read_bytes() for path in directory.rglob("*") if path.is_file())
    assert not [word for word in purged(seed, acknowledged) if word.encode() in held_now]


def test_a_kill_at_any_boundary_loses_nothing(work: Work, tmp_path: Path, tally: Counter[str]) -> None:
    seed = 51
    assert purged(seed, OPERATIONS)
    alive = work(Task(str(tmp_path / "alive"), seed, 0, OPERATIONS))
    assert (alive.acknowledged, alive.killed) == (OPERATIONS, False)
    assert alive.boundaries > 50
    for place in range(2 * alive.boundaries):
        directory = tmp_path / str(place)
        dead = work(Task(str(directory), seed, 0, OPERATIONS, at=place // 2, after=bool(place % 2)))
        assert dead.killed, place
        survived(directory, seed, dead.acknowledged, directory / "whole")
        tally["kills survived"] += 1


def test_kills_at_random_moments_lose_nothing(work: Work, tmp_path: Path, tally: Counter[str]) -> None:
    """One library, worked on by one process after another, of which each is killed within a third of a second: so many
    at least, and on a slow machine more, until they have acknowledged as much."""
    seed, dice = 11, random.Random(11)
    directory = tmp_path / "library"
    done = 0
    for kill in range(10 * KILLS):
        dead = work(Task(str(directory), seed, done, done + 1000, seconds=dice.uniform(0.02, 0.3)))
        assert dead.killed
        done += dead.acknowledged
        tally["kills survived"] += 1
        if kill % 10 == 9:
            survived(directory, seed, done, tmp_path / f"whole-{kill}")
            if kill + 1 >= KILLS and done > KILLS:
                break
    assert done > KILLS


def test_a_lack_of_memory_costs_nothing(work: Work, tmp_path: Path, tally: Counter[str]) -> None:
    """From hardly any to enough: whoever asks for more than there is, fails or dies, and nothing else happens."""
    seed = 51
    failed = 0
    for step in range(100):
        directory = tmp_path / str(step)
        ended = work(Task(str(directory), seed, 0, OPERATIONS, memory=step << 20))
        survived(directory, seed, ended.acknowledged, directory / "whole")
        if ended.acknowledged == OPERATIONS:
            break
        failed += 1
    else:
        pytest.fail("There never was enough.")
    assert failed > 3
    tally["lacks of memory survived"] += failed
