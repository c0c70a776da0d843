"""`twistd jabberd`: router, session manager, components and client connections in one process, over an embedded
database; or, with [processes] in the configuration, the supervisor of processes apart."""

from __future__ import annotations

from twisted.application.service import IService

from jabberd_tx.control.watchdog import options as watchdog
from jabberd_tx.control.watchdog.options import is_supervised
from jabberd_tx.services.command_line import Options
from jabberd_tx.services.parts import local_links, make_router, open_storage, start_c2s, start_gateway, start_sm
from jabberd_tx.services.plugins import start_plugins
from jabberd_tx.services.process import ServerProcess
from jabberd_tx.services.server import Server
from jabberd_tx.services.supervisor import Supervisor

__all__ = ['Options', 'makeService']


async def assemble(process: Server) -> None:
    """Everything, joined by in-process links."""
    storage = await open_storage(process)
    router = make_router(process)
    await start_sm(process, local_links(process, 'sm', router), storage)
    start_gateway(process, lambda component: local_links(process, component, router))
    await start_plugins(process, lambda name: local_links(process, name, router), storage)
    await start_c2s(process, local_links(process, 'c2s', router), storage)


def makeService(options: Options) -> IService:
    """What twistd runs."""
    from twisted.internet import reactor

    if is_supervised(options['configuration'].section(watchdog.OPTIONS)):
        return Supervisor(options['configuration'], reactor)
    return ServerProcess('jabberd', options['configuration'], reactor, assemble)
