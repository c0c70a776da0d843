"""The end-of-turn flush on real sockets: each way in which it could lose bytes, a close or another connection."""

from __future__ import annotations

import os
import random
import socket
import sys
import tempfile
from pathlib import Path

from twisted.internet import endpoints, error, reactor, ssl
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer
from twisted.internet.protocol import ClientFactory, Factory, Protocol
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from jabberd_tx.base.certificates import self_signed
from jabberd_tx.base.flush import adopt_tcp, client_endpoint, connect_tcp, listen_tcp, listen_unix
from jabberd_tx.base.tls import ServerContexts
from jabberd_tx.base.turn import Turn


class Recorder(Protocol):
    """Keeps what came; `received(count)` and `lost` are Deferreds."""

    def __init__(self):
        self.data = bytearray()
        self.made = Deferred()
        self.lost = Deferred()
        self._waiting = []

    def connectionMade(self):
        self.made.callback(self)

    def dataReceived(self, data):
        self.data += data
        for item in [item for item in self._waiting if len(self.data) >= item[0]]:
            self._waiting.remove(item)
            item[1].callback(bytes(self.data))

    def received(self, count):
        done = Deferred()
        self._waiting.append((count, done))
        self.dataReceived(b'')
        return done

    def connectionLost(self, reason):
        self.reason = reason
        self.lost.callback(None)


class FlushCase(TestCase):
    """One server connection on a flushing port, and a plain Twisted client at the other end."""

    timeout = 20

    def setUp(self):
        self.turn = Turn(reactor)
        self.armed = []
        self.servers = []

    def serve(self, protocol=Recorder, **options):
        """Listen; `self.servers` gathers the server-side protocols."""
        case = self

        class Accepting(Factory):
            def buildProtocol(self, addr):
                made = protocol()
                case.servers.append(made)
                return made

        port = listen_tcp(reactor, self.turn, 0, Accepting(), interface='127.0.0.1', **options)
        self.addCleanup(port.stopListening)
        return port

    @inlineCallbacks
    def pair(self, protocol=Recorder, client=Recorder, port=None):
        """The two ends of a new connection, both made; the server's transport notes when EPOLLOUT is asked for."""
        before = len(self.servers)
        self.port = port = port or self.serve(protocol)
        near = yield endpoints.TCP4ClientEndpoint(reactor, '127.0.0.1', port.getHost().port).connect(
            Factory.forProtocol(client)
        )
        self.addCleanup(lambda: near.transport.abortConnection())
        while len(self.servers) == before:
            yield self.next_turn()
        server = self.servers[-1]
        yield server.made
        self.addCleanup(lambda: server.transport.connected and server.transport.abortConnection())
        # So that a backlog is one: the kernel would take all of it.
        server.transport.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        near.transport.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        add_writer = reactor.addWriter

        def noting(writer):
            self.armed.append(writer)
            add_writer(writer)

        self.patch(reactor, 'addWriter', noting)
        return server, near

    def next_turn(self):
        done = Deferred()
        reactor.callLater(0, done.callback, None)
        return done



class Small(FlushCase):
    """What many idle connections take."""

    @inlineCallbacks
    def test_a_connection_that_has_a_producer_and_has_written_has_no_dict_of_its_own(self):
        """Its attributes are those that all have, in the same order: the names are kept once for all."""
        port = self.serve()
        pairs = []
        for _ in range(40):
            pairs.append((yield self.pair(port=port)))
        for server, near in pairs:
            server.transport.registerProducer(Silent(), True)
            server.transport.write(b'x')
            yield near.received(1)
        self.assertLess(sys.getsizeof(vars(server.transport)), 400)


@implementer(IPushProducer)
class Silent:
    def pauseProducing(self): ...

    def resumeProducing(self): ...

    def stopProducing(self): ...


class Writing(FlushCase):
    @inlineCallbacks
    def test_many_writes_of_a_turn_leave_in_one_send_without_epollout(self):
        """Three writes and a writeSequence: one read at the other end, and the reactor is never asked."""
        server, near = yield self.pair()
        reads = []
        near.dataReceived = reads.append
        for piece in (b'a', b'b', b'c'):
            server.transport.write(piece)
        server.transport.writeSequence([b'd', b'e'])
        self.assertFalse(server.transport.dataBuffer)
        while not reads:
            yield self.next_turn()
        self.assertEqual(reads, [b'abcde'])
        self.assertNotIn(server.transport, self.armed)

    @inlineCallbacks
    def test_what_is_written_while_reading_is_sent_before_the_next_poll(self):
        """The bytes are in the peer's socket before the reactor polls again."""
        server, near = yield self.pair()
        order = []
        do_iteration = reactor.doIteration

        def polling(delay):
            order.append('poll')
            return do_iteration(delay)

        self.patch(reactor, 'doIteration', polling)
        send_now = server.transport.send_now

        def writing():
            order.append('write')
            return send_now()

        server.transport.send_now = writing
        server.dataReceived = lambda data: (order.append('read'), server.transport.write(data))
        near.transport.write(b'x')
        yield near.received(1)
        at = order.index('read')
        self.assertEqual(order[at:at + 2], ['read', 'write'])

    @inlineCallbacks
    def test_a_backlog_of_3_mb_reaches_a_slow_reader_whole(self):
        """What did not fit waits for EPOLLOUT, and later writes queue behind it in order."""
        server, near = yield self.pair()
        near.transport.pauseProducing()
        first, second = os.urandom(3_000_000), os.urandom(70_000)
        server.transport.write(first)
        while server.transport not in self.armed:
            yield self.next_turn()
        self.assertTrue(server.transport.dataBuffer)
        server.transport.write(second)
        self.assertFalse(server.transport.flush_due)
        near.transport.resumeProducing()
        got = yield near.received(len(first) + len(second))
        self.assertEqual(got, first + second)
        self.armed.clear()
        server.transport.write(b'z')
        yield near.received(len(first) + len(second) + 1)
        self.assertNotIn(server.transport, self.armed)

    @inlineCallbacks
    def test_a_connection_of_a_unix_socket_flushes_too(self):
        """The admin socket's connections are of the same make; a stale socket file is taken over."""
        path = str(Path(tempfile.mkdtemp()) / 'control.sock')
        server = Recorder()
        port = listen_unix(reactor, self.turn, path, Factory.forProtocol(lambda: server))
        self.addCleanup(port.stopListening)
        near = yield endpoints.UNIXClientEndpoint(reactor, path).connect(Factory.forProtocol(Recorder))
        yield server.made
        server.transport.write(b'hello')
        server.transport.loseConnection()
        yield near.lost
        self.assertEqual(near.data, b'hello')
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)

    @inlineCallbacks
    def test_an_inherited_listening_socket_serves(self):
        """A socket that another process bound: its connections flush the same way."""
        with socket.create_server(('127.0.0.1', 0)) as listener:
            number = listener.getsockname()[1]
            server = Recorder()
            port = adopt_tcp(reactor, self.turn, listener.fileno(), Factory.forProtocol(lambda: server))
        self.addCleanup(port.stopListening)
        near = yield endpoints.TCP4ClientEndpoint(reactor, '127.0.0.1', number).connect(
            Factory.forProtocol(Recorder)
        )
        yield server.made
        server.transport.write(b'hi')
        server.transport.loseConnection()
        yield near.lost
        self.assertEqual(near.data, b'hi')


class Closing(FlushCase):
    @inlineCallbacks
    def test_lose_connection_right_after_a_write_sends_and_closes(self):
        server, near = yield self.pair()
        server.transport.write(b'last words')
        server.transport.loseConnection()
        yield near.lost
        self.assertEqual(near.data, b'last words')
        yield server.lost
        server.reason.trap(error.ConnectionDone)

    @inlineCallbacks
    def test_lose_connection_with_nothing_written_closes(self):
        server, near = yield self.pair()
        server.transport.loseConnection()
        yield near.lost
        yield server.lost

    @inlineCallbacks
    def test_lose_connection_behind_a_backlog_closes_after_the_last_byte(self):
        server, near = yield self.pair()
        near.transport.pauseProducing()
        data = os.urandom(3_000_000)
        server.transport.write(data)
        while server.transport not in self.armed:
            yield self.next_turn()
        server.transport.write(b'end')
        server.transport.loseConnection()
        near.transport.resumeProducing()
        yield near.lost
        self.assertEqual(bytes(near.data), data + b'end')

    @inlineCallbacks
    def test_half_close_sends_what_was_written_first(self):
        """loseWriteConnection: the peer sees the bytes and then the end, and may still talk."""
        ended = Deferred()

        @implementer(IHalfCloseableProtocol)
        class Listening(Recorder):
            def readConnectionLost(self):
                ended.callback(bytes(self.data))

            def writeConnectionLost(self):
                pass

        server, near = yield self.pair(client=Listening)
        server.transport.write(b'that is all')
        server.transport.loseWriteConnection()
        self.assertEqual((yield ended), b'that is all')
        near.transport.write(b'heard')
        self.assertEqual((yield server.received(5)), b'heard')

    @inlineCallbacks
    def test_abort_drops_what_was_written_in_the_turn(self):
        """An aborted connection is not written to, and is not handed back to the reactor."""
        server, near = yield self.pair()
        transport = server.transport
        transport.write(b'never sent')
        transport.abortConnection()
        yield server.lost
        server.reason.trap(error.ConnectionAborted)
        yield near.lost
        self.assertEqual(near.data, b'')
        self.assertNotIn(transport, self.armed)

    @inlineCallbacks
    def test_abort_with_a_backlog_is_not_armed_again(self):
        server, near = yield self.pair()
        near.transport.pauseProducing()
        transport = server.transport
        transport.write(bytes(3_000_000))
        while transport not in self.armed:
            yield self.next_turn()
        self.armed.clear()
        transport.write(b'more')
        transport.abortConnection()
        yield server.lost
        self.assertNotIn(transport, self.armed)

    @inlineCallbacks
    def test_a_peer_that_is_gone_before_the_flush_ends_the_connection_once(self):
        """Its reset makes the send fail; the protocol hears of one loss, and nothing is logged as a failure."""
        server, near = yield self.pair()
        server.transport.pauseProducing()
        near.transport.abortConnection()
        yield near.lost
        transport = server.transport
        transport.write(b'to nobody')
        yield server.lost
        server.reason.trap(error.ConnectionLost)
        self.assertNotIn(transport, self.armed)

    @inlineCallbacks
    def test_a_connection_lost_in_the_same_turn_is_skipped(self):
        """connectionLost comes between the write and the flush."""
        server, near = yield self.pair()
        transport = server.transport
        transport.write(b'x')
        reactor._disconnectSelectable(transport, error.ConnectionLost(), True)
        yield server.lost
        yield self.next_turn()
        yield near.lost
        self.assertEqual(near.data, b'')

    @inlineCallbacks
    def test_one_connection_that_fails_leaves_no_other_unflushed(self):
        """A send that raises and a protocol whose connectionLost raises: the third connection's bytes leave."""
        port = self.serve()
        ends = []
        for _ in range(3):
            near = yield endpoints.TCP4ClientEndpoint(reactor, '127.0.0.1', port.getHost().port).connect(
                Factory.forProtocol(Recorder)
            )
            self.addCleanup(near.transport.abortConnection)
            ends.append(near)
        while len(self.servers) < 3:
            yield self.next_turn()
        first, second, third = (server.transport for server in self.servers)

        def broken(*arguments):
            raise RuntimeError('broken')

        first.send_now = broken
        self.servers[1].connectionLost = broken
        second.write(b'y')
        second.loseConnection()
        first.write(b'x')
        third.write(b'z')
        for server in self.servers[2:]:
            self.addCleanup(server.transport.abortConnection)
        near = next(end for end in ends if end.transport.getHost().port == third.getPeer().port)
        yield near.received(1)
        yield self.servers[0].lost
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 2)


class Chunks:
    """A push producer that writes 32 KiB at a time while it may."""

    def __init__(self, transport, total):
        self.transport, self.left = transport, total
        self.paused = False
        self.pauses = 0

    def resumeProducing(self):
        self.paused = False
        reactor.callLater(0, self.go)

    def pauseProducing(self):
        self.paused = True
        self.pauses += 1

    def stopProducing(self):
        self.left = 0

    def go(self):
        while self.left > 0 and not self.paused:
            size = min(32768, self.left)
            self.left -= size
            self.transport.write(b'.' * size)
        if self.left == 0 and not self.paused:
            self.left = -1
            self.transport.unregisterProducer()
            self.transport.loseConnection()


class Pulled(Chunks):
    """A pull producer: a chunk each time it is asked."""

    def resumeProducing(self):
        if self.left:
            size = min(50_000, self.left)
            self.left -= size
            self.transport.write(b'.' * size)
        else:
            self.transport.unregisterProducer()
            self.transport.loseConnection()


class Producing(FlushCase):
    @inlineCallbacks
    def test_a_push_producer_is_paused_and_resumed(self):
        """It is paused while 64 KiB wait, and all of it arrives."""
        server, near = yield self.pair()
        producer = Chunks(server.transport, 2_000_000)
        server.transport.registerProducer(producer, True)
        producer.resumeProducing()
        yield near.lost
        self.assertEqual(len(near.data), 2_000_000)
        self.assertGreater(producer.pauses, 2)

    @inlineCallbacks
    def test_a_pull_producer_is_asked_again_after_each_flush(self):
        server, near = yield self.pair()
        server.transport.registerProducer(Pulled(server.transport, 2_000_000), False)
        yield near.lost
        self.assertEqual(len(near.data), 2_000_000)

    @inlineCallbacks
    def test_a_producer_may_still_write_after_lose_connection(self):
        """A paused one is resumed; the connection closes when it has unregistered, after its last byte."""
        server, near = yield self.pair()
        producer = Chunks(server.transport, 500_000)
        server.transport.registerProducer(producer, True)
        producer.go()
        self.assertTrue(producer.paused)
        server.transport.loseConnection()
        yield near.lost
        self.assertEqual(len(near.data), 500_000)

    @inlineCallbacks
    def test_a_connection_is_a_producer_for_another(self):
        """Reading stops while pauseProducing holds, and goes on after resumeProducing."""
        server, near = yield self.pair()
        server.transport.pauseProducing()
        near.transport.write(b'held')
        for _ in range(5):
            yield self.next_turn()
        self.assertEqual(server.data, b'')
        server.transport.resumeProducing()
        self.assertEqual((yield server.received(4)), b'held')


class Connecting(FlushCase):
    @inlineCallbacks
    def test_an_outgoing_connection_flushes_too(self):
        """A host name through the endpoint: writes leave at the end of the turn, without EPOLLOUT."""
        port = self.serve()
        near = yield client_endpoint(reactor, self.turn, 'localhost', port.getHost().port).connect(
            Factory.forProtocol(Recorder)
        )
        armed = []
        add_writer = reactor.addWriter
        self.patch(reactor, 'addWriter', lambda writer: (armed.append(writer), add_writer(writer)))
        near.transport.write(b'one ')
        near.transport.write(b'two')
        near.transport.loseConnection()
        yield near.lost
        while not self.servers:
            yield self.next_turn()
        yield self.servers[0].lost
        self.assertEqual(self.servers[0].data, b'one two')
        self.assertEqual(armed, [])

    @inlineCallbacks
    def test_the_client_factory_hears_of_success_and_of_failure(self):
        """connect_tcp calls buildProtocol, clientConnectionLost and clientConnectionFailed as reactor.connectTCP."""
        port = self.serve()
        number = port.getHost().port
        heard = []
        done = Deferred()

        class Calling(ClientFactory):
            protocol = Recorder

            def clientConnectionLost(self, connector, reason):
                heard.append('lost')
                done.callback(connector)

            def clientConnectionFailed(self, connector, reason):
                heard.append(reason.type)
                done.callback(connector)

        connect_tcp(reactor, self.turn, '127.0.0.1', number, Calling())
        while not self.servers:
            yield self.next_turn()
        yield self.servers[0].made
        self.servers[0].transport.loseConnection()
        yield done
        yield port.stopListening()
        done = Deferred()
        connect_tcp(reactor, self.turn, '127.0.0.1', number, Calling())
        yield done
        self.assertEqual(heard, ['lost', error.ConnectionRefusedError])


class WithTLS(FlushCase):
    """startTLS on the server's connection; the client is Twisted's own."""

    @inlineCallbacks
    def secure_pair(self, port=None):
        folder = Path(self.mktemp())
        folder.mkdir()
        self_signed(['localhost'], folder / 'chain.pem', folder / 'key.pem')
        own = ServerContexts([([], str(folder / 'chain.pem'), str(folder / 'key.pem'))]).options(False)
        server, near = yield self.pair(port=port)
        server.transport.startTLS(own)
        near.transport.startTLS(ssl.CertificateOptions())
        near.transport.write(b'hello')
        yield server.received(5)
        for _ in range(2):  # until the session tickets have left
            yield self.next_turn()
        return server, near

    def raw_sends(self, connection):
        """How many times the socket is sent to, and what."""
        sends = []
        send_now = connection.send_now

        def noting():
            sends.append(b''.join(connection._tempDataBuffer))
            return send_now()

        connection.send_now = noting
        return sends

    @inlineCallbacks
    def test_small_writes_of_a_turn_become_one_record_in_the_same_turn(self):
        """Twenty writes: one application record (type 23), sent before the reactor polls again."""
        server, near = yield self.secure_pair()
        sends = self.raw_sends(server.transport)
        order = []
        do_iteration = reactor.doIteration
        self.patch(reactor, 'doIteration', lambda delay: (order.append(len(sends)), do_iteration(delay)))

        def answer(data):
            order.clear()
            for number in range(20):
                server.transport.write(b'%02d' % number)

        server.dataReceived = answer
        near.transport.write(b'?')
        yield near.received(40)
        self.assertEqual(order[0], 1)
        self.assertEqual(len(sends), 1)
        self.assertEqual(sends[0][0], 23)
        self.assertEqual(len(sends[0]), 5 + int.from_bytes(sends[0][3:5], 'big'))
        self.assertNotIn(server.transport, self.armed)

    @inlineCallbacks
    def test_lose_connection_right_after_a_write_sends_and_shuts_down(self):
        server, near = yield self.secure_pair()
        server.transport.write(b'bye')
        server.transport.loseConnection()
        yield near.lost
        near.reason.trap(error.ConnectionDone)
        self.assertEqual(near.data, b'bye')
        yield server.lost

    @inlineCallbacks
    def test_what_is_written_after_lose_connection_is_dropped(self):
        """As without TLS; the connection still ends in good order."""
        server, near = yield self.secure_pair()
        server.transport.write(b'bye')
        server.transport.loseConnection()
        server.transport.write(b'late')
        yield server.lost
        yield near.lost
        server.reason.trap(error.ConnectionDone)
        self.assertEqual(near.data, b'bye')

    @inlineCallbacks
    def test_abort_drops_what_was_written(self):
        server, near = yield self.secure_pair()
        server.transport.write(b'never')
        server.transport.abortConnection()
        yield server.lost
        yield near.lost
        self.assertEqual(near.data, b'')

    @inlineCallbacks
    def test_a_backlog_of_3_mb_arrives_whole(self):
        server, near = yield self.secure_pair()
        near.transport.pauseProducing()
        data = os.urandom(3_000_000)
        server.transport.write(data)
        while server.transport not in self.armed:
            yield self.next_turn()
        server.transport.write(b'!')
        near.transport.resumeProducing()
        got = yield near.received(len(data) + 1)
        self.assertEqual(got, data + b'!')

    @inlineCallbacks
    def test_a_peer_that_is_gone_before_the_flush_ends_the_connection(self):
        server, near = yield self.secure_pair()
        server.transport.pauseProducing()
        near.transport.abortConnection()
        yield near.lost
        server.transport.write(b'to nobody')
        yield server.lost

    @inlineCallbacks
    def test_producers_are_paused_and_nothing_of_theirs_is_lost(self):
        """Push and pull; the last chunk, written just before unregistering and closing, arrives."""
        for kind, streaming in ((Chunks, True), (Pulled, False)):
            server, near = yield self.secure_pair()
            producer = kind(server.transport, 2_000_001)
            server.transport.registerProducer(producer, streaming)
            if streaming:
                producer.resumeProducing()
            yield near.lost
            self.assertEqual(len(near.data), 2_000_001)
            if streaming:
                self.assertGreater(producer.pauses, 2)

    @inlineCallbacks
    def test_a_producer_that_ends_after_lose_connection_loses_nothing(self):
        """Its last chunk is smaller than a record and is held when it unregisters."""
        server, near = yield self.secure_pair()
        producer = Chunks(server.transport, 100)
        server.transport.registerProducer(producer, True)
        server.transport.loseConnection()
        producer.resumeProducing()
        yield near.lost
        self.assertEqual(len(near.data), 100)

    @inlineCallbacks
    def test_a_producer_registered_before_start_tls_goes_on(self):
        """startTLS takes it over from the connection."""
        folder = Path(self.mktemp())
        folder.mkdir()
        self_signed(['localhost'], folder / 'chain.pem', folder / 'key.pem')
        own = ServerContexts([([], str(folder / 'chain.pem'), str(folder / 'key.pem'))]).options(False)
        server, near = yield self.pair()
        producer = Chunks(server.transport, 300_000)
        server.transport.registerProducer(producer, True)
        server.transport.startTLS(own)
        near.transport.startTLS(ssl.CertificateOptions())
        producer.resumeProducing()
        yield near.lost
        self.assertEqual(len(near.data), 300_000)

    @inlineCallbacks
    def test_records_that_come_in_pieces_are_read_whole(self):
        """Small and large records, cut at every kind of place: in a header, in the middle, at the end."""
        server, near = yield self.secure_pair()
        layer = server.transport.protocol
        take_in = layer.dataReceived
        sizes = random.Random(7)

        def in_pieces(data):
            while data:
                size = sizes.choice((1, 2, 3, 4, 5, 6, 100, 5000, 40000))
                take_in(data[:size])
                data = data[size:]

        layer.dataReceived = in_pieces
        sent = b'hello'
        for size in (1, 16384, 16385, 100, 40000, 5, 3):
            piece = os.urandom(size)
            sent += piece
            near.transport.write(piece)
            yield server.received(len(sent))
        self.assertEqual(bytes(server.data), sent)

    @inlineCallbacks
    def test_bytes_that_are_no_tls_end_the_connection(self):
        """Also in the middle of a stream that was good until then; the other end is told by an alert."""
        for garbage in (b'GET / HTTP/1.0\r\n\r\n', b'\x17\x03\x03\x00\x20' + bytes(32), b'\x17\x03\x03\x00\x00'):
            server, near = yield self.secure_pair()
            near.transport.protocol.transport.write(garbage)
            yield server.lost
            yield near.lost
            self.assertEqual(server.data, b'hello')

    @inlineCallbacks
    def test_close_notify_of_the_peer_ends_the_connection(self):
        server, near = yield self.secure_pair()
        near.transport.write(b'bye')
        near.transport.loseConnection()
        yield server.lost
        self.assertEqual(server.data, b'hellobye')
        server.reason.trap(error.ConnectionDone)
        yield near.lost

    @inlineCallbacks
    def test_a_layer_that_fails_leaves_no_other_unflushed(self):
        """Its connection is aborted; another of the same port sends."""
        server, near = yield self.secure_pair()
        other = yield endpoints.TCP4ClientEndpoint(reactor, '127.0.0.1', server.transport.getHost().port).connect(
            Factory.forProtocol(Recorder)
        )
        while len(self.servers) < 2:
            yield self.next_turn()

        def broken():
            raise RuntimeError('broken')

        server.transport.protocol.flush_plain = broken
        server.transport.write(b'never')
        self.servers[1].transport.write(b'sent')
        yield other.received(4)
        yield server.lost
        yield near.lost
        other.transport.loseConnection()
        yield self.servers[1].lost
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    @inlineCallbacks
    def test_what_a_paused_producer_says_on_another_connection_is_sent(self):
        """It is told to pause while the flush encrypts, and writes to a second connection then."""
        server, near = yield self.secure_pair()
        second, far = yield self.secure_pair(self.port)
        self.assertIs(second.transport.flush, server.transport.flush)

        class Complaining:
            pauses = 0

            def pauseProducing(self):
                self.pauses += 1
                if self.pauses == 1:
                    second.transport.write(b'stopped')

            def resumeProducing(self):
                pass

            def stopProducing(self):
                pass

        server.transport.registerProducer(Complaining(), True)
        server.transport.write(bytes(65000))
        server.transport.write(bytes(500))
        yield far.received(7)
        yield near.received(65500)

    @inlineCallbacks
    def test_only_bytes_may_be_written(self):
        """A str is the caller's mistake and the caller's exception; a bytearray may change afterwards."""
        server, near = yield self.secure_pair()
        self.assertRaises(TypeError, server.transport.write, 'text')
        data = bytearray(b'before')
        server.transport.write(data)
        data[:] = b'after.'
        self.assertEqual((yield near.received(6)), b'before')

    @inlineCallbacks
    def test_the_factory_of_start_tls_is_shared_by_the_connections_of_a_port(self):
        """Connections of one port and one set of contexts cost no factory each."""
        server, near = yield self.secure_pair()
        layer = server.transport.protocol
        self.assertIs(layer.factory, server.transport.flush.tls_factory)
        self.assertIn(layer, layer.factory.protocols)
        near.transport.loseConnection()
        yield server.lost
        self.assertNotIn(layer, layer.factory.protocols)
