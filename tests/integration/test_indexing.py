"""Folders in, a searchable library out: bad files set aside, unchanged ones left alone, nothing lost on the way."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Event

import msgspec
import pytest
from PIL import Image, ImageDraw

from api import compose
from api.auth import OWNER
from api.demo import LIBRARY
from api.settings import Settings
from indexer.pipeline import Summary
from search.query import SearchRequest
from search.types import Hit, Licence, Principal, Reason
from tests.commands import loupe

PHOTOS = LIBRARY / "photos"

Index = Callable[..., Summary]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "pictures"
    made.mkdir()
    for name in ("espresso-cup", "scarlet-macaw", "eiffel-tower"):
        shutil.copy(PHOTOS / f"{name}.jpg", made)
    return made


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=str(tmp_path / "data"))


@pytest.fixture
def index(settings: Settings) -> Index:
    def run(*paths: Path, manifest: Path | None = None, **options: object) -> Summary:
        return compose.index(settings, paths, manifest, **options)  # type: ignore[arg-type]

    return run


def found(settings: Settings, text: str = "", asker: Principal = OWNER.principal) -> list[Hit]:
    with compose.opened(settings) as opened:
        return list(opened.searcher.search(asker, SearchRequest(text=text, limit=100)).hits)


def names(hits: list[Hit]) -> list[str]:
    return [Path(hit.asset.path).name for hit in hits]


def hostile(folder: Path) -> None:
    """The five that a library must survive."""
    whole = (PHOTOS / "koala-in-tree.jpg").read_bytes()
    (folder / "truncated.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.png").touch()
    Image.new("1", (30_000, 30_000)).save(folder / "bomb.png")
    (folder / "note.jpg").write_text("This is a note and no picture.")
    (folder / "dangling.jpg").symlink_to(folder / "nowhere.jpg")


def test_a_hostile_folder_leaves_the_rest_searchable(folder: Path, settings: Settings) -> None:
    hostile(folder)
    run = loupe("index", str(folder), "--data-dir", settings.data_dir, "--json")
    assert run.returncode == 1, run.stderr
    lines = [json.loads(line) for line in run.stdout.splitlines()]
    aside = {Path(line["path"]).name: (line["code"], line["reason"]) for line in lines if line["event"] == "setAside"}
    assert {name: code for name, (code, _) in aside.items()} == {
        "truncated.jpg": "broken-media",
        "empty.png": "broken-media",
        "bomb.png": "media-too-large",
        "note.jpg": "unsupported-media",
        "dangling.jpg": "unreadable",
    }
    assert "30000 x 30000" in aside["bomb.png"][1]
    assert "holds text" in aside["note.jpg"][1]
    assert lines[-1]["event"] == "done"
    assert lines[-1]["indexed"] == 3
    assert sorted(names(found(settings))) == ["eiffel-tower.jpg", "espresso-cup.jpg", "scarlet-macaw.jpg"]
    assert names(found(settings, "a colourful parrot"))[0] == "scarlet-macaw.jpg"


def test_a_bad_file_is_remembered_and_taken_once_it_is_mended(folder: Path, settings: Settings, index: Index) -> None:
    hostile(folder)
    assert len(index(folder).set_aside) == 5
    again = index(folder)
    assert (again.indexed, again.unchanged, len(again.set_aside)) == (0, 3, 5)
    shutil.copy(PHOTOS / "koala-in-tree.jpg", folder / "truncated.jpg")
    mended = index(folder)
    assert (mended.indexed, mended.unchanged, len(mended.set_aside)) == (1, 3, 4)
    assert "truncated.jpg" in names(found(settings))


def test_unchanged_files_are_left_alone_and_changed_ones_redone(folder: Path, settings: Settings, index: Index) -> None:
    assert index(folder).indexed == 3
    assert (index(folder).indexed, index(folder).unchanged) == (0, 3)
    shutil.copy(PHOTOS / "sheep-in-meadow.jpg", folder / "espresso-cup.jpg")
    redone = index(folder)
    assert (redone.indexed, redone.unchanged) == (1, 2)
    assert names(found(settings, "sheep in a meadow"))[0] == "espresso-cup.jpg"


def test_a_file_that_is_gone_is_no_longer_found(folder: Path, settings: Settings, index: Index) -> None:
    index(folder)
    (folder / "scarlet-macaw.jpg").unlink()
    assert index(folder).vanished == 1
    assert names(found(settings)).count("scarlet-macaw.jpg") == 0
    shutil.copy(PHOTOS / "scarlet-macaw.jpg", folder)
    index(folder)
    assert names(found(settings)).count("scarlet-macaw.jpg") == 1


def test_a_file_that_went_elsewhere_stays_the_asset_that_it_is(folder: Path, settings: Settings, index: Index) -> None:
    shutil.copy(folder / "eiffel-tower.jpg", folder / "twin.jpg")
    index(folder)
    before = {hit.asset.content_hash: hit.asset for hit in found(settings) if "twin" not in hit.asset.path}
    ids = {hit.asset.id for hit in found(settings)}
    (folder / "Trips").mkdir()
    (folder / "eiffel-tower.jpg").rename(folder / "Trips" / "paris.jpg")
    (folder / "twin.jpg").rename(folder / "Trips" / "paris-too.jpg")
    (folder / "espresso-cup.jpg").rename(folder / "morning.jpg")
    shutil.copy(folder / "scarlet-macaw.jpg", folder / "copy.jpg")
    run = index(folder)
    assert (run.indexed, run.unchanged, run.vanished) == (4, 1, 0)
    hits = {Path(hit.asset.path).name: hit.asset for hit in found(settings)}
    assert hits.keys() == {"paris.jpg", "paris-too.jpg", "morning.jpg", "scarlet-macaw.jpg", "copy.jpg"}
    assert hits["morning.jpg"].id == before[hits["morning.jpg"].content_hash].id
    assert {asset.id for name, asset in hits.items() if name != "copy.jpg"} == ids
    assert hits["copy.jpg"].id not in ids, "a copy is another asset"
    assert names(found(settings, "morning"))[0] == "morning.jpg", "it is found by its new name"
    assert "espresso-cup.jpg" not in names(found(settings, "espresso-cup"))[:1]
    assert index(folder).indexed == 0


def test_a_folder_beside_is_not_gone(folder: Path, tmp_path: Path, settings: Settings, index: Index) -> None:
    other = tmp_path / "pictures-2"
    other.mkdir()
    shutil.copy(PHOTOS / "koala-in-tree.jpg", other)
    index(other)
    assert index(folder).vanished == 0
    assert len(found(settings)) == 4


def test_sidecars_speak_of_the_file_beside_them(folder: Path, settings: Settings, index: Index) -> None:
    index(folder)
    (folder / "espresso-cup.json").write_text(json.dumps({"title": "Morning ritual", "keywords": ["barista"]}))
    (folder / "eiffel-tower.jpg.xmp").write_text(
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/" photoshop:Credit="A. Ferré"/>'
        "</rdf:RDF></x:xmpmeta>"
    )
    assert index(folder).indexed == 2
    hits = {Path(hit.asset.path).name: hit.asset for hit in found(settings)}
    assert hits["espresso-cup.jpg"].title == "Morning ritual"
    assert hits["eiffel-tower.jpg"].rights.credit_line == "A. Ferré"
    assert names(found(settings, '"barista"')) == ["espresso-cup.jpg"]


def test_a_bad_sidecar_sets_its_file_aside_by_name(folder: Path, index: Index) -> None:
    (folder / "espresso-cup.json").write_text('{"titel": "misspelt"}')
    (aside,) = index(folder).set_aside
    assert aside.path.endswith("espresso-cup.jpg")
    assert "titel" in aside.reason


def test_an_owner_says_once_that_files_are_theirs(folder: Path, settings: Settings, index: Index) -> None:
    index(folder)
    assert {hit.clearance.reasons for hit in found(settings)} == {(Reason.rights_unknown,)}
    owned = msgspec.structs.replace(settings, default_licence=Licence.owned)
    assert compose.index(owned, [folder], None).indexed == 3
    assert all(hit.clearance.cleared for hit in found(settings))


def test_what_a_manifest_leaves_out_is_a_draft(folder: Path, settings: Settings, index: Index) -> None:
    manifest = folder / "manifest.csv"
    manifest.write_text("path,title,licence,collection,grants\nespresso-cup.jpg,Cup,owned,Coffee,everyone=find\n")
    index(folder, manifest=manifest)
    somebody = Principal("somebody")
    assert [hit.asset.title for hit in found(settings, asker=somebody)] == ["Cup"]
    assert {hit.asset.status.value for hit in found(settings)} == {"approved", "draft"}


def test_a_manifest_is_obeyed_when_it_changes(folder: Path, settings: Settings, index: Index) -> None:
    manifest = folder / "manifest.jsonl"
    rows = [{"path": f"{name}.jpg", "grants": "everyone=find"} for name in ("espresso-cup", "eiffel-tower")]
    manifest.write_text("\n".join(map(json.dumps, rows)))
    index(folder, manifest=manifest)
    somebody = Principal("somebody")
    assert len(found(settings, asker=somebody)) == 2
    rows[0]["grants"] = "-everyone=find"
    manifest.write_text("\n".join(map(json.dumps, rows)))
    assert index(folder, manifest=manifest).indexed == 1
    assert names(found(settings, asker=somebody)) == ["eiffel-tower.jpg"]


def test_rows_of_a_manifest_that_are_wrong_are_named(folder: Path, index: Index) -> None:
    manifest = folder / "manifest.csv"
    manifest.write_text("path,licence\nespresso-cup.jpg,mine\nmissing.jpg,owned\neiffel-tower.jpg,owned\n")
    problems = " ".join(index(folder, manifest=manifest).problems)
    assert "row 2, column licence" in problems
    assert "missing.jpg" in problems


def test_a_file_that_was_named_though_it_is_of_no_kind_taken_is_said(folder: Path, index: Index) -> None:
    for name in ("notes.md", "espresso-cup.txt"):
        (folder / name).write_text("# Notes")
    said = index(folder / "espresso-cup.jpg", folder / "notes.md", folder / "espresso-cup.txt")
    assert said.indexed == 1
    assert [Path(problem.split(":")[0]).name for problem in said.problems] == ["notes.md"]
    assert not index(folder).problems


def test_a_manifest_that_a_wildcard_named_as_well_is_no_file_of_a_wrong_kind(folder: Path, index: Index) -> None:
    manifest = folder / "manifest.csv"
    manifest.write_text("path,title\nespresso-cup.jpg,Cup\neiffel-tower.jpg,Tower\nscarlet-macaw.jpg,Macaw\n")
    said = index(*sorted(folder.iterdir()), manifest=folder / ".." / folder.name / "manifest.csv")
    assert (said.indexed, said.problems) == (3, ())


@pytest.mark.long
def test_stopping_keeps_what_was_done_and_going_on_does_the_rest(
    tmp_path: Path, settings: Settings, index: Index
) -> None:
    many = tmp_path / "many"
    many.mkdir()
    draw(many, 40)
    stop = Event()

    def stop_early(step: object) -> None:
        stop.set()

    first = index(many, progress=stop_early, stop=stop)
    assert first.interrupted
    assert 0 < first.indexed < 40
    assert len(found(settings)) == first.indexed
    rest = index(many)
    assert (rest.indexed, rest.unchanged) == (40 - first.indexed, first.indexed)
    assert len(found(settings)) == 40


@pytest.mark.long
def test_what_was_done_survives_being_killed(tmp_path: Path, settings: Settings, index: Index) -> None:
    many = tmp_path / "many"
    many.mkdir()
    draw(many, 48)
    command = [sys.executable, "-m", "api", "index", str(many), "--data-dir", settings.data_dir, "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout
    for line in process.stdout:
        if json.loads(line)["done"] >= 8:
            break
    os.kill(process.pid, signal.SIGKILL)
    process.stdout.close()
    process.wait()
    rest = index(many)
    assert rest.indexed + rest.unchanged == 48
    assert rest.unchanged >= 8
    assert len(found(settings)) == 48
    assert not (Path(settings.data_dir) / "staging").exists()


def draw(folder: Path, count: int) -> None:
    """Small pictures, no two alike."""
    chance = random.Random(7)
    for number in range(count):
        picture = Image.new("RGB", (96, 64), tuple(chance.randrange(256) for _ in range(3)))
        ImageDraw.Draw(picture).ellipse(
            [chance.randrange(40), 8, 80, 56], fill=tuple(chance.randrange(256) for _ in "rgb")
        )
        picture.save(folder / f"{number:03}.png")


@pytest.mark.long
def test_two_indexers_do_not_write_at_once(folder: Path, settings: Settings, index: Index) -> None:
    index(folder)
    library = compose.Library(Path(settings.data_dir))
    with library.writer():
        run = loupe("index", str(folder), "--data-dir", settings.data_dir)
    library.close()
    assert run.returncode == 3
    assert "another" in run.stderr.lower()


def test_equal_files_are_embedded_once(folder: Path, settings: Settings, index: Index) -> None:
    shutil.copy(folder / "espresso-cup.jpg", folder / "copy of the cup.jpg")
    index(folder)
    hits = [hit.asset for hit in found(settings) if hit.asset.content_hash]
    assert len(hits) == 4
    assert len({hit.content_hash for hit in hits}) == 3


def test_progress_counts_up_to_the_total(folder: Path, index: Index) -> None:
    steps: list[tuple[int, int]] = []
    index(folder, progress=lambda step: steps.append((step.done, step.total)))
    assert steps == [(1, 3), (2, 3), (3, 3)]


def test_a_video_is_found_by_what_is_said_and_seen(tmp_path: Path, settings: Settings, index: Index) -> None:
    folder = tmp_path / "films"
    folder.mkdir()
    for name in ("how-to-taste-coffee.webm", "how-to-taste-coffee.vtt"):
        shutil.copy(LIBRARY / "video" / name, folder)
    shutil.copy(LIBRARY / "documents/rate-card-and-licence-terms.pdf", folder)
    index(folder)
    best = found(settings, "wait four minutes for the crust")[0]
    assert best.asset.media_type == "video"
    assert any(why.start is not None for why in best.why)
    assert found(settings, "licence fee for print")[0].asset.mime == "application/pdf"
    assert msgspec.structs.asdict(best.asset)["duration"] > 30
