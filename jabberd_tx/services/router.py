"""`twistd jabberd-router`: takes in links and routes between them."""

from __future__ import annotations

from secrets import token_bytes

from twisted.application.service import IService
from twisted.internet.task import deferLater

from jabberd_tx.base.options import ConfigError
from jabberd_tx.link import options as link_options
from jabberd_tx.link.directory import parse_address
from jabberd_tx.link.server import LinkServer, listen
from jabberd_tx.routing import options as routing_options
from jabberd_tx.routing.router import Router
from jabberd_tx.services.command_line import Options
from jabberd_tx.services.parts import make_router
from jabberd_tx.services.process import ServerProcess
from jabberd_tx.services.server import Server

__all__ = ['Options', 'makeService']

# c2s waits a second for its clients' acks when it leaves.
QUIET, LONGEST = 1.5, 10.0


async def assemble(process: Server) -> None:
    """A router that listens for links."""
    router = make_router(process)
    try:
        address = parse_address(process.section(routing_options.OPTIONS).listen)
    except ValueError as error:
        raise ConfigError(f'router.listen: {error}') from None
    options = process.section(link_options.OPTIONS)
    server = listen(
        address.host,
        address.port,
        router,
        router.node,
        token_bytes(16),
        options,
        process.reactor,
        process.turn,
        process.metrics,
        lambda node: router.access.secret_of(node, options.secret),
    )
    process.reload.on_change(link_options.OPTIONS, lambda changes: server.read_tls())
    if options.tls_certificate:
        process.reload.always('certificates of links', server.read_tls)
    process.on_stop(server.stop)

    async def leave() -> None:
        router.leave()
        await _fall_quiet(process, router, server)

    process.on_stop(leave)


async def _fall_quiet(process: Server, router: Router, server: LinkServer) -> None:
    """Until all links are closed, or nothing was handed on for QUIET seconds: others may end at the same time, and have
    things to tell each other.  LONGEST at most."""
    now = process.reactor.seconds
    end, since, count = now() + LONGEST, now(), router.handed_on
    while server.ports and now() < end and now() - since < QUIET:
        await deferLater(process.reactor, 0.05, lambda: None)
        if router.handed_on != count:
            since, count = now(), router.handed_on


def makeService(options: Options) -> IService:
    """What twistd runs."""
    from twisted.internet import reactor

    return ServerProcess('router', options['configuration'], reactor, assemble)
