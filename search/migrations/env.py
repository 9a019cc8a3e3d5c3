"""Run by alembic: applies revisions over the connection that `search.catalog` hands in."""

from alembic import context

from search.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
