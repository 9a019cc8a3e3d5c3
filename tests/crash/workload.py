"""Work on a library that dies where, or when, it is told to: `python -m tests.crash.workload`.

Reads tasks from standard input, a line of JSON each, works each off in a process of its own, forked so that nothing is
imported twice, and answers with a line of JSON. What an operation does depends on the seed and its number alone, so
that whoever looks at the library later knows what it must hold.
"""

import os
import random
import resource
import select
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any, Final
from unittest.mock import patch

import msgspec
import numpy as np
import sqlalchemy as sa

from search import policy
from search.catalog import Intake
from search.columns import Columns
from search.engine import Space
from search.engines.embedded import EmbeddedEngine
from search.library import Library
from search.types import (
    Action,
    Asset,
    Grant,
    Licence,
    MediaType,
    Principal,
    ResourceKind,
    Rights,
    Segment,
    SegmentKind,
    Status,
    SubjectKind,
)

MODELS: Final = {Space.visual: "pictures", Space.text: "words"}
WORDS: Final = ("boat", "espresso", "harvest", "lighthouse", "sea")
PATHS: Final = 24
DIMENSION: Final = 8


class Task(msgspec.Struct, frozen=True):
    """Operations `first` to `last` - 1 on the library in `directory`.

    The process dies at the boundary `at` (0 is the first; None: at none), before or after what happens there, or after
    so many seconds. With `memory` it gets so many bytes more than it has to begin with, and may end as it likes.
    """

    directory: str
    seed: int
    first: int
    last: int
    at: int | None = None
    after: bool = False
    seconds: float | None = None
    memory: int | None = None


class Outcome(msgspec.Struct, frozen=True):
    """How many operations were acknowledged, how many boundaries were passed, and whether the process was killed."""

    acknowledged: int
    boundaries: int
    killed: bool


Work = Callable[[Task], Outcome]


class Held(msgspec.Struct, frozen=True):
    """What a library holds: title and passage of each file, and who may find the collection."""

    texts: Mapping[str, tuple[str, str]]
    finders: frozenset[str]


def expected(seed: int, operations: int) -> Held:
    """What a library must hold after so many operations."""
    texts: dict[str, tuple[str, str]] = {}
    finders: frozenset[str] = frozenset()
    for number in range(operations):
        kind, dice = _drawn(seed, number)
        if kind == "take in":
            texts |= _texts(dice, number)
        elif kind in {"vanish", "purge"}:
            texts.pop(_path(dice), None)
        elif kind == "grant":
            finders = _finders(dice)
    return Held(texts, finders)


def purged(seed: int, operations: int) -> set[str]:
    """The words that so many operations have purged."""
    words: dict[str, set[str]] = {}
    gone: set[str] = set()
    shown: set[str] = set()
    for number in range(operations):
        kind, dice = _drawn(seed, number)
        if kind == "take in":
            for path, (title, _) in _texts(dice, number).items():
                words.setdefault(path, set()).add(title.split()[-1])
                shown.add(path)
        elif kind == "vanish":
            shown.discard(_path(dice))
        elif kind == "purge" and (path := _path(dice)) in shown:
            gone |= words.pop(path)
            shown.discard(path)
    return gone


def held(library: Library) -> Held:
    """What a library holds."""
    passages = {segment.asset: segment.text for segment in library.catalog.every_segment() if segment.text}
    texts = {asset.path: (asset.title, passages.get(asset.ordinal, "")) for asset in library.catalog.every_asset()}
    grants = library.catalog.collection_grants().get("c", ())
    return Held(texts, frozenset(grant.subject for grant in grants))


def answers(engine: EmbeddedEngine, library: Library) -> list[object]:
    """What a person who may find everything is told, asset by asset."""
    facts, grants = library.catalog.facts(), library.catalog.collection_grants()
    columns = Columns().updated(facts=facts, collection_grants=grants)
    scope = policy.scope(Principal("ann"), None, datetime.now(UTC), columns)
    words = [list(engine.keywords(scope, word, 99)) for word in WORDS]
    near = []
    for space in Space:
        for query in np.eye(DIMENSION, dtype=np.float32)[:3]:
            matches = engine.nearest(scope, space, query, 99).matches
            near.append(sorted((match.asset, match.segment, round(match.score, 4)) for match in matches))
    return [words, near]


def _drawn(seed: int, number: int) -> tuple[str, random.Random]:
    dice = random.Random(f"{seed} {number}")
    return dice.choices(("take in", "vanish", "purge", "grant", "publish"), (5, 1, 1, 1, 4))[0], dice


def _path(dice: random.Random) -> str:
    return f"/library/{dice.randrange(PATHS)}.jpg"


def _texts(dice: random.Random, number: int) -> dict[str, tuple[str, str]]:
    """Titles, each with a word that occurs nowhere else, and passages, by path."""
    return {
        _path(dice): (
            " ".join([*dice.choices(WORDS, k=2), f"u{number:05}n{place}"]),
            dice.choice(("", " ".join(dice.choices(WORDS, k=3)))),
        )
        for place in range(dice.randrange(1, 5))
    }


def _finders(dice: random.Random) -> frozenset[str]:
    return frozenset(dice.sample(("ann", "bob", "cem"), dice.randrange(3)))


def _vector(key: str) -> np.ndarray:
    row = np.random.default_rng(list(key.encode())).standard_normal(DIMENSION)
    return (row / np.linalg.norm(row)).astype(np.float32)


def _take_in(library: Library, dice: random.Random, number: int) -> None:
    intakes = []
    for path, (title, passage) in _texts(dice, number).items():
        picture = Segment(0, 0, SegmentKind.image, f"picture of {path}, {title}")
        words = [Segment(0, 0, SegmentKind.passage, passage, passage)] if passage else []
        about = Asset(0, path, path, "", MediaType.image, "", "c", Status.approved, datetime.now(UTC))
        asset = msgspec.structs.replace(about, title=title, rights=Rights(licence=Licence.owned))
        intakes.append(Intake(asset, 1, title, {}, (picture, *words)))
    for space, kind in ((Space.visual, SegmentKind.image), (Space.text, SegmentKind.passage)):
        keys = [segment.embedding_key for one in intakes for segment in one.segments if segment.kind is kind]
        library.catalog.put_embeddings(MODELS[space], {key: _vector(key) for key in keys})
    library.catalog.take_in(intakes, by="test")


def done(library: Library, engine: EmbeddedEngine, seed: int, number: int) -> None:
    """One operation."""
    kind, dice = _drawn(seed, number)
    if kind == "take in":
        _take_in(library, dice, number)
    elif kind == "vanish":
        library.catalog.mark_vanished([_path(dice)])
    elif kind == "purge":
        if asset := library.catalog.asset_at(_path(dice)):
            library.purge(engine, MODELS, [asset.id], by="test")
    elif kind == "grant":
        subjects = sorted(_finders(dice))
        grants = [Grant(ResourceKind.collection, "c", SubjectKind.user, who, Action.find) for who in subjects]
        library.catalog.grant_collection("c", grants)
    else:
        library.catch_up(engine, MODELS, settle=dice.random() < 0.3)


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """Have every write beyond so many bytes of a file fail, whoever writes, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


class _Boundaries:
    """Counts what makes something durable or visible, and dies there if told to."""

    def __init__(self, at: int | None, *, after: bool) -> None:
        self.passed = 0
        self._at = at
        self._after = after

    def met(self, act: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **options: Any) -> Any:
            here = self.passed == self._at
            self.passed += 1
            if here and not self._after:
                os.kill(os.getpid(), signal.SIGKILL)
            result = act(*arguments, **options)
            if here:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return wrapped

    def watch(self, stack: ExitStack) -> None:
        for name in ("fsync", "rename", "replace", "link", "rmdir"):
            stack.enter_context(patch.object(os, name, self.met(getattr(os, name))))
        dialect = sa.dialects.sqlite.pysqlite.dialect
        stack.enter_context(patch.object(dialect, "do_commit", self.met(dialect.do_commit)))


def _work(task: Task, told: int) -> None:
    """Do it, telling of each operation that is done: a byte, and at last the number of boundaries."""
    boundaries = _Boundaries(task.at, after=task.after)
    with ExitStack() as stack:
        boundaries.watch(stack)
        if task.memory is not None:
            has = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (has + task.memory, -1))
        library = Library(Path(task.directory), create=True)
        library.secret()
        with library.writer():
            engine = library.engine(MODELS)
            for number in range(task.first, task.last):
                done(library, engine, task.seed, number)
                os.write(told, b".")
        library.close()
    os.write(told, str(boundaries.passed).encode())


def _forked(task: Task) -> Outcome:
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        try:
            _work(task, write)
            os._exit(0)
        except BaseException:  # told on standard error, and by the exit status
            sys.excepthook(*sys.exc_info())
            os._exit(1)
    os.close(write)
    told = b""
    ends = monotonic() + (task.seconds if task.seconds is not None else 120)
    while True:
        if not select.select([read], [], [], max(0.0, ends - monotonic()))[0]:
            os.kill(child, signal.SIGKILL)
            ends = monotonic() + 120
        elif part := os.read(read, 1 << 12):
            told += part
        else:
            break
    os.close(read)
    status = os.waitpid(child, 0)[1]
    killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    if not killed and status and task.memory is None:
        raise SystemExit(f"The work failed (status {status}).")
    return Outcome(told.count(b"."), int(told.strip(b".") or b"0"), killed)


def main() -> None:
    """Work off tasks until standard input ends."""
    for line in sys.stdin:
        outcome = _forked(msgspec.json.decode(line, type=Task))
        sys.stdout.buffer.write(msgspec.json.encode(outcome) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
