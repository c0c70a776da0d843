"""Traffic as a recording has it: what was sent when, by whom to whom, and its shape (docs/operating.md).  No I/O.

Each line of a recording is a JSON object: first a header, then one for each stanza, at last an end.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.stanza import Child, Stanza
from jabberd_tx.xmpp.writer import quote

VERSION = 1
KINDS = ('message', 'presence', 'iq')
# What is in these is never recorded: passwords, and what is as good as one.
SECRET = frozenset((ns.REGISTER, ns.PREAUTH, ns.SASL_UPGRADE, ns.SCRAM_UPGRADE, 'jabber:iq:auth'))
# Of one line; a longer stanza is recorded without what is in it.
MOST_INNER = 262144
MOST_CHILDREN = 256
# Of elements that are made again; another one is recorded as x.
_NAME = re.compile(r'[A-Za-z_][A-Za-z0-9_.-]{0,255}')


class Shape(NamedTuple):
    """A child: its namespace, its name, and the bytes of the whole of it."""

    ns: str
    name: str
    size: int


class Sent(NamedTuple):
    """One stanza that a client has sent.

    at      seconds since the start of the recording
    sender  full JID; to: '' where there was none; either may be a pseudonym: u1@d1/r1
    type    '' where there was none
    size    bytes between start and end tag
    inner   these bytes as text; None where only the shape was recorded
    """

    at: float
    sender: str
    to: str
    kind: str
    type: str
    size: int
    children: tuple[Shape, ...]
    inner: str | None = None


def sent(at: float, stanza: Stanza, with_inner: bool) -> Sent:
    """What is recorded of a stanza of a client."""
    children = tuple([_shape_of(child) for child in stanza.children])
    secret = any(child.ns in SECRET for child in children)
    inner = None
    if with_inner and not secret and len(stanza.inner) <= MOST_INNER:
        inner = stanza.inner.decode()
    get = stanza.attrs.get
    return Sent(at, get('from', ''), get('to', ''), stanza.name, get('type', ''), len(stanza.inner), children, inner)


def _shape_of(child: Child) -> Shape:
    return Shape(child.ns, child.name if _NAME.fullmatch(child.name) else 'x', child.end - child.start)


# ---- lines


def header(started: str, pseudonyms: bool, bodies: bool) -> str:
    """The first line.  started: when, as RFC 3339 writes it."""
    return json.dumps({'recording': VERSION, 'started': started, 'pseudonyms': pseudonyms, 'bodies': bodies})


def line(one: Sent) -> str:
    """One stanza."""
    fields: dict[str, Any] = {'t': round(one.at, 6), 'from': one.sender, 'to': one.to, 'kind': one.kind}
    fields |= {'type': one.type, 'size': one.size, 'children': one.children}
    if one.inner is not None:
        fields['inner'] = one.inner
    return json.dumps(fields, ensure_ascii=False, separators=(',', ':'))


def end(at: float, stanzas: int, dropped: int) -> str:
    """The last line.  dropped: stanzas that came too fast to be recorded."""
    return json.dumps({'end': round(at, 6), 'stanzas': stanzas, 'dropped': dropped})


class NotARecording(ValueError):
    """str(error) says in which line, and what was expected."""


def read(lines: Iterator[str]) -> Iterator[Sent]:
    """The stanzas of a recording, in the order of its lines.  NotARecording, also for one of another version."""
    for number, text in enumerate(lines, 1):
        try:
            fields = json.loads(text)
        except (ValueError, RecursionError):
            raise NotARecording(f'line {number}: expected a JSON object') from None
        if type(fields) is not dict:
            raise NotARecording(f'line {number}: expected a JSON object')
        if number == 1:
            if fields.get('recording') != VERSION:
                raise NotARecording(f'line 1: expected the header of a recording of version {VERSION}')
        elif 'end' not in fields:
            try:
                yield _sent(fields)
            except (KeyError, TypeError, ValueError) as error:
                raise NotARecording(f'line {number}: {error}') from None


def _sent(fields: Mapping[str, Any]) -> Sent:
    at = fields['t']
    if type(at) not in (int, float) or not 0 <= at < 1e9:
        raise ValueError('expected t to be seconds')
    sender, to, kind, type_ = texts = [fields[key] for key in ('from', 'to', 'kind', 'type')]
    if not all(type(text) is str for text in texts) or kind not in KINDS:
        raise ValueError(f'expected from, to, kind and type to be text, kind one of {", ".join(KINDS)}')
    children, inner = fields['children'], fields.get('inner')
    if type(children) is not list or len(children) > MOST_CHILDREN or type(inner) not in (str, type(None)):
        raise ValueError('expected children to be a list, and inner to be text')
    shapes = tuple([_shape(*child) for child in children])
    return Sent(float(at), sender, to, kind, type_, _size(fields['size']), shapes, inner)


def _shape(space: object, name: object, size: object) -> Shape:
    if type(space) is not str or type(name) is not str or not _NAME.fullmatch(name):
        raise ValueError('expected children to be [namespace, name, size]')
    return Shape(space, name, _size(size))


def _size(value: object) -> int:
    if type(value) is not int or not 0 <= value <= MOST_INNER * 4:
        raise ValueError('expected sizes to be numbers of bytes')
    return value


# ---- made again


def filled(one: Sent) -> str:
    """What goes between the tags of a stanza like that: what was recorded, or children of the same names and sizes,
    with x for what is in them."""
    if one.inner is not None:
        return one.inner
    return ''.join([_child(shape) for shape in one.children])


def _child(shape: Shape) -> str:
    space = '' if shape.ns == ns.CLIENT else f" xmlns='{quote(shape.ns)}'"
    bare = f'<{shape.name}{space}/>'
    filling = shape.size - len(bare.encode()) - len(shape.name) - 2
    return bare if filling <= 0 else f'<{shape.name}{space}>{"x" * filling}</{shape.name}>'
