"""A client that says whatever it is told to: bytes on a socket, TLS when asked for, nothing parsed."""

from __future__ import annotations

import asyncio
import base64
import re
import ssl
from pathlib import Path

from processes import DOMAIN

WAIT_S = 20.0
BIND = "<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>"


def header(to: str = DOMAIN) -> str:
    """A good stream header."""
    return (
        f"<?xml version='1.0'?><stream:stream to='{to}' version='1.0' xmlns='jabber:client' "
        "xmlns:stream='http://etherx.jabber.org/streams'>"
    )


def trust(*certificates: Path) -> ssl.SSLContext:
    """A context that trusts these alone, and checks names."""
    context = ssl.create_default_context()
    for path in certificates:
        context.load_verify_locations(str(path))
    return context


def plain(name: str, password: str) -> str:
    """<auth/> by PLAIN."""
    data = base64.b64encode(f'\0{name}\0{password}'.encode()).decode()
    return f"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{data}</auth>"


class RawClient:
    """One connection, from the address `source`.  `seen`: what has come since the last `until`."""

    def __init__(self, port: int, certificate: Path, domain: str = DOMAIN, source: str = '127.0.0.1') -> None:
        self.port, self.certificate, self.domain, self.source = port, certificate, domain, source
        self.seen = b''
        self.jid = ''
        self.reader: asyncio.StreamReader
        self.writer: asyncio.StreamWriter

    # ---- bytes

    async def connect(self, direct: ssl.SSLContext | None = None) -> RawClient:
        """`direct`: TLS from the first byte."""
        name = self.domain if direct is not None else None
        opening = asyncio.open_connection(
            '127.0.0.1', self.port, ssl=direct, server_hostname=name, local_addr=(self.source, 0)
        )
        self.reader, self.writer = await asyncio.wait_for(opening, WAIT_S)
        return self

    def send(self, data: str | bytes) -> None:
        self.writer.write(data.encode() if isinstance(data, str) else data)

    async def until(self, pattern: str) -> str:
        """What has come up to the end of the first match, taken out; AssertionError if it does not come."""
        expression = re.compile(pattern.encode(), re.S)
        try:
            while (match := expression.search(self.seen)) is None:
                data = await asyncio.wait_for(self.reader.read(65536), WAIT_S)
                assert data, f'closed; no {pattern} in {self.seen!r}'
                self.seen += data
        except (TimeoutError, OSError) as error:
            raise AssertionError(f'{error!r}: no {pattern} in {self.seen!r}') from None
        found, self.seen = self.seen[: match.end()], self.seen[match.end() :]
        return found.decode()

    async def ended(self) -> str:
        """All that comes until the server has closed; AssertionError if it does not."""
        try:
            while data := await asyncio.wait_for(self.reader.read(65536), WAIT_S):
                self.seen += data
        except TimeoutError:
            raise AssertionError(f'not closed after {self.seen!r}') from None
        except (OSError, ssl.SSLError):
            pass
        self.close()
        return self.seen.decode(errors='replace')

    def close(self) -> None:
        """Without a word."""
        self.writer.close()

    # ---- a good beginning

    async def open(self, to: str | None = None) -> str:
        """A stream; its features."""
        self.send(header(to or self.domain))
        return await self.until('</stream:features>')

    async def start_tls(self) -> RawClient:
        """Features, STARTTLS, features."""
        await self.open()
        self.send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
        await self.until('<proceed[^>]*>')
        await asyncio.wait_for(
            self.writer.start_tls(trust(self.certificate), server_hostname=self.domain), WAIT_S
        )
        await self.open()
        return self

    async def authenticate(self, name: str, password: str | None = None) -> RawClient:
        """PLAIN, and the features after it."""
        self.send(plain(name, password if password is not None else f'{name}-secret'))
        await self.until('<success')
        await self.until('>')
        await self.open()
        return self

    async def bind(self) -> RawClient:
        """A resource of the server's choice."""
        self.send(BIND)
        answer = await self.until('</iq>')
        match = re.search('<jid>([^<]+)</jid>', answer)
        assert match is not None, answer
        self.jid = match[1]
        return self

    async def login(self, name: str, password: str | None = None) -> RawClient:
        """All of it, with STARTTLS, and available."""
        await self.connect()
        await self.start_tls()
        await self.authenticate(name, password)
        await self.bind()
        self.send('<presence/>')
        await self.until(f'<presence[^>]*from=.{re.escape(self.jid)}.')
        await self.until('>')
        return self

    def certificate_seen(self) -> bytes:
        """DER, of the server."""
        found = self.writer.get_extra_info('ssl_object').getpeercert(binary_form=True)
        assert isinstance(found, bytes)
        return found
