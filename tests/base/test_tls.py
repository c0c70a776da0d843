"""Contexts by server name, ALPN, reload and channel binding data, against the standard library's TLS client."""

from __future__ import annotations

import hashlib
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from OpenSSL import SSL
from twisted.internet import reactor
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import CertificateOptions
from twisted.trial.unittest import TestCase

from jabberd_tx.base.certificates import CertificateError, self_signed
from jabberd_tx.base.flush import listen_tcp
from jabberd_tx.base.tls import OPTIONS, NoSuchProtocol, ServerContexts, bindings, end_point
from jabberd_tx.base.turn import Turn


def made(folder, name, *domains):
    """(domains, chain, key) of a new self-signed certificate."""
    chain, key = str(folder / f'{name}.pem'), str(folder / f'{name}-key.pem')
    self_signed(domains, chain, key)
    return list(domains), chain, key


def der(certificate):
    return x509.load_pem_x509_certificate(Path(certificate[1]).read_bytes()).public_bytes(serialization.Encoding.DER)


class NoLayer:
    """What the connection's creator is given; ours looks at nothing of it."""


def handshake(contexts, name=None, direct=False, offer=(), version=None):
    """Both ends in memory.  (the client's SSLObject, the server's Connection)."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    if offer:
        client.set_alpn_protocols(list(offer))
    if version:
        client.minimum_version, client.maximum_version = version, version
        client.set_ciphers('ALL:@SECLEVEL=0')
    coming, going = ssl.MemoryBIO(), ssl.MemoryBIO()
    near = client.wrap_bio(coming, going, server_hostname=name)
    server = contexts.options(direct).serverConnectionForTLS(NoLayer())
    server.set_accept_state()
    problem = None
    for _ in range(4):
        try:
            near.do_handshake()
        except ssl.SSLWantReadError:
            pass
        if problem:
            raise problem
        if going.pending:
            server.bio_write(going.read())
        try:
            server.do_handshake()
        except SSL.WantReadError:
            pass
        except SSL.Error as error:
            problem = error
        try:
            coming.write(server.bio_read(65536))
        except SSL.WantReadError:
            pass
    return near, server


@pytest.fixture
def sites(tmp_path):
    """Three certificates: one domain, a domain with a wildcard, an IDN."""
    return [
        made(tmp_path, 'a', 'a.example'),
        made(tmp_path, 'b', 'b.example', '*.b.example'),
        made(tmp_path, 'c', 'bücher.example'),
    ]


@pytest.mark.parametrize('direct', [False, True])
@pytest.mark.parametrize(('name', 'index'), [
    ('a.example', 0), ('b.example', 1), ('B.Example', 1), ('chat.b.example', 1), ('x.chat.b.example', 0),
    ('xn--bcher-kva.example', 2), ('elsewhere.example', 0), (None, 0),
])
def test_the_certificate_is_chosen_by_server_name(sites, direct, name, index):
    """Exact names, wildcards for one label; the first certificate for names that are not known, and for none."""
    near, _ = handshake(ServerContexts(sites), name, direct)
    assert near.getpeercert(True) == der(sites[index])


def test_without_domains_a_certificate_is_for_the_names_in_it(sites):
    (_, chain, key), other = sites[1], sites[0]
    near, _ = handshake(ServerContexts([other, ([], chain, key)]), 'chat.b.example')
    assert near.getpeercert(True) == der(sites[1])


def test_options_are_declared_for_the_configuration(sites):
    """An array of tables, from whose values contexts are made."""
    assert OPTIONS.many and [option.name for option in OPTIONS.options] == ['domains', 'chain', 'key']
    values = OPTIONS.defaults()
    values.domains, values.chain, values.key = sites[0]
    near, _ = handshake(ServerContexts.from_options([values]), 'a.example')
    assert near.getpeercert(True) == der(sites[0])


# ---- protocol versions and ALPN


@pytest.mark.parametrize('version', [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_1_2_and_1_3_are_spoken(sites, version):
    near, _ = handshake(ServerContexts(sites), 'a.example', version=version)
    assert near.version() == version.name.replace('_', '.')
    assert 'GCM' in near.cipher()[0] or 'CHACHA' in near.cipher()[0]


@pytest.mark.filterwarnings('ignore:ssl.TLSVersion')
def test_tls_1_1_is_refused(sites):
    with pytest.raises(ssl.SSLError, match='(?i)protocol.version'):
        handshake(ServerContexts(sites), 'a.example', version=ssl.TLSVersion.TLSv1_1)


def test_a_client_that_wants_to_renegotiate_is_refused(sites):
    """RFC 6120 §5.3.5, of TLS 1.2, where there is such a thing: nothing is negotiated anew, and the client is told."""
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_max_proto_version(SSL.TLS1_2_VERSION)
    near = SSL.Connection(context, None)
    near.set_connect_state()
    server = ServerContexts(sites).options(False).serverConnectionForTLS(NoLayer())
    server.set_accept_state()

    def step(one, other, do):
        try:
            do()
        except SSL.WantReadError:
            pass
        try:
            other.bio_write(one.bio_read(65536))
        except SSL.WantReadError:
            pass

    for _ in range(3):
        step(near, server, near.do_handshake)
        step(server, near, server.do_handshake)
    before = server.get_finished()
    assert near.renegotiate()
    with pytest.raises(SSL.Error, match='renegotiation'):
        for _ in range(3):
            step(near, server, near.do_handshake)
            step(server, near, lambda: server.recv(100))
    assert server.get_finished() == before


@pytest.mark.parametrize('name', ['a.example', 'b.example', None])
@pytest.mark.parametrize(('offer', 'chosen'), [
    ((), None), (('xmpp-client',), 'xmpp-client'), (('h2', 'xmpp-client'), 'xmpp-client'),
])
def test_direct_tls_speaks_xmpp_client(sites, name, offer, chosen):
    """With any of the certificates; a client without ALPN is served."""
    near, server = handshake(ServerContexts(sites), name, True, offer)
    assert near.selected_alpn_protocol() == chosen
    assert server.get_alpn_proto_negotiated() == (chosen or '').encode()


@pytest.mark.parametrize('name', ['a.example', 'b.example'])
@pytest.mark.parametrize('version', [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_direct_tls_refuses_another_protocol(sites, name, version):
    """A browser or a server (xmpp-server) gets the alert that RFC 7301 §3.2 names."""
    with pytest.raises(ssl.SSLError, match='no application protocol'):
        handshake(ServerContexts(sites), name, True, ('h2', 'xmpp-server'), version)


def test_starttls_has_no_alpn(sites):
    """An offer is ignored: the stream says already what is spoken."""
    near, _ = handshake(ServerContexts(sites), 'b.example', False, ('h2',))
    assert near.selected_alpn_protocol() is None


def test_no_session_is_kept_for_resumption(sites):
    """TLS 1.2 gives neither a session ticket nor resumes a session: nothing is stored for it."""
    near, server = handshake(ServerContexts(sites), 'a.example', version=ssl.TLSVersion.TLSv1_2)
    assert not near.session.has_ticket
    assert server.get_context().get_session_cache_mode() == SSL.SESS_CACHE_OFF


# ---- reload


def test_reload_takes_new_files_for_new_connections(tmp_path, sites):
    """The options object that ports hold stays the same and gives the new certificate."""
    contexts = ServerContexts(sites)
    held = contexts.options(False)
    for file in sites[0][1:]:
        Path(file).unlink()
    renewed = made(tmp_path, 'a', 'a.example')
    assert contexts.reload() is None
    assert contexts.options(False) is held
    near, _ = handshake(contexts, 'a.example')
    assert near.getpeercert(True) == der(renewed)


def test_a_handshake_under_way_survives_a_reload(sites):
    """Its context is the old one until the name is known."""
    contexts = ServerContexts(sites)
    server = contexts.options(False).serverConnectionForTLS(NoLayer())
    assert contexts.reload() is None
    assert server.get_context() is not contexts.options(False).serverConnectionForTLS(NoLayer()).get_context()
    assert handshake(contexts, 'b.example')[0].getpeercert(True) == der(sites[1])


def test_reload_may_bring_other_certificates(tmp_path, sites):
    contexts = ServerContexts(sites[:1])
    assert contexts.reload(sites[1:]) is None
    assert handshake(contexts, 'a.example')[0].getpeercert(True) == der(sites[1])
    assert contexts.reload() is None
    assert handshake(contexts, 'a.example')[0].getpeercert(True) == der(sites[1])


@pytest.mark.parametrize('direct', [False, True])
def test_reload_of_bad_files_says_why_and_keeps_the_old(tmp_path, sites, direct):
    """Absent, not PEM, a key of another certificate, no certificate at all: the old ones are served on."""
    contexts = ServerContexts(sites)
    other = made(tmp_path, 'other', 'a.example')
    garbage = tmp_path / 'garbage.pem'
    garbage.write_text('-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n')
    good = sites[1]
    for bad, reason in (
        ([good, (['x'], str(tmp_path / 'absent.pem'), good[2])], 'absent.pem: expected a readable file'),
        ([good, (['x'], str(garbage), good[2])], 'garbage.pem: expected certificates'),
        ([good, (['x'], good[1], str(garbage))], 'garbage.pem: expected a private key'),
        ([good, (['x'], good[1], other[2])], 'other-key.pem: expected the private key of'),
        ([], 'at least one'),
    ):
        assert reason in contexts.reload(bad)
        assert handshake(contexts, 'a.example', direct)[0].getpeercert(True) == der(sites[0])
    assert contexts.reload() is None


def test_bad_files_at_the_start_are_an_error(tmp_path, sites):
    with pytest.raises(CertificateError, match=r'absent\.pem'):
        ServerContexts([([], str(tmp_path / 'absent.pem'), sites[0][2])])


# ---- channel binding


def test_the_end_point_is_the_hash_of_the_certificate(sites):
    """RFC 5929 §4.1: by the hash of its signature, SHA-256 in place of older ones; none for Ed25519."""
    certificate = x509.load_pem_x509_certificate(Path(sites[0][1]).read_bytes())
    assert end_point(certificate) == hashlib.sha256(der(sites[0])).digest()

    def signed(key, algorithm):
        builder = x509.CertificateBuilder(
            certificate.subject, certificate.subject, key.public_key(), 1,
            certificate.not_valid_before_utc, certificate.not_valid_after_utc,
        )
        return builder.sign(key, algorithm)

    stronger = signed(ec.generate_private_key(ec.SECP384R1()), hashes.SHA384())
    assert end_point(stronger) == hashlib.sha384(stronger.public_bytes(serialization.Encoding.DER)).digest()
    assert end_point(signed(ed25519.Ed25519PrivateKey.generate(), None)) is None


class Side(Protocol):
    """Starts TLS when it is connected; `heard` fires with what came first."""

    def __init__(self, creator):
        self.creator = creator
        self.heard = Deferred()
        self.lost = Deferred()

    def connectionMade(self):
        self.plain = bindings(self.transport)
        self.transport.startTLS(self.creator)
        self.early = bindings(self.transport)

    def dataReceived(self, data):
        self.heard.callback(data)

    def connectionLost(self, reason):
        self.reason = reason
        self.lost.callback(None)


class Binding(TestCase):
    @inlineCallbacks
    def bound(self, version, get):
        """(what `bindings` says at the server, what `get` makes of the client's SSL.Connection)."""
        folder = Path(self.mktemp())
        folder.mkdir()
        self.site = made(folder, 'a', 'localhost')
        contexts = ServerContexts([self.site])
        server = Side(contexts.options(False))
        port = listen_tcp(reactor, Turn(reactor), 0, Factory.forProtocol(lambda: server), interface='127.0.0.1')
        self.addCleanup(port.stopListening)
        options = CertificateOptions()
        options.getContext = lambda: context
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.set_max_proto_version(version)
        near = Side(options)
        yield TCP4ClientEndpoint(reactor, '127.0.0.1', port.getHost().port).connect(Factory.forProtocol(lambda: near))
        near.transport.write(b'hello')
        yield server.heard
        found = bindings(server.transport), get(near.transport.getHandle())
        near.transport.loseConnection()
        yield server.lost
        yield near.lost
        self.assertEqual((server.plain, server.early), ({}, {}))
        return found

    @inlineCallbacks
    def test_both_ends_of_tls_1_3_export_the_same(self):
        """RFC 9266: 32 bytes, equal at both ends; strongest type first; nothing before the handshake is done."""
        data, expected = yield self.bound(
            SSL.TLS1_3_VERSION, lambda handle: handle.export_keying_material(b'EXPORTER-Channel-Binding', 32, b'')
        )
        self.assertEqual(list(data), ['tls-exporter', 'tls-server-end-point'])
        self.assertEqual(data['tls-exporter'], expected)
        self.assertEqual(len(expected), 32)

    @inlineCallbacks
    def test_tls_1_2_binds_to_the_certificate_alone(self):
        data, certificate = yield self.bound(
            SSL.TLS1_2_VERSION, lambda handle: handle.get_peer_certificate(as_cryptography=True)
        )
        seen = certificate.public_bytes(serialization.Encoding.DER)
        self.assertEqual(data, {'tls-server-end-point': hashlib.sha256(seen).digest()})


class Refusing(TestCase):
    @inlineCallbacks
    def test_a_wrong_offer_ends_both_connections(self):
        """Over sockets: the client gets the alert, the server's protocol the reason; no error is logged."""
        folder = Path(self.mktemp())
        folder.mkdir()
        server = Side(ServerContexts([made(folder, 'a', 'localhost')]).options(True))
        port = listen_tcp(reactor, Turn(reactor), 0, Factory.forProtocol(lambda: server), interface='127.0.0.1')
        self.addCleanup(port.stopListening)
        near = Side(CertificateOptions(acceptableProtocols=[b'h2']))
        yield TCP4ClientEndpoint(reactor, '127.0.0.1', port.getHost().port).connect(Factory.forProtocol(lambda: near))
        yield near.lost
        yield server.lost
        near.reason.trap(SSL.Error)
        self.assertIn('no application protocol', str(near.reason.value))
        server.reason.trap(NoSuchProtocol)
