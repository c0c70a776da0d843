"""Invitations to make an account."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.mysql import VARBINARY

revision = '0005'
down_revision = '0004'


def _bytes_of_text(length: int) -> sa.types.TypeEngine[str]:
    return sa.String(length).with_variant(VARBINARY(length), 'mysql', 'mariadb')


def upgrade() -> None:
    """There are none yet."""
    op.create_table(
        'invites',
        sa.Column('owner', _bytes_of_text(1024), primary_key=True),
        sa.Column('token', sa.String(64), primary_key=True),
        sa.Column('local', _bytes_of_text(1024), nullable=False),
        sa.Column('expires', sa.Double, nullable=False),
        sa.Column('uses', sa.Integer, nullable=False),
        sqlite_with_rowid=False,
    )
