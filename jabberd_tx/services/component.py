"""`twistd jabberd-component`: components that serve names of their own, linked to all routers."""

from __future__ import annotations

from twisted.application.service import IService

from jabberd_tx.services.command_line import Options
from jabberd_tx.services.parts import open_storage, pooled_links, start_gateway
from jabberd_tx.services.plugins import start_plugins, want_storage
from jabberd_tx.services.process import ServerProcess
from jabberd_tx.services.server import Server

__all__ = ['Options', 'makeService']


async def assemble(process: Server) -> None:
    """The gateway for external components, and component plugins."""
    storage = await open_storage(process) if want_storage(process) else None
    await start_plugins(process, lambda name: pooled_links(process, name), storage)
    start_gateway(process, lambda component: pooled_links(process, component))


def makeService(options: Options) -> IService:
    """What twistd runs."""
    from twisted.internet import reactor

    return ServerProcess('component', options['configuration'], reactor, assemble)
