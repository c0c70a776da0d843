"""Block lists."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.mysql import VARBINARY

revision = '0006'
down_revision = '0005'


def _bytes_of_text(length: int) -> sa.types.TypeEngine[str]:
    return sa.String(length).with_variant(VARBINARY(length), 'mysql', 'mariadb')


def upgrade() -> None:
    """Nobody has blocked anybody yet."""
    op.create_table(
        'blocks',
        sa.Column('owner', _bytes_of_text(1024), primary_key=True),
        sa.Column('digest', sa.String(64), primary_key=True),
        sa.Column('jid', _bytes_of_text(3071), nullable=False),
        sqlite_with_rowid=False,
    )
