"""In-band registration's payload (XEP-0077)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jabberd_tx.testing import strategies, wire
from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.errors import StanzaError
from jabberd_tx.xmpp.payloads.register import Registration, parse_registration, registered
from jabberd_tx.xmpp.stanza import Stanza
from jabberd_tx.xmpp.writer import escape


def parse(inner: str | bytes) -> Registration:
    """What the <query/> around it says, as it comes from the wire."""
    data = inner.encode() if isinstance(inner, str) else inner
    (event,) = wire.parse(b"<iq type='set' id='1'><query xmlns='%b'>%b</query></iq>" % (ns.REGISTER.encode(), data))
    assert isinstance(event, Stanza)
    return parse_registration(event)


@pytest.mark.parametrize(
    'inner, found',
    [
        ('', Registration('', '', False)),
        ('<remove/>', Registration('', '', True)),
        ('<remove> </remove>\n', Registration('', '', True)),
        ("<remove xmlns='urn:x'/>", Registration('', '', False)),
        ('<username> bill\n</username><password> Calliope </password>', Registration('bill', ' Calliope ', False)),
        ('<password>a<b>c</b>d</password><username/>', Registration('', 'ad', False)),
        ('<username>one</username><username>two</username>', Registration('one', '', False)),
        ("<username>bill</username><x xmlns='jabber:x:data' type='submit'/>", Registration('bill', '', False)),
    ],
)
def test_what_is_there_and_what_is_not(inner: str, found: Registration) -> None:
    assert parse(inner) == found


@pytest.mark.parametrize('more', ['<username>bill</username>', '<remove/>', "<x xmlns='urn:x'/>"])
def test_a_removal_stands_alone(more: str) -> None:
    """XEP-0077 §3.2, table 2."""
    for inner in (f'<remove/>{more}', f'{more}<remove/>'):
        with pytest.raises(StanzaError) as caught:
            parse(inner)
        assert caught.value.condition == 'bad-request'


@pytest.mark.fuzz
@given(strategies.texts, strategies.texts)
def test_what_people_type_is_what_is_read(username: str, password: str) -> None:
    inner = f'<username>{escape(username)}</username><password>{escape(password)}</password>'
    assert parse(inner) == Registration(username.strip(), password, False)
    assert parse(registered(username).decode()[len(f"<query xmlns='{ns.REGISTER}'>") : -len('</query>')])[0] == (
        username.strip()
    )


FIELDS = st.tuples(
    st.sampled_from(('username', 'password', 'remove', 'email')),
    st.sampled_from((ns.REGISTER, 'urn:x')),
    strategies.texts,
)


@pytest.mark.fuzz
@given(st.lists(FIELDS, max_size=5))
def test_whatever_stands_in_it_is_read_or_refused(fields: list[tuple[str, str, str]]) -> None:
    """The first of each name counts; a removal is one only when it is alone."""
    inner = ''.join([f"<{name} xmlns='{space}'>{escape(text)}</{name}>" for name, space, text in fields])
    own = [(name, text) for name, space, text in fields if space == ns.REGISTER]
    first = dict(reversed(own))
    try:
        found = parse(inner)
    except StanzaError as error:
        assert error.condition == 'bad-request' and 'remove' in first and len(fields) > 1
    else:
        assert found.remove == ('remove' in first) and (not found.remove or len(fields) == 1)
        assert found.username == first.get('username', '').strip() and found.password == first.get('password', '')
