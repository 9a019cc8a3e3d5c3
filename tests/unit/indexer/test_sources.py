"""Which files a folder holds: assets and sidecars told apart, links kept inside, what cannot be opened named."""

import os
from pathlib import Path

import pytest

from indexer.sources import find, spoken_of
from search.errors import BadSettings


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "library"
    made.mkdir()
    return made


def put(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def names(*roots: Path) -> list[str]:
    return [source.path.name for source in find(roots) if not source.trouble]


def troubles(root: Path) -> dict[str, str]:
    return {source.path.name: source.trouble for source in find([root]) if source.trouble}


def test_assets_in_name_order_and_nothing_hidden(folder: Path) -> None:
    put(folder, "b.jpg", "a.png", "sub/c.mp4", ".hidden.jpg", ".git/d.jpg", "no-suffix")
    assert names(folder) == ["a.png", "b.jpg", "no-suffix", "c.mp4"]


def test_texts_are_not_assets(folder: Path) -> None:
    put(folder, "a.jpg", "a.vtt", "a.json", "a.xmp", "notes.txt", "manifest.csv", "README.md", "table.xlsx")
    assert names(folder) == ["a.jpg"]


def test_sidecars_by_either_name(folder: Path) -> None:
    put(folder, "a.mp4", "a.vtt", "a.mp4.json", "b.vtt")
    (source,) = find([folder])
    assert sorted(path.name for path in source.sidecars()) == ["a.mp4.json", "a.vtt"]


def test_a_file_named_twice_is_found_once(folder: Path) -> None:
    put(folder, "a.jpg", "sub/b.jpg")
    assert names(folder, folder / "sub", folder / "a.jpg") == ["a.jpg", "b.jpg"]


def test_links_inside_are_passed_over_and_others_are_named(folder: Path, tmp_path: Path) -> None:
    put(folder, "a.jpg")
    put(tmp_path, "outside.jpg", "elsewhere/c.jpg")
    (folder / "again.jpg").symlink_to(folder / "a.jpg")
    (folder / "out.jpg").symlink_to(tmp_path / "outside.jpg")
    (folder / "dangling.jpg").symlink_to(folder / "nowhere.jpg")
    (folder / "elsewhere").symlink_to(tmp_path / "elsewhere")
    (folder / "round").symlink_to(folder)
    assert names(folder) == ["a.jpg"]
    said = troubles(folder)
    assert set(said) == {"out.jpg", "dangling.jpg", "elsewhere"}
    assert "not there" in said["dangling.jpg"]
    assert "out of the folder" in said["out.jpg"]


def test_what_is_no_regular_file_is_named(folder: Path) -> None:
    os.mkfifo(folder / "pipe.jpg")
    assert "not a regular file" in troubles(folder)["pipe.jpg"]


def test_names_of_every_kind(folder: Path) -> None:
    odd = ["späße 🐦.jpg", "a b.jpg", "-rf.jpg", "new\nline.jpg", "quote'\".jpg", "x" * 200 + ".jpg"]
    put(folder, *odd)
    assert set(names(folder)) == set(odd)


def test_a_path_that_is_not_there_is_wrong_use(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match="nowhere"):
        list(find([tmp_path / "nowhere"]))


def test_the_library_itself_is_not_entered(folder: Path) -> None:
    put(folder, "a.jpg", "library/renditions/b.webp")
    assert [source.path.name for source in find([folder], without=folder / "library")] == ["a.jpg"]
    assert not list(find([folder], without=folder / "library", among=[folder / "library" / "renditions" / "b.webp"]))


def test_of_some_paths_what_a_walk_would_come_to(folder: Path, tmp_path: Path) -> None:
    put(folder, "a.jpg", "b.jpg", "sub/c.jpg", "sub/deep/d.jpg", ".hidden/e.jpg", "other/f.jpg")
    put(tmp_path, "outside.jpg")
    (folder / "link").symlink_to(folder / "other")

    def among(*paths: Path) -> list[str]:
        return [source.path.name for source in find([folder], among=paths)]

    assert among(folder / "b.jpg") == ["b.jpg"]
    assert among(folder / "sub", folder / "sub" / "c.jpg", folder / "a.jpg") == ["a.jpg", "c.jpg", "d.jpg"]
    assert among(folder) == [source.path.name for source in find([folder])]
    assert among(folder / "gone.jpg", folder / "gone", tmp_path / "outside.jpg") == []
    assert among(folder / ".hidden" / "e.jpg", folder / "link" / "f.jpg") == []
    (root,) = {source.root for source in find([folder], among=[folder / "sub" / "deep"])}
    assert root == folder, "its collection is that of the folder that was named"


def test_whom_a_sidecar_speaks_of(folder: Path) -> None:
    put(folder, "a.jpg", "a.mp4", "b.jpg", "a.jpg.bak.png", "a.vtt")

    def told(name: str) -> set[str]:
        return {path.name for path in spoken_of(folder / name)}

    assert told("a.vtt") == {"a.jpg", "a.mp4"}
    assert told("a.jpg.xmp") == {"a.jpg"}, "also when it is not there any more"
    assert told("b.jpg") == set()
    assert told("nowhere/a.vtt") == set()
