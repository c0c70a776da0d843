"""Clients that begin and do not go on."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from processes import Site
from raw_client import RawClient, header


def test_a_silent_client_is_given_up(tmp_path: Path) -> None:
    """After the login timeout: one that says nothing, half a header, half a stanza, half a TLS handshake."""
    site = Site(tmp_path / 'site', 'one process')
    with site:
        config = site.folder / 'jabberd.toml'
        config.write_text(config.read_text().replace('[c2s]\n', '[c2s]\nlogin_timeout = 1.5\n'))
        site.run_all()
        starttls = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
        halves = ('', header()[:40], header() + '<mess', header() + starttls)

        async def silent(half: str) -> str:
            client = await RawClient(site.ports[0], site.folder / 'data' / 'cert.pem').connect()
            client.send(half)
            return await client.ended()

        async def talk() -> list[str]:
            return list(await asyncio.gather(*map(silent, halves)))

        said = asyncio.run(talk())
        for text in said[:3]:
            assert re.search('<stream:error><connection-timeout .*</stream:stream>$', text, re.S), text
        assert '<proceed' in said[3]
