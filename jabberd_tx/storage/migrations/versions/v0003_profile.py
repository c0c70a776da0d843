"""Private XML, vCards, last activity; the size of offline messages."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.mysql import VARBINARY

revision = '0003'
down_revision = '0002'

BLOB_BYTES = 2**24 - 1


def _bytes_of_text(length: int) -> sa.types.TypeEngine[str]:
    return sa.String(length).with_variant(VARBINARY(length), 'mysql', 'mariadb')


def upgrade() -> None:
    """Messages that wait already get their size."""
    op.create_table(
        'private_xml',
        sa.Column('owner', _bytes_of_text(1024), primary_key=True),
        sa.Column('name', _bytes_of_text(1024), primary_key=True),
        sa.Column('xml', sa.LargeBinary(BLOB_BYTES), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        'vcards',
        sa.Column('owner', _bytes_of_text(1024), primary_key=True),
        sa.Column('xml', sa.LargeBinary(BLOB_BYTES), nullable=False),
        sa.Column('photo', sa.String(40), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        'last_activity',
        sa.Column('owner', _bytes_of_text(1024), primary_key=True),
        sa.Column('at', sa.Double, nullable=False),
        sa.Column('status', sa.Text, nullable=False),
        sqlite_with_rowid=False,
    )
    op.add_column('offline', sa.Column('size', sa.Integer, nullable=False, server_default='0'))
    op.execute('UPDATE offline SET size = length(stanza)')
    op.drop_index('ix_offline_owner_position', 'offline')
    op.create_index('ix_offline_owner_position_size', 'offline', ['owner', 'position', 'size'])
