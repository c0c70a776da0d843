"""The frames of the link protocol (docs/link-protocol.md).  No I/O.

On the wire a frame is a 32-bit big-endian length and one CBOR array [type, …] (`encode`, and link/decoding.py).
Inside the process it is one of the tuples below; `payload` is then a Stanza, or its packed bytes
where nobody has needed to look inside yet.
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from cbor2 import dumps

from jabberd_tx.xmpp.stanza import Stanza

HELLO, AUTH, BIND, UNBIND, BOUND, ROUTE, FANOUT, CONFIRM = range(8)
WORKING, BOUNCE, PRESENT, PING, CREDIT, REDIRECT, DRAIN, ERROR, PONG = range(8, 17)
# Ignored by those who do not know it.
COPY = 129

# flags of a ROUTE
REPEAT = 1  # sent before on a path that is gone: it may have arrived
CLIENT = 2  # comes from the owner's own client: c2s to the session owner's sm
RETURNED = 4  # was queued for a client whose stream ended without acking it: c2s to sm
OLDER = 8  # to a session: lay in storage, or has come back from another client of the user's

# reasons of a BOUNCE
NO_LINK, NO_SESSION, MOVED, NOT_MINE, BUSY = 'no-link', 'no-session', 'moved', 'not-mine', 'busy'
DENIED = 'denied'
# details of a no-link that another router would not answer otherwise: too many routers, and a slot that is not there
HOPS, ABSENT = 'hops', 'absent'
# The detail of a NO_SESSION: it was here, and its `end` is on its way (link/session.py).
ENDING = 'ending'

# The name of the default route, in PRESENT and as a destination: what nobody serves by its own name.
DEFAULT_ROUTE = '*'
# After a name, as a destination: all of its instances.
EVERY_INSTANCE = '/*'


class Route(NamedTuple):
    """One stanza on its way.

    dest     a name ('example.net') or a node ('c2s-a7')
    key      to a name: the bare JID to hash, or None when the policy takes it from the stanza;
             to a node: the stream id (16 bytes) of the session that it is for, or None
    source   the sending node: where CONFIRM and BOUNCE go
    epoch    the session's epoch (0 where there is no session); of a RETURNED one, `mark_of` the session's stream
    uid      24 bytes: stream id (16), number of the stanza on it (64-bit big-endian)
    hops     how many more routers or clustering components it may pass
    flags    REPEAT | CLIENT | RETURNED | OLDER
    payload  Stanza, or its packed bytes
    """

    dest: str
    key: str | bytes | None
    source: str
    epoch: int
    uid: bytes
    hops: int
    flags: int
    payload: Stanza | bytes


class Fanout(NamedTuple):
    """One stanza for many sessions of one node: the bytes once for all.

    payload  the stanza without `to` (Stanza or packed bytes)
    targets  [(stream id, to), …]; an empty `to` sends no `to` attribute
    """

    dest: str
    source: str
    uid: bytes
    targets: list[tuple[bytes, str]]
    payload: Stanza | bytes


class Confirm(NamedTuple):
    """uids: settled (by an sm) or queued for the client (by a c2s).  failed: [(uid, stream id), …] of fan-outs."""

    dest: str
    source: str
    uids: list[bytes]
    failed: list[tuple[bytes, bytes]]


class Working(NamedTuple):
    """These uids are not forgotten: sent after 1 s, so that nobody repeats them."""

    dest: str
    source: str
    uids: list[bytes]


class Bounce(NamedTuple):
    """A ROUTE (or FANOUT) that could not be handed on: why, and its addresses.

    dest is the node to tell; the rest but `reason` and `detail` is copied from the frame (`to`
    is its dest).  detail: the owner for not-mine and moved, the condition of the stanza error for denied, else ''.
    source: the node that bounces, or '' where a router does.
    """

    dest: str
    source: str
    reason: str
    to: str
    key: str | bytes | None
    epoch: int
    uid: bytes
    detail: str


class Present(NamedTuple):
    """An instance of a name came (up) or went.  A node's own name is a name too: name == node then.

    A router sends one for each instance when a link comes up, and one of itself after them: the list is whole.
    """

    name: str
    node: str
    incarnation: bytes
    up: bool


class Drain(NamedTuple):
    """That node is about to leave: choose others for new work.

    From a router, the router's own name means that the router itself leaves.
    """

    node: str


class Hello(NamedTuple):
    """The first frame of each side.  nonce: 32 random bytes of this connection; features: what the side honours."""

    version: int
    node: str
    incarnation: bytes
    nonce: bytes
    features: list[str]


class Auth(NamedTuple):
    """The proof that the side knows the secret (link/auth.py)."""

    mac: bytes


class Bind(NamedTuple):
    """A component serves a name.  options: policy, key, slot, weight, exclusive, default, log."""

    name: str
    options: dict[str, object]


class Unbind(NamedTuple):
    """It serves the name no longer."""

    name: str


class Bound(NamedTuple):
    """The answer to a BIND.  outcome: 'ok', or the condition that refuses it."""

    name: str
    outcome: str


class Ping(NamedTuple):
    """Sent when nothing has come for a while; the answer is a PONG with the same number."""

    number: int


class Pong(NamedTuple):
    """The answer to a PING."""

    number: int


class Credit(NamedTuple):
    """The sending node will take so many more bytes of ROUTE and FANOUT over this link."""

    size: int


class Redirect(NamedTuple):
    """Frames for a name or address may go to that node directly, for `seconds`."""

    name: str
    node: str
    seconds: int


class Copy(NamedTuple):
    """For a log sink: a ROUTE or FANOUT that was handed on, or its bytes without the length prefix."""

    frame: Route | Fanout | bytes


class Error(NamedTuple):
    """The last frame before the link is closed: why."""

    condition: str
    text: str


AnyFrame = (
    Hello | Auth | Bind | Unbind | Bound | Route | Fanout | Confirm | Working | Bounce | Present
    | Ping | Pong | Credit | Redirect | Drain | Error | Copy
)  # fmt: skip

CODES: dict[type, int] = {
    Hello: HELLO, Auth: AUTH, Bind: BIND, Unbind: UNBIND, Bound: BOUND, Route: ROUTE, Fanout: FANOUT,
    Confirm: CONFIRM, Working: WORKING, Bounce: BOUNCE, Present: PRESENT, Ping: PING, Pong: PONG,
    Credit: CREDIT, Redirect: REDIRECT, Drain: DRAIN, Error: ERROR, Copy: COPY,
}  # fmt: skip

_length = Struct('>I').pack


def encode(frame: AnyFrame) -> bytes:
    """The frame's bytes, length prefix included.  A Stanza in it is packed (once, however often it is sent)."""
    kind = type(frame)
    if (kind is Route or kind is Fanout) and type(frame[-1]) is Stanza:
        body = dumps([CODES[kind], *frame[:-1], frame[-1].pack()])
    elif kind is Copy and type(frame[0]) is not bytes:
        body = dumps([COPY, encode(frame[0])[4:]])  # type: ignore[arg-type]
    else:
        body = dumps([CODES[kind], *frame])
    return _length(len(body)) + body


def make_uid(stream: bytes, number: int) -> bytes:
    """The uid of stanza `number` of the stream with that 16-byte id."""
    return stream + number.to_bytes(8, 'big')


def uid_stream(uid: bytes) -> bytes:
    """The stream id in a uid."""
    return uid[:16]


def uid_number(uid: bytes) -> int:
    """The number in a uid."""
    return int.from_bytes(uid[16:], 'big')


def mark_of(stream: bytes) -> int:
    """By what a RETURNED frame says which of its owner's sessions gives the message back."""
    return int.from_bytes(stream[:6], 'big')


# In the first byte of a uid's number, which never grows so far.
_GIVEN_BACK = 0x80


def confirmation(frame: Route) -> bytes:
    """What a CONFIRM of this frame lists: its uid; of a RETURNED one with the highest bit of the number set.

    The node that gives a message back may be the one that the message came from: so it can tell which of the two
    is confirmed.
    """
    uid = frame.uid
    return uid[:16] + bytes((uid[16] | _GIVEN_BACK,)) + uid[17:] if frame.flags & RETURNED else uid


def given_back(uid: bytes) -> bytes | None:
    """The uid of the RETURNED frame that is confirmed so; None when it is another frame."""
    return uid[:16] + bytes((uid[16] & ~_GIVEN_BACK,)) + uid[17:] if uid[16] & _GIVEN_BACK else None
