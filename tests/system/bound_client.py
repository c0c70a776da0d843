"""A client of XEP-0388 that can prove which TLS connection it is on (RFC 5929, RFC 9266), for tests of logins."""

from __future__ import annotations

import base64
import select
import socket
import time
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from OpenSSL import SSL
from processes import DOMAIN

from jabberd_tx.testing.blocking_client import SECONDS, BlockingClient, Refused
from jabberd_tx.testing.scram_client import ScramClient

SASL2 = 'urn:xmpp:sasl:2'


class BoundSocket:
    """What a client does with a socket, over OpenSSL."""

    def __init__(self, plain: socket.socket, certificate: Path) -> None:
        """The handshake is done, and the server is who it should be."""
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.load_verify_locations(str(certificate))
        context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT)
        self._plain, self._seconds = plain, SECONDS
        plain.setblocking(False)
        self._tls = SSL.Connection(context, plain)
        self._tls.set_tlsext_host_name(DOMAIN.encode())
        self._tls.set_connect_state()
        self._wait_for(self._tls.do_handshake)

    def bindings(self) -> dict[str, bytes]:
        """By what mechanisms are called after: as the client sees the connection."""
        certificate = self._tls.get_peer_certificate(as_cryptography=True)
        assert isinstance(certificate, x509.Certificate)
        return {
            'NONE': b'',
            'EXPR': self._tls.export_keying_material(b'EXPORTER-Channel-Binding', 32, b''),
            'ENDP': certificate.fingerprint(hashes.SHA256()),
        }

    def _wait_for(self, call: Any, *arguments: Any) -> Any:
        deadline = time.monotonic() + self._seconds
        while True:
            try:
                return call(*arguments)
            except SSL.WantReadError:
                ready = select.select([self._plain], [], [], max(0, deadline - time.monotonic()))
            except SSL.WantWriteError:
                ready = select.select([], [self._plain], [], max(0, deadline - time.monotonic()))
            if not any(ready):
                raise TimeoutError

    def settimeout(self, seconds: float) -> None:
        self._seconds = seconds

    def sendall(self, data: bytes) -> None:
        while data:
            data = data[self._wait_for(self._tls.send, data) :]

    def recv(self, size: int) -> bytes:
        try:
            data: bytes = self._wait_for(self._tls.recv, size)
        except (SSL.ZeroReturnError, SSL.SysCallError):
            return b''
        return data

    def close(self) -> None:
        self._plain.close()


class BoundClient(BlockingClient):
    """On a stream under TLS whose header says whom it is from; features are the last that have come."""

    def __init__(self, port: int, certificate: Path, user: str, password: str) -> None:
        super().__init__('127.0.0.1', port, f'{user}@{DOMAIN}', password)
        self.user, self.password = user, password
        self.open()
        self.send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
        self.expect('{urn:ietf:params:xml:ns:xmpp-tls}proceed')
        self._socket: Any = BoundSocket(self._socket, certificate)
        self.bindings = self._socket.bindings()
        self.features = self.open(self.jid)

    def authenticate_by(
        self, mechanism: str, initial: bytes, inline: str = '', agent: str = '', *wanted: str
    ) -> Element:
        """Send <authenticate/>; what is `wanted` (<success/> if nothing is said).  Refused."""
        response = f'<initial-response>{base64.b64encode(initial).decode()}</initial-response>'
        id = f" id='{agent}'" if agent else ''
        self.send(
            f"<authenticate xmlns='{SASL2}' mechanism='{mechanism}'>{response}"
            f'<user-agent{id}><software>Test</software></user-agent>{inline}</authenticate>'
        )
        return self.answer(*wanted)

    def answer(self, *wanted: str) -> Element:
        """The next element of XEP-0388; Refused for a <failure/>."""
        element = self.expect(*[f'{{{SASL2}}}{name}' for name in (*(wanted or ('success',)), 'failure')])
        if element.tag == f'{{{SASL2}}}failure':
            raise Refused(element[0].tag.rpartition('}')[2])
        if element.tag == f'{{{SASL2}}}success':
            self.jid = element.findtext(f'{{{SASL2}}}authorization-identifier') or ''
        return element

    def log_in_by_password(self, mechanism: str = 'SCRAM-SHA-1', inline: str = '', agent: str = '') -> Element:
        """By SCRAM; <success/> or <continue/>, with which the server has proved itself.  Refused."""
        exchange = ScramClient(mechanism, self.user, self.password)
        challenge = self.authenticate_by(mechanism, exchange.first(), inline, agent, 'challenge')
        final = base64.b64encode(exchange.final(base64.b64decode(challenge.text or ''))).decode()
        self.send(f"<response xmlns='{SASL2}'>{final}</response>")
        proof = self.answer('success', 'continue')
        exchange.check(base64.b64decode(proof.findtext(f'{{{SASL2}}}additional-data') or ''))
        return proof
