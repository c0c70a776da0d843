"""TLS as clients meet it: direct TLS with ALPN, a certificate for each domain, new certificates without a restart."""

from __future__ import annotations

import asyncio
import re
import signal
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from processes import DOMAIN, SHAPES, Site, wait_for
from raw_client import RawClient, header, trust

from jabberd_tx.base.certificates import self_signed
from jabberd_tx.testing.ports import free_port

OTHER = 'example.net'
TABLE = f"""
[[certificate]]
domains = ["{OTHER}"]
chain = "other.pem"
key = "other-key.pem"
"""


class TwoDomains(Site):
    """A site with a second domain, a certificate for it, and ports for direct TLS."""

    def __init__(self, folder: Path, shape: str, settings: str = '') -> None:
        super().__init__(folder, shape, settings)
        self.data = folder / 'data'
        config = folder / 'jabberd.toml'
        text = config.read_text().replace(f'domains = ["{DOMAIN}"]\ndata', f'domains = ["{DOMAIN}", "{OTHER}"]\ndata')
        # Each worker listens on its own: the first alone has the port for direct TLS.
        self.tls_port = free_port()
        config.write_text(text + TABLE)
        self_signed([OTHER], str(self.data / 'other.pem'), str(self.data / 'other-key.pem'))

    def run(self, name: str, *arguments: str) -> object:  # type: ignore[override]
        """The first process that takes clients takes them by direct TLS too."""
        if name in ('jabberd', 'c2s-a'):
            arguments += ('--set', f'c2s.tls_port={self.tls_port}')
        return super().run(name, *arguments)


@pytest.fixture(scope='module', params=SHAPES)
def domains(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoDomains]:
    """juliet at each of them."""
    folder = tmp_path_factory.mktemp(request.param.replace(' ', '-'))
    with TwoDomains.start(folder, request.param) as running:
        assert isinstance(running, TwoDomains)
        for domain in (DOMAIN, OTHER):
            done = running.ctl('user', 'add', f'juliet@{domain}', '--password-stdin', stdin='juliet-secret\n')
            assert done.returncode == 0, done.stderr
        yield running


def certificate_of(site: TwoDomains, domain: str) -> Path:
    return site.data / ('cert.pem' if domain == DOMAIN else 'other.pem')


def der(path: Path) -> bytes:
    return ssl.PEM_cert_to_DER_cert(path.read_text())


async def direct(site: TwoDomains, domain: str, *protocols: str) -> RawClient:
    """A connection with TLS from the first byte, that offers these by ALPN."""
    context = trust(certificate_of(site, domain))
    if protocols:
        context.set_alpn_protocols(list(protocols))
    return await RawClient(site.tls_port, certificate_of(site, domain), domain).connect(context)


@pytest.mark.parametrize('domain', [DOMAIN, OTHER])
def test_each_domain_has_its_certificate(domains: TwoDomains, domain: str) -> None:
    """By SNI, with STARTTLS and with direct TLS, checked by the client; and its own users."""

    async def talk() -> None:
        starttls = RawClient(domains.ports[-1], certificate_of(domains, domain), domain)
        await starttls.login('juliet')
        assert starttls.jid.startswith(f'juliet@{domain}/')
        client = await direct(domains, domain, 'xmpp-client')
        selected = client.writer.get_extra_info('ssl_object').selected_alpn_protocol()
        features = await client.open()
        assert selected == 'xmpp-client' and '<starttls' not in features
        await (await client.authenticate('juliet')).bind()
        for one in (starttls, client):
            assert one.certificate_seen() == der(certificate_of(domains, domain))
        client.send(f"<message to='{starttls.jid}'><body>hello</body></message>")
        await starttls.until('<body>hello</body>')
        client.close()
        starttls.close()

    asyncio.run(talk())


def test_users_of_two_domains_chat(domains: TwoDomains) -> None:
    """They are served by the same session manager; an address at one is not the same at the other."""

    async def talk() -> None:
        here = await RawClient(domains.ports[0], certificate_of(domains, DOMAIN)).login('juliet')
        there = await RawClient(domains.ports[-1], certificate_of(domains, OTHER), OTHER).login('juliet')
        here.send(f"<message to='juliet@{OTHER}' type='chat'><body>over there</body></message>")
        said = await there.until('<body>over there</body>')
        assert re.search(f'from=.{re.escape(here.jid)}.', said)
        here.close()
        there.close()

    asyncio.run(talk())


def test_direct_tls_without_alpn_is_good_and_with_a_foreign_protocol_is_not(domains: TwoDomains) -> None:
    """XEP-0368 §3; a foreign protocol is told so by an alert."""

    async def talk() -> None:
        client = await direct(domains, DOMAIN)
        assert client.writer.get_extra_info('ssl_object').selected_alpn_protocol() is None
        await client.open()
        client.close()
        with pytest.raises(ssl.SSLError, match='(?i)no.application.protocol'):
            await direct(domains, DOMAIN, 'h2')

    asyncio.run(talk())


def test_a_name_that_is_not_served_gets_the_first_certificate(domains: TwoDomains) -> None:
    """RFC 6066 §3; so that the client sees what is wrong."""

    async def talk() -> None:
        context = trust(certificate_of(domains, DOMAIN))
        context.check_hostname = False
        client = await RawClient(domains.tls_port, certificate_of(domains, DOMAIN), 'nowhere.example').connect(context)
        assert client.certificate_seen() == der(certificate_of(domains, DOMAIN))
        client.send(header('nowhere.example'))
        assert '<host-unknown' in await client.ended()

    asyncio.run(talk())


@pytest.mark.parametrize('way', ['jabberd-ctl reload', 'SIGHUP'])
def test_a_new_certificate_is_taken_without_a_restart(domains: TwoDomains, way: str) -> None:
    """New connections have it; those that are there go on with the old one."""

    async def talk() -> None:
        chain, key = certificate_of(domains, OTHER), domains.data / 'other-key.pem'
        old = await RawClient(domains.ports[0], chain, OTHER).login('juliet')
        before = der(chain)
        pids = {name: process.popen.pid for name, process in domains.processes.items()}
        marks = {name: len(process.text()) for name, process in domains.processes.items()}
        chain.unlink()
        key.unlink()
        self_signed([OTHER], str(chain), str(key))
        assert der(chain) != before
        if way == 'SIGHUP':
            for process in domains.processes.values():
                process.popen.send_signal(signal.SIGHUP)
            for name in [name for name in domains.processes if name.startswith(('c2s', 'jabberd'))]:
                process = domains.processes[name]
                await asyncio.to_thread(
                    wait_for, f'{name} has reloaded',
                    lambda: 'applied certificates' in process.text()[marks[name] :],  # noqa: B023
                )  # fmt: skip
        else:
            done = await asyncio.to_thread(domains.ctl, 'reload')
            assert done.returncode == 0 and 'certificates' in done.stdout, done.stdout + done.stderr
        for port in domains.ports:
            new = await RawClient(port, chain, OTHER).login('juliet')
            assert new.certificate_seen() == der(chain)
            new.send(f"<message to='{old.jid}'><body>{port}</body></message>")
            await old.until(f'<body>{port}</body>')
            new.close()
        assert old.certificate_seen() == before
        old.close()
        assert pids == {name: process.popen.pid for name, process in domains.processes.items()}

    asyncio.run(talk())


def test_a_certificate_that_can_not_be_used_changes_nothing(domains: TwoDomains) -> None:
    """The reload says which file, and new connections still have the one before."""

    async def talk() -> None:
        chain = certificate_of(domains, OTHER)
        good = chain.read_text()
        try:
            chain.write_text('no certificate')
            done = await asyncio.to_thread(domains.ctl, 'reload')
            assert done.returncode != 0 and 'other.pem' in done.stdout + done.stderr
        finally:
            chain.write_text(good)
        client = await RawClient(domains.ports[0], chain, OTHER).login('juliet')
        client.close()

    asyncio.run(talk())


def test_see_other_host_is_switched_on_and_off_by_a_reload(domains: TwoDomains) -> None:
    """Said under TLS (RFC 6120 §4.9.3.19); who is logged in stays."""
    config = domains.folder / 'jabberd.toml'
    text = config.read_text()

    async def talk() -> None:
        chain = certificate_of(domains, DOMAIN)
        there = await RawClient(domains.ports[0], chain).login('juliet')
        config.write_text(text.replace('[c2s]\n', '[c2s]\nsee_other_host = "other.example:5222"\n'))
        done = await asyncio.to_thread(domains.ctl, 'reload')
        assert done.returncode == 0, done.stdout + done.stderr
        client = await direct(domains, DOMAIN)
        client.send(header())
        said = await client.ended()
        assert re.search('<see-other-host[^>]*>other.example:5222</see-other-host>', said), said
        config.write_text(text)
        done = await asyncio.to_thread(domains.ctl, 'reload')
        assert done.returncode == 0, done.stdout + done.stderr
        again = await RawClient(domains.ports[0], chain).login('juliet')
        again.send(f"<message to='{there.jid}'><body>still here</body></message>")
        await there.until('<body>still here</body>')
        again.close()
        there.close()

    try:
        asyncio.run(talk())
    finally:
        config.write_text(text)
