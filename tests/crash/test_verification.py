"""What is wrong with a library is named, with the remedy."""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from search import verification
from search.errors import BadSettings, CatalogDamaged
from search.library import CATALOG, Library


def _sql(statement: str) -> Callable[[Library], None]:
    def act(library: Library) -> None:
        with closing(sqlite3.connect(library.directory / CATALOG)) as connection, connection:
            connection.execute(statement)

    return act


def _file_damaged(library: Library) -> None:
    newest = max(library.generations.iterdir())
    file = next(newest.rglob("owners.npy"))
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


def _overwritten(library: Library, page: int) -> None:
    """A page of the catalog, counted from the first or from the end, is something else."""
    path = library.directory / CATALOG
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with path.open("r+b") as file:
        file.seek(4096 * page, os.SEEK_SET if page >= 0 else os.SEEK_END)
        file.write(os.urandom(4096))


WRONG: dict[str, tuple[Callable[[Library], None], str, str]] = {
    "a published file": (_file_damaged, "owners.npy is not as it was written", "loupe rebuild"),
    "an audit line changed": (_sql("UPDATE audit SET user = 'nobody' WHERE number = 2"), "from line 2 on", ""),
    "an audit line gone": (_sql("DELETE FROM audit WHERE number = 1"), "from line 1 on", ""),
    "a preview gone": (
        _sql("UPDATE assets SET has_preview = 1, content_hash = 'abcdef'"),
        "is not all there",
        "loupe rebuild",
    ),
    "a row without its asset": (
        _sql("INSERT INTO statuses (asset, status, by, at) VALUES (99999, 'approved', 'x', '2026-01-01')"),
        "of statuses refers to what is not there",
        "loupe restore",
    ),
    "a page of the catalog": (lambda library: _overwritten(library, -1), "The catalog: ", "loupe restore"),
}


@pytest.mark.parametrize("damage", WRONG)
def test_what_is_wrong_is_named(damage: str, library: Library, tmp_path: Path) -> None:
    for number in range(3):
        library.catalog.audit("ann", "download", str(number))
    assert list(verification.wrong(library)) == []
    act, said, remedy = WRONG[damage]
    act(library)
    library.close()
    again = Library(tmp_path / "library")
    found = list(verification.wrong(again))
    again.close()
    assert any(said in line and remedy in line for line in found), found


def test_a_catalog_that_is_none_any_more_says_what_to_do(library: Library, tmp_path: Path) -> None:
    _overwritten(library, 0)
    library.close()
    with pytest.raises(CatalogDamaged, match="loupe restore"):
        Library(tmp_path / "library")


@pytest.mark.parametrize("key", [b"", b"00", b"\xff", b"0" * 63, b"0" * 66, b"no key" * 20])
def test_a_key_that_is_not_whole_signs_nothing(key: bytes, library: Library) -> None:
    """An empty one would let anybody sign as anybody."""
    (library.directory / "secret").write_bytes(key)
    with pytest.raises(BadSettings, match="signs in again"):
        library.secret()
    assert any("secret is not as it was written" in line for line in verification.wrong(library))
    (library.directory / "secret").unlink()
    assert len(library.secret()) == 32
    assert list(verification.wrong(library)) == []
