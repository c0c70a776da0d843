"""Elements that handlers send are the stanzas that they would be on a stream."""

from __future__ import annotations

import pytest
from hypothesis import given
from twisted.words.protocols.jabber.error import StanzaError as ElementError
from twisted.words.xish.domish import Element

from jabberd_tx.components.plugins.elements import error_of, stanza_of
from jabberd_tx.testing import strategies, wire
from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.errors import StanzaError
from jabberd_tx.xmpp.stanza import Stanza
from jabberd_tx.xmpp.writer import to_xml


@pytest.mark.fuzz
@given(strategies.stanzas)
def test_any_stanza_is_the_same_again(stanza: Stanza) -> None:
    """As an element and as text; with its children noted."""
    again = stanza_of(stanza.element)
    assert wire.canonical(to_xml(again)) == wire.canonical(to_xml(stanza))
    assert [child[:2] for child in again.children] == [child[:2] for child in stanza.children]
    assert wire.canonical(to_xml(stanza_of(to_xml(stanza)))) == wire.canonical(to_xml(stanza))


def test_namespaces_are_inherited_as_domish_does() -> None:
    """The same as by way of its own text."""
    root = Element((None, 'iq'), attribs={'to': 'a@b', ('urn:y', 'z'): '1'})
    query = Element(('urn:x', 'query'))
    query.addChild(Element((None, 'item'))).addContent('a & b')
    query.addElement('raw').addRawXml("<one/>&amp;<two xmlns='urn:z'><three/></two>")
    query.addChild(Element(('urn:w', 'other'), 'urn:x')).addElement('inner')
    root.addChild(query)
    root.addElement('body', content='hi')
    stanza = stanza_of(root)
    assert wire.canonical(to_xml(stanza)) == wire.canonical(to_xml(stanza_of(root.toXml(defaultUri=ns.CLIENT))))
    assert b"<query xmlns='urn:x'><item>a &amp; b</item><raw><one/>&amp;<two xmlns='urn:z'>" in stanza.inner
    assert [child[:2] for child in stanza.children] == [('urn:x', 'query'), (ns.CLIENT, 'body')]


def test_attributes_are_text() -> None:
    with pytest.raises(ValueError, match='expected text in the attribute to of message, not int'):
        stanza_of(Element((None, 'message'), attribs={'to': 7}))


def test_errors_of_both_kinds_are_told_as_they_are() -> None:
    """Ours, twisted's with type, text and what an application adds; no others."""
    ours = StanzaError('gone')
    assert error_of(ours) is ours
    special = Element(('urn:x', 'because'))
    error = error_of(ElementError('conflict', type='wait', text='later', appCondition=special))
    assert error is not None
    assert (error.condition, error.type, error.text) == ('conflict', 'wait', 'later')
    assert error.application == b"<because xmlns='urn:x'/>"
    plain = error_of(ElementError('item-not-found'))
    assert plain is not None and (plain.type, plain.text) == ('cancel', '')
    assert error_of(KeyError('x')) is None and error_of(ElementError('made-up')) is None
