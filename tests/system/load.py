"""Clients with stream management that exchange numbered messages, and tell the checker what they saw.

A client that loses its connection connects anew, to the next port.  If it may, it resumes its stream (XEP-0198 §5) and
sends again what no `h` had counted; else it repeats that, as new messages of a new stream.  Nothing here parses XML
as a tree: the load must not be what is measured.
"""

from __future__ import annotations

import asyncio
import base64
import re
from collections import deque
from collections.abc import Sequence

from processes import DOMAIN

from jabberd_tx.testing.checker import Checker

HEADER = (
    f"<?xml version='1.0'?><stream:stream to='{DOMAIN}' version='1.0' xmlns='jabber:client' "
    "xmlns:stream='http://etherx.jabber.org/streams'>"
).encode()
FIRST_LEVEL = re.compile(rb'<(message|presence|iq|r|a)[ />]')
BODY = re.compile(rb'<body>([^<]*)</body>')
ACKED = re.compile(rb"<a [^>]*h=['\"](\d+)['\"]")
ENABLED = re.compile(rb"<enabled [^>]*id=['\"]([^'\"]+)['\"]")
RESUMED = re.compile(rb"<resumed [^>]*h=['\"](\d+)['\"][^>]*>")
LOGIN_S = 20.0
MOST_UNACKED = 40
ASK_EVERY = 5


class LoadClient:
    """One user.  `ports`: where it connects, in turn; `resumes`: its stream, if it can; `online`: while it has one.

    streams, resumptions   how many there were
    """

    def __init__(
        self, name: str, password: str, ports: Sequence[int], checker: Checker, resumes: bool = False
    ) -> None:
        self.name, self.password, self.ports, self.checker = name, password, list(ports), checker
        self.resumes, self.streams, self.resumptions = resumes, 0, 0
        self._id = self._rest = b''
        self.peer = ''
        self.online = asyncio.Event()
        self.stopping = False
        self.connections = 0
        self.last_received = 0.0
        self.longest_gap = 0.0
        self._writer: asyncio.StreamWriter | None = None
        self._unacked: deque[tuple[int, bool]] = deque()  # number (0 for what is no message), whether it is one
        self._again = 0  # messages of lost streams that nobody counted: to be repeated
        self._number = self._handled = 0
        self.errors = 0

    @property
    def stream(self) -> str:
        """The name of the present stream."""
        return f'{self.name}.{self.streams}'

    async def run(self) -> None:
        """Connect, and again when the connection is lost, until `stop`."""
        while not self.stopping:
            try:
                reader = await asyncio.wait_for(self._login(), LOGIN_S)
                self.online.set()
                await self._read(reader, self._rest)
            except (OSError, EOFError, TimeoutError, ConnectionError):
                pass
            finally:
                self._lost()
            await asyncio.sleep(0.05)

    def _lost(self) -> None:
        self.online.clear()
        if not self._id:
            self._forget()
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _forget(self) -> None:
        """The stream is lost with the connection."""
        self._again += sum(1 for _, is_message in self._unacked if is_message)
        self._unacked.clear()
        self._id = b''

    async def _login(self) -> asyncio.StreamReader:
        port = self.ports[self.connections % len(self.ports)]
        self.connections += 1
        reader, writer = await asyncio.open_connection('127.0.0.1', port)
        self._writer = writer
        plain = base64.b64encode(f'\0{self.name}\0{self.password}'.encode()).decode()
        writer.write(HEADER)
        await self._until(reader, b'</stream:features>')
        writer.write(f"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{plain}</auth>".encode())
        await self._until(reader, b'<success')
        writer.write(HEADER)
        await self._until(reader, b'</stream:features>')
        self._rest = b''
        if self._id and await self._resume(reader, writer):
            return reader
        writer.write(b"<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>")
        await self._until(reader, b'</iq>')
        wish = b" resume='true'" if self.resumes else b''
        writer.write(b"<enable xmlns='urn:xmpp:sm:3'%b/>" % wish)
        match = ENABLED.search(await self._until(reader, b'<enabled'))
        self._id = match[1] if match is not None else b''
        self._number = self._handled = 0
        self.streams += 1
        self._unacked.append((0, False))
        writer.write(b'<presence/>')
        return reader

    async def _resume(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Whether the stream goes on; what was not counted of it is sent again then."""
        writer.write(b"<resume xmlns='urn:xmpp:sm:3' previd='%b' h='%d'/>" % (self._id, self._handled))
        seen = b''
        while b'<resumed' not in seen and b'<failed' not in seen:
            seen += await self._until(reader, b'<')
        match = RESUMED.search(seen)
        if match is None:
            self._forget()
            return False
        self._rest = seen[match.end() :]
        self._acked(int(match[1]))
        for number, is_message in self._unacked:
            writer.write(self._text(number) if is_message else b'<presence/>')
        self.resumptions += 1
        return True

    @staticmethod
    async def _until(reader: asyncio.StreamReader, marker: bytes) -> bytes:
        seen = b''
        while marker not in seen or not seen.endswith(b'>'):
            data = await reader.read(65536)
            if not data or b'<stream:error' in data or b'<failure' in data:
                raise EOFError(data)
            seen += data
        return seen

    async def _read(self, reader: asyncio.StreamReader, rest: bytes) -> None:
        """What comes, after `rest`: whole elements, since every one ends with the stream's read or is waited for."""
        rest = self._take(rest)
        while True:
            data = await reader.read(262144)
            if not data:
                raise EOFError
            rest = self._take(rest + data)

    def _take(self, data: bytes) -> bytes:
        """Handle whole first-level elements; what is left."""
        position = 0
        while True:
            match = FIRST_LEVEL.search(data, position)
            if match is None:
                break
            end = self._end_of(data, match)
            if end < 0:
                return data[match.start() :]
            self._element(match.group(1), data[match.start() : end])
            position = end
        tail = data[position:]
        if b'<stream:error' in tail or b'</stream:stream>' in tail:
            raise EOFError(tail)
        return tail[-200:]

    @staticmethod
    def _end_of(data: bytes, match: re.Match[bytes]) -> int:
        close = data.find(b'>', match.end() - 1)
        if close < 0:
            return -1
        if data[close - 1 : close] == b'/':
            return close + 1
        marker = b'</' + match.group(1) + b'>'
        end = data.find(marker, close)
        return -1 if end < 0 else end + len(marker)

    def _element(self, name: bytes, xml: bytes) -> None:
        assert self._writer is not None
        if name == b'r':
            self._writer.write(b"<a xmlns='urn:xmpp:sm:3' h='%d'/>" % self._handled)
        elif name == b'a':
            match = ACKED.search(xml)
            assert match is not None
            self._acked(int(match.group(1)))
        else:
            self._handled += 1
            if name == b'message':
                self._message(xml)

    def _acked(self, h: int) -> None:
        counted = self._number_sent - len(self._unacked)
        for _ in range(h - counted):
            number, is_message = self._unacked.popleft()
            if is_message:
                self.checker.accepted(self.stream, number)

    @property
    def _number_sent(self) -> int:
        return self._number + 1  # the presence

    def _message(self, xml: bytes) -> None:
        now = asyncio.get_running_loop().time()
        if self.last_received:
            self.longest_gap = max(self.longest_gap, now - self.last_received)
        self.last_received = now
        body = BODY.search(xml)
        assert body is not None
        sender, _, number = body.group(1).decode().partition('#')
        if b"type='error'" in xml or b'type="error"' in xml:
            self.errors += 1
            self.checker.answered(sender, int(number))
        else:
            self.checker.received(self.stream, sender, int(number))

    # ---- sending

    def send(self) -> bool:
        """One message to the peer, if the window allows; repeats count like new ones."""
        if not self.online.is_set() or len(self._unacked) >= MOST_UNACKED or self._writer is None:
            return False
        self._again = max(0, self._again - 1)
        self._number += 1
        self._unacked.append((self._number, True))
        ask = b"<r xmlns='urn:xmpp:sm:3'/>" if self._number % ASK_EVERY == 0 else b''
        self._writer.write(self._text(self._number) + ask)
        return True

    def _text(self, number: int) -> bytes:
        """The message with that number."""
        body = f'<body>{self.stream}#{number}</body>'
        return f"<message to='{self.peer}' type='chat' id='{number}'>{body}</message>".encode()

    def ask(self) -> None:
        """For an ack of all that was sent."""
        if self.online.is_set() and self._writer is not None:
            self._writer.write(b"<r xmlns='urn:xmpp:sm:3'/>")

    @property
    def waiting(self) -> int:
        """Messages that are not counted by an `h` yet."""
        return len(self._unacked) + self._again

    def stop(self) -> None:
        """Close the stream and do not come back."""
        self.stopping = True
        if self._writer is not None:
            self._writer.write(b"<presence type='unavailable'/></stream:stream>")
            self._writer.close()


class Load:
    """Pairs of clients, and a steady rate of messages among them."""

    def __init__(self, names: Sequence[str], password: str, ports: Sequence[int], resumes: bool = False) -> None:
        self.checker = Checker()
        self.clients = [
            LoadClient(name, password, [ports[(n + k) % len(ports)] for k in range(len(ports))], self.checker, resumes)
            for n, name in enumerate(names)
        ]
        for one, other in zip(self.clients[::2], self.clients[1::2], strict=True):
            one.peer, other.peer = f'{other.name}@{DOMAIN}', f'{one.name}@{DOMAIN}'
        self.sent = 0
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """All are online."""
        self._tasks = [asyncio.create_task(client.run()) for client in self.clients]
        await self.all_online()

    async def all_online(self, seconds: float = 60.0) -> None:
        """Wait for it."""
        await asyncio.wait_for(asyncio.gather(*(client.online.wait() for client in self.clients)), seconds)

    async def send(self, rate: float, seconds: float) -> None:
        """`rate` messages a second in all, evenly, for so long."""
        loop = asyncio.get_running_loop()
        begin, asked, turn = loop.time(), 0, 0
        while (now := loop.time()) - begin < seconds:
            while asked < (now - begin) * rate:
                asked += 1
                turn += 1
                self.sent += self.clients[turn * 7919 % len(self.clients)].send()
            await asyncio.sleep(0.002)

    async def quiet(self, seconds: float = 30.0) -> None:
        """Repeat what was not counted, wait until all is counted and nothing that was accepted is missing."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while loop.time() < deadline:
            for client in self.clients:
                while client._again and client.send():
                    pass
                client.ask()
            await asyncio.sleep(0.2)
            if not any(client.waiting for client in self.clients) and not self.checker.unsettled():
                return

    async def stop(self) -> None:
        """Everybody leaves."""
        for client in self.clients:
            client.stop()
        await asyncio.wait(self._tasks, timeout=5)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for task in self._tasks:
            if not task.cancelled() and task.exception() is not None:
                raise task.exception()  # type: ignore[misc]
