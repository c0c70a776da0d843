"""Links beyond this machine: TLS or nothing, and only with a router that the authority vouches for."""

from __future__ import annotations

from pathlib import Path
from secrets import token_bytes
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from twisted.internet import reactor, ssl
from twisted.internet.defer import Deferred, ensureDeferred, inlineCallbacks
from twisted.trial.unittest import TestCase

from jabberd_tx.base.addresses import is_loopback
from jabberd_tx.base.certificates import self_signed
from jabberd_tx.base.metrics import Metrics
from jabberd_tx.base.options import ConfigError
from jabberd_tx.base.turn import Turn
from jabberd_tx.link.frames import Route, make_uid
from jabberd_tx.link.options import OPTIONS
from jabberd_tx.link.pool import Pool
from jabberd_tx.link.security import check_secret, connecting_tls, listening_tls
from jabberd_tx.link.server import listen
from jabberd_tx.routing.options import OPTIONS as ROUTER_OPTIONS
from jabberd_tx.routing.router import Router
from jabberd_tx.testing.network import Recorder
from jabberd_tx.xmpp.stanza import Stanza


def options(**changes: object) -> Any:
    values = OPTIONS.defaults()
    values.secret = 'a secret of the whole site'
    vars(values).update(changes)
    return values


@pytest.mark.parametrize('host', ['127.0.0.1', '127.8.8.8', '::1', 'localhost'])
def test_what_stays_on_this_machine_needs_no_tls(host):
    assert is_loopback(host)
    assert listening_tls(options(), host) is connecting_tls(options(), host) is None


@pytest.mark.parametrize('host', ['192.0.2.1', '0.0.0.0', '::', '', 'router.example.net', 'localhost.example.net'])
def test_what_leaves_it_needs_tls_or_an_explicit_word(host):
    assert not is_loopback(host)
    with pytest.raises(ConfigError, match=r'^link\.tls_certificate: .* \(or link\.insecure = true\)$'):
        listening_tls(options(), host)
    with pytest.raises(ConfigError, match=r'^link\.tls_authority: .* \(or link\.insecure = true\)$'):
        connecting_tls(options(), host)
    assert listening_tls(options(insecure=True), host) is connecting_tls(options(insecure=True), host) is None


@pytest.mark.parametrize('secret', ['', 'fifteen letters'])
def test_a_secret_that_can_be_guessed_is_refused_and_not_shown(secret):
    with pytest.raises(ConfigError) as caught:
        check_secret(options(secret=secret))
    assert str(caught.value).startswith('link.secret: expected 16 or more characters')
    assert not secret or secret not in str(caught.value)


def test_files_that_are_not_there_or_hold_nothing_are_named(tmp_path: Path):
    empty = tmp_path / 'empty.pem'
    empty.write_text('nothing')
    for changes in ({'tls_certificate': str(tmp_path / 'none.pem')}, {'tls_certificate': str(empty)}):
        with pytest.raises(ConfigError, match=r'^link\.tls_certificate, link\.tls_key: .*(none|empty)\.pem'):
            listening_tls(options(**changes), '0.0.0.0')
    with pytest.raises(ConfigError, match=r'^link\.tls_authority: .*empty\.pem'):
        connecting_tls(options(tls_authority=str(empty)), 'router.example.net')


def test_a_key_that_is_not_the_certificates_is_refused(tmp_path: Path):
    for name in 'ab':
        self_signed(['localhost'], tmp_path / f'{name}.pem', tmp_path / f'{name}.key')
    with pytest.raises(ConfigError, match=r'^link\.tls_certificate, link\.tls_key: '):
        listening_tls(options(tls_certificate=str(tmp_path / 'a.pem'), tls_key=str(tmp_path / 'b.key')), '0.0.0.0')


def test_a_key_that_is_none_or_has_a_password_is_named(tmp_path: Path):
    chain, key = tmp_path / 'a.pem', tmp_path / 'a.key'
    self_signed(['localhost'], chain, key)
    private = serialization.load_pem_private_key(key.read_bytes(), None)
    locked = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b'x')
    )
    for data in (b'nothing', chain.read_bytes(), locked):
        key.write_bytes(data)
        with pytest.raises(ConfigError, match=r'^link\.tls_certificate, link\.tls_key: .*a\.key: .*without a password'):
            listening_tls(options(tls_certificate=str(chain), tls_key=str(key)), '0.0.0.0')


@pytest.mark.filterwarnings('error')
def test_certificates_and_keys_are_given_to_tls_in_no_way_that_is_to_go(tmp_path: Path):
    """With a chain of two, and two authorities."""
    chain, key, other = tmp_path / 'a.pem', tmp_path / 'a.key', tmp_path / 'b.pem'
    self_signed(['localhost'], chain, key)
    self_signed(['localhost'], other, tmp_path / 'b.key')
    chain.write_text(chain.read_text() + other.read_text())
    assert listening_tls(options(tls_certificate=str(chain), tls_key=str(key)), '0.0.0.0') is not None
    assert connecting_tls(options(tls_authority=str(chain)), 'router.example.net') is not None


class TestOverTls(TestCase):
    """A real router and pool with certificates."""

    def setUp(self) -> None:
        self.turn = Turn(reactor)
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        for name in ('router', 'other'):
            self_signed(['localhost'], self.folder / f'{name}.pem', self.folder / f'{name}.key')
        values = options(tls_certificate=str(self.folder / 'router.pem'), tls_key=str(self.folder / 'router.key'))
        router = Router('r1', reactor, self.turn, ROUTER_OPTIONS.defaults(), Metrics())
        self.server = listen('127.0.0.1', 0, router, 'r1', token_bytes(16), values, reactor, self.turn)
        self.port = self.server.listener.getHost().port
        self.addCleanup(lambda: ensureDeferred(self.server.stop()))

    def pool(self, node: str, **changes: object) -> Recorder:
        changes = {'routers': [f'localhost:{self.port}'], 'backoff_initial': 0.02, 'backoff_maximum': 0.05, **changes}
        pool = Pool(node, options(**changes), reactor, self.turn)
        self.addCleanup(lambda: ensureDeferred(pool.stop()))
        return Recorder(pool)  # type: ignore[arg-type]

    def until(self, condition: Any) -> Deferred[None]:
        done: Deferred[None] = Deferred()

        def look() -> None:
            if condition():
                done.callback(None)
            else:
                reactor.callLater(0.005, look)

        look()
        return done

    @inlineCallbacks
    def test_frames_go_over_tls_in_both_directions(self):
        authority = str(self.folder / 'router.pem')
        c2s, sm = self.pool('c2s-1', tls_authority=authority), self.pool('sm-1', tls_authority=authority)
        yield self.until(lambda: ('up', 'sm-1', 'sm-1') in c2s.news)
        link = c2s.links.pick('x')
        self.assertEqual(link.connection.transport.getHandle().get_protocol_version_name(), 'TLSv1.3')
        big = Stanza('message', {'to': 'juliet@example.net'}, b'x' * 100_000)
        for number in range(1, 31):
            link.route(Route('sm-1', None, 'c2s-1', 0, make_uid(c2s.stream, number), 4, 0, big))
        yield self.until(lambda: len(c2s.confirmed) == 30)
        self.assertEqual([frame.uid for frame in sm.routes], [make_uid(c2s.stream, n) for n in range(1, 31)])
        self.assertEqual(sm.stanzas, [big] * 30)

    @inlineCallbacks
    def test_what_was_written_before_the_end_arrives_over_tls_too(self):
        authority = str(self.folder / 'router.pem')
        c2s, sm = self.pool('c2s-1', tls_authority=authority), self.pool('sm-1', tls_authority=authority)
        yield self.until(lambda: ('up', 'sm-1', 'sm-1') in c2s.news)
        for number in range(1, 11):
            c2s.send('sm-1', None, Stanza('message', {'id': str(number)}, b'x' * 50_000))
        yield ensureDeferred(c2s.links.stop())
        yield self.until(lambda: len(sm.routes) == 10)

    @inlineCallbacks
    def test_a_router_that_the_authority_does_not_know_is_told_nothing(self):
        c2s = self.pool('c2s-1', tls_authority=str(self.folder / 'other.pem'))
        yield self.until(lambda: c2s.links._routers and all(r._attempts >= 2 for r in c2s.links._routers.values()))
        self.assertEqual(c2s.news, [])
        self.assertEqual(self.server.ports, set())

    @inlineCallbacks
    def test_renewed_certificates_are_for_links_to_come(self):
        """Both ends read their files again; the link that there is goes on."""
        both = self.folder / 'both.pem'
        both.write_bytes((self.folder / 'router.pem').read_bytes() + (self.folder / 'other.pem').read_bytes())
        chain, key = self.folder / 'router.pem', self.folder / 'router.key'
        c2s = self.pool('c2s-1', tls_authority=str(both))
        yield self.until(lambda: c2s.links.links)
        (before,) = c2s.links.links
        chain.write_bytes((self.folder / 'other.pem').read_bytes())
        key.write_bytes((self.folder / 'other.key').read_bytes())
        both.write_bytes((self.folder / 'other.pem').read_bytes())
        self.server.read_tls()
        c2s.links.read_tls()
        self.assertTrue(before.up)
        before.connection.fail('test', 'so that another is made')
        yield self.until(lambda: c2s.links.links and c2s.links.links[0] is not before)
        shown = c2s.links.links[0].connection.transport.getPeerCertificate().digest('sha256')
        self.assertEqual(shown, ssl.Certificate.loadPEM(chain.read_bytes()).original.digest('sha256'))

    def test_files_that_cannot_be_used_leave_all_as_it_was(self):
        """A sentence says which; links to come have the certificate before."""
        c2s = self.pool('c2s-1', tls_authority=str(self.folder / 'router.pem'))
        (self.folder / 'router.pem').write_text('nothing')
        with self.assertRaisesRegex(ConfigError, r'^link\.tls_certificate, link\.tls_key: .*router\.pem'):
            self.server.read_tls()
        with self.assertRaisesRegex(ConfigError, r'^link\.tls_authority: .*router\.pem'):
            c2s.links.read_tls()
        return self.until(lambda: c2s.links.links)

    @inlineCallbacks
    def test_a_certificate_for_another_host_is_refused(self):
        authority = str(self.folder / 'router.pem')
        c2s = self.pool('c2s-1', tls_authority=authority, routers=[f'127.0.0.1:{self.port}'])
        yield self.until(lambda: c2s.links._routers and all(r._attempts >= 2 for r in c2s.links._routers.values()))
        self.assertEqual(c2s.news, [])

    @inlineCallbacks
    def test_a_plain_component_gets_nowhere_with_a_router_that_wants_tls(self):
        c2s = self.pool('c2s-1')
        yield self.until(lambda: c2s.links._routers and all(r._attempts >= 2 for r in c2s.links._routers.values()))
        self.assertEqual(c2s.news, [])
