"""The Blocking Command's payloads, and whom a list is about (XEP-0191)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jabberd_tx.testing import wire
from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.errors import StanzaError
from jabberd_tx.xmpp.jid import parse
from jabberd_tx.xmpp.payloads.blocking import BLOCK, BLOCKLIST, UNBLOCK, is_blocked, items_of, list_xml
from jabberd_tx.xmpp.stanza import Stanza


def stanza(inner: bytes) -> Stanza:
    (event,) = wire.parse(b"<iq type='set' id='1'>%b</iq>" % inner)
    assert isinstance(event, Stanza)
    return event


@pytest.mark.parametrize(
    ('listed', 'those', 'others'),
    [
        ('a@x/r', ['a@x/r'], ['a@x', 'a@x/R', 'a@x/s', 'x', 'x/r', 'b@x/r']),
        ('a@x', ['a@x', 'a@x/r'], ['b@x', 'x', 'x/a', 'a@y']),
        ('x/r', ['x/r'], ['x', 'x/s', 'a@x/r', 'a@x']),
        ('x', ['x', 'x/r', 'a@x', 'a@x/r'], ['y', 'a@y', 'y/x', 'a@y/x', 'x.y', 'y.x', 'x@y']),
    ],
)
def test_whom_a_list_is_about(listed: str, those: list[str], others: list[str]) -> None:
    """§5: a resource, a user with all of theirs, a resource of a domain, a domain with all that is there."""
    blocked = frozenset((listed, 'z@elsewhere'))
    assert all(is_blocked(blocked, parse(jid)) for jid in those)
    assert not any(is_blocked(blocked, parse(jid)) for jid in others)
    assert not any(is_blocked(frozenset(), parse(jid)) for jid in those)


def test_items_are_prepared_and_each_is_named_once() -> None:
    inner = b"<block xmlns='urn:xmpp:blocking'><item jid='Romeo@X'/><item jid='b@x/R'/><item jid='romeo@x'/></block>"
    assert items_of(stanza(inner), BLOCK) == ['romeo@x', 'b@x/R']


def test_what_is_no_item_is_passed_over() -> None:
    """Other elements, also within an item (XEP-0377)."""
    inner = (
        b"<block xmlns='urn:xmpp:blocking'><item xmlns='u:x' jid='a@x'/>"
        b"<item jid='b@x'><report xmlns='urn:xmpp:reporting:1' reason='urn:xmpp:reporting:spam'/></item></block>"
    )
    assert items_of(stanza(inner), BLOCK) == ['b@x']
    assert items_of(stanza(b"<unblock xmlns='urn:xmpp:blocking'/>"), UNBLOCK) == []


@pytest.mark.parametrize(
    ('item', 'condition'),
    [('<item/>', 'bad-request'), ("<item jid=''/>", 'bad-request'), ("<item jid='@x'/>", 'jid-malformed')],
)
def test_an_item_needs_a_jid(item: str, condition: str) -> None:
    inner = f"<block xmlns='urn:xmpp:blocking'><item jid='a@x'/>{item}</block>"
    with pytest.raises(StanzaError, match=condition):
        items_of(stanza(inner.encode()), BLOCK)


PARTS = st.text('abcé&<>\'"ß ', min_size=1, max_size=8)
JIDS = st.one_of(
    st.just('x.example'), st.builds('x.example/{}'.format, PARTS), st.builds('a@x.example/{}'.format, PARTS)
)


@given(st.sampled_from((BLOCKLIST, BLOCK, UNBLOCK)), st.lists(JIDS, max_size=4))
@pytest.mark.fuzz
def test_a_list_is_read_again_as_it_was_written(name: str, jids: list[str]) -> None:
    """Whatever stands in the JIDs: they are prepared, or one of them is none."""
    command = stanza(list_xml(name, jids))
    assert [child[:2] for child in command.children] == [(ns.BLOCKING, name)]
    try:
        prepared = list(dict.fromkeys(parse(jid).full for jid in jids))
    except ValueError:
        with pytest.raises(StanzaError, match='jid-malformed'):
            items_of(command, name)
    else:
        assert items_of(command, name) == prepared
