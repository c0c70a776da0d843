"""Accounts, rosters, offline messages."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.mysql import VARBINARY

revision = '0001'
down_revision = None

BLOB_BYTES = 2**24 - 1


def _bytes_of_text(length: int) -> sa.types.TypeEngine[str]:
    return sa.String(length).with_variant(VARBINARY(length), 'mysql', 'mariadb')


def upgrade() -> None:
    """Make the tables; why they are so is told in storage/schema.py."""
    op.create_table(
        'accounts',
        sa.Column('owner', _bytes_of_text(1024), primary_key=True),
        sa.Column('domain', _bytes_of_text(1023), nullable=False),
        sa.Column('verifiers', sa.LargeBinary(BLOB_BYTES), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index('ix_accounts_domain_owner', 'accounts', ['domain', 'owner'])
    op.create_table(
        'roster',
        sa.Column('owner', _bytes_of_text(1024), primary_key=True),
        sa.Column('contact', _bytes_of_text(2047), primary_key=True),
        sa.Column('name', sa.Text, nullable=False),
        sa.Column('subscription', sa.String(4), nullable=False),
        sa.Column('ask', sa.SmallInteger, nullable=False),
        sa.Column('pending_in', sa.SmallInteger, nullable=False),
        sa.Column('approved', sa.SmallInteger, nullable=False),
        sa.Column('group_names', sa.Text, nullable=False),
        sa.Column('request', sa.LargeBinary(BLOB_BYTES), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        'offline',
        sa.Column('position', sa.BigInteger().with_variant(sa.Integer, 'sqlite'), primary_key=True, autoincrement=True),
        sa.Column('owner', _bytes_of_text(1024), nullable=False),
        sa.Column('uid', sa.LargeBinary(24).with_variant(VARBINARY(24), 'mysql', 'mariadb'), nullable=False),
        sa.Column('at', sa.Double, nullable=False),
        sa.Column('stanza', sa.LargeBinary(BLOB_BYTES), nullable=False),
        sa.UniqueConstraint('owner', 'uid', name='uq_offline_owner_uid'),
        sqlite_autoincrement=True,
    )
    op.create_index('ix_offline_owner_position', 'offline', ['owner', 'position'])
