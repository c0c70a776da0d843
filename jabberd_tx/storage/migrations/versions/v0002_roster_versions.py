"""Roster versions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.mysql import VARBINARY

revision = '0002'
down_revision = '0001'


def _bytes_of_text(length: int) -> sa.types.TypeEngine[str]:
    return sa.String(length).with_variant(VARBINARY(length), 'mysql', 'mariadb')


def upgrade() -> None:
    """Rosters that are there already are all of the first version."""
    op.add_column('roster', sa.Column('version', sa.BigInteger, nullable=False, server_default='0'))
    op.create_table(
        'roster_versions',
        sa.Column('owner', _bytes_of_text(1024), primary_key=True),
        sa.Column('era', sa.String(32), nullable=False),
        sa.Column('version', sa.BigInteger, nullable=False),
        sa.Column('since', sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        'roster_removed',
        sa.Column('owner', _bytes_of_text(1024), primary_key=True),
        sa.Column('contact', _bytes_of_text(2047), primary_key=True),
        sa.Column('version', sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.execute(
        'INSERT INTO roster_versions (owner, era, version, since) '
        "SELECT owner, 'first', 1, 1 FROM roster GROUP BY owner"
    )
