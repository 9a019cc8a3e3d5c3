"""The tables of the catalog (SQLAlchemy Core). Their history is in search/migrations; a test holds both equal."""

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Date,
    DateTime,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_label)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

#: One row an asset. `ordinal` is never given again, so a stale index can only name what is gone, never what is another.
assets = Table(
    "assets",
    metadata,
    Column("ordinal", Integer, primary_key=True),
    Column("id", String, nullable=False, unique=True),
    Column("path", String, nullable=False, unique=True),
    Column("content_hash", String, nullable=False),
    Column("byte_size", Integer, nullable=False),
    Column("mtime_ns", Integer, nullable=False),
    Column("facts_digest", String, nullable=False),
    Column("media_type", String, nullable=False),
    Column("mime", String, nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("duration", Float),
    Column("pages", Integer),
    Column("collection", String, nullable=False),
    Column("status", String, nullable=False),
    Column("sensitive", Boolean, nullable=False),
    Column("title", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("alt_text", Text, nullable=False),
    Column("keywords", JSON, nullable=False),
    Column("creator", Text, nullable=False),
    Column("created", Date),
    Column("digital_source_type", String, nullable=False),
    Column("embedded", JSON, nullable=False),
    Column("has_preview", Boolean, nullable=False),
    Column("has_playback", Boolean, nullable=False),
    Column("added", DateTime(timezone=True), nullable=False),
    Column("vanished", DateTime(timezone=True)),
    Index("ix_assets_content_hash", "content_hash"),
    sqlite_autoincrement=True,
)

#: The terms an asset is held under.
rights = Table(
    "rights",
    metadata,
    Column("asset", Integer, ForeignKey("assets.ordinal", ondelete="CASCADE"), primary_key=True),
    Column("licence", String, nullable=False),
    Column("licence_url", Text, nullable=False),
    Column("holder", Text, nullable=False),
    Column("credit_line", Text, nullable=False),
    Column("usage_terms", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("valid_from", Date),
    Column("valid_until", Date),
    Column("territories", JSON, nullable=False),
    Column("excluded_territories", JSON, nullable=False),
    Column("channels", JSON, nullable=False),
    Column("model_release", String, nullable=False),
    Column("property_release", String, nullable=False),
)

#: Who may do what to which collection or asset. `resource` is a collection's name or an asset's id.
grants = Table(
    "grants",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("resource_kind", String, nullable=False),
    Column("resource", String, nullable=False),
    Column("subject_kind", String, nullable=False),
    Column("subject", String, nullable=False),
    Column("action", String, nullable=False),
    Column("allow", Boolean, nullable=False),
    UniqueConstraint("resource_kind", "resource", "subject_kind", "subject", "action", "allow"),
)

#: Every approval status an asset has had, and who gave it. `assets.status` holds the newest.
statuses = Table(
    "statuses",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("asset", Integer, ForeignKey("assets.ordinal", ondelete="CASCADE"), nullable=False, index=True),
    Column("status", String, nullable=False),
    Column("by", String, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
)

#: The parts of assets that can be found by themselves.
segments = Table(
    "segments",
    metadata,
    Column("ordinal", Integer, primary_key=True),
    Column("asset", Integer, ForeignKey("assets.ordinal", ondelete="CASCADE"), nullable=False, index=True),
    Column("kind", String, nullable=False),
    Column("embedding_key", String, nullable=False, index=True),
    Column("text", Text, nullable=False),
    Column("start", Float),
    Column("end", Float),
    Column("page", Integer),
    sqlite_autoincrement=True,
)

#: What a model made of a content. Keyed by both, so nothing is embedded twice and two models never mix.
embeddings = Table(
    "embeddings",
    metadata,
    Column("content_hash", String, primary_key=True),
    Column("model_id", String, primary_key=True),
    Column("vector", LargeBinary, nullable=False),  # float32, little endian
)

#: Which asset changed, in order. `asset` is null when grants of a collection changed.
journal = Table(
    "journal",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("asset", Integer),
    Column("at", DateTime(timezone=True), nullable=False),
    sqlite_autoincrement=True,
)

#: Files that could not be taken, so that an unchanged one costs a stat the next time and is named again.
set_aside = Table(
    "set_aside",
    metadata,
    Column("path", String, primary_key=True),
    Column("byte_size", Integer, nullable=False),
    Column("mtime_ns", Integer, nullable=False),
    Column("code", String, nullable=False),
    Column("reason", Text, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
)

#: Who did what: append only, each line bearing the hash of the one before it.
audit = Table(
    "audit",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("at", String, nullable=False),
    Column("user", String, nullable=False),
    Column("action", String, nullable=False),
    Column("asset", String, nullable=False),
    Column("detail", Text, nullable=False),
    Column("hash", String, nullable=False),
    sqlite_autoincrement=True,
)
