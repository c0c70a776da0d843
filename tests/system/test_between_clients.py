"""What one implementation's client does is seen by another's: slixmpp and @xmpp/client, unmodified, in both shapes.

juliet has one of each, romeo uses @xmpp/client.  The two workers of the second shape have one of juliet's each.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from node_client import NodeClient
from processes import DOMAIN, Site
from slixmpp.exceptions import IqError
from slixmpp_client import Client

JULIET, ROMEO, NURSE = (f'{name}@{DOMAIN}' for name in ('juliet', 'romeo', 'nurse'))
ROSTER, BLOCKING, CARBONS, PING = 'jabber:iq:roster', 'urn:xmpp:blocking', 'urn:xmpp:carbons:2', 'urn:xmpp:ping'


class Node:
    """A NodeClient whose waits let slixmpp go on."""

    def __init__(self, client: NodeClient) -> None:
        self.client, self.tell, self.number = client, client.tell, 0
        self.jid = ''

    async def until(self, event: str, true: Callable[[dict[str, Any]], bool] | None = None, **fields: Any) -> Any:
        """As NodeClient's."""
        return await asyncio.to_thread(self.client.until, event, true or (lambda found: True), **fields)

    async def login(self) -> Node:
        """Online with its roster and presence, as clients do it."""
        self.jid = (await self.until('online'))['jid']
        await self.ask('get', ['query', {'xmlns': ROSTER}])
        self.tell('presence')
        await self.until('stanza', name='presence', **{'from': self.jid})
        return self

    async def ask(self, kind: str, payload: list[Any], **attrs: str) -> dict[str, Any]:
        """An IQ, and its result."""
        self.number += 1
        id = f'ask{self.number}'
        self.tell('send', tree=['iq', {'id': id, 'type': kind, **attrs}, payload])
        answer: dict[str, Any] = await self.until('stanza', name='iq', id=id)
        assert answer['type'] == 'result', answer
        return answer

    async def sees(self, *parts: str, **fields: Any) -> dict[str, Any]:
        """The next stanza with these fields whose XML has all these parts."""

        def has_all(told: dict[str, Any]) -> bool:
            return all(part in told['xml'] for part in parts)

        found: dict[str, Any] = await self.until('stanza', has_all, **fields)
        return found

    async def saw_nothing_of(self, part: str) -> None:
        """Among all that it got until now."""
        await self.ask('get', ['ping', {'xmlns': PING}], to=DOMAIN)
        assert not [told for told in self.client.missed if part in told.get('xml', '')]


@pytest.fixture
def nodes(site: Site) -> Iterator[Callable[[str, int], Node]]:
    """Makes clients of that user at that port."""
    made: list[NodeClient] = []

    def make(name: str, port: int) -> Node:
        made.append(NodeClient(site, name, site.ports[port]))
        return Node(made[-1])

    yield make
    for client in made:
        if client.popen.poll() is None:
            client.stop()


@asynccontextmanager
async def everybody(site: Site, nodes: Callable[[str, int], Node]) -> AsyncIterator[tuple[Client, Node, Node]]:
    """juliet's slixmpp and her @xmpp/client, which see each other, and romeo's."""
    slix = Client(site, 'juliet', site.ports[0])
    for plugin in ('xep_0191', 'xep_0280', 'xep_0198'):
        slix.register_plugin(plugin)
    for event in ('carbon_sent', 'carbon_received', 'blocked', 'unblocked', 'session_resumed'):
        slix.add_event_handler(event, lambda data, event=event: slix.note(event, data))
    node, romeo = nodes('juliet', -1), nodes('romeo', 0)
    await asyncio.gather(slix.login(), node.login(), romeo.login())
    await node.sees(name='presence', **{'from': slix.boundjid.full})
    try:
        yield slix, node, romeo
    finally:
        await slix.leave()


def shown(
    talk: Callable[[Client, Node, Node], Coroutine[Any, Any, None]],
) -> Callable[[Site, Callable[[str, int], Node]], None]:
    """A test of what these three say to each other."""

    def test(site: Site, nodes: Callable[[str, int], Node]) -> None:
        async def run() -> None:
            async with everybody(site, nodes) as three:
                await talk(*three)

        asyncio.run(run())

    test.__doc__ = talk.__doc__
    return test


async def _roster(slix: Client, node: Node, romeo: Node) -> None:
    """A contact that one of them adds, names or removes is pushed to the other."""
    slix.update_roster(NURSE, name='Angelica', groups=['Verona'])
    await node.sees(ROSTER, NURSE, 'name="Angelica"', '<group>Verona</group>', name='iq', type='set')
    item = ['item', {'jid': NURSE, 'name': 'Good Nurse'}, ['group', {}, 'Mantua']]
    await node.ask('set', ['query', {'xmlns': ROSTER}, item])
    await slix.until('roster_update', lambda iq: iq['roster']['items'].get(NURSE, {}).get('name') == 'Good Nurse')
    assert slix.client_roster[NURSE]['groups'] == ['Mantua']
    await node.ask('set', ['query', {'xmlns': ROSTER}, ['item', {'jid': NURSE, 'subscription': 'remove'}]])
    await slix.until('roster_update', lambda iq: iq['roster']['items'].get(NURSE, {}).get('subscription') == 'remove')


async def _carbons(slix: Client, node: Node, romeo: Node) -> None:
    """Each of juliet's clients gets a copy of what the other sends and gets; a copy of one's own comes to nobody."""
    await slix.plugin['xep_0280'].enable()
    await node.ask('set', ['enable', {'xmlns': CARBONS}])
    romeo.tell('message', to=slix.boundjid.full, body='to slixmpp')
    await slix.until('message', lambda message: message['body'] == 'to slixmpp')
    await node.sees(CARBONS, '<received', '<body>to slixmpp</body>', name='message', **{'from': JULIET})
    romeo.tell('message', to=node.jid, body='to node')
    await node.sees('<body>to node</body>', name='message', **{'from': romeo.jid})
    copy = await slix.until('carbon_received')
    assert (copy['carbon_received']['body'], copy['carbon_received']['from'].full) == ('to node', romeo.jid)
    slix.send_message(romeo.jid, 'by slixmpp', mtype='chat')
    await romeo.sees('by slixmpp', name='message', **{'from': slix.boundjid.full})
    await node.sees(CARBONS, '<sent', 'by slixmpp', name='message')
    node.tell('message', to=romeo.jid, body='by node')
    await romeo.sees('by node', name='message', **{'from': node.jid})
    copy = await slix.until('carbon_sent')
    assert (copy['carbon_sent']['body'], copy['carbon_sent']['from'].full) == ('by node', node.jid)
    await node.saw_nothing_of('by node')


async def _blocking(slix: Client, node: Node, romeo: Node) -> None:
    """What one blocks the other is told, romeo feels it from both, and either may take it back."""
    romeo.tell('presence', to=JULIET, type='subscribe')
    await slix.until('presence_subscribe')
    node.tell('presence', to=ROMEO, type='subscribed')
    for jid in (slix.boundjid.full, node.jid):
        await romeo.sees(name='presence', **{'from': jid})

    # Who has asked for the list is told of its changes.
    assert not await slix.plugin['xep_0191'].get_blocked_jids()
    await node.ask('get', ['blocklist', {'xmlns': BLOCKING}])
    await slix.plugin['xep_0191'].block(ROMEO)
    await node.sees(BLOCKING, '<block ', ROMEO, name='iq', type='set')
    for jid in (slix.boundjid.full, node.jid):
        await romeo.sees(name='presence', type='unavailable', **{'from': jid})
    romeo.tell('message', to=JULIET, body='blocked')
    await romeo.until('stanza', name='message', type='error', condition='service-unavailable')
    node.tell('message', to=ROMEO, body='to whom I block')
    await node.until('stanza', name='message', type='error', condition='not-acceptable')

    await node.ask('set', ['unblock', {'xmlns': BLOCKING}, ['item', {'jid': ROMEO}]])
    await slix.until('unblocked')
    assert not await slix.plugin['xep_0191'].get_blocked_jids()
    for jid in (slix.boundjid.full, node.jid):
        await romeo.sees(name='presence', **{'from': jid})
    romeo.tell('message', to=node.jid, body='unblocked')
    await node.sees('unblocked', name='message')
    await node.saw_nothing_of('<body>blocked')
    romeo.tell('presence', to=JULIET, type='unsubscribe')
    await slix.del_roster_item(ROMEO)


async def _slixmpp_resumes(slix: Client, node: Node, romeo: Node) -> None:
    """What @xmpp/client sends while slixmpp is away is there once and in order, and nobody has seen it go."""
    romeo.tell('message', to=slix.boundjid.full, body='before')
    await slix.until('message', lambda message: message['body'] == 'before')
    slix.transport.abort()
    await slix.until('disconnected')
    for n in range(5):
        romeo.tell('message', to=slix.boundjid.full, body=f'away {n}')
    await romeo.ask('get', ['ping', {'xmlns': PING}], to=DOMAIN)
    slix.connect('127.0.0.1', slix.port_of_site)
    await slix.until('session_resumed')
    for n in range(5):
        assert (await slix.until('message'))['body'] == f'away {n}'
    slix.send_message(romeo.jid, 'back', mtype='chat')
    await romeo.sees('back', name='message', **{'from': slix.boundjid.full})
    await slix.plugin['xep_0199'].ping(DOMAIN)
    assert not [note for note in slix.notes if note[0] == 'message']
    await node.saw_nothing_of('unavailable')


async def _node_resumes(slix: Client, node: Node, romeo: Node) -> None:
    """The same the other way round."""
    slix.send_message(node.jid, 'before', mtype='chat')
    await node.sees('before', name='message')
    node.tell('cut')
    await node.until('disconnect')
    for n in range(5):
        slix.send_message(node.jid, f'away {n}', mtype='chat')
    await slix.plugin['xep_0199'].ping(DOMAIN)
    slix.notes.clear()
    node.tell('resume')
    await node.until('resumed')
    for n in range(5):
        assert (await node.until('stanza', name='message'))['body'] == f'away {n}'
    node.tell('message', to=slix.boundjid.full, body='back')
    await slix.until('message', lambda message: message['body'] == 'back' and message['from'].full == node.jid)
    await node.saw_nothing_of('away')
    assert not [p for event, p in slix.notes if event == 'presence' and p['type'] == 'unavailable']


async def _caught(slix: Client, node: Node, romeo: Node) -> None:
    """An error for one is an error for the other: a resource that is not there, asked by each."""
    with pytest.raises(IqError) as caught:
        await slix.plugin['xep_0199'].send_ping(f'{ROMEO}/nowhere')
    assert caught.value.condition == 'service-unavailable'
    node.tell('send', tree=['iq', {'id': 'nobody', 'type': 'get', 'to': f'{ROMEO}/nowhere'}, ['ping', {'xmlns': PING}]])
    await node.until('stanza', id='nobody', type='error', condition='service-unavailable')


test_a_change_of_the_roster_by_one_is_pushed_to_the_other = shown(_roster)
test_each_gets_copies_of_the_others_messages = shown(_carbons)
test_what_one_blocks_the_other_is_told_and_the_blocked_one_feels = shown(_blocking)
test_slixmpp_resumes_and_has_lost_nothing_of_the_others = shown(_slixmpp_resumes)
test_node_resumes_and_has_lost_nothing_of_the_others = shown(_node_resumes)
test_both_get_the_same_error = shown(_caught)
