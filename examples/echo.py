"""The echo bot as a process of its own, linked to the routers of a site.

    python examples/echo.py CONFIG [KEY=VALUE ...]
"""

from __future__ import annotations

import sys

from embedded import Echo
from twisted.python.log import startLogging

from jabberd_tx.base.options import load
from jabberd_tx.services.parts import pooled_links, start_component
from jabberd_tx.services.process import ServerProcess
from jabberd_tx.services.sections import all_sections
from jabberd_tx.services.server import Server


async def assemble(server: Server) -> None:
    start_component(server, pooled_links(server, 'echo'), Echo, 'echo.localhost')


def main(config: str, *overrides: str) -> None:
    from twisted.internet import reactor

    startLogging(sys.stdout)
    process = ServerProcess('echo', load(config, all_sections(), overrides), reactor, assemble)
    reactor.addSystemEventTrigger('before', 'shutdown', process.stopService)
    process.startService()
    reactor.run()


if __name__ == '__main__':
    main(*sys.argv[1:])
