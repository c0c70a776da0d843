"""What the server writes and reads inside of stanzas: bind, disco, rosters, delays."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jabberd_tx.testing import strategies, wire
from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.errors import StanzaError
from jabberd_tx.xmpp.payloads import bind, delay, disco, roster
from jabberd_tx.xmpp.stanza import Stanza
from jabberd_tx.xmpp.writer import to_xml


def stanza(xml: bytes) -> Stanza:
    (event,) = wire.parse(xml)
    assert isinstance(event, Stanza)
    return event


@pytest.mark.parametrize(
    ('inner', 'resource'),
    [
        (b"<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>", ''),
        (b"<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'></bind>", ''),
        (b"<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource/></bind>", ''),
        (b"<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\n<resource>a&amp;b</resource></bind>", 'a&b'),
        (b"<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource><![CDATA[x]]>y</resource></bind>", 'xy'),
        (b"<query xmlns='jabber:iq:roster'/>", None),
        (b'<bind/>', None),
    ],
)
def test_the_resource_that_is_asked_for(inner: bytes, resource: str | None) -> None:
    """As written, '' for any, None where it is no bind."""
    assert bind.wanted(stanza(b"<iq type='set' id='1'>%b</iq>" % inner)) == resource
    assert bind.wanted(stanza(b"<iq type='get' id='1'>%b</iq>" % inner)) is None


def test_two_resources() -> None:
    """Are a bad request."""
    with pytest.raises(StanzaError, match='bad-request'):
        bind.wanted(stanza(
            b"<iq type='set'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>"
            b'<resource>a</resource><resource>b</resource></bind></iq>'
        ))  # fmt: skip


def test_the_answer_to_a_bind() -> None:
    """The full JID, under the id of the request."""
    answer = bind.result(Stanza('iq', {'type': 'set', 'id': 'x'}), 'a@b/<c>')
    assert answer.attrs == {'type': 'result', 'id': 'x'}
    assert answer.inner == b"<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>a@b/&lt;c&gt;</jid></bind>"
    assert [child[:2] for child in answer.children] == [(ns.BIND, 'bind')]


def test_disco_info() -> None:
    """Identities as given, features sorted, each once."""
    xml = disco.info(disco.Info([('server', 'im', 'A & B'), ('pubsub', 'pep')], ['b', 'a', 'b']), node="n'")
    assert wire.canonical(xml) == [[f'{{{ns.DISCO_INFO}}}query', {'node': "n'"}, [
        [f'{{{ns.DISCO_INFO}}}identity', {'category': 'server', 'type': 'im', 'name': 'A & B'}, []],
        [f'{{{ns.DISCO_INFO}}}identity', {'category': 'pubsub', 'type': 'pep'}, []],
        [f'{{{ns.DISCO_INFO}}}feature', {'var': 'a'}, []],
        [f'{{{ns.DISCO_INFO}}}feature', {'var': 'b'}, []],
    ]]]  # fmt: skip


def test_disco_items() -> None:
    """JID, name, node; what is not there is left out."""
    assert disco.items([]) == b"<query xmlns='http://jabber.org/protocol/disco#items'></query>"
    xml = disco.items([('a@b', "it's"), ('c',), ('d', '', 'node')])
    assert [item[1] for item in wire.canonical(xml)[0][2]] == [
        {'jid': 'a@b', 'name': "it's"}, {'jid': 'c'}, {'jid': 'd', 'node': 'node'}
    ]  # fmt: skip


def test_a_delay() -> None:
    """Who kept it, and since when, in UTC (XEP-0203, XEP-0082)."""
    stamped = delay.stamp(stanza(b'<message><body>x</body></message>'), 1031699305.25, 'example.net', 'Offline')
    note = stamped.child(ns.DELAY, 'delay')
    assert note is not None
    assert stamped.xml_of(note) == (
        b"<delay xmlns='urn:xmpp:delay' from='example.net' stamp='2002-09-10T23:08:25.250Z'>Offline</delay>"
    )
    assert stamped.inner.startswith(b'<body>x</body>')


def roster_set(inner: bytes) -> Stanza:
    return stanza(b"<iq type='set' id='1'><query xmlns='jabber:iq:roster'>%b</query></iq>" % inner)


def test_a_roster_set() -> None:
    """The JID prepared, name and groups as they are; what is the server's own to say is passed over."""
    found = roster.parse_set(roster_set(
        b"<item jid='Nurse@Example.com' name='N &amp; M' subscription='both' ask='subscribe'>"
        b'<group>A</group><group>B<![CDATA[<]]></group></item>'
    ))  # fmt: skip
    assert found.jid.full == 'nurse@example.com'
    assert (found.name, found.groups, found.remove) == ('N & M', ('A', 'B<'), False)


def test_a_removal() -> None:
    """Needs the JID only."""
    found = roster.parse_set(roster_set(b"<item jid='a@b' subscription='remove' name='x'><group/></item>"))
    assert (found.jid.full, found.name, found.groups, found.remove) == ('a@b', '', (), True)


@pytest.mark.parametrize(
    ('inner', 'condition'),
    [
        (b'', 'bad-request'),
        (b"<item jid='a@b'/><item jid='c@d'/>", 'bad-request'),
        (b'<item/>', 'bad-request'),
        (b"<item xmlns='u' jid='a@b'/>", 'bad-request'),
        (b"<item jid='a@b'><group>x</group><group>x</group></item>", 'bad-request'),
        (b"<item jid='a b@c'/>", 'jid-malformed'),
        (b"<item jid=''/>", 'jid-malformed'),
        (b"<item jid='a@b'><group/></item>", 'not-acceptable'),
        (b"<item jid='a@b'><group>%b</group></item>" % ('é' * 512).encode(), 'not-acceptable'),
        (b"<item jid='a@b' name='%b'/>" % (b'x' * 1024), 'not-acceptable'),
    ],
)
def test_roster_sets_that_are_refused(inner: bytes, condition: str) -> None:
    """With the condition of RFC 6121 §2.3.3."""
    with pytest.raises(StanzaError) as caught:
        roster.parse_set(roster_set(inner))
    assert caught.value.condition == condition


@pytest.mark.parametrize(
    ('inner', 'version'),
    [
        (b"<query xmlns='jabber:iq:roster'/>", None),
        (b"<query xmlns='jabber:iq:roster' ver=''/>", ''),
        (b"<query xmlns='jabber:iq:roster' ver='e.1&amp;'></query>", 'e.1&'),
        (b"<r:query xmlns:r='jabber:iq:roster' ver='e.1'/>", 'e.1'),
        (b"<query xmlns='jabber:iq:roster' r:ver='x' xmlns:r='other'/>", None),
        (b"<query xmlns='other' ver='e.1'/>", None),
        (b'', None),
    ],
)
def test_the_roster_version_that_a_client_has(inner: bytes, version: str | None) -> None:
    """'' for none yet, None where it wants none."""
    assert roster.version_asked(stanza(b"<iq type='get' id='1'>%b</iq>" % inner)) == version


@pytest.mark.fuzz
@given(strategies.texts)
def test_any_version_is_read_as_it_was_written(version: str) -> None:
    """Whatever a client makes up."""
    request = stanza(b"<iq type='get'>%b</iq>" % roster.query_xml([], version))
    assert roster.version_asked(request) == version


def test_roster_items_as_shown() -> None:
    """What is not there is left out; a version where there is one."""
    assert roster.item_xml('a@b') == b"<item jid='a@b' subscription='none'/>"
    item = roster.item_xml("o'n@b", 'N<', 'to', ask=True, approved=True, groups=['A&B', 'C'])
    assert wire.canonical(item) == [['{jabber:client}item', {
        'jid': "o'n@b", 'name': 'N<', 'subscription': 'to', 'ask': 'subscribe', 'approved': 'true',
    }, [['{jabber:client}group', {}, ['A&B']], ['{jabber:client}group', {}, ['C']]]]]  # fmt: skip
    assert roster.query_xml() == b"<query xmlns='jabber:iq:roster'></query>"
    assert roster.query_xml([item], 'v1') == b"<query xmlns='jabber:iq:roster' ver='v1'>" + item + b'</query>'


@pytest.mark.fuzz
@given(
    strategies.jid_like, strategies.texts, st.lists(strategies.texts, max_size=3), st.booleans(),
    strategies.stanza_xml, st.booleans(),
)  # fmt: skip
def test_any_roster_set_is_read_or_refused(
    contact: str, name: str, groups: list[str], remove: bool, noise: bytes, noisy: bool
) -> None:
    """Nothing but StanzaError is raised; what is read goes out again as it came in."""
    try:
        item = roster.item_xml(contact, name, 'remove' if remove else 'none', groups=groups)
    except UnicodeEncodeError:
        return  # a surrogate: it could not have come in
    request = stanza(b"<iq type='set'>%b</iq>" % roster.query_xml([item, noise] if noisy else [item]))
    try:
        found = roster.parse_set(request)
    except StanzaError as error:
        assert to_xml(error.reply(request))
        return
    assert found.remove == remove
    if not remove:
        assert (found.name, found.groups) == (name, tuple(groups))
