"""A component written with wokkel, as its authors would: disco, ping, and an echo.

python wokkel_component.py PORT NAME SECRET
"""

from __future__ import annotations

import sys

import jabberd_tx.compat.wokkel  # noqa: F401  # isort: skip
from twisted.internet import reactor
from wokkel.component import Component
from wokkel.disco import DiscoHandler, DiscoIdentity, IDisco
from wokkel.ping import PingHandler
from wokkel.xmppim import MessageProtocol
from zope.interface import implementer


@implementer(IDisco)
class Echo(MessageProtocol):
    """Says what it is told."""

    def connectionInitialized(self):
        super().connectionInitialized()
        print('online', flush=True)

    def onMessage(self, message):
        if message.body is not None and message['type'] == 'chat':
            message.swapAttributeValues('to', 'from')
            message.body.children[:] = [f'wokkel: {message.body}']
            self.send(message)

    def getDiscoInfo(self, requestor, target, node=''):
        return [DiscoIdentity('automation', 'echo', 'an echo')]

    def getDiscoItems(self, requestor, target, node=''):
        return []


def main() -> None:
    port, name, secret = sys.argv[1:]
    component = Component('127.0.0.1', int(port), name, secret)
    for handler in (Echo(), PingHandler(), DiscoHandler()):
        handler.setHandlerParent(component)
    component.startService()
    reactor.addSystemEventTrigger('before', 'shutdown', component.stopService)
    reactor.run()


if __name__ == '__main__':
    main()
