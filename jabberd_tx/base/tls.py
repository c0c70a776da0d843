"""TLS for the server's side: contexts by server name (SNI), reloaded without a restart, and channel binding data.

    contexts = ServerContexts([(['example.org', '*.example.org'], 'chain.pem', 'key.pem'), ...])
    transport.startTLS(contexts.options(direct=False))     # after <proceed/>
    transport.startTLS(contexts.options(direct=True))      # in connectionMade of a direct TLS port (XEP-0368)
    bindings(transport)                                    # {'tls-exporter': b'...', 'tls-server-end-point': b'...'}
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.logger import Logger
from zope.interface import implementer

from jabberd_tx.base.certificates import CertificateError, CertificateFacts, inspect, to_ascii
from jabberd_tx.base.options import Option, Section

OPTIONS = Section(
    'certificate',
    'A certificate for TLS, and the domains that it is shown for. The first one is also for clients that name no '
    'domain, or one that is not listed.',
    Option(
        'domains',
        list,
        [],
        'The domains; "*.example.org" stands for each name one label below. Empty: all that the certificate names.',
        reload=True,
    ),
    Option(
        'chain',
        str,
        'certificate.pem',
        'The certificate and those of its issuers, in PEM, the one of the server first.',
        low=1,
        reload=True,
        path=True,
    ),
    Option('key', str, 'key.pem', 'Its private key, in PEM, without a password.', low=1, reload=True, path=True),
    many=True,
)

ALPN = b'xmpp-client'
# TLS 1.2 without these is not worth having; those of TLS 1.3 are all good.
_CIPHERS = b'ECDHE+AESGCM:ECDHE+CHACHA20'
Certificate = tuple[Sequence[str], str, str]  # domains, chain file, key file


class ServerContexts:
    """One context for each certificate, once for STARTTLS and once for direct TLS.

    A TLS connection costs 26 KiB: buffers are given back while it is idle, and no session is kept for resumption.
    """

    log = Logger()

    def __init__(self, certificates: Sequence[Certificate]) -> None:
        """Raises CertificateError: which file, and what was expected."""
        self._certificates = list(certificates)
        self._load()
        self._options = {direct: _Creator(self, direct) for direct in (False, True)}

    @classmethod
    def from_options(cls, tables: Iterable[SimpleNamespace]) -> ServerContexts:
        """From the values of OPTIONS."""
        return cls([(table.domains, table.chain, table.key) for table in tables])

    def options(self, direct: bool) -> IOpenSSLServerConnectionCreator:
        """What `startTLS` wants; stays the same object, and right, through a reload.

        `direct`: TLS from the first byte, where a client that offers ALPN must offer xmpp-client (XEP-0368 §3).
        """
        return self._options[direct]

    def reload(self, certificates: Sequence[Certificate] | None = None) -> str | None:
        """Read the files again (other files, if given) for new connections.

        The reason, if they are not usable: everything stays as it was.
        """
        before = self._certificates
        try:
            self._certificates = before if certificates is None else list(certificates)
            self._load()
        except CertificateError as error:
            self._certificates = before
            return str(error)
        return None

    def _load(self) -> None:
        if not self._certificates:
            raise CertificateError('no certificate: TLS needs at least one')
        found: dict[bool, dict[str, SSL.Context]] = {False: {}, True: {}}
        default: dict[bool, SSL.Context] = {}
        for domains, chain, key in self._certificates:
            facts = self._facts(domains, chain, key)
            names = [to_ascii(domain) for domain in domains] or facts.names
            for direct in (False, True):
                context = self._context(chain, key, direct)
                default.setdefault(direct, context)
                for name in names:
                    found[direct].setdefault(name, context)
        self._by_name, self._default = found, default

    def _facts(self, domains: Sequence[str], chain: str, key: str) -> CertificateFacts:
        try:
            facts = inspect(chain, key)
        except OSError as error:
            raise CertificateError(f'{error.filename}: expected a readable file ({error.strerror})') from error
        if not facts.key_matches:
            raise CertificateError(f'{key}: expected the private key of {chain}')
        wanted = [domain for domain in domains if not domain.startswith('*.')]
        for problem in facts.problems(wanted, datetime.now(UTC)):
            self.log.warn('{chain}: {problem}', chain=chain, problem=problem)
        return facts

    def _context(self, chain: str, key: str, direct: bool) -> SSL.Context:
        # Made here rather than by Twisted's CertificateOptions, which answers a wrong ALPN offer with internal_error
        # and lets clients renegotiate.
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.set_min_proto_version(SSL.TLS1_2_VERSION)
        context.set_options(
            SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION | SSL.OP_NO_TICKET | SSL.OP_CIPHER_SERVER_PREFERENCE
        )
        context.set_mode(SSL.MODE_RELEASE_BUFFERS)
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        context.set_tlsext_servername_callback(self._switch(direct))
        if direct:
            context.set_alpn_select_callback(_select_protocol)
        try:
            certificate, *issuers = x509.load_pem_x509_certificates(Path(chain).read_bytes())
            context.use_certificate(certificate)
            context.use_privatekey(serialization.load_pem_private_key(Path(key).read_bytes(), None))  # type: ignore[arg-type]
            for issuer in issuers:
                context.add_extra_chain_cert(issuer)
            context.check_privatekey()
        except (SSL.Error, TypeError, ValueError) as error:
            raise CertificateError(f'{chain}: expected a certificate and key that TLS can use ({error})') from error
        context.set_app_data(end_point(certificate))
        context.set_cipher_list(_CIPHERS)
        return context

    def _switch(self, direct: bool) -> Callable[[SSL.Connection], None]:
        """The servername callback: RFC 6066 §3; an unknown name gets the first certificate."""

        def choose(connection: SSL.Connection) -> None:
            name = (connection.get_servername() or b'').decode('latin-1').lower()
            contexts = self._by_name[direct]
            context = contexts.get(name) or contexts.get('*.' + name.partition('.')[2])
            if context is not None and context is not connection.get_context():
                connection.set_context(context)

        return choose


@implementer(IOpenSSLServerConnectionCreator)
class _Creator:
    def __init__(self, contexts: ServerContexts, direct: bool) -> None:
        self._contexts, self._direct = contexts, direct

    def serverConnectionForTLS(self, layer: Any) -> SSL.Connection:
        return SSL.Connection(self._contexts._default[self._direct], None)


class NoSuchProtocol(SSL.Error):
    """The client's ALPN offer has no protocol that is spoken here; it is told by the TLS alert of that name."""


def _select_protocol(connection: SSL.Connection, offered: list[bytes]) -> bytes:
    if ALPN in offered:
        return ALPN
    raise NoSuchProtocol([('jabberd_tx', 'alpn', 'no application protocol')])


def end_point(certificate: x509.Certificate) -> bytes | None:
    """tls-server-end-point data of a certificate (RFC 5929 §4.1); None where that is not defined (Ed25519)."""
    try:
        algorithm = certificate.signature_hash_algorithm
    except UnsupportedAlgorithm:
        return None
    if algorithm is None:
        return None
    if isinstance(algorithm, hashes.MD5 | hashes.SHA1):
        algorithm = hashes.SHA256()
    return certificate.fingerprint(algorithm)


def bindings(transport: Any) -> dict[str, bytes]:
    """Channel binding data of a server's connection by type, strongest first; empty without TLS or mid-handshake.

    tls-exporter only with TLS 1.3: with 1.2 it would want to know of the extended master secret (RFC 9266 §4.2).
    """
    handle = transport.getHandle()
    if not isinstance(handle, SSL.Connection) or handle.get_peer_finished() is None:
        return {}
    found: dict[str, bytes] = {}
    if handle.get_protocol_version_name() == 'TLSv1.3':
        found['tls-exporter'] = handle.export_keying_material(b'EXPORTER-Channel-Binding', 32, b'')
    digest = handle.get_context().get_app_data()
    if isinstance(digest, bytes):
        found['tls-server-end-point'] = digest
    return found
