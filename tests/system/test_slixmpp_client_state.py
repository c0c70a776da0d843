"""slixmpp's client state (XEP-0352) through both shapes, with its acks."""

from __future__ import annotations

import asyncio

from processes import DOMAIN, Site
from slixmpp_client import Client


async def online(site: Site, name: str, port: int) -> Client:
    """A client that knows of client states and chat states."""
    client = Client(site, name, port)
    for plugin in ('xep_0352', 'xep_0085'):
        client.register_plugin(plugin)
    client.add_event_handler('chatstate_composing', lambda message: client.note('composing', message))
    return await client.login()


def test_an_inactive_client_sleeps_until_there_is_something_to_read(site: Site) -> None:
    """Then it gets the last presence and the message, no typing; and everything that it got is acked."""

    async def talk() -> None:
        juliet, romeo = await online(site, 'juliet', site.ports[0]), await online(site, 'romeo', site.ports[-1])
        for one, other in ((juliet, romeo), (romeo, juliet)):
            one.send_presence_subscription(other.boundjid.bare)
        for one, other in ((juliet, romeo), (romeo, juliet)):
            await one.until('presence', lambda p, other=other: p['from'] == other.boundjid)
        await romeo.plugin['xep_0199'].ping(DOMAIN)
        romeo.notes.clear()
        romeo.plugin['xep_0352'].send_inactive()
        # What comes back to her shows that he is inactive by now.
        romeo.send_message(juliet.boundjid, 'good night', mtype='chat')
        await juliet.until('message', lambda m: m['body'] == 'good night')
        for show in ('away', 'dnd', 'xa'):
            juliet.send_presence(pshow=show)
        typing = juliet.make_message(romeo.boundjid, mtype='chat')
        typing['chat_state'] = 'composing'
        typing.send()
        juliet.send_message(romeo.boundjid, 'good night!', mtype='chat')
        await romeo.until('message', lambda m: m['body'] == 'good night!')
        seen = [p['show'] for event, p in romeo.notes if event == 'presence' and p['from'] == juliet.boundjid]
        # slixmpp answers a subscription with presence of its own, which may have come before he was inactive.
        assert [show for show in seen if show] == ['xa']
        assert not [m for event, m in romeo.notes if event in ('message', 'composing')]

        juliet.send_presence()
        await juliet.plugin['xep_0199'].ping(DOMAIN)
        romeo.plugin['xep_0352'].send_active()
        await romeo.until('presence', lambda p: p['from'] == juliet.boundjid and p['type'] == 'available')
        typing.send()
        await romeo.until('composing')
        romeo.plugin['xep_0198'].send_ack()
        await asyncio.gather(juliet.leave(), romeo.leave())

        again = await online(site, 'romeo', site.ports[0])
        await again.plugin['xep_0199'].ping(DOMAIN)
        assert not [m for event, m in again.notes if event == 'message'], 'nothing comes twice'
        await again.del_roster_item(juliet.boundjid.bare)
        await again.leave()

    asyncio.run(talk())
