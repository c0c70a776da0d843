"""The whole server as one service of somebody's own Twisted application (docs/embedding.md).

    server = EmbeddedServer(reactor, 'site.toml', modules=[MyModule], components={'bot.example.net': MyBot})
    server.setServiceParent(application)
    await server.ready()

It leaves to the application what belongs to the process: signals, file modes, the garbage collector, the log, the end.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool

from jabberd_tx.base.options import load
from jabberd_tx.components.c2s.service import C2S
from jabberd_tx.components.plugins.hosted import HostedPlugins
from jabberd_tx.components.plugins.plugin import ComponentPlugin
from jabberd_tx.components.sm.module import Module
from jabberd_tx.components.sm.service import SessionManager
from jabberd_tx.components.stanza_component import StanzaComponent
from jabberd_tx.routing.router import Router
from jabberd_tx.services.first_start import prepare
from jabberd_tx.services.parts import (
    MakeComponent,
    local_links,
    make_router,
    open_storage,
    start_c2s,
    start_component,
    start_gateway,
    start_sm,
)
from jabberd_tx.services.plugins import start_plugins
from jabberd_tx.services.sections import all_sections
from jabberd_tx.services.server import Server
from jabberd_tx.storage import accounts
from jabberd_tx.storage.operations import Storage
from jabberd_tx.xmpp.jid import InvalidJid, parse
from jabberd_tx.xmpp.sasl.verifiers import derive


class EmbeddedServer(Server):
    """A Twisted service with everything in it: router, session manager, client connections, storage.

    storage, router, sm, c2s   the parts, once it is ready
    components                 by name
    plugins                    those of components that are on
    """

    storage: Storage
    router: Router
    sm: SessionManager
    c2s: C2S
    plugins: HostedPlugins

    def __init__(
        self,
        reactor: Any,
        config: str | os.PathLike[str] | None = None,
        overrides: Sequence[str] = (),
        *,
        modules: Sequence[type[Module]] = (),
        components: Mapping[str, MakeComponent] | None = None,
        plugins: Sequence[type[ComponentPlugin]] = (),
    ) -> None:
        """ConfigError, one line, for a configuration that must not be used.

        config      the TOML file (docs/configuration.md); None: defaults, below the working directory
        overrides   'c2s.port=5333', as with `--set`
        modules     of the session manager, beside those that are installed
        components  by the name that each serves: a subclass of StanzaComponent, or what makes one alike
        plugins     of components, beside those that are installed
        """
        self.modules, self._more_plugins = tuple(modules), tuple(plugins)
        self.components: dict[str, StanzaComponent] = {}
        self._makers = dict(components or {})
        self._waiting: list[Deferred[None]] = []
        self._outcome: Any = None  # None: not yet; True, or the failure
        sections = all_sections(modules, plugins)
        super().__init__('jabberd', load(config, sections, overrides), reactor, self._assemble_parts)

    def prepare(self) -> None:
        """Make what a first start needs and is not there: the data folder, and certificates signed by themselves."""
        prepare(self.config)

    async def _assemble_parts(self, server: Server) -> None:
        self.storage = await open_storage(self, self.modules, self._more_plugins)
        self.router = make_router(self)
        self.sm = await start_sm(self, local_links(self, 'sm', self.router), self.storage, self.modules)
        for name, make in self._makers.items():
            self.components[name] = start_component(self, local_links(self, name, self.router), make, name)
        start_gateway(self, lambda component: local_links(self, component, self.router))
        self.plugins = await start_plugins(
            self, lambda name: local_links(self, name, self.router), self.storage, self._more_plugins
        )
        self.c2s = await start_c2s(self, local_links(self, 'c2s', self.router), self.storage)

    # ---- life

    def ready(self) -> Deferred[None]:
        """Fires when clients can log in, or fails with what was in the way (ConfigError, CannotListenError, …)."""
        waiting: Deferred[None] = Deferred()
        self._waiting.append(waiting)
        if self._outcome is not None:
            self.turn.later(self._tell)
        return waiting

    def started(self) -> None:
        """See Server."""
        super().started()
        self._outcome = True
        self.turn.later(self._tell)

    def failed(self, failure: Any) -> None:
        """See Server."""
        super().failed(failure)
        self._outcome = failure.value
        self.turn.later(self._tell)

    def _tell(self) -> None:
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            if self._outcome is True:
                one.callback(None)
            else:
                one.errback(self._outcome)

    # ---- for the application

    async def add_account(self, jid: str, password: str) -> bool:
        """An account with that password, or a new password for the one there is: then False.  InvalidJid, ValueError
        for what may not be a JID or a password, StorageError."""
        owner = parse(jid)
        if not owner.local or owner.resource or owner.domain not in self.sm.domains:
            raise InvalidJid(f'{jid!r} is no address of a user here')
        pool = self.reactor.getThreadPool()
        credentials = await deferToThreadPool(self.reactor, pool, derive, password)
        new: bool = await self.storage.run(accounts.put, owner.bare, credentials)
        self.sm.accounts.forget(owner.bare)
        return new
