"""A client that sleeps, wakes, loses its connection and comes back, as it likes: what it gets in the end."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.stanza import Stanza
from tests.components.c2s.c2s_support import Site, message

CONTACTS = 3
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just('presence'), st.integers(1, CONTACTS)),
        st.tuples(st.sampled_from(['body', 'receipt', 'typing', 'inactive', 'active', 'away', 'wait']), st.just(0)),
    ),
    max_size=40,
)


def receipt(n: int) -> Stanza:
    xml = f"<received xmlns='urn:xmpp:receipts' id='{n}'/>".encode()
    attrs = {'from': 'juliet@example.net/j', 'id': f'm{n}'}
    return Stanza.build('message', attrs, ('urn:xmpp:receipts', 'received', xml))


def presence(contact: int, n: int) -> Stanza:
    status = (ns.CLIENT, 'status', f'<status>{n}</status>'.encode())
    return Stanza.build('presence', {'from': f'contact{contact}@example.net/r', 'id': f'm{n}'}, status)


@given(STEPS, st.integers(2, 6))
def test_messages_come_once_and_in_order_and_of_presence_the_last_is_right(
    steps: list[tuple[str, int]], most: int
) -> None:
    """Whatever is held, sent again or counted in between; typing comes only to a client that is looked at."""
    site = Site(csi_stanzas=most, csi_seconds=30)
    client = site.login()
    site.run(client.enable_acks(resume=True))
    got: list[Stanza] = []
    sent: list[str] = []
    last: dict[str, str] = {}
    looked_at = True
    for n, (step, contact) in enumerate(steps):
        if step == 'presence':
            site.deliver(client, presence(contact, n))
            last[f'contact{contact}@example.net/r'] = f'm{n}'
        elif step in ('body', 'receipt'):
            site.deliver(client, message(n) if step == 'body' else receipt(n))
            sent.append(f'm{n}')
        elif step == 'typing':
            typing = (ns.CHAT_STATES, 'composing', f"<composing xmlns='{ns.CHAT_STATES}'/>".encode())
            site.deliver(client, Stanza.build('message', {'id': f'm{n}'}, typing))
            if looked_at:
                sent.append(f'm{n}')
        elif step == 'wait':
            site.advance(20)
        elif step == 'away':
            client.drop()
            site.settle()
            got += client.take_stanzas()
            again = site.connect()
            site.run(again.login_to_resume(client))
            site.settle()
            client, looked_at = again, True
        else:
            client.send(f"<{step} xmlns='{ns.CSI}'/>")
            site.settle()
            looked_at = step == 'active'
        assert not client.error
        held = site.session(client).held
        assert held is None or len(held) < most
    client.send(f"<active xmlns='{ns.CSI}'/>")
    site.settle()
    got += client.take_stanzas()
    assert [stanza.attrs['id'] for stanza in got if stanza.name == 'message'] == sent
    assert {stanza.attrs['from']: stanza.attrs['id'] for stanza in got if stanza.name == 'presence'} == last
    client.ask()
    site.settle()
    assert not client.error and site.session(client).jid == 'romeo@example.net/r'
