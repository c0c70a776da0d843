"""A test client's side of XEP-0388, with what it may ask for inline."""

from __future__ import annotations

import base64

from jabberd_tx.testing.client import Refused, XmppClient
from jabberd_tx.testing.scram_client import ScramClient
from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.events import Nonza


def request(mechanism: str, initial: bytes | None, inline: str = '', client: str = '') -> str:
    """An <authenticate/>.  `client`: the id of the user agent; `inline`: XML."""
    response = '' if initial is None else f'<initial-response>{base64.b64encode(initial).decode()}</initial-response>'
    agent = f"<user-agent id='{client}'><software>Test</software></user-agent>" if client else ''
    return f"<authenticate xmlns='{ns.SASL2}' mechanism='{mechanism}'>{response}{agent}{inline}</authenticate>"


async def log_in(
    client: XmppClient,
    inline: str = '',
    mechanism: str = 'SCRAM-SHA-1',
    agent: str = '',
    binding: tuple[str, bytes] | None = None,
) -> Nonza:
    """On an open stream: log in with the client's name and password; the <success/>, and `client.jid` is set from it.

    Refused with the condition of the <failure/>.
    """
    if mechanism == 'PLAIN':
        client.send(request(mechanism, f'\0{client.user}\0{client.password}'.encode(), inline, agent))
        return await outcome(client, 'success')
    exchange = ScramClient(mechanism, client.user, client.password, binding)
    client.send(request(mechanism, exchange.first(), inline, agent))
    challenge = await outcome(client, 'challenge')
    respond(client, exchange.final(base64.b64decode(challenge.text)))
    success = await outcome(client, 'success')
    exchange.check(base64.b64decode(text_in(success, 'additional-data')))
    return success


def respond(client: XmppClient, data: bytes) -> None:
    """<response/>."""
    client.send(f"<response xmlns='{ns.SASL2}'>{base64.b64encode(data).decode()}</response>")


async def outcome(client: XmppClient, *wanted: str) -> Nonza:
    """The next of these elements; Refused for a <failure/>."""
    answer = await client.nonza(*wanted, 'failure')
    assert answer.ns == ns.SASL2
    if answer.name not in wanted:
        raise Refused(answer.children[0].name)
    if answer.name == 'success':
        client.jid = text_in(answer, 'authorization-identifier')
    return answer


def text_in(element: Nonza, child: str) -> str:
    """The text of a child that has no attributes; '' without one."""
    return element.inner.decode().partition(f'<{child}>')[2].partition('<')[0]
