"""Tokens to log in with."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.mysql import VARBINARY

revision = '0004'
down_revision = '0003'


def upgrade() -> None:
    """There are none yet."""
    op.create_table(
        'fast_tokens',
        sa.Column('owner', sa.String(1024).with_variant(VARBINARY(1024), 'mysql', 'mariadb'), primary_key=True),
        sa.Column('client', sa.String(36), primary_key=True),
        sa.Column('slot', sa.SmallInteger, primary_key=True),
        sa.Column('mechanism', sa.String(32), nullable=False),
        sa.Column('nonce', sa.LargeBinary(32), nullable=False),
        sa.Column('expires', sa.Double, nullable=False),
        sa.Column('count', sa.BigInteger, nullable=False),
        sa.Column('used', sa.Double, nullable=False),
        sqlite_with_rowid=False,
    )
