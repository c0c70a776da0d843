"""What makes the connections of a port where clients connect."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.interfaces import IAddress, IProtocolFactory
from zope.interface import implementer

from jabberd_tx.components.c2s.connection import ClientConnection

if TYPE_CHECKING:
    from jabberd_tx.components.c2s.service import C2S


@implementer(IProtocolFactory)
class ClientFactory:
    """Makes the connections of one port."""

    noisy = False

    def __init__(self, c2s: C2S, direct_tls: bool) -> None:
        self._c2s, self._direct_tls = c2s, direct_tls

    def doStart(self) -> None:
        """Part of IProtocolFactory."""

    def doStop(self) -> None:
        """Part of IProtocolFactory."""

    def buildProtocol(self, address: IAddress) -> ClientConnection:
        """For a new connection."""
        return ClientConnection(self._c2s, self._direct_tls)
