"""The catalog keeps what it is given, tells what changed, and its tables are those of its migrations."""

import sqlite3
from datetime import date
from pathlib import Path

import msgspec
import numpy as np
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from search import schema
from search.catalog import LOOKED_UP, REVISION, Catalog, Made, SetAside
from search.errors import BadSettings
from search.types import (
    Action,
    Channel,
    Grant,
    Licence,
    ResourceKind,
    Rights,
    Segment,
    SegmentKind,
    Status,
    SubjectKind,
)
from tests.conftest import MakeIntake, everyone_may


def test_an_asset_comes_back_as_it_went_in(catalog: Catalog, make_intake: MakeIntake) -> None:
    own = Grant(ResourceKind.asset, "a", SubjectKind.group, "red", Action.find, allow=False)
    intake = make_intake("a", keywords=("sea", "sand"), grants=(own,), created=date(2020, 2, 29), sensitive=True)
    rights = Rights(
        licence=Licence.rights_managed,
        holder="Someone",
        valid_until=date(2027, 1, 31),
        territories=("DE", "AT"),
        channels=(Channel.web, Channel.print),
    )
    intake = msgspec.structs.replace(intake, asset=msgspec.structs.replace(intake.asset, rights=rights))
    catalog.take_in([intake], by="test")
    catalog.grant_collection("open", everyone_may("open", Action.find))
    found = catalog.asset("a")
    assert found is not None
    expected = msgspec.structs.replace(
        intake.asset, ordinal=found.ordinal, grants=(own, *everyone_may("open", Action.find))
    )
    assert found == expected
    assert list(catalog.every_asset()) == [found]
    assert catalog.assets([found.ordinal, 999]) == {found.ordinal: found}


def test_grants_of_an_asset_are_not_those_of_a_collection_of_the_same_name(
    catalog: Catalog, make_intake: MakeIntake
) -> None:
    own = Grant(ResourceKind.asset, "open", SubjectKind.group, "red", Action.find, allow=False)
    catalog.take_in([make_intake("open", grants=(own,), collection="other"), make_intake("b")], by="test")
    catalog.grant_collection("open", everyone_may("open", Action.find))
    assets, _ = catalog.read_back([1, 2], [])
    assert {asset.id: asset.grants for asset in assets.values()} == {
        "open": (own,),
        "b": everyone_may("open", Action.find),
    }
    assert catalog.assets([1, 2]) == assets


def test_a_page_is_read_back_with_the_parts_asked_for(catalog: Catalog, make_intake: MakeIntake) -> None:
    catalog.take_in([make_intake("a"), make_intake("b")], by="test")
    catalog.mark_vanished(["/library/b.jpg"])
    part = catalog.segments_of(1)[0]
    assets, parts = catalog.read_back([1, 2, 999], [part.ordinal, 999])
    assert (list(assets), parts) == ([1], {part.ordinal: part})


def test_a_page_has_the_grants_of_its_moment_whoever_changed_them(tmp_path: Path, make_intake: MakeIntake) -> None:
    one, other = (Catalog.at(tmp_path / "catalog.sqlite") for _ in range(2))
    one.take_in([make_intake("a"), make_intake("b", collection="shut")], by="test")
    for actions in ((Action.find,), (Action.find, Action.use), (), (Action.find,)):
        other.grant_collection("open", everyone_may("open", *actions))
        for catalog in (one, other):
            expected = {1: everyone_may("open", *actions), 2: ()}
            for ordinals in ([2], [1], [1, 2], [1, 2]):
                assets, _ = catalog.read_back(ordinals, [])
                assert {n: asset.grants for n, asset in assets.items()} == {n: expected[n] for n in ordinals}
            assert [asset.grants for asset in catalog.every_asset()] == [expected[1], expected[2]]
            assert (found := catalog.asset("a")) and found.grants == expected[1]
    one.close()
    other.close()


def test_the_journal_names_what_changed_since(catalog: Catalog, make_intake: MakeIntake) -> None:
    assert catalog.head() == 0
    catalog.take_in([make_intake("a"), make_intake("b")], by="test")
    first = catalog.head()
    assert catalog.changes_since(0).assets == {1, 2}
    catalog.grant_collection("open", everyone_may("open", Action.find))
    catalog.mark_vanished(["/library/b.jpg"])
    changes = catalog.changes_since(first)
    assert (changes.assets, changes.grants, changes.head) == ({2}, True, catalog.head())
    assert catalog.changes_since(changes.head).assets == frozenset()


def test_the_same_grants_again_are_no_change(catalog: Catalog) -> None:
    catalog.grant_collection("open", everyone_may("open", Action.find))
    head = catalog.head()
    catalog.grant_collection("open", everyone_may("open", Action.find))
    assert catalog.head() == head


def test_a_file_taken_in_again_keeps_its_ordinal_and_history(catalog: Catalog, make_intake: MakeIntake) -> None:
    catalog.take_in([make_intake("a")], by="ann")
    again = make_intake("a", title="New title")
    catalog.take_in(
        [msgspec.structs.replace(again, asset=msgspec.structs.replace(again.asset, status=Status.archived))], by="bob"
    )
    found = catalog.asset("a")
    assert found is not None
    assert (found.ordinal, found.title, found.status) == (1, "New title", Status.archived)


def test_taken_in_together_is_as_taken_in_one_by_one(tmp_path: Path, make_intake: MakeIntake) -> None:
    """New files, known ones under another id, state or grants, one given twice, and an id that goes to another file."""
    own = Grant(ResourceKind.asset, "a", SubjectKind.group, "red", Action.find)
    first = [make_intake("a", grants=(own,)), make_intake("b"), make_intake("c")]
    words = (Segment(0, 0, SegmentKind.passage, "k", "words"),)
    kept = msgspec.structs.replace(own, allow=False)
    second = [
        make_intake("moved", path="/library/a.jpg", segments=words),
        make_intake("a", path="/library/heir.jpg", status=Status.draft, grants=(kept,)),
        make_intake("b", status=Status.archived),
        make_intake("b", title="Last"),
        make_intake("c"),
    ]
    found = []
    for name, parts in {"together": [first, second], "apart": [[intake] for intake in (*first, *second)]}.items():
        catalog = Catalog.at(tmp_path / f"{name}.sqlite")
        for part in parts:
            catalog.take_in(part, by="test")
        found.append((list(catalog.every_asset()), list(catalog.every_segment()), catalog.ids()))
        catalog.close()
    assert [asset.grants for asset in found[0][0]] == [(), (), (), (kept,)]
    assert found[0] == found[1]


def test_segments_that_stay_keep_their_ordinals(catalog: Catalog, make_intake: MakeIntake) -> None:
    said = Segment(0, 0, SegmentKind.passage, "key", "words", 1.0, 2.5, None)
    catalog.take_in([make_intake("a", segments=(said,))], by="test")
    before = catalog.segments_of(1)
    catalog.take_in([make_intake("a", segments=(said,), title="other")], by="test")
    assert catalog.segments_of(1) == before
    catalog.take_in([make_intake("a", segments=(msgspec.structs.replace(said, text="new"),))], by="test")
    assert catalog.segments_of(1)[0].ordinal > before[0].ordinal


def test_what_vanished_is_not_found_and_its_ordinal_is_not_given_again(
    catalog: Catalog, make_intake: MakeIntake
) -> None:
    catalog.take_in([make_intake("a")], by="test")
    catalog.mark_vanished(["/library/a.jpg"])
    assert catalog.asset("a") is None
    assert catalog.assets([1]) == {}
    assert list(catalog.every_segment()) == []
    catalog.take_in([make_intake("b")], by="test")
    found = catalog.asset("b")
    assert found is not None and found.ordinal == 2


def test_a_file_set_aside_is_remembered_until_it_is_taken_in(catalog: Catalog, make_intake: MakeIntake) -> None:
    catalog.take_in([make_intake("a")], by="test")
    file = SetAside("/library/a.jpg", "broken-media", "It is cut short.", 10, 20)
    catalog.put_aside(file)
    assert catalog.set_aside_files() == {file.path: file}
    assert catalog.asset("a") is None
    catalog.take_in([make_intake("a")], by="test")
    assert catalog.set_aside_files() == {}
    assert catalog.asset("a") is not None


def test_embeddings_of_two_models_never_mix(catalog: Catalog) -> None:
    one, two = np.array([1, 0], np.float32), np.array([0, 1], np.float32)
    catalog.put_embeddings("m1", {"h": one})
    catalog.put_embeddings("m2", {"h": two})
    catalog.put_embeddings("m1", {"h": two})
    assert np.array_equal(catalog.embeddings("m1", ["h", "none"])["h"], one)
    assert np.array_equal(catalog.embeddings("m2", ["h"])["h"], two)


def test_files_lacking_a_models_vectors_are_named(catalog: Catalog, make_intake: MakeIntake) -> None:
    catalog.take_in([make_intake("a"), make_intake("b")], by="test")
    catalog.put_embeddings("m", {"hash-a": np.ones(2, np.float32)})
    assert catalog.paths_lacking({"m": ["image"]}) == {"/library/b.jpg"}


def test_the_audit_chain_tells_of_edits_removals_and_reordering(tmp_path: Path) -> None:
    path = tmp_path / "catalog.sqlite"
    catalog = Catalog.at(path)
    for number in range(4):
        catalog.audit("ann", "download", f"asset-{number}", {"usage": None})
    assert catalog.first_broken_audit_line() is None
    for statement, first in [
        ("UPDATE audit SET user = 'bob' WHERE number = 2", 2),
        ("DELETE FROM audit WHERE number = 1", 1),
        ("UPDATE audit SET detail = '{}' WHERE number = 4", 1),
    ]:
        with sqlite3.connect(path) as connection:
            connection.execute(statement)
        connection.close()
        assert catalog.first_broken_audit_line() == first
    catalog.close()


def test_the_migrations_make_the_tables_of_the_schema(tmp_path: Path) -> None:
    path = tmp_path / "catalog.sqlite"
    Catalog.at(path).close()
    engine = sa.create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection)
        assert context.get_current_revision() == REVISION
        assert compare_metadata(context, schema.metadata) == []
    engine.dispose()


def test_another_database_is_refused_clearly() -> None:
    with pytest.raises(BadSettings, match="cannot be kept in postgresql"):
        Catalog("postgresql://127.0.0.1/x")


def test_a_whole_archive_may_vanish_at_once(catalog: Catalog, make_intake: MakeIntake) -> None:
    """More paths than SQLite takes variables in one statement."""
    catalog.take_in([make_intake("a")], by="test")
    catalog.mark_vanished(["/library/a.jpg", *(f"/library/{n}.jpg" for n in range(300_000))])
    assert list(catalog.every_asset()) == []


def test_a_file_that_moved_is_the_same_asset_and_is_looked_at_again(catalog: Catalog, make_intake: MakeIntake) -> None:
    catalog.take_in([make_intake("one")], by="test")
    head, before = catalog.head(), catalog.asset("one")
    assert before
    catalog.move("/library/one.jpg", "/library/trips/one.jpg")
    after = catalog.asset("one")
    assert after and after.ordinal == before.ordinal and after.path == "/library/trips/one.jpg"
    assert catalog.changes_since(head).assets == {before.ordinal}
    assert catalog.known_files()["/library/trips/one.jpg"].facts_digest == ""


def test_what_is_at_or_below_some_paths(catalog: Catalog, make_intake: MakeIntake) -> None:
    paths = ["/a/x.jpg", "/a/b/y.jpg", "/a/b.jpg", "/a/b0.jpg", "/a/b-c/z.jpg", "/A/b/w.jpg", "/a/b/ü/🐦.jpg"]
    catalog.take_in([make_intake(f"id{n}", path=path) for n, path in enumerate(paths)], by="test")
    aside = [SetAside(path, "broken-media", "It is.") for path in ("/a/b/bad.jpg", "/a/bad.jpg")]
    for file in aside:
        catalog.put_aside(file)
    below = {"/a/b/y.jpg", "/a/b/ü/🐦.jpg"}
    assert catalog.known_files(["/a/b"]).keys() == below
    assert catalog.known_files(["/a/b", "/a/x.jpg", "/a/b/y.jpg", "/none"]).keys() == below | {"/a/x.jpg"}
    assert catalog.known_files([]) == {}
    assert catalog.set_aside_files(["/a/b"]).keys() == {"/a/b/bad.jpg"}
    assert catalog.ids(["/a/b"]).keys() == {"id1", "id6"}
    assert catalog.ids(["/a/b"], named=["id0", "nobody"]).keys() == {"id0", "id1", "id6"}
    many = [f"/none/{n}" for n in range(LOOKED_UP - 1)]
    assert catalog.known_files([*many, "/a/b"]).keys() == below, "as many as can be looked up at once"
    assert catalog.ids([*many, "/a/b"], named=["id0"]).keys() == {"id0", "id1", "id6"}


def test_assets_of_a_content_those_that_are_there_first(catalog: Catalog, make_intake: MakeIntake) -> None:
    catalog.take_in([make_intake(name, content_hash="h") for name in ("gone", "there")], by="test")
    catalog.take_in([make_intake("other")], by="test")
    catalog.mark_vanished(["/library/gone.jpg"])
    gone, there = Made("gone", "/library/gone.jpg", True), Made("there", "/library/there.jpg", False)
    assert catalog.made_from("h") == [there, gone]
    assert catalog.vanished_sizes() == {0}
