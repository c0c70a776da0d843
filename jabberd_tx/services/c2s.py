"""`twistd jabberd-c2s`: client connections."""

from __future__ import annotations

from twisted.application.service import IService

from jabberd_tx.services.command_line import Options
from jabberd_tx.services.parts import open_storage, pooled_links, start_c2s
from jabberd_tx.services.process import ServerProcess
from jabberd_tx.services.server import Server

__all__ = ['Options', 'makeService']


async def assemble(process: Server) -> None:
    """c2s, linked to all routers."""
    storage = await open_storage(process)
    await start_c2s(process, pooled_links(process, 'c2s'), storage)


def makeService(options: Options) -> IService:
    """What twistd runs."""
    from twisted.internet import reactor

    return ServerProcess('c2s', options['configuration'], reactor, assemble)
