"""One process writes at a time, and vectors of one model are never among those of another."""

import os
import signal
from pathlib import Path

import msgspec
import pytest

from search.corpus import CatalogSource
from search.engine import Space
from search.engines.embedded import EmbeddedEngine
from search.errors import LibraryBusy, ModelUnavailable
from search.library import Library
from tests.crash.workload import MODELS, answers


def test_a_second_writer_is_refused_and_a_killed_one_lets_go(tmp_path: Path) -> None:
    library = Library(tmp_path / "library", create=True)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        with library.writer():
            os.write(write, b".")
            signal.pause()
    os.read(read, 1)
    with pytest.raises(LibraryBusy, match="Another process is writing"), library.writer():
        pass
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with library.writer():
        library.catalog.audit("ann", "download", "a")
    os.close(read)
    os.close(write)
    library.close()


@pytest.mark.parametrize("space", list(Space))
def test_vectors_of_another_model_are_refused(space: Space, library: Library) -> None:
    engine = library.engine(MODELS)
    with library.writer():
        library.publish(engine, MODELS)
    assert engine.generation and any(answers(engine, library))
    other = library.engine(MODELS | {space: "another"})
    assert other.generation == 0
    assert not any(any(found) for found in answers(other, library) if found)
    corpus = CatalogSource(library.catalog, MODELS).corpus()
    mixed = msgspec.structs.replace(
        corpus, spaces=corpus.spaces | {space: msgspec.structs.replace(corpus.spaces[space], model_id="another")}
    )
    with pytest.raises(ModelUnavailable, match="cannot be indexed"):
        EmbeddedEngine(library.generations, dict(MODELS)).publish(mixed)
