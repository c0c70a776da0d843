"""A user's sessions as one hash in Redis, and back.  No I/O.

The hash has the fields of all the user's sessions: the stream's 16 bytes, a letter, and for sets the member.  So a
script can change one thing without knowing the rest, and one HGETALL reads all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from cbor2 import dumps, loads

from jabberd_tx.storage.sessions.interface import Session
from jabberd_tx.xmpp.stanza import Stanza

# Letters of the fields that scripts know (sessions/scripts.py).
EPOCH, JID, NODE, INCARNATION, DIRECTED = b'e', b'j', b'n', b'i', b'd'


class _Field(NamedTuple):
    """One attribute of a session: its letter, and how it is written and read."""

    letter: bytes
    write: Callable[[Any], bytes]
    read: Callable[[bytes], Any]


_TEXT = (str.encode, bytes.decode)
_BYTES = (bytes, bytes)
_FLAG = (lambda value: b'1', lambda data: True)

_FIELDS = {
    'epoch': _Field(EPOCH, lambda value: b'%d' % value, int),
    'jid': _Field(JID, *_TEXT),
    'node': _Field(NODE, *_TEXT),
    'incarnation': _Field(INCARNATION, *_BYTES),
    'presence': _Field(b'p', Stanza.pack, Stanza.unpack),
    'priority': _Field(b'r', lambda value: b'%d' % value, int),
    'interested': _Field(b't', *_FLAG),
    'carbons': _Field(b'c', *_FLAG),
    'block_pushes': _Field(b'u', *_FLAG),
    'behind': _Field(b'h', *_FLAG),
    'blocked': _Field(b'b', lambda value: dumps(sorted(value)), lambda data: frozenset(loads(data))),
}
_ATTRIBUTES = {field.letter: (name, field.read) for name, field in _FIELDS.items()}


def fields(stream: bytes, values: dict[str, Any]) -> tuple[list[bytes], list[bytes]]:
    """(field, value, field, value …) to set, and fields to delete, for these attributes of a session.

    AttributeError for what a session has not.
    """
    present: list[bytes] = []
    absent: list[bytes] = []
    for name, value in values.items():
        field = _FIELDS.get(name)
        if field is None:
            raise AttributeError(f'a session has no {name}')
        # A flag that is not set, and what is not known, is not there.
        if value is None or value is False:
            absent.append(stream + field.letter)
        else:
            present += (stream + field.letter, field.write(value))
    return present, absent


def directed_fields(stream: bytes, jids: Iterable[str]) -> list[bytes]:
    """The fields that stand for directed presence to these."""
    return [stream + DIRECTED + jid.encode() for jid in jids]


def said(session: Session) -> list[bytes]:
    """(field, value …) for all that a new session says."""
    values = {name: getattr(session, name) for name in _FIELDS}
    present, _ = fields(session.stream, values)
    for field in directed_fields(session.stream, session.directed):
        present += (field, b'')
    return present


def sessions_of(bare: str, flat: Sequence[bytes]) -> tuple[Session, ...]:
    """The sessions in (field, value, field, value …)."""
    found: dict[bytes, Session] = {}
    directed: dict[bytes, list[str]] = {}
    for at in range(0, len(flat), 2):
        field, value = flat[at], flat[at + 1]
        stream, letter = field[:16], field[16:17]
        session = found.get(stream)
        if session is None:
            session = found[stream] = Session(bare, '', b'', stream)
            session.bare = bare
        if letter == DIRECTED:
            directed.setdefault(stream, []).append(field[17:].decode())
            continue
        known = _ATTRIBUTES.get(letter)
        if known is not None:
            setattr(session, known[0], known[1](value))
    for stream, jids in directed.items():
        found[stream].directed = frozenset(jids)
    return tuple(found.values())
