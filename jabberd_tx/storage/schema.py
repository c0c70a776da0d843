"""The tables, as SQLAlchemy Core knows them; migrations/ makes them.

Every table is keyed by its owner first: the owner's bare JID is the shard key.  JIDs and domains are UTF-8
text with lengths in bytes; on MySQL they are VARBINARY, for a key there holds 3,072 bytes, and a JID compares
by its bytes.  RFC 7622 §3.1 allows 2,047 bytes to a bare JID: a contact may have them all, an owner 1,024.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Dialect,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.dialects.mysql import VARBINARY

OWNER_BYTES = 1024
CONTACT_BYTES = 2047
DOMAIN_BYTES = 1023
# A full JID.
JID_BYTES = 3071
# A name that clients give to what they keep: namespace and local name.
NAME_BYTES = 1024
# 16 MiB - 1: MEDIUMBLOB.  Stanzas are bounded far below it.
BLOB_BYTES = 2**24 - 1


def _binary(dialect: Dialect) -> bool:
    return dialect.name in ('mysql', 'mariadb')


class JidText(TypeDecorator[str]):
    """Text that compares and sorts by its bytes, of at most so many."""

    impl = String
    cache_ok = True

    def __init__(self, length: int) -> None:
        super().__init__(length)
        self._bytes = length

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        """VARBINARY where text has collations, else the plain string type."""
        return VARBINARY(self._bytes) if _binary(dialect) else self.impl_instance

    def bind_processor(self, dialect: Dialect) -> Any:
        """None where the driver takes str as it is: the processor is called for each value."""
        return (lambda value: value.encode()) if _binary(dialect) else None

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:
        """The inverse."""
        return (lambda value: bytes(value).decode()) if _binary(dialect) else None


metadata = MetaData(
    naming_convention={'ix': 'ix_%(table_name)s_%(column_0_N_name)s', 'uq': 'uq_%(table_name)s_%(column_0_N_name)s'}
)

# verifiers: CBOR map, SASL mechanism -> [salt, iterations, stored key, server key] (RFC 5802 §3)
accounts = Table(
    'accounts',
    metadata,
    Column('owner', JidText(OWNER_BYTES), primary_key=True),
    Column('domain', JidText(DOMAIN_BYTES), nullable=False),
    Column('verifiers', LargeBinary(BLOB_BYTES), nullable=False),
    Index(None, 'domain', 'owner'),
    sqlite_with_rowid=False,
)

# group_names: JSON array of str.  request: the packed subscribe stanza that waits for an answer, or empty.
# version: the roster's when clients last saw the item change.
roster = Table(
    'roster',
    metadata,
    Column('owner', JidText(OWNER_BYTES), primary_key=True),
    Column('contact', JidText(CONTACT_BYTES), primary_key=True),
    Column('name', Text, nullable=False),
    Column('subscription', String(4), nullable=False),
    Column('ask', SmallInteger, nullable=False),
    Column('pending_in', SmallInteger, nullable=False),
    Column('approved', SmallInteger, nullable=False),
    Column('group_names', Text, nullable=False),
    Column('request', LargeBinary(BLOB_BYTES), nullable=False),
    Column('version', BigInteger, nullable=False, server_default='0'),
    sqlite_with_rowid=False,
)

# How often a roster has changed (RFC 6121 §2.6).  era: made up with the row, for an account may come a second time.
# since: the oldest version from which on all removals are known.
roster_versions = Table(
    'roster_versions',
    metadata,
    Column('owner', JidText(OWNER_BYTES), primary_key=True),
    Column('era', String(32), nullable=False),
    Column('version', BigInteger, nullable=False),
    Column('since', BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

# Who was in a roster, and is not any more.
roster_removed = Table(
    'roster_removed',
    metadata,
    Column('owner', JidText(OWNER_BYTES), primary_key=True),
    Column('contact', JidText(CONTACT_BYTES), primary_key=True),
    Column('version', BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

# position never comes back after its row is gone, so that `position > :after` misses none that is new.
# size: of `stanza`, in bytes; the index has it, so that a user's sum is read from there.
offline = Table(
    'offline',
    metadata,
    Column('position', BigInteger().with_variant(Integer, 'sqlite'), primary_key=True, autoincrement=True),
    Column('owner', JidText(OWNER_BYTES), nullable=False),
    Column('uid', LargeBinary(24).with_variant(VARBINARY(24), 'mysql', 'mariadb'), nullable=False),
    Column('at', Double, nullable=False),
    Column('stanza', LargeBinary(BLOB_BYTES), nullable=False),
    Column('size', Integer, nullable=False, server_default='0'),
    UniqueConstraint('owner', 'uid'),
    Index(None, 'owner', 'position', 'size'),
    sqlite_autoincrement=True,
)

# name: '{namespace}local name' of the element.
private_xml = Table(
    'private_xml',
    metadata,
    Column('owner', JidText(OWNER_BYTES), primary_key=True),
    Column('name', JidText(NAME_BYTES), primary_key=True),
    Column('xml', LargeBinary(BLOB_BYTES), nullable=False),
    sqlite_with_rowid=False,
)

# photo: the SHA-1 of the photo in hexadecimal digits, or ''.
vcards = Table(
    'vcards',
    metadata,
    Column('owner', JidText(OWNER_BYTES), primary_key=True),
    Column('xml', LargeBinary(BLOB_BYTES), nullable=False),
    Column('photo', String(40), nullable=False),
    sqlite_with_rowid=False,
)

last_activity = Table(
    'last_activity',
    metadata,
    Column('owner', JidText(OWNER_BYTES), primary_key=True),
    Column('at', Double, nullable=False),
    Column('status', Text, nullable=False),
    sqlite_with_rowid=False,
)

# Tokens of XEP-0484.  slot: 0 for the one in use, 1 for one that was given out and not used yet.  nonce: from it and a
# key of the site, which is not in the database, the token is made.
fast_tokens = Table(
    'fast_tokens',
    metadata,
    Column('owner', JidText(OWNER_BYTES), primary_key=True),
    Column('client', String(36), primary_key=True),
    Column('slot', SmallInteger, primary_key=True),
    Column('mechanism', String(32), nullable=False),
    Column('nonce', LargeBinary(32), nullable=False),
    Column('expires', Double, nullable=False),
    Column('count', BigInteger, nullable=False),
    Column('used', Double, nullable=False),
    sqlite_with_rowid=False,
)

# Invitations.  owner: the domain; token: SHA-256 of the token in hexadecimal digits; local: the user name it is for.
invites = Table(
    'invites',
    metadata,
    Column('owner', JidText(OWNER_BYTES), primary_key=True),
    Column('token', String(64), primary_key=True),
    Column('local', JidText(OWNER_BYTES), nullable=False),
    Column('expires', Double, nullable=False),
    Column('uses', Integer, nullable=False),
    sqlite_with_rowid=False,
)

# Block lists.  digest: SHA-256 of the JID in hexadecimal digits.
blocks = Table(
    'blocks',
    metadata,
    Column('owner', JidText(OWNER_BYTES), primary_key=True),
    Column('digest', String(64), primary_key=True),
    Column('jid', JidText(JID_BYTES), nullable=False),
    sqlite_with_rowid=False,
)
