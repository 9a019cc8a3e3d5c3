"""The catalog: the only truth, and the only thing that acknowledges a write.

Assets, their parts, rights, grants, statuses, embeddings and the journal of changes, over SQLAlchemy Core (SQLite
in WAL mode with synchronous=FULL by default). A method that writes returns once the write is durable. Whatever else
Loupe keeps on disk can be made again from here.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from numpy.typing import NDArray
from sqlalchemy.dialects.sqlite import insert as upsert

from search import schema
from search.columns import Facts
from search.errors import BadSettings, CatalogDamaged, NotFound, NotWritten
from search.kept import Kept
from search.ragged import CHUNK
from search.types import (
    Action,
    Asset,
    Grant,
    ResourceKind,
    Rights,
    Segment,
    SegmentKind,
    SubjectKind,
)

#: What helps where the catalog itself is damaged: all else can be made again from it.
RESTORE: Final = "Restore a backup into another --data-dir: loupe restore FILE."

#: The newest revision under search/migrations; a catalog at another one is migrated when it is opened.
REVISION: Final = "0001"

#: SQLite takes 32,766 bound values in one statement; larger lists are read in parts of this size.
_PART: Final = 10_000

#: How many paths can be looked up at once with what is below them: SQLite bounds the depth of an expression to 1,000.
LOOKED_UP: Final = 400

#: Rows of facts that are held as rows at one time.
_ROWS: Final = 500


#: The action under which the audit log has a purge, and under what name the ordinal of what was purged.
_PURGE: Final = "purge"
_ORDINAL: Final = "ordinal"

#: The newest journal number. Asked before every request, by SQLite's own driver: what SQLAlchemy adds, and a
#: transaction for one number, take four times as long as to read it.
_HEAD: Final = "SELECT max(number) FROM journal"

#: Journal numbers at which collections' grants are kept: the newest, and the one that searches under way still read.
_HEADS_KEPT: Final = 2


class Intake(msgspec.Struct, frozen=True):
    """What an indexer hands in for one file: the asset (its ordinal is ignored) and what tells a change of it.

    `mtime_ns` and the asset's `byte_size` are the file's, `facts_digest` covers its sidecars and manifest row,
    `embedded` is what the file said of itself, kept so that new metadata needs no new decoding.
    """

    asset: Asset
    mtime_ns: int
    facts_digest: str
    embedded: Mapping[str, object]
    segments: tuple[Segment, ...]


class Made(msgspec.Struct, frozen=True):
    """An asset by the file that it was made from, which may have vanished."""

    id: str
    path: str
    vanished: bool


class Known(msgspec.Struct, frozen=True):
    """What the catalog remembers of a file, enough to tell whether it changed."""

    byte_size: int
    mtime_ns: int
    facts_digest: str


class SetAside(msgspec.Struct, frozen=True):
    """A file that was not taken, and why."""

    path: str
    code: str
    reason: str
    byte_size: int = 0
    mtime_ns: int = 0


class Changes(msgspec.Struct, frozen=True):
    """What happened since a journal number: the assets to read again; `head` is the newest number."""

    head: int
    assets: frozenset[int]
    grants: bool


class AuditEntry(msgspec.Struct, frozen=True):
    """One line of the audit log. `hash` covers this line and, by way of the one before, all earlier ones."""

    number: int
    at: str
    user: str
    action: str
    asset: str
    detail: str
    hash: str


class Catalog:
    """One library's catalog. Safe to share between threads; open it once a process."""

    def __init__(self, url: str) -> None:
        backend = sa.make_url(url).get_backend_name()
        if backend != "sqlite":
            raise BadSettings(f"The catalog cannot be kept in {backend}.", "Give a sqlite URL.")
        self._engine = sa.create_engine(url, json_deserializer=msgspec.json.decode)
        sa.event.listen(self._engine, "connect", _prepare)
        sa.event.listen(self._engine, "begin", _begin)
        self._inherited: Kept[dict[str, tuple[Grant, ...]]] = Kept(_HEADS_KEPT)
        try:
            self._migrate()
        except sa.exc.OperationalError:  # it is locked, or cannot be had: nothing is wrong with what is in it
            raise
        except sa.exc.DatabaseError as error:
            raise CatalogDamaged(f"The catalog cannot be read: {error.orig}.", RESTORE) from error

    @classmethod
    def at(cls, path: Path) -> "Catalog":
        """Open the catalog file, creating or migrating it."""
        return cls(f"sqlite:///{path}")

    def close(self) -> None:
        self._engine.dispose()

    # ---- reading

    def head(self) -> int:
        """The newest journal number; 0 when nothing was ever written."""
        with closing(self._engine.raw_connection()) as connection:
            (number,) = connection.cursor().execute(_HEAD).fetchone()
        return number or 0

    def changes_since(self, number: int) -> Changes:
        journal = schema.journal
        with self._engine.connect() as connection:
            rows = connection.execute(
                sa.select(journal.c.number, journal.c.asset).where(journal.c.number > number)
            ).all()
        return Changes(
            max((row.number for row in rows), default=number),
            frozenset(row.asset for row in rows if row.asset is not None),
            any(row.asset is None for row in rows),
        )

    def assets(self, ordinals: Iterable[int]) -> dict[int, Asset]:
        """The assets there are among these ordinals; vanished ones are left out."""
        with self._engine.connect() as connection:
            return self._numbered(connection, ordinals)

    def read_back(self, assets: Iterable[int], segments: Iterable[int]) -> tuple[dict[int, Asset], dict[int, Segment]]:
        """The assets of a page that have not vanished, and parts of them, by ordinal, as all stand at one moment."""
        with self._engine.connect() as connection:
            found = self._numbered(connection, assets)
            rows = connection.execute(_SEGMENTS_NUMBERED, {"ordinals": _list(segments)}).all()
        return found, {row.ordinal: _segment(row) for row in rows}

    def asset(self, id: str) -> Asset | None:
        """The asset with this id, unless it vanished."""
        with self._engine.connect() as connection:
            return next(self._read_assets(connection, _ASSETS.where(schema.assets.c.id == id)), None)

    def asset_at(self, path: str) -> Asset | None:
        """The asset that was made from the file at this path, unless it vanished."""
        with self._engine.connect() as connection:
            return next(self._read_assets(connection, _ASSETS.where(schema.assets.c.path == path)), None)

    def every_asset(self, among: Iterable[int] | None = None) -> Iterator[Asset]:
        """All that have not vanished, or those among these ordinals, in ordinal order."""
        last, number = 0, schema.assets.c.ordinal
        chosen = _ASSETS.where(_among(number, among))
        while True:
            with self._engine.connect() as connection:
                query = chosen.where(number > last).order_by(number).limit(_PART)
                part = list(self._read_assets(connection, query))
            if not part:
                return
            yield from part
            last = part[-1].ordinal

    def facts(self, ordinals: Iterable[int] | None = None) -> Iterator[Facts]:
        """What bears on scopes and counts of those assets among the ordinals (None: of all) that have not vanished, in
        ascending parts of at most as many as share a chunk."""
        table = schema.assets
        with self._engine.connect() as connection:
            if ordinals is None:
                last = connection.scalar(sa.select(sa.func.max(table.c.ordinal))) or 0
                own = _read_own_grants(connection, sa.true())
                for start in range(0, last + 1, CHUNK):
                    yield _read_facts(connection, table.c.ordinal.between(start, start + CHUNK - 1), own)
            else:
                wanted = sorted(ordinals)
                for start in range(0, len(wanted), _PART):
                    here = table.c.ordinal.in_(wanted[start : start + _PART])
                    yield _read_facts(connection, here, _read_own_grants(connection, here))

    def collection_grants(self) -> dict[str, tuple[Grant, ...]]:
        with self._engine.connect() as connection:
            return _read_grants(connection, schema.grants.c.resource_kind == ResourceKind.collection.value)

    def segments_of(self, asset: int) -> list[Segment]:
        """The parts of one asset, in the order they were cut."""
        table = schema.segments
        with self._engine.connect() as connection:
            rows = connection.execute(sa.select(table).where(table.c.asset == asset).order_by(table.c.ordinal))
            return [_segment(row) for row in rows]

    def every_segment(self, among: Iterable[int] | None = None) -> Iterator[Segment]:
        """The parts of all assets that have not vanished, or of those among these ordinals, in ordinal order."""
        table = schema.segments
        number = schema.assets.c.ordinal
        alive = sa.select(number).where(schema.assets.c.vanished.is_(None), _among(number, among))
        last = 0
        while True:
            query = sa.select(table).where(table.c.ordinal > last, table.c.asset.in_(alive)).order_by(table.c.ordinal)
            with self._engine.connect() as connection:
                part = [_segment(row) for row in connection.execute(query.limit(_PART))]
            if not part:
                return
            yield from part
            last = part[-1].ordinal

    def embeddings(self, model_id: str, keys: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """The stored vectors among these content hashes, float32 [d] each."""
        table = schema.embeddings
        found: dict[str, NDArray[np.float32]] = {}
        with self._engine.connect() as connection:
            for start in range(0, len(keys), _PART):
                part = keys[start : start + _PART]
                query = sa.select(table.c.content_hash, table.c.vector).where(
                    table.c.model_id == model_id, table.c.content_hash.in_(part)
                )
                found |= {row.content_hash: np.frombuffer(row.vector, "<f4") for row in connection.execute(query)}
        return found

    def embedded_segments(
        self, model_id: str, kinds: Sequence[str], among: Iterable[int] | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The parts of these kinds that the model has made vectors of, in ordinal order, and the asset of each.

        Both int64 [n]; of all assets or of those among these ordinals, parts of vanished ones left out.
        """
        segments, assets = schema.segments, schema.assets
        query = (
            sa.select(segments.c.ordinal, segments.c.asset)
            .join(assets, assets.c.ordinal == segments.c.asset)
            .where(segments.c.kind.in_(kinds), assets.c.vanished.is_(None), sa.exists().where(_made_by(model_id)))
            .where(_among(segments.c.asset, among))
            .order_by(segments.c.ordinal)
        )
        with self._engine.connect() as connection:
            rows = connection.execute(query)
            found = np.fromiter((number for row in rows for number in row), np.int64).reshape(-1, 2)
        return found[:, 0].copy(), found[:, 1].copy()

    def vectors_of(self, model_id: str, segments: NDArray[np.int64]) -> NDArray[np.float32]:
        """The vectors that the model has made of these parts, each of which must have one, float32 [n, d]."""
        parts, embeddings = schema.segments, schema.embeddings
        found: dict[int, bytes] = {}
        with self._engine.connect() as connection:
            for start in range(0, len(segments), _PART):
                here = parts.c.ordinal.in_(segments[start : start + _PART].tolist())
                query = sa.select(parts.c.ordinal, embeddings.c.vector).join(embeddings, _made_by(model_id)).where(here)
                found |= {row.ordinal: row.vector for row in connection.execute(query)}
        rows = [np.frombuffer(found[segment], "<f4") for segment in segments.tolist()]
        return np.stack(rows).astype(np.float32) if rows else np.zeros((0, 0), np.float32)

    def known_files(self, below: Sequence[str] | None = None) -> dict[str, Known]:
        """Path to what is remembered of each file in the catalog that has not vanished; of all, or of what is at or
        below some paths, at most `LOOKED_UP` of them."""
        table = schema.assets
        columns = (table.c.path, table.c.byte_size, table.c.mtime_ns, table.c.facts_digest)
        query = sa.select(*columns).where(table.c.vanished.is_(None), _below(table.c.path, below))
        with self._engine.connect() as connection:
            rows = connection.execute(query)
            return {row.path: Known(row.byte_size, row.mtime_ns, row.facts_digest) for row in rows}

    def embedded_metadata(self, path: str) -> dict[str, Any]:
        """What the file at this path said of itself when it was decoded."""
        with self._engine.connect() as connection:
            found = connection.scalar(sa.select(schema.assets.c.embedded).where(schema.assets.c.path == path))
        return dict(found or {})

    def paths_lacking(self, kinds_by_model: Mapping[str, Sequence[str]]) -> set[str]:
        """The files with a segment of these kinds that the model (id to kinds) has made no vector of."""
        segments, assets = schema.segments, schema.assets

        def unseen(model_id: str) -> sa.ColumnElement[bool]:
            return ~sa.exists().where(_made_by(model_id)).correlate(segments)

        lacking: set[str] = set()
        with self._engine.connect() as connection:
            # Whether any is wanting is read off two indexes side by side, in a tenth of the time that it takes to say
            # which. A key is that of a picture or of a text, so one that any model has seen, its own has.
            if connection.scalar(sa.select(segments.c.embedding_key).where(*map(unseen, kinds_by_model)).limit(1)):
                for model_id, kinds in kinds_by_model.items():
                    owners = sa.select(segments.c.asset).where(segments.c.kind.in_(kinds), unseen(model_id))
                    lacking |= set(connection.scalars(sa.select(assets.c.path).where(assets.c.ordinal.in_(owners))))
        return lacking

    def ids(self, below: Sequence[str] | None = None, named: Iterable[str] = ()) -> dict[str, str]:
        """Id to path, for every asset that ever was: an id is never given to another file. Of all, or of those at or
        below some paths (at most `LOOKED_UP`) and those with the ids `named`."""
        table = schema.assets
        query = sa.select(table.c.id, table.c.path).where(
            _below(table.c.path, below) | _in(table.c.id, sa.literal(_list(named)))
        )
        with self._engine.connect() as connection:
            return {row.id: row.path for row in connection.execute(query)}

    def vanished_sizes(self) -> set[int]:
        """How many bytes each file had that has vanished."""
        table = schema.assets
        with self._engine.connect() as connection:
            return set(connection.scalars(sa.select(table.c.byte_size).where(table.c.vanished.is_not(None))))

    def made_from(self, content_hash: str) -> list[Made]:
        """The assets of this content: those that are there first, then those that vanished, as they came."""
        table = schema.assets
        query = sa.select(table.c.id, table.c.path, table.c.vanished).where(table.c.content_hash == content_hash)
        order = (table.c.vanished.is_not(None), table.c.ordinal)
        with self._engine.connect() as connection:
            rows = connection.execute(query.order_by(*order))
            return [Made(row.id, row.path, row.vanished is not None) for row in rows]

    def set_aside_files(self, below: Sequence[str] | None = None) -> dict[str, SetAside]:
        """The files that could not be taken: all, or those at or below some paths, at most `LOOKED_UP` of them."""
        table = schema.set_aside
        query = sa.select(table).where(_below(table.c.path, below)).order_by(table.c.path)
        with self._engine.connect() as connection:
            return {
                row.path: SetAside(row.path, row.code, row.reason, row.byte_size, row.mtime_ns)
                for row in connection.execute(query)
            }

    def counts(self) -> dict[str, int]:
        """How many rows each table holds (for the person who runs the machine, never for a search)."""
        with self._engine.connect() as connection:
            alive = sa.select(sa.func.count()).select_from(schema.assets).where(schema.assets.c.vanished.is_(None))
            tables = (schema.segments, schema.embeddings, schema.set_aside, schema.audit)
            return {"assets": connection.scalar(alive) or 0} | {
                table.name: connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0 for table in tables
            }

    def damages(self) -> list[str]:
        """What SQLite finds wrong with the file and its references; nothing when it is sound."""
        with self._engine.connect() as connection:
            try:
                found = [row[0] for row in connection.exec_driver_sql("PRAGMA integrity_check") if row[0] != "ok"]
                loose = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
            except sa.exc.DatabaseError as error:
                return [str(error.orig)]
        return [*found, *(f"row {row[1]} of {row[0]} refers to what is not there" for row in loose)]

    def _numbered(self, connection: sa.Connection, ordinals: Iterable[int]) -> dict[int, Asset]:
        found = self._read_assets(connection, _ASSETS_NUMBERED, {"ordinals": _list(ordinals)})
        return {asset.ordinal: asset for asset in found}

    def _read_assets(
        self, connection: sa.Connection, query: sa.Select[Any], bound: Mapping[str, object] | None = None
    ) -> Iterator[Asset]:
        """The assets that a query made of `_ASSETS` finds, each with its own grants and its collection's.

        Page after page is of the same collections: what these grant is kept as it is at the newest journal number,
        under which every change of it is written. So not for a transaction that writes, whose number may yet become
        another's.
        """
        rows = connection.execute(query, bound).all()
        if not rows:
            return
        fields = [dict(zip(_READ, row, strict=True)) for row in rows]
        inherited = self._inherited.of(connection.exec_driver_sql(_HEAD).scalar(), dict)
        # Of their collections only: a library may have thousands, each with many grants.
        unread = {name for one in fields if (name := one["collection"]) not in inherited}
        asset, collection = ResourceKind.asset.value, ResourceKind.collection.value
        named = {asset: _list({one["id"] for one in fields}), collection: _list(unread)}
        granted = {(kind, name): _grants(rows) for kind, name, rows in connection.execute(_GRANTS_OF, named).all()}
        inherited |= {name: granted.get((collection, name), ()) for name in unread}
        for one in fields:
            yield _asset(one, (*granted.get((asset, one["id"]), ()), *inherited[one["collection"]]))

    # ---- writing

    def take_in(self, intakes: Sequence[Intake], by: str) -> None:
        """Insert or replace assets by path, with their parts, rights and own grants, in one transaction."""
        if not intakes:
            return
        intakes = list({intake.asset.path: intake for intake in intakes}.values())
        with self._write() as connection:
            ordinals = _put_assets(connection, intakes, by)
            _put_rights(connection, {ordinals[intake.asset.path]: intake.asset.rights for intake in intakes})
            _put_segments(connection, {ordinals[intake.asset.path]: intake.segments for intake in intakes})
            _clear_set_aside(connection, list(ordinals))
            _journal(connection, ordinals.values())

    def put_embeddings(self, model_id: str, vectors: Mapping[str, NDArray[np.float32]]) -> None:
        """Store vectors, float32 [d], by content hash. One that is there already stays."""
        rows = [
            {"content_hash": key, "model_id": model_id, "vector": vector.astype("<f4").tobytes()}
            for key, vector in vectors.items()
        ]
        if rows:
            with self._write() as connection:
                connection.execute(upsert(schema.embeddings).on_conflict_do_nothing(), rows)

    def grant_collection(self, collection: str, grants: Iterable[Grant]) -> None:
        """Replace the grants of a collection."""
        with self._write() as connection:
            if _put_grants(connection, ResourceKind.collection, {collection: list(grants)}):
                _journal(connection, [None])

    def put_aside(self, file: SetAside) -> None:
        """Remember a file that could not be taken. If it was an asset before, that asset is marked as vanished."""
        with self._write() as connection:
            row = {**msgspec.structs.asdict(file), "at": _now()}
            connection.execute(
                upsert(schema.set_aside).values(row).on_conflict_do_update(index_elements=["path"], set_=row)
            )
            _vanish(connection, [file.path])

    def move(self, path: str, to: str) -> None:
        """The file went elsewhere: its asset keeps its ordinal, id and history, and what is said of it is to be
        gathered again. `to` must not be in the catalog."""
        table = schema.assets
        with self._write() as connection:
            ordinals = connection.scalars(sa.select(table.c.ordinal).where(table.c.path == path)).all()
            connection.execute(sa.update(table).where(table.c.path == path).values(path=to, facts_digest=""))
            if ordinals:
                _journal(connection, ordinals)

    def mark_vanished(self, paths: Iterable[str]) -> None:
        """The files are gone: their assets are found no more, their history stays."""
        gone = list(paths)
        with self._write() as connection:
            _vanish(connection, gone)
            _clear_set_aside(connection, gone)

    def purge(self, ids: Sequence[str], by: str) -> None:
        """Remove assets and all that was said and made of them, but for their audit entries. Raises NotFound, and then
        nothing is removed. What others hold in common with them stays."""
        assets, segments, embeddings = schema.assets, schema.segments, schema.embeddings
        with self._write() as connection:
            for name in ids:
                gone = connection.execute(sa.select(assets).where(assets.c.id == name)).one_or_none()
                if gone is None:
                    raise NotFound(f"There is no asset {name!r}.", "Nothing was removed.")
                connection.execute(sa.delete(assets).where(assets.c.ordinal == gone.ordinal))
                _put_grants(connection, ResourceKind.asset, {name: ()})
                _clear_set_aside(connection, [gone.path])
                _journal(connection, [gone.ordinal])
                _audit(connection, by, _PURGE, name, {_ORDINAL: gone.ordinal})
            if ids:  # also of what they showed or said once, and do no more
                used = sa.exists().where(segments.c.embedding_key == embeddings.c.content_hash)
                connection.execute(sa.delete(embeddings).where(~used))

    def empty_log(self) -> None:
        """Bring all that was written into the file itself: until then the write-ahead log has what was there before."""
        with self._engine.connect() as connection:
            connection.rollback()  # SQLAlchemy has begun a transaction, in which this cannot be
            connection.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def purged(self) -> list[int]:
        """The ordinals of all that ever was purged, which are never given again."""
        audit = schema.audit
        with self._engine.connect() as connection:
            said = connection.scalars(sa.select(audit.c.detail).where(audit.c.action == _PURGE)).all()
        return [msgspec.json.decode(detail, type=dict[str, int])[_ORDINAL] for detail in said]

    def content_hashes(self) -> set[str]:
        """Of all assets, also of those that have vanished."""
        with self._engine.connect() as connection:
            return set(connection.scalars(sa.select(schema.assets.c.content_hash)))

    # ---- audit

    def audit(self, user: str, action: str, asset: str = "", detail: Mapping[str, object] | None = None) -> None:
        """Append one line to the log. If this raises, the audited action must not happen."""
        with self._write() as connection:
            _audit(connection, user, action, asset, detail or {})

    def audit_entries(self) -> Iterator[AuditEntry]:
        """The whole log, oldest first."""
        with self._engine.connect() as connection:
            for row in connection.execute(sa.select(schema.audit).order_by(schema.audit.c.number)):
                yield AuditEntry(*row)

    def first_broken_audit_line(self) -> int | None:
        """The number of the first line that does not follow from the one before; None when the chain holds."""
        last, expected = "", 1
        for entry in self.audit_entries():
            line = {k: v for k, v in msgspec.structs.asdict(entry).items() if k not in ("number", "hash")}
            if entry.number != expected or entry.hash != _chain(last, line):
                return expected
            last, expected = entry.hash, expected + 1
        return None

    @contextmanager
    def _write(self) -> Iterator[sa.Connection]:
        try:
            with self._engine.connect().execution_options(writes=True) as connection, connection.begin():
                yield connection
        except sa.exc.OperationalError as error:
            raise NotWritten(
                f"The catalog could not be written: {error.orig}.",
                "What it took in before is safe. See that the disk has room and is sound, and that nobody else writes.",
            ) from error

    def _migrate(self) -> None:
        with self._engine.connect() as connection:
            tables = sa.inspect(connection).get_table_names()
            at = (
                connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
                if "alembic_version" in tables
                else None
            )
        if at == REVISION:
            return
        config = Config()
        config.set_main_option("script_location", str(files("search") / "migrations"))
        config.set_main_option("path_separator", "os")
        with self._write() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, REVISION)


def _prepare(connection: Any, _: object) -> None:
    """Settings of each new SQLite connection: durable, checked, patient, and what is deleted is overwritten; and leave
    BEGIN to `_begin`."""
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "secure_delete=ON", "busy_timeout=10000"):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: sa.Connection) -> None:
    """Writers take the lock at once: a reader that turns writer could be refused without waiting."""
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _made_by(model_id: str) -> sa.ColumnElement[bool]:
    """That an embedding is the model's, of what a segment shows or says."""
    segments, embeddings = schema.segments.c, schema.embeddings.c
    return (embeddings.content_hash == segments.embedding_key) & (embeddings.model_id == model_id)


def _now() -> datetime:
    return datetime.now(UTC)


def _journal(connection: sa.Connection, assets: Iterable[int | None]) -> None:
    connection.execute(sa.insert(schema.journal), [{"asset": asset, "at": _now()} for asset in assets])


def _audit(connection: sa.Connection, user: str, action: str, asset: str, detail: Mapping[str, object]) -> None:
    last = connection.scalar(sa.select(schema.audit.c.hash).order_by(schema.audit.c.number.desc()).limit(1))
    line = {
        "at": _now().isoformat(),
        "user": user,
        "action": action,
        "asset": asset,
        "detail": json.dumps(detail, sort_keys=True),
    }
    connection.execute(sa.insert(schema.audit).values(**line, hash=_chain(last or "", line)))


def _chain(previous: str, line: Mapping[str, str]) -> str:
    return hashlib.sha256((previous + json.dumps(line, sort_keys=True)).encode()).hexdigest()


def _vanish(connection: sa.Connection, paths: Sequence[str]) -> None:
    table = schema.assets
    for start in range(0, len(paths), _PART):
        alive = table.c.path.in_(paths[start : start + _PART]) & table.c.vanished.is_(None)
        if ordinals := connection.scalars(sa.select(table.c.ordinal).where(alive)).all():
            connection.execute(sa.update(table).where(alive).values(vanished=_now()))
            _journal(connection, ordinals)


def _clear_set_aside(connection: sa.Connection, paths: Sequence[str]) -> None:
    for start in range(0, len(paths), _PART):
        here = schema.set_aside.c.path.in_(paths[start : start + _PART])
        connection.execute(sa.delete(schema.set_aside).where(here))


def _listed(column: sa.ColumnElement[Any], name: str) -> sa.ColumnElement[bool]:
    """That the column's value is in the list bound by this name, made by `_list`: so a statement is the same for lists
    of any length."""
    return _in(column, sa.bindparam(name))


def _among(column: sa.ColumnElement[Any], values: Iterable[int] | None) -> sa.ColumnElement[bool]:
    """That the column's value is one of these; always so where there are none to keep to (None)."""
    return sa.true() if values is None else _in(column, sa.literal(_list(values)))


def _below(path: sa.ColumnElement[Any], places: Sequence[str] | None) -> sa.ColumnElement[bool]:
    """That the path is one of these places or below one, each looked up in the index of paths; always so for None."""
    if places is None:
        return sa.true()
    after = [(f"{place}/", f"{place}0") for place in places]  # "0" is what follows "/"
    return sa.or_(path.in_(places), *((path > first) & (path < last) for first, last in after))


def _in(column: sa.ColumnElement[Any], listed: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
    return column.in_(sa.select(sa.func.json_each(listed).table_valued("value").c.value))


def _list(values: Iterable[int | str]) -> str:
    return msgspec.json.encode(list(values)).decode()


#: What stands in an asset's row and in `Asset`.
_ASSET: Final = tuple(name for name in Asset.__struct_fields__ if name in schema.assets.c)


def _put_assets(connection: sa.Connection, intakes: Sequence[Intake], by: str) -> dict[str, int]:
    """Path to ordinal. Each statement takes all rows: one by one, a million assets take half an hour."""
    table = schema.assets
    paths = [intake.asset.path for intake in intakes]
    before = _at(connection, paths)
    known = [{**_row(intake), "at": intake.asset.path} for intake in intakes if intake.asset.path in before]
    if known:  # first, so that an id they give up is free
        kept: dict[str, Any] = {name: sa.bindparam(name) for name in known[0].keys() - {"added", "at"}}
        connection.execute(sa.update(table).where(table.c.path == sa.bindparam("at")).values(kept), known)
    if new := [_row(intake) for intake in intakes if intake.asset.path not in before]:
        connection.execute(sa.insert(table), new)
    now = _at(connection, paths)
    statuses = [
        {"asset": row.ordinal, "status": row.status, "by": by, "at": _now()}
        for path, row in now.items()
        if path not in before or before[path].status != row.status
    ]
    if statuses:
        connection.execute(sa.insert(schema.statuses), statuses)
    grants: dict[str, Sequence[Grant]] = {row.id: () for path, row in before.items() if row.id != now[path].id}
    for asset in (intake.asset for intake in intakes):
        grants[asset.id] = [grant for grant in asset.grants if grant.resource_kind is ResourceKind.asset]
    _put_grants(connection, ResourceKind.asset, grants)
    return {path: row.ordinal for path, row in now.items()}


def _at(connection: sa.Connection, paths: Sequence[str]) -> dict[str, sa.Row[Any]]:
    """Path to ordinal, id and status, also of what vanished, in the order of the paths."""
    table = schema.assets
    found: dict[str, sa.Row[Any]] = {}
    for start in range(0, len(paths), _PART):
        here = table.c.path.in_(paths[start : start + _PART])
        rows = connection.execute(sa.select(table.c.path, table.c.ordinal, table.c.id, table.c.status).where(here))
        found |= {row.path: row for row in rows}
    return {path: found[path] for path in paths if path in found}


def _row(intake: Intake) -> dict[str, Any]:
    asset = intake.asset
    return {name: getattr(asset, name) for name in _ASSET if name != "ordinal"} | {
        "keywords": list(asset.keywords),
        "mtime_ns": intake.mtime_ns,
        "facts_digest": intake.facts_digest,
        "embedded": dict(intake.embedded),
        "vanished": None,
    }


def _put_rights(connection: sa.Connection, rights: Mapping[int, Rights]) -> None:
    """Replace the terms of assets, by ordinal."""
    statement = upsert(schema.rights)
    new = {column.name: column for column in statement.excluded if column.name != "asset"}
    lists = ("territories", "excluded_territories", "channels")
    rows = [
        {**msgspec.structs.asdict(terms), **{name: list(getattr(terms, name)) for name in lists}, "asset": asset}
        for asset, terms in rights.items()
    ]
    connection.execute(statement.on_conflict_do_update(index_elements=["asset"], set_=new), rows)


def _put_grants(connection: sa.Connection, kind: ResourceKind, grants: Mapping[str, Sequence[Grant]]) -> bool:
    """Replace the grants of resources; says whether that changed any."""
    table = schema.grants
    resources = list(grants)
    before: dict[str, tuple[Grant, ...]] = {}
    for start in range(0, len(resources), _PART):
        here = table.c.resource.in_(resources[start : start + _PART])
        before |= _read_grants(connection, (table.c.resource_kind == kind.value) & here)
    changed = [resource for resource in resources if frozenset(grants[resource]) != frozenset(before.get(resource, ()))]
    for start in range(0, len(changed), _PART):
        here = table.c.resource.in_(changed[start : start + _PART])
        connection.execute(sa.delete(table).where(table.c.resource_kind == kind.value, here))
    if new := [msgspec.structs.asdict(grant) for name in changed for grant in sorted(frozenset(grants[name]))]:
        connection.execute(sa.insert(table), new)
    return bool(changed)


def _put_segments(connection: sa.Connection, parts: Mapping[int, Sequence[Segment]]) -> None:
    """Replace the parts of assets, by ordinal, unless they are the same: a part that stays keeps its ordinal."""
    table = schema.segments
    columns = ("kind", "embedding_key", "text", "start", "end", "page")
    assets = list(parts)
    before: dict[int, list[dict[str, Any]]] = {}
    for start in range(0, len(assets), _PART):
        here = table.c.asset.in_(assets[start : start + _PART])
        for row in connection.execute(sa.select(table).where(here).order_by(table.c.ordinal)).mappings():
            before.setdefault(row["asset"], []).append({name: row[name] for name in columns})
    after = {
        asset: [{name: getattr(segment, name) for name in columns} for segment in segments]
        for asset, segments in parts.items()
    }
    changed = [asset for asset, rows in after.items() if rows != before.get(asset, [])]
    for start in range(0, len(changed), _PART):
        connection.execute(sa.delete(table).where(table.c.asset.in_(changed[start : start + _PART])))
    if new := [{**row, "asset": asset} for asset in changed for row in after[asset]]:
        connection.execute(sa.insert(table), new)


_GRANT: Final = tuple(schema.grants.c[name] for name in Grant.__struct_fields__)

#: Grants by kind and name of resource, those of one in a row as JSON: pages need some hundreds, and SQLite and Python's
#: threads change places at each row.
_GRANTS: Final = sa.select(
    schema.grants.c.resource_kind,
    schema.grants.c.resource,
    sa.func.json_group_array(sa.func.json_array(*_GRANT), type_=sa.Text),
).group_by(schema.grants.c.resource_kind, schema.grants.c.resource)

#: Of both kinds in one statement; the names of each kind are bound by the kind's own.
_GRANTS_OF: Final = _GRANTS.where(
    sa.or_(
        *(
            (schema.grants.c.resource_kind == kind.value) & _listed(schema.grants.c.resource, kind.value)
            for kind in ResourceKind
        )
    )
)
_GRANT_ROWS: Final = msgspec.json.Decoder(list[tuple[str, str, str, str, str, int]])


def _read_grants(connection: sa.Connection, where: sa.ColumnElement[bool]) -> dict[str, tuple[Grant, ...]]:
    """Grants by their resource, in the order of `Grant`; `where` is of resources of one kind."""
    return {resource: _grants(grants) for _, resource, grants in connection.execute(_GRANTS.where(where)).all()}


@lru_cache(1 << 12)
def _grants(rows: str) -> tuple[Grant, ...]:
    """Read once of equal ones: those of collections are needed again whenever the journal has anything new."""
    return tuple(_grant(*grant) for grant in sorted(_GRANT_ROWS.decode(rows)))


@lru_cache(1 << 16)
def _grant(resource_kind: str, resource: str, subject_kind: str, subject: str, action: str, allow: int) -> Grant:
    """Made once of equal ones."""
    return Grant(ResourceKind(resource_kind), resource, SubjectKind(subject_kind), subject, Action(action), bool(allow))


#: The columns that `Facts` are read from.
_FACTS: Final = [
    {**dict(schema.rights.c), **dict(schema.assets.c)}[name]
    for name in (*Facts.__struct_fields__, "id")
    if name != "grants"
]
_LISTS: Final = frozenset(column.name for column in _FACTS if isinstance(column.type, sa.JSON))


def _read_facts(
    connection: sa.Connection, where: sa.ColumnElement[bool], own: Mapping[str, tuple[Grant, ...]]
) -> Facts:
    """Field by field, lists decoded together or once: to make an `Asset` of each row takes twenty times as long.

    `own`: the grants on assets by their id.
    """
    table = schema.assets
    plain = [sa.type_coerce(column, sa.Text) if column.name in _LISTS else column for column in _FACTS]
    query = sa.select(*plain).join_from(table, schema.rights).where(where, table.c.vanished.is_(None))
    fields: dict[str, list[Any]] = {column.name: [] for column in _FACTS}
    # In small parts, as a list of many rows is looked through again and again by Python's garbage collector.
    for rows in connection.execute(query.order_by(table.c.ordinal)).partitions(_ROWS):
        for field, values in zip(fields.values(), zip(*rows, strict=True), strict=True):
            field.extend(values)
    for name in _LISTS - {"keywords"}:
        lists = {text: msgspec.json.decode(text, type=tuple[str, ...]) for text in set(fields[name])}
        fields[name] = [lists[text] for text in fields[name]]
    fields["keywords"] = msgspec.json.decode(f"[{','.join(fields['keywords'])}]", type=list[tuple[str, ...]])
    fields["grants"] = [own.get(name, ()) for name in fields.pop("id")]
    return Facts(**fields)


def _read_own_grants(connection: sa.Connection, where: sa.ColumnElement[bool]) -> dict[str, tuple[Grant, ...]]:
    """The grants on assets themselves, by the asset's id."""
    ids = sa.select(schema.assets.c.id).where(where)
    own = schema.grants.c.resource_kind == ResourceKind.asset.value
    return _read_grants(connection, own & schema.grants.c.resource.in_(ids))


_READ: Final = (*_ASSET, *Rights.__struct_fields__)

#: Assets that have not vanished, with their rights. Said once: to put a statement together costs as much as to run it.
_ASSETS: Final = (
    sa.select(
        *(schema.assets.c[name] for name in _ASSET), *(schema.rights.c[name] for name in Rights.__struct_fields__)
    )
    .join_from(schema.assets, schema.rights)
    .where(schema.assets.c.vanished.is_(None))
)
_ASSETS_NUMBERED: Final = _ASSETS.where(_listed(schema.assets.c.ordinal, "ordinals"))


def _asset(fields: dict[str, Any], grants: tuple[Grant, ...]) -> Asset:
    """From the fields of an asset and those of its rights."""
    rights = msgspec.convert(fields, Rights)
    added = fields["added"].replace(tzinfo=UTC)
    return msgspec.structs.replace(msgspec.convert(fields, Asset), rights=rights, added=added, grants=grants)


_SEGMENTS_NUMBERED: Final = sa.select(schema.segments).where(_listed(schema.segments.c.ordinal, "ordinals"))


def _segment(row: sa.Row[Any]) -> Segment:
    return Segment(
        row.ordinal, row.asset, SegmentKind(row.kind), row.embedding_key, row.text, row.start, row.end, row.page
    )
