"""A whole server on a clock, without sockets or files: for the tests of modules and component plugins.

    server = MemoryServer(modules=[Notes], overrides=['modules.notes.most=2'])
    juliet = server.client('juliet')
    server.run(juliet.iq('get', '1', "<notes xmlns='urn:example:notes'/>"))
    server.advance(3600)

Router, session manager and c2s are the real ones, joined by links in memory (network.py); SQL runs in SQLite's memory.
Each client logs in as over a socket.
"""

from __future__ import annotations

from collections.abc import Coroutine, Iterable, Sequence
from functools import lru_cache
from typing import Any, TypeVar

from twisted.internet.address import IPv4Address

from jabberd_tx.base.options import Config, load
from jabberd_tx.components.c2s import options as c2s_options
from jabberd_tx.components.c2s.service import C2S, ClientFactory
from jabberd_tx.components.plugins.finding import found as found_plugins
from jabberd_tx.components.plugins.hosted import HostedPlugins, domain_of
from jabberd_tx.components.plugins.plugin import ComponentPlugin, Place
from jabberd_tx.components.sm import options as sm_options
from jabberd_tx.components.sm.finding import sections as module_sections
from jabberd_tx.components.sm.module import Module
from jabberd_tx.components.sm.service import SessionManager
from jabberd_tx.components.tables import all_tables
from jabberd_tx.services.sections import all_sections
from jabberd_tx.storage import accounts
from jabberd_tx.storage.sessions.memory import MemorySessions
from jabberd_tx.testing import memory_transport
from jabberd_tx.testing.client import XmppClient, run
from jabberd_tx.testing.network import Network
from jabberd_tx.testing.storage import ImmediateStorage
from jabberd_tx.xmpp.sasl.verifiers import LEAST_ITERATIONS, Credentials, derive
from jabberd_tx.xmpp.stanza import Stanza

T = TypeVar('T')

PASSWORD = 'secret'
_SETTINGS = ('c2s.port=0', 'c2s.tls_port=0', 'c2s.require_tls=false')


@lru_cache
def _credentials() -> Credentials:
    """Once for all accounts: hashing is slow by design."""
    return derive(PASSWORD, LEAST_ITERATIONS)


class MemoryServer:
    """clock     stands still until `advance`
    network, storage, sm, c2s, metrics   the parts
    plugins     of components, those that are on
    """

    def __init__(
        self,
        modules: Sequence[type[Module]] = (),
        overrides: Sequence[str] = (),
        users: Iterable[str] = ('juliet', 'romeo'),
        domain: str = 'example.net',
        plugins: Sequence[type[ComponentPlugin]] = (),
    ) -> None:
        """ConfigError for an option that is none.

        modules     beside those that are installed
        overrides   options as with `--set`: 'modules.notes.most=2'
        users       who have an account, with PASSWORD
        plugins     of components, beside those that are installed; each is switched on: 'component.echo.enabled=true'
        """
        self.domain, self._asked, self._more_plugins = domain, 0, plugins
        config = load(None, all_sections(modules, plugins), [*_SETTINGS, *overrides])
        self.network = Network()
        self.clock, self.metrics = self.network.clock, self.network.metrics
        self.storage = ImmediateStorage(all_tables(config.section, modules, plugins))
        for user in users:
            self.storage.run(accounts.put, f'{user}@{domain}', _credentials())
        shared = (self.clock, self.network.turn, self.metrics)
        sm_links, c2s_links = self.network.links('sm'), self.network.links('c2s')
        values = {section.name: config.section(section) for section in module_sections(modules)}
        self.sm = SessionManager(
            sm_links, self.storage, MemorySessions(self.clock), [domain], config.section(sm_options.OPTIONS),
            *shared, values, modules,
        )  # fmt: skip
        self.c2s = C2S(c2s_links, self.storage, [domain], config.section(c2s_options.OPTIONS), *shared, None)
        for links, part in ((sm_links, self.sm), (c2s_links, self.c2s)):
            links.start()
            part.start()
        self.plugins = HostedPlugins(found_plugins(plugins), self.clock, self.metrics)
        self.run(self._start_plugins(config))
        self.settle()

    async def _start_plugins(self, config: Config) -> None:
        for name, kind in found_plugins(self._more_plugins).items():
            values = config.section(kind.section())
            if values.enabled:
                domain = domain_of(kind, values, [self.domain])
                place = Place(domain, self.clock, self.metrics, None if kind.tables is None else self.storage)
                if await self.plugins.start(kind, place, values, self.network.links(name)) is None:
                    raise AssertionError(f'component {name} could not start')

    def client(self, user: str, resource: str = '', available: bool = True, acks: bool = False) -> XmppClient:
        """A client that is logged in, and has sent its presence unless told otherwise; its inbox is empty.  Refused."""
        client = XmppClient(f'{user}@{self.domain}', PASSWORD)
        server = ClientFactory(self.c2s, False).buildProtocol(IPv4Address('TCP', '127.0.0.1', 40000))
        memory_transport.connect(self.clock, client, server)
        self.run(client.login(resource, acks=acks))
        if available:
            client.send('<presence/>')
            self.settle()
        client.inbox.clear()
        return client

    def ask(self, client: XmppClient, kind: str, payload: str, to: str = '') -> Stanza:
        """An IQ of the client with that payload, and its answer, result or error."""
        self._asked += 1
        return self.run(client.iq(kind, f'ask-{self._asked}', payload, to))

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Drive a coroutine until it is done; its result.  AssertionError when it waits in vain."""
        return run(self.network, coroutine)

    def settle(self) -> None:
        """Everything that is due at the present time."""
        self.network.settle()

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.network.advance(seconds)
