"""What senders hint at is heeded where messages are stored (XEP-0334)."""

from __future__ import annotations

import pytest

from jabberd_tx.components.sm.finding import found
from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.payloads.hints import NO_STORE, STORE, has_hint
from tests.components.sm.sm_support import DOMAIN, Site, parse_stanza

JULIET = f'juliet@{DOMAIN}'
BODY, STATE = '<body>b</body>', "<active xmlns='http://jabber.org/protocol/chatstates'/>"


def stored_when_offline(content: str, hints: bool = True) -> bool:
    """Whether Juliet gets the message when she comes; its sender hears nothing either way."""
    values = found()['hints'].section().defaults()
    values.enabled = hints
    site = Site(modules={'modules.hints': values})
    romeo = site.c2s().client('romeo')
    romeo.send(f"<message to='{JULIET}' type='chat' id='m'>{content}</message>")
    site.quiet()
    assert romeo.take() == []
    assert romeo.confirmed[-1] == romeo.number
    juliet = site.c2s('c2s-2').start('juliet', 'r').come()
    site.quiet()
    return juliet.bodies() == ['m']


@pytest.mark.parametrize(
    ('content', 'stored', 'stored_without_hints'),
    [
        (BODY, True, True),
        (f"{BODY}<no-store xmlns='urn:xmpp:hints'/>", False, True),
        (f"{BODY}<no-permanent-store xmlns='urn:xmpp:hints'/>", True, True),
        (f"{BODY}<no-copy xmlns='urn:xmpp:hints'/>", True, True),
        (STATE, False, False),
        (f"{STATE}<store xmlns='urn:xmpp:hints'/>", True, True),
        (f"{BODY}<no-store xmlns='u:other'/>", True, True),
    ],
)
def test_what_is_stored(content: str, stored: bool, stored_without_hints: bool) -> None:
    assert stored_when_offline(content) is stored
    assert stored_when_offline(content, hints=False) is stored_without_hints


def test_a_client_that_is_there_gets_what_is_not_to_be_stored() -> None:
    site = Site()
    romeo, juliet = site.c2s().client('romeo'), site.c2s('c2s-2').client('juliet')
    romeo.send(f"<message to='{JULIET}' type='chat' id='m'>{BODY}<no-store xmlns='urn:xmpp:hints'/></message>")
    site.quiet()
    assert juliet.bodies() == ['m']


def test_hints_in_errors_are_those_of_another_message() -> None:
    hinted = "<no-store xmlns='urn:xmpp:hints'/>"
    assert has_hint(parse_stanza(f'<message>{hinted}</message>'), NO_STORE)
    assert not has_hint(parse_stanza(f'<message>{hinted}</message>'), STORE)
    assert not has_hint(parse_stanza(f"<message type='error'>{hinted}</message>"), NO_STORE)


def test_hints_are_advertised_while_they_are_heeded() -> None:
    for enabled in (True, False):
        values = found()['hints'].section().defaults()
        values.enabled = enabled
        site = Site(modules={'modules.hints': values})
        client = site.c2s().client('romeo')
        for to in (DOMAIN, f'romeo@{DOMAIN}'):
            client.send(f"<iq type='get' id='d' to='{to}'><query xmlns='{ns.DISCO_INFO}'/></iq>")
        site.quiet()
        assert [ns.HINTS in answer for answer in client.xml()] == [enabled] * 2
