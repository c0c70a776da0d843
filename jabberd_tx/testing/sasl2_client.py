"""A test client's side of XEP-0388, with what it may ask for inline."""

from __future__ import annotations

import base64
import hashlib
import re

from jabberd_tx.testing.client import Refused, XmppClient
from jabberd_tx.testing.scram_client import HASHES, ScramClient
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
    """On an open stream: log in with the client's name and password, and do the upgrade tasks that the server wants
    done; the <success/>, and `client.jid` is set from it.

    Refused with the condition of the <failure/>.
    """
    if mechanism == 'PLAIN':
        client.send(request(mechanism, f'\0{client.user}\0{client.password}'.encode(), inline, agent))
        return await outcome(client, 'success')
    success = await prove(client, inline, mechanism, agent, binding)
    while success.name == 'continue':
        success = await upgrade(client, text_in(success, 'task'))
    return success


async def prove(
    client: XmppClient, inline: str, mechanism: str, agent: str = '', binding: tuple[str, bytes] | None = None
) -> Nonza:
    """By SCRAM; the <success/> or <continue/> with which the server proves itself."""
    exchange = ScramClient(mechanism, client.user, client.password, binding)
    client.send(request(mechanism, exchange.first(), inline, agent))
    challenge = await outcome(client, 'challenge')
    respond(client, exchange.final(base64.b64decode(challenge.text)))
    proof = await outcome(client, 'success', 'continue')
    exchange.check(base64.b64decode(text_in(proof, 'additional-data')))
    return proof


async def upgrade(client: XmppClient, task: str) -> Nonza:
    """One task of XEP-0480: the <success/> or the next <continue/>."""
    client.send(f"<next xmlns='{ns.SASL2}' task='{task}'/>")
    data = (await outcome(client, 'task-data')).inner.decode()
    match = re.fullmatch(f"<salt xmlns='{ns.SCRAM_UPGRADE}' iterations='([0-9]+)'>([^<]+)</salt>", data)
    assert match is not None, data
    hash_name = HASHES[task.removeprefix('UPGR-')]
    salted = hashlib.pbkdf2_hmac(hash_name, client.password.encode(), base64.b64decode(match[2]), int(match[1]))
    client.send(task_data(base64.b64encode(salted).decode()))
    return await outcome(client, 'success', 'continue')


def task_data(text: str) -> str:
    """The client's: its hash, in base64."""
    return f"<task-data xmlns='{ns.SASL2}'><hash xmlns='{ns.SCRAM_UPGRADE}'>{text}</hash></task-data>"


def upgrades(*mechanisms: str) -> str:
    """The wish for these tasks, for <authenticate/>."""
    return ''.join([f"<upgrade xmlns='{ns.SASL_UPGRADE}'>UPGR-{name}</upgrade>" for name in mechanisms])


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
