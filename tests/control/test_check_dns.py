"""What `jabberd-ctl check` says about DNS, of given records and of those of a real name server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from twisted.internet import reactor
from twisted.internet.defer import fail
from twisted.internet.threads import deferToThread
from twisted.names import dns, server
from twisted.names.authority import FileAuthority
from twisted.names.common import ResolverBase
from twisted.trial.unittest import TestCase

from jabberd_tx.control.check.dns import check_dns
from jabberd_tx.control.check.finding import OK, WARN
from jabberd_tx.control.check.srv_lookup import Answer, Srv, look_up
from jabberd_tx.testing.ctl import PLAIN, CtlSite

PLAIN_NAME, DIRECT_NAME = '_xmpp-client._tcp.example.net', '_xmpps-client._tcp.example.net'


def found(
    plain: Answer, direct: Answer = '', port: int = 5222, tls_port: int = 0, domain: str = 'example.net'
) -> list[tuple[str, str]]:
    """(level, text and advice) of each finding."""

    def answers(names: Sequence[str]) -> Mapping[str, Answer]:
        assert list(names) == [PLAIN_NAME, DIRECT_NAME]
        return {PLAIN_NAME: plain, DIRECT_NAME: direct}

    return [(one.level, str(one)[6:]) for one in check_dns([domain], port, tls_port, answers)]


@pytest.mark.parametrize(
    ('records', 'port', 'level', 'words'),
    [
        ([Srv('xmpp.example.net', 5222)], 5222, OK, 'xmpp.example.net port 5222'),
        ([Srv('a.example.net', 443), Srv('b.example.net', 5222)], 5222, OK, 'a.example.net port 443, b.example.net'),
        ([Srv('xmpp.example.net', 5299)], 5222, WARN, 'xmpp.example.net port 5299: not port 5222 — right only if'),
        ([], 5222, OK, 'no record: clients connect to example.net, port 5222'),
        ([], 15222, WARN, 'no record: clients try port 5222, not 15222 — add: _xmpp-client._tcp.'),
        ([Srv('', 0)], 5222, WARN, 'says that port 5222 is not there'),
        ('no name server has answered', 5222, WARN, 'no name server has answered — ask again later'),
    ],
)
def test_each_record_is_held_against_the_port(records: Answer, port: int, level: str, words: str) -> None:
    """A warning at worst: what is outside may be made to fit."""
    ((said, text),) = found(records, port=port)
    assert (said, words in text) == (level, True), text
    assert text.startswith(f'DNS {PLAIN_NAME}: ')


def test_direct_tls_has_records_of_its_own() -> None:
    plain, direct = found([Srv('x.example.net', 5222)], [Srv('x.example.net', 5223)], tls_port=5223)
    assert (plain[0], direct[0]) == (OK, OK) and DIRECT_NAME in direct[1]
    (_, direct) = found([], [], tls_port=5223)
    assert direct[0] == OK and 'clients use STARTTLS' in direct[1]
    (_, direct) = found([], [Srv('x.example.net', 443)], tls_port=5223)
    assert direct[0] == WARN


@pytest.mark.parametrize('domain', ['localhost', 'chat.test', 'printer.local', '192.0.2.1', '[2001:db8::1]'])
def test_nobody_is_asked_about_names_that_are_not_in_dns(domain: str) -> None:
    assert list(check_dns([domain], 5222, 5223, lambda names: pytest.fail('asked'))) == []


def test_nobody_is_asked_where_no_port_is_listened_on() -> None:
    assert list(check_dns(['example.net'], 0, 0, lambda names: pytest.fail('asked'))) == []


def test_domains_are_asked_for_as_dns_writes_them() -> None:
    asked: list[str] = []

    def answers(names: Sequence[str]) -> Mapping[str, Answer]:
        asked.extend(names)
        return dict.fromkeys(names, [])

    assert [one.level for one in check_dns(['münchen.example'], 5222, 0, answers)] == [OK]
    assert asked[0] == '_xmpp-client._tcp.xn--mnchen-3ya.example'


class Records(FileAuthority):
    """A zone; there is no file."""

    def loadFile(self, filename: str) -> None:
        start = dns.Record_SOA(b'ns.example.net', b'root.example.net')
        second, first = dns.Record_SRV(10, 0, 5299, b'2.example.net'), dns.Record_SRV(5, 0, 5222, b'1.example.net')
        self.soa = (b'example.net', start)
        self.records = {
            b'example.net': [start],
            PLAIN_NAME.encode(): [second, first],
            DIRECT_NAME.encode(): [dns.Record_SRV(0, 0, 0, b'.')],
        }


class Failing(ResolverBase):
    """Knows nothing, and not even that."""

    def query(self, query: Any, timeout: Any = None) -> Any:
        return fail(RuntimeError('out of order'))


class NameServer(TestCase):
    """One that listens on loopback, and is asked as by jabberd-ctl, which has no reactor."""

    def setUp(self) -> None:
        self.factory = server.DNSServerFactory(authorities=[Records('')])
        port: Any = reactor.listenUDP(0, dns.DNSDatagramProtocol(self.factory), interface='127.0.0.1')  # type: ignore[attr-defined]
        self.addCleanup(port.stopListening)
        self.address = ('127.0.0.1', port.getHost().port)

    async def test_records_come_best_first(self) -> None:
        answers = await deferToThread(look_up, [PLAIN_NAME, DIRECT_NAME, '_x._tcp.example.net'], self.address)
        self.assertEqual(answers[PLAIN_NAME], [Srv('1.example.net', 5222), Srv('2.example.net', 5299)])
        self.assertEqual([record.host.strip('.') for record in answers[DIRECT_NAME]], [''])
        self.assertEqual(answers['_x._tcp.example.net'], [])

    async def test_a_server_that_fails_is_told_of(self) -> None:
        """Which is another thing than that there are no records."""
        self.factory.resolver = Failing()
        answers = await deferToThread(look_up, [PLAIN_NAME], self.address)
        self.assertEqual(answers, {PLAIN_NAME: 'a name server could not tell'})
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1, 'the server says why')

    async def test_the_command_asks_the_server_that_it_is_given(self) -> None:
        site = CtlSite(self.mktemp(), PLAIN.replace("'example.net', 'example.org'", "'example.net'"))
        given = f'127.0.0.1:{self.address[1]}'
        said = await deferToThread(site.run, '-s', 'c2s.port=5222', 'check', '--nameserver', given)
        self.assertIn(f'ok    DNS {PLAIN_NAME}: 1.example.net port 5222, 2.example.net port 5299\n', said.out)
        said = await deferToThread(site.run, 'check', '--nameserver', 'ns.example.net')
        self.assertEqual((said.status, 'expected an IP address' in said.err), (2, True))


class Silence(TestCase):
    """A name server that says nothing."""

    async def test_it_is_not_waited_for_for_long(self) -> None:
        port: Any = reactor.listenUDP(0, dns.DNSDatagramProtocol(server.DNSServerFactory()), interface='127.0.0.1')  # type: ignore[attr-defined]
        address = ('127.0.0.1', port.getHost().port)
        port.pauseProducing()
        self.addCleanup(port.stopListening)
        began = reactor.seconds()  # type: ignore[attr-defined]
        answers = await deferToThread(look_up, [PLAIN_NAME, DIRECT_NAME], address, (0.05, 0.1))
        self.assertEqual(set(answers.values()), {'no name server has answered'})
        self.assertLess(reactor.seconds() - began, 4)  # type: ignore[attr-defined]
