"""The tables of a module: what they are, and the steps by which a database gets to have them.

    metadata = MetaData()
    notes = Table('notes', metadata, Column('owner', JidText(OWNER_BYTES), primary_key=True), ...)

    def first(op):
        \"\"\"Notes.\"\"\"
        op.create_table('notes', sa.Column('owner', sa.String(1024), primary_key=True), ...)

    TABLES = ModuleTables('notes', metadata, first)

A step gets Alembic's Operations and never changes once it is released: what comes later is another step.  The database
keeps how many steps of each module it has gone through (migrations/of_modules.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from jabberd_tx.storage import schema

if TYPE_CHECKING:
    from alembic.operations import Operations
    from sqlalchemy import MetaData

Change = Callable[['Operations'], None]


class ModuleTables:
    """What one module keeps in the database.

    name      the module's
    metadata  its tables as they are after the last step: named as the module, or 'NAME_…'; each is keyed by `owner`,
              a bare JID, first.  The rows of an account go with it
    changes   the steps, oldest first; the docstring's first line says what each does
    """

    __slots__ = ('changes', 'metadata', 'name')

    def __init__(self, name: str, metadata: MetaData, *changes: Change) -> None:
        """ValueError for tables that could not live beside others, or no step."""
        self.name, self.metadata, self.changes = name, metadata, changes
        if not changes or not metadata.tables:
            raise ValueError(f'{name}: expected tables, and a step that makes them')
        for table in metadata.sorted_tables:
            if table.name != name and not table.name.startswith(f'{name}_') or table.name in schema.metadata.tables:
                raise ValueError(f'{name}: expected a table name that begins with {name}, not {table.name}')
            first = next(iter(table.primary_key), None)
            indexed = [next(iter(index.columns), None) for index in table.indexes]
            if 'owner' not in table.c or table.c.owner not in (first, *indexed):
                raise ValueError(f'{name}: {table.name} has no key or index that begins with owner')

    def triggers(self, dialect: str) -> list[str]:
        """SQL that makes rows go with the account that they belong to; each statement may be run again.

        dialect: SQLAlchemy's name for the kind of database
        """
        statements = []
        for table in self.metadata.sorted_tables:
            trigger = f'{table.name}_of_account'
            body = f'DELETE FROM {table.name} WHERE owner = OLD.owner'
            statements += [
                f'DROP TRIGGER IF EXISTS {trigger}',
                f'CREATE TRIGGER {trigger} AFTER DELETE ON accounts FOR EACH ROW '
                + (f'BEGIN {body}; END' if dialect == 'sqlite' else body),
            ]
        return statements

    def texts(self) -> list[str]:
        """What each step does, in a line."""
        return [(change.__doc__ or change.__name__).strip().partition('\n')[0].rstrip('.') for change in self.changes]
