"""slixmpp as a user would have it: it logs in with STARTTLS and SCRAM, and notes what comes."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Any

from processes import DOMAIN, Site
from slixmpp import ClientXMPP

WAIT_S = 20.0


class Client(ClientXMPP):
    """Notes messages and presence; `until` waits for one of them."""

    def __init__(self, site: Site, name: str, port: int, password: str | None = None, resource: str = '') -> None:
        address = f'{name}@{DOMAIN}' + (f'/{resource}' if resource else '')
        super().__init__(address, password if password is not None else f'{name}-secret')
        self.site, self.port_of_site = site, port
        self.ssl_context = ssl.create_default_context(cafile=str(site.folder / 'data' / 'cert.pem'))
        self.notes: list[tuple[str, Any]] = []
        self.news = asyncio.Event()
        for plugin in ('xep_0030', 'xep_0199', 'xep_0198', 'xep_0203'):
            self.register_plugin(plugin)
        for event in (
            'message', 'presence', 'session_start', 'failed_auth', 'failed_all_auth', 'stream_error', 'disconnected',
            'roster_update', 'presence_subscribe', 'presence_subscribed', 'message_error', 'session_end',
        ):  # fmt: skip
            self.add_event_handler(event, lambda data, event=event: self.note(event, data))

    def get_ssl_context(self) -> ssl.SSLContext:
        """Trusts the site's certificate alone, and checks its name."""
        return self.ssl_context

    def note(self, event: str, data: Any) -> None:
        self.notes.append((event, data))
        self.news.set()

    async def until(self, event: str, true: Callable[[Any], bool] = lambda data: True) -> Any:
        """The data of the first such event, taken out of the notes; TimeoutError when none comes."""

        async def wait() -> Any:
            while True:
                for index, (name, data) in enumerate(self.notes):
                    if name == event and true(data):
                        del self.notes[index]
                        return data
                self.news.clear()
                await self.news.wait()

        try:
            return await asyncio.wait_for(wait(), WAIT_S)
        except TimeoutError:
            raise AssertionError(f'{self.boundjid}: no {event} among {self.notes}') from None

    async def login(self, available: bool = True) -> Client:
        """Connect, log in, get the roster, and be available."""
        self.connect('127.0.0.1', self.port_of_site)
        await self.until('session_start')
        await self.get_roster()
        if available:
            self.send_presence()
            own = self.boundjid.full
            await self.until('presence', lambda presence: presence['from'].full == own)
        return self

    async def leave(self) -> None:
        """Close the stream."""
        await self.disconnect()
