"""Errors say what RFC 6120 says they do, to whom they may."""

from __future__ import annotations

import pytest

from jabberd_tx.testing import wire
from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.errors import (
    CONDITIONS,
    STREAM_CONDITIONS,
    TYPES,
    StanzaError,
    error_reply,
    error_xml,
    may_reply,
    stream_error,
)
from jabberd_tx.xmpp.parser import Nonza
from jabberd_tx.xmpp.stanza import Stanza
from jabberd_tx.xmpp.writer import to_xml

REQUEST = Stanza.build(
    'iq', {'from': 'a@b/c', 'to': 'd@e', 'id': "1'", 'type': 'get', 'xml:lang': 'de'},
    ('u', 'x', b"<x xmlns='u'/>"),
)  # fmt: skip


def test_conditions_and_their_types() -> None:
    """All 22 of §8.3.3, each with a type that §8.3.2 has."""
    assert len(CONDITIONS) == 22
    assert set(CONDITIONS.values()) <= TYPES
    assert (CONDITIONS['bad-request'], CONDITIONS['forbidden'], CONDITIONS['resource-constraint']) == (
        'modify', 'auth', 'wait',
    )  # fmt: skip


@pytest.mark.parametrize('condition', CONDITIONS)
def test_a_reply(condition: str) -> None:
    """To and from swapped, id and language kept, the original children before <error/>, its condition first."""
    reply = error_reply(REQUEST, condition)
    assert reply.attrs == {'from': 'd@e', 'to': 'a@b/c', 'id': "1'", 'type': 'error', 'xml:lang': 'de'}
    assert [(child.ns, child.name) for child in reply.children] == [('u', 'x'), (ns.CLIENT, 'error')]
    ((_, _, (_, error)),) = wire.canonical(to_xml(reply))
    assert error == [
        '{jabber:client}error', {'type': CONDITIONS[condition]}, [[f'{{{ns.STANZAS}}}{condition}', {}, []]]
    ]  # fmt: skip


def test_a_reply_with_text_type_and_address() -> None:
    """gone and redirect carry a URI (§8.3.3.5, §8.3.3.14); text is marked with its language."""
    error = StanzaError('redirect', 'over <there>', 'cancel', 'xmpp:a@b?x&y')
    ((_, _, (_, found)),) = wire.canonical(to_xml(error.reply(REQUEST)))
    assert found[1:] == [
        {'type': 'cancel'},
        [
            [f'{{{ns.STANZAS}}}redirect', {}, ['xmpp:a@b?x&y']],
            [f'{{{ns.STANZAS}}}text', {f'{{{ns.XML}}}lang': 'en'}, ['over <there>']],
        ],
    ]


def test_a_reply_where_addresses_are_missing() -> None:
    """What is not there is not made up."""
    assert error_reply(Stanza('message', {}), 'forbidden').attrs == {'type': 'error'}


def test_who_may_be_answered() -> None:
    """Never an error, nor a result (§8.2.3, §8.3.1)."""
    for name, kind, may in [
        ('iq', 'get', True), ('iq', 'set', True), ('iq', 'result', False), ('iq', 'error', False),
        ('message', 'error', False), ('message', 'chat', True), ('presence', 'error', False),
    ]:  # fmt: skip
        assert may_reply(Stanza(name, {'type': kind})) is may
    assert may_reply(Stanza('message', {}))


def test_unknown_conditions_are_refused_when_made() -> None:
    """A mistake in the code does not reach the wire."""
    with pytest.raises(KeyError):
        StanzaError('no-such-thing')
    with pytest.raises(KeyError):
        error_xml('no-such-thing')


@pytest.mark.parametrize('condition', sorted(STREAM_CONDITIONS))
def test_a_stream_error(condition: str) -> None:
    """A condition, text in its language where there is some, an application's own element last (§4.9.2, §4.9.4)."""
    (error,) = wire.parse(stream_error(condition, 'a & b', inner='[::1]:5222', application="<x xmlns='u'/>"))
    assert isinstance(error, Nonza) and (error.ns, error.name) == (ns.STREAM, 'error')
    assert [(child.ns, child.name) for child in error.children] == [
        (ns.STREAMS, condition), (ns.STREAMS, 'text'), ('u', 'x'),
    ]  # fmt: skip
    assert b'[::1]:5222' in error.inner and b" xml:lang='en'>a &amp; b</text>" in error.inner
    assert stream_error(condition) == (
        f"<stream:error><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>".encode()
    )


def test_stream_conditions() -> None:
    """All 25 of §4.9.3."""
    assert len(STREAM_CONDITIONS) == 25
