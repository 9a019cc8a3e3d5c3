"""The history of the catalog's tables, one revision a file (alembic)."""
