"""Run by Alembic: carries the versions out on the connection that migrations/__init__.py gives."""

from __future__ import annotations

from alembic import context

from jabberd_tx.storage.schema import metadata

context.configure(
    connection=context.config.attributes['connection'],
    target_metadata=metadata,
    # SQLite changes a table by making it anew.
    render_as_batch=True,
)
context.run_migrations()
