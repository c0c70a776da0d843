"""The `reuseport:` endpoint: two listeners, also of two processes, share one port."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from twisted.internet import error, reactor
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint, serverFromString
from twisted.internet.protocol import Factory, ProcessProtocol, Protocol
from twisted.trial.unittest import TestCase

from jabberd_tx.base.flush import FlushedServer
from jabberd_tx.base.reuseport import ReusePortEndpoint
from jabberd_tx.base.turn import Turn

ROOT = Path(__file__).parents[2]
OTHER_PROCESS = """
import sys
from twisted.internet import endpoints, reactor
from twisted.internet.protocol import Factory, Protocol

class Named(Protocol):
    def connectionMade(self):
        self.transport.write(b'other')
        self.transport.loseConnection()

listening = endpoints.serverFromString(reactor, 'reuseport:' + sys.argv[1]).listen(Factory.forProtocol(Named))
listening.addCallback(lambda port: print('listening', flush=True))
listening.addErrback(lambda failure: (failure.printTraceback(), reactor.stop()))
reactor.run()
"""


class Named(Protocol):
    """Says who it is and closes."""

    name = b'own'

    def connectionMade(self):
        self.transport.write(self.name)
        self.transport.loseConnection()


class Asking(Protocol):
    """Fires `told` with what was said when the connection closes."""

    def __init__(self):
        self.said = b''
        self.told = Deferred()

    def dataReceived(self, data):
        self.said += data

    def connectionLost(self, reason):
        self.told.callback(self.said)


class OtherProcess(ProcessProtocol):
    def __init__(self):
        self.listening = Deferred()
        self.ended = Deferred()

    def outReceived(self, data):
        if b'listening' in data:
            self.listening.callback(None)

    def errReceived(self, data):
        sys.stderr.write(data.decode())

    def processEnded(self, reason):
        self.ended.callback(None)


class Sharing(TestCase):
    timeout = 30

    @inlineCallbacks
    def listen(self, text, name=b'own'):
        made = type('Named', (Named,), {'name': name})
        port = yield serverFromString(reactor, text).listen(Factory.forProtocol(made))
        self.addCleanup(port.stopListening)
        return port

    @inlineCallbacks
    def ask(self, number, endpoint=TCP4ClientEndpoint, host='127.0.0.1'):
        asking = yield endpoint(reactor, host, number).connect(Factory.forProtocol(Asking))
        return (yield asking.told)

    @inlineCallbacks
    def ask_until(self, number, wanted):
        """Connect until each has answered: the kernel chooses by the client's port."""
        heard = set()
        for _ in range(400):
            heard.add((yield self.ask(number)))
            if heard == wanted:
                break
        self.assertEqual(heard, wanted)

    @inlineCallbacks
    def test_two_listeners_share_a_port(self):
        """Both are asked, and with options as in any endpoint string."""
        first = yield self.listen('reuseport:0:interface=127.0.0.1:backlog=64')
        number = first.getHost().port
        second = yield self.listen(f'reuseport:{number}:interface=127.0.0.1', b'second')
        self.assertEqual(first.getHost(), second.getHost())
        yield self.ask_until(number, {b'own', b'second'})

    @inlineCallbacks
    def test_two_processes_share_a_port(self):
        """Another interpreter finds the endpoint plugin, and connections are spread over both."""
        port = yield self.listen('reuseport:0')
        number = port.getHost().port
        other = OtherProcess()
        process = reactor.spawnProcess(
            other, sys.executable, [sys.executable, '-c', OTHER_PROCESS, str(number)],
            env={'PYTHONPATH': os.pathsep.join([str(ROOT), *filter(None, sys.path)])}, path=str(ROOT),
        )
        self.addCleanup(lambda: other.ended)
        self.addCleanup(process.signalProcess, 'KILL')
        yield other.listening
        yield self.ask_until(number, {b'own', b'other'})

    @inlineCallbacks
    def test_a_listener_that_does_not_share_keeps_others_out(self):
        """CannotListenError, as a failure of the Deferred."""
        port = reactor.listenTCP(0, Factory.forProtocol(Named), interface='127.0.0.1')
        self.addCleanup(port.stopListening)
        with self.assertRaises(error.CannotListenError):
            yield serverFromString(reactor, f'reuseport:{port.getHost().port}:interface=127.0.0.1').listen(
                Factory.forProtocol(Named)
            )

    @inlineCallbacks
    def test_an_ipv6_interface(self):
        port = yield self.listen(r'reuseport:0:interface=\:\:1')
        self.assertEqual((yield self.ask(port.getHost().port, TCP6ClientEndpoint, '::1')), b'own')

    @inlineCallbacks
    def test_with_a_turn_connections_flush_at_its_end(self):
        """Made in code, the endpoint gives the connections of base/flush.py."""
        port = yield ReusePortEndpoint(reactor, 0, '127.0.0.1', turn=Turn(reactor)).listen(Factory.forProtocol(Named))
        self.addCleanup(port.stopListening)
        self.assertIs(port.transport, FlushedServer)
        self.assertEqual((yield self.ask(port.getHost().port)), b'own')

    def test_a_port_that_is_no_number_is_refused(self):
        with self.assertRaises(ValueError):
            serverFromString(reactor, 'reuseport:xmpp')
