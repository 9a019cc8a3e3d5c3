"""Nothing damaged is served, and a full or failing disk costs nothing that was published."""

import errno
import os
import shutil
from collections import Counter
from collections.abc import Callable
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from pyroaring import BitMap

from search.catalog import Catalog
from search.engine import Corpus, Document, Vectors
from search.engines.embedded import EmbeddedEngine, generation
from search.errors import GenerationDamaged, NotPublished, NotWritten
from tests.conftest import MakeIntake
from tests.crash.workload import DIMENSION, MODELS, files_up_to
from tests.unit.search.engines.test_embedded import scope_of

ASSETS = range(1, 40)


def corpus(head: int, word: str = "boat") -> Corpus:
    """Assets with a vector in each space and a word."""
    generator = np.random.default_rng(head)
    assets = np.array(ASSETS)
    spaces = {
        space: Vectors(model, generator.standard_normal((len(assets), DIMENSION)).astype(np.float32), assets, assets)
        for space, model in MODELS.items()
    }
    return Corpus(head, spaces, [Document(asset, title=f"{word} {asset} x{head}") for asset in ASSETS])


def opened(directory: Path) -> EmbeddedEngine:
    engine = EmbeddedEngine(directory, dict(MODELS))
    engine.refresh()
    return engine


def found(engine: EmbeddedEngine, word: str) -> int:
    return len(engine.keywords(scope_of(ASSETS), word, 99))


def _flipped(place: float) -> Callable[[Path, Path], None]:
    def flip(file: Path, _: Path) -> None:
        changed = bytearray(file.read_bytes())
        changed[int(place * (len(changed) - 1))] ^= 1 << (len(changed) % 8)
        file.write_bytes(changed)

    return flip


def _cut(share: float) -> Callable[[Path, Path], None]:
    return lambda file, _: os.truncate(file, int(share * (file.stat().st_size - 1)))


DAMAGES: dict[str, Callable[[Path, Path], object]] = {
    "first byte": _flipped(0),
    "middle byte": _flipped(0.5),
    "last byte": _flipped(1),
    "emptied": _cut(0),
    "cut in half": _cut(0.5),
    "cut by a byte": _cut(1),
    "longer": lambda file, _: file.write_bytes(file.read_bytes() + b"\0"),
    "an older one": lambda file, older: shutil.copyfile(older, file),
    "gone": lambda file, _: file.unlink(),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_every_file_that_is_not_as_it_was_written_is_refused(damage: str, tmp_path: Path, tally: Counter[str]) -> None:
    engine = opened(tmp_path / "sound")
    engine.publish(corpus(1, "boat"))
    engine.publish(corpus(2, "ship"))
    newest, older = (tmp_path / "sound" / number for number in ("00000002", "00000001"))
    files = [path.relative_to(newest) for path in newest.rglob("*") if path.is_file() and path.suffix != ".lock"]
    assert len(files) > 20
    for number, name in enumerate(files):
        directory = tmp_path / str(number)
        shutil.copytree(tmp_path / "sound", directory)
        before = (directory / "00000002" / name).read_bytes()
        same = next(iter(older.glob(str(name))), None) or next(older.rglob(f"*{name.suffix}"))
        DAMAGES[damage](directory / "00000002" / name, same)
        after = directory / "00000002" / name
        if after.exists() and after.read_bytes() == before:
            continue  # an older one may be the same
        with pytest.raises(GenerationDamaged):
            generation.open_verified(directory, 2)
        reader = opened(directory)
        assert (reader.generation, found(reader, "boat"), found(reader, "ship")) == (1, len(ASSETS), 0), name
        shutil.rmtree(directory)
        tally["damages refused"] += 1


@pytest.mark.long
def test_no_bit_of_a_manifest_may_change(tmp_path: Path, tally: Counter[str]) -> None:
    """It has the number of the journal up to which nothing is read again: another would have changes passed over."""
    opened(tmp_path).publish(corpus(12))
    manifest = tmp_path / "00000001" / "manifest.json"
    whole = manifest.read_bytes()
    assert b'"head": 12' in whole
    for bit in range(8 * len(whole)):
        changed = bytearray(whole)
        changed[bit // 8] ^= 1 << bit % 8
        manifest.write_bytes(changed)
        with pytest.raises(GenerationDamaged):
            generation.open_verified(tmp_path, 1)
        tally["changed bits of a manifest refused"] += 1
    manifest.write_bytes(whole)
    generation.open_verified(tmp_path, 1)


def test_what_was_changed_under_a_reader_is_not_taken_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    engine = opened(tmp_path)
    engine.publish(corpus(1))
    kept = tmp_path / "00000001" / "0" / "visual" / "high.faiss"
    changed = bytearray(kept.read_bytes())
    changed[-1] ^= 1
    kept.write_bytes(changed)

    class More:
        """One asset more."""

        def changed_since(self, head: int) -> tuple[int, BitMap]:
            return head + 1, BitMap([99])

        def corpus(self, assets: object = None) -> Corpus:
            whole = corpus(2)
            return whole if assets is None else Corpus(2, {}, [Document(99, title="ship")])

    engine.catch_up(More(), settle=False)
    assert "high.faiss was changed" in caplog.text
    assert found(opened(tmp_path), "x2") == len(ASSETS), "everything was made anew"


def test_a_disk_that_is_full_costs_nothing(tmp_path: Path, tally: Counter[str]) -> None:
    """Full wherever it may be: just before the end of each file."""
    engine = opened(tmp_path)
    engine.publish(corpus(1, "boat"))
    sizes = sorted({path.stat().st_size for path in (tmp_path / "00000001").rglob("*") if path.is_file()} - {0})
    assert len(sizes) > 10
    for size in sizes:
        with pytest.raises(NotPublished), files_up_to(size - 1):
            engine.publish(corpus(2, "ship"))
        assert generation.numbers(tmp_path) == [1], size
        reader = opened(tmp_path)
        assert (reader.generation, found(reader, "boat")) == (1, len(ASSETS))
        tally["full or failing disks survived"] += 1
    engine.publish(corpus(2, "ship"))
    assert found(opened(tmp_path), "ship") == len(ASSETS)


def test_a_catalog_that_finds_no_room_keeps_what_it_has(
    tmp_path: Path, make_intake: MakeIntake, tally: Counter[str]
) -> None:
    catalog = Catalog.at(tmp_path / "catalog.sqlite")
    catalog.take_in([make_intake("first")], by="test")
    size = max(path.stat().st_size for path in tmp_path.iterdir())
    failed = 0
    for room in range(size, size + 600_000, 3_000):
        intakes = [make_intake(f"{room}-{number}", title="x" * 2_000) for number in range(20)]
        try:
            with files_up_to(room):
                catalog.take_in(intakes, by="test")
        except NotWritten:
            failed += 1
            assert [asset.id for asset in catalog.every_asset()] == ["first"], "all or nothing"
        else:
            break
    assert failed > 3
    tally["full or failing disks survived"] += failed
    assert catalog.damages() == []
    catalog.take_in([make_intake("second")], by="test")
    assert {asset.id for asset in catalog.every_asset()} == {"first", "second", *(one.asset.id for one in intakes)}
    catalog.close()


@pytest.mark.parametrize("call", ["fsync", "replace", "mkdir"])
def test_a_disk_that_fails_costs_nothing(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tally: Counter[str]
) -> None:
    """The first call fails, then the second, and so on until none is left to fail."""
    engine = opened(tmp_path)
    engine.publish(corpus(1, "boat"))
    real = getattr(os, call)
    refused = 0
    for place in count():
        passed = 0

        def failing(*arguments: object, failing_at: int = place, **options: object) -> object:
            nonlocal passed
            passed += 1
            if passed - 1 == failing_at:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return real(*arguments, **options)

        with monkeypatch.context() as patched:
            patched.setattr(os, call, failing)
            try:
                engine.publish(corpus(2, "ship"))
            except NotPublished:
                refused += 1
        reader = opened(tmp_path)
        assert sorted((found(reader, "boat"), found(reader, "ship"))) == [0, len(ASSETS)], "one or the other"
        if passed <= place:  # none was left to fail
            break
    assert refused
    tally["full or failing disks survived"] += refused
    assert found(opened(tmp_path), "ship") == len(ASSETS)
