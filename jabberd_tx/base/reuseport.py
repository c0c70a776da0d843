"""An endpoint whose port is shared with other processes: each has its own accept queue, the kernel spreads connections.

    reuseport:5222
    reuseport:5222:interface=127.0.0.1:backlog=1024
    reuseport:5222:interface=\\:\\:

`twisted/plugins/jabberd_tx_endpoints.py` makes the string known to Twisted's `serverFromString`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet import tcp
from twisted.internet.defer import Deferred, execute
from twisted.internet.interfaces import IStreamServerEndpoint, IStreamServerEndpointStringParser
from twisted.plugin import IPlugin
from zope.interface import implementer

from jabberd_tx.base.flush import BACKLOG, listen_tcp

if TYPE_CHECKING:
    from twisted.internet.interfaces import IListeningPort, IProtocolFactory

    from jabberd_tx.base.turn import Turn


@implementer(IStreamServerEndpoint)
class ReusePortEndpoint:
    """Listens with SO_REUSEPORT: every socket on the port must, and belong to the same user."""

    def __init__(
        self, reactor: Any, port: int, interface: str = '', backlog: int = BACKLOG, turn: Turn | None = None
    ) -> None:
        """With a `turn`, connections flush when it ends (base/flush.py); without, they are Twisted's own."""
        self.reactor, self.port, self.interface, self.backlog, self.turn = reactor, port, interface, backlog, turn

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        """Fires with the port, or fails with CannotListenError."""
        return execute(self._listen, protocolFactory)

    def _listen(self, factory: IProtocolFactory) -> IListeningPort:
        if self.turn is not None:
            return listen_tcp(
                self.reactor, self.turn, self.port, factory, self.interface, self.backlog, reuse_port=True
            )
        binding = tcp.makeBinding(self.interface, self.port, reuseAddress=True, reusePort=True)
        port: IListeningPort = self.reactor.listenTCP(binding, factory, self.backlog, self.interface)
        return port


@implementer(IPlugin, IStreamServerEndpointStringParser)
class ReusePortParser:
    """Reads `reuseport:PORT[:interface=ADDRESS][:backlog=COUNT]`."""

    prefix = 'reuseport'

    def parseStreamServer(  # type: ignore[override]
        self, reactor: Any, port: str, interface: str = '', backlog: str = str(BACKLOG)
    ) -> ReusePortEndpoint:
        """ValueError for a port or backlog that is no number."""
        return ReusePortEndpoint(reactor, int(port), interface, int(backlog))
