"""Entity capabilities with slixmpp: it proves the server's hash by its own computation."""

from __future__ import annotations

import asyncio

from processes import DOMAIN, Site
from slixmpp_client import Client


def test_the_servers_hash_in_stream_features_is_that_of_its_answer(site: Site) -> None:
    """A c2s tells it from its first session on: the second login sees it."""

    async def talk() -> None:
        await (await Client(site, 'juliet', site.ports[0]).login()).leave()
        juliet = Client(site, 'juliet', site.ports[0])
        juliet.register_plugin('xep_0115')
        await juliet.login()
        assert 'caps' in juliet.features
        proved = None
        for _ in range(100):
            proved = await juliet.plugin['xep_0115'].get_verstring(DOMAIN)
            if proved:
                break
            await juliet.plugin['xep_0199'].ping(DOMAIN)
        info = (await juliet.plugin['xep_0030'].get_info(DOMAIN))['disco_info']
        assert proved == juliet.plugin['xep_0115'].generate_verstring(info, 'sha-1')
        await juliet.leave()

    asyncio.run(talk())
