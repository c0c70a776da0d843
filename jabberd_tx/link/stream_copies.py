"""What a worker's log of copies says about its clients' streams (docs/delivery.md).  No I/O.

The log is a row of records; each begins with its kind and the stream's id:

    B  all that is to be known of the stream now; what was said of it before is void
    S  a stanza was sent to the client: its uid (zeros for one of the worker's own) and its XML
    H  likewise, but it is held back while the client is inactive (XEP-0352)
    R  what was held back has been sent since, by S records
    A  the client has acked so many of what was sent (XEP-0198)
    T  the client is about to be told that so many of its stanzas are taken
    P  its last broadcast presence, packed, or nothing
    K  what its session manager wants told to the next one
    I  its IQs that are taken and wait for an answer
    O  the stream is over, and nothing of it is left

`streams_of` reads a whole log; of a stream whose B it does not have it knows nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from struct import Struct, error
from typing import Any, NamedTuple

from cbor2 import CBORDecodeError, dumps, loads

from jabberd_tx.base.replay import ReplayWindow
from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.acks import MODULUS
from jabberd_tx.xmpp.parser import Limits, StreamParser
from jabberd_tx.xmpp.stanza import Stanza
from jabberd_tx.xmpp.writer import stream_header

OWN = bytes(24)

_HEAD = Struct('>c16s')
_STANZA = Struct('>c16s24sI')
_NUMBER = Struct('>c16sQ')
_BYTES = Struct('>c16sI')

# What was within bounds when it was sent is so now.
_LIMITS = Limits(1 << 26, 1 << 16, 1 << 16, 1 << 20)


class Base(NamedTuple):
    """What a B record has.

    told        the number up to which the client's stanzas are taken, whether it was told so or not
    key, secret, seconds, before   as a resumption has them (components/c2s/resumption.py); key b'': there is none
    counters    Acks.state
    unacked     (uid, XML) of what was sent and is not acked
    held        (uid, XML) of what is held back
    unconfirmed (number, packed) of the client's own stanzas up to `told` that are not confirmed
    passed_on   ReplayWindow.states
    asked       (id, packed) of its IQs that are taken and wait for an answer
    """

    jid: str
    lang: str | None
    told: int
    epoch: int
    presence: bytes
    key: bytes
    secret: bytes
    seconds: int
    before: int
    counters: tuple[int, int, int]
    unacked: list[tuple[bytes, bytes]]
    held: list[tuple[bytes, bytes]]
    unconfirmed: list[tuple[int, bytes]]
    passed_on: list[tuple[bytes, int, int]]
    kept: bytes
    asked: list[tuple[str, bytes]]


class CopiedStream:
    """A stream as a log knows it: the attributes of Base, which later records have changed."""

    __slots__ = (
        'asked', 'before', 'counters', 'epoch', 'held', 'jid', 'kept', 'key', 'lang', 'passed_on', 'presence', 'secret',
        'seconds', 'stream', 'told', 'unacked', 'unconfirmed',
    )  # fmt: skip

    def __init__(self, stream: bytes, base: Base) -> None:
        self.stream, self.jid, self.lang = stream, base.jid, base.lang
        self.told, self.epoch, self.presence, self.kept = base.told, base.epoch, base.presence, base.kept
        self.key, self.secret, self.seconds, self.before = base.key, base.secret, base.seconds, base.before
        self.counters = base.counters
        self.unacked = deque(base.unacked)
        self.held = list(base.held)
        self.unconfirmed = list(base.unconfirmed)
        self.asked = dict(base.asked)
        self.passed_on = ReplayWindow()
        for state in base.passed_on:
            self.passed_on.restore(*state)

    @property
    def bare(self) -> str:
        """Whose it is."""
        return self.jid.partition('/')[0]

    def sent(self, uid: bytes, data: bytes) -> None:
        """To the client."""
        self.passed_on.mark(uid)
        self.unacked.append((uid, data))
        if self.asked and data.startswith(b'<iq'):
            attrs = stanza_of(data).attrs
            if attrs.get('type') in ('result', 'error'):
                self.asked.pop(attrs.get('id', ''), None)

    def has_acked(self, count: int) -> None:
        """The client has so many more of `unacked`."""
        for _ in range(min(count, len(self.unacked))):
            self.unacked.popleft()
        before, counted, acked = self.counters
        self.counters = before, counted, (acked + count) % MODULUS


# ---- writing


def base(stream: bytes, said: Base) -> bytes:
    data: bytes = dumps(list(said))
    return _BYTES.pack(b'B', stream, len(data)) + data


def sent(stream: bytes, uid: bytes, size: int) -> bytes:
    """What stands before the XML, which has that size."""
    return _STANZA.pack(b'S', stream, uid, size)


def held(stream: bytes, uid: bytes, size: int) -> bytes:
    """Likewise."""
    return _STANZA.pack(b'H', stream, uid, size)


def released(stream: bytes) -> bytes:
    return _HEAD.pack(b'R', stream)


def acked(stream: bytes, count: int) -> bytes:
    return _NUMBER.pack(b'A', stream, count)


def told(stream: bytes, number: int) -> bytes:
    return _NUMBER.pack(b'T', stream, number)


def presence(stream: bytes, packed: bytes) -> bytes:
    return _BYTES.pack(b'P', stream, len(packed)) + packed


def kept(stream: bytes, record: bytes) -> bytes:
    return _BYTES.pack(b'K', stream, len(record)) + record


def asked(stream: bytes, waiting: list[tuple[str, bytes]]) -> bytes:
    data: bytes = dumps(waiting)
    return _BYTES.pack(b'I', stream, len(data)) + data


def over(stream: bytes) -> bytes:
    return _HEAD.pack(b'O', stream)


# ---- reading


def streams_of(chunks: Iterable[bytes]) -> dict[bytes, CopiedStream]:
    """By stream id, what a log says; a chunk holds whole records.  ValueError for what is no log."""
    found: dict[bytes, CopiedStream] = {}
    for chunk in chunks:
        try:
            _take(found, chunk)
        except (error, CBORDecodeError, TypeError) as wrong:
            raise ValueError(f'not a log of copies: {wrong}') from None
    return found


def _take(found: dict[bytes, CopiedStream], chunk: bytes) -> None:
    position = 0
    while position < len(chunk):
        kind, id = _HEAD.unpack_from(chunk, position)
        stream = found.get(id)
        if kind in b'SH':
            _, _, uid, size = _STANZA.unpack_from(chunk, position)
            position += _STANZA.size
            data = _cut(chunk, position, size)
            position += size
            if stream is not None and kind == b'S':
                stream.sent(uid, data)
            elif stream is not None:
                stream.passed_on.mark(uid)
                stream.held.append((uid, data))
        elif kind in b'BPKI':
            size = _BYTES.unpack_from(chunk, position)[2]
            position += _BYTES.size
            data = _cut(chunk, position, size)
            position += size
            if kind == b'B':
                found[id] = CopiedStream(id, _base_of(data))
            elif stream is not None and kind == b'I':
                stream.asked = dict(_asked_of(loads(data)))
            elif stream is not None:
                setattr(stream, 'presence' if kind == b'P' else 'kept', data)
        elif kind in b'AT':
            number = _NUMBER.unpack_from(chunk, position)[2]
            position += _NUMBER.size
            if stream is not None:
                _count(stream, kind, number)
        elif kind in b'RO':
            position += _HEAD.size
            if kind == b'O':
                found.pop(id, None)
            elif stream is not None:
                stream.held.clear()
        else:
            raise ValueError(f'not a log of copies: a record of kind {kind!r}')


def _cut(chunk: bytes, position: int, size: int) -> bytes:
    if position + size > len(chunk):
        raise ValueError('not a log of copies: a record is cut short')
    return chunk[position : position + size]


def _count(stream: CopiedStream, kind: bytes, number: int) -> None:
    if kind == b'A':
        stream.has_acked(number)
    else:
        stream.told = max(stream.told, number)


def _base_of(data: bytes) -> Base:
    said: Any = loads(data)
    base = Base(*said)
    before, counted, acked = base.counters
    return base._replace(
        counters=(before, counted, acked), unacked=[(uid, xml) for uid, xml in base.unacked],
        held=[(uid, xml) for uid, xml in base.held],
        unconfirmed=[(number, packed) for number, packed in base.unconfirmed],
        passed_on=[(id, highest, seen) for id, highest, seen in base.passed_on], asked=_asked_of(base.asked),
    )  # fmt: skip


def _asked_of(said: Any) -> list[tuple[str, bytes]]:
    return [(id, packed) for id, packed in said]


# ---- stanzas


def may_go_back(uid: bytes, data: bytes) -> bool:
    """Whether what was sent goes back to a session manager if its client never acks it."""
    return uid != OWN and not data.startswith(b'<presence')


def stanza_of(data: bytes) -> Stanza:
    """The stanza of an S or H record.  ValueError."""
    parser = StreamParser(_LIMITS)
    parser.feed(stream_header(ns.CLIENT, {'version': '1.0'}))
    events = parser.feed(data)
    parser.close()
    if len(events) != 1 or not isinstance(events[0], Stanza):
        raise ValueError('not one stanza')
    return events[0]
