"""Logging in: mechanisms, failures, and how many of them."""

from __future__ import annotations

import base64

import pytest

from jabberd_tx.testing.client import Refused, XmppClient
from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.events import Nonza
from jabberd_tx.xmpp.writer import stream_header
from tests.components.c2s.c2s_support import DOMAIN, Site

AUTH = f"<auth xmlns='{ns.SASL}' mechanism='%s'>%s</auth>"
BIND = f"<iq type='set' id='b'><bind xmlns='{ns.BIND}'>%s</bind></iq>"


def plain(user: str, password: str) -> str:
    return AUTH % ('PLAIN', base64.b64encode(f'\0{user}\0{password}'.encode()).decode())


def say(site: Site, data: str | bytes, host: str = '127.0.0.1') -> XmppClient:
    """A client that has said this, as its first words."""
    client = site.connect(host=host)
    client.send(data)
    site.settle()
    return client


def header(**attrs: str) -> bytes:
    return stream_header(ns.CLIENT, {'to': DOMAIN, 'version': '1.0', **attrs})


def authenticated(site: Site) -> XmppClient:
    """A client that has logged in and opened its second stream."""
    client = site.connect()
    site.run(client.open())
    site.run(client.authenticate())
    site.run(client.open())
    return client


@pytest.mark.parametrize('mechanism', ['PLAIN', 'SCRAM-SHA-1', 'SCRAM-SHA-256', 'SCRAM-SHA-512'])
def test_each_mechanism_logs_in(mechanism: str) -> None:
    site = Site()
    client = site.connect()
    assert site.run(client.login('r', mechanism)) == 'romeo@example.net/r'
    assert site.network.metrics.value('jabberd_c2s_logins', 'ok') == 1


@pytest.mark.parametrize('mechanism', ['PLAIN', 'SCRAM-SHA-1', 'SCRAM-SHA-256', 'SCRAM-SHA-512'])
@pytest.mark.parametrize('user', ['romeo', 'nobody', 'not@a@jid', 'ro meo'])
def test_a_wrong_password_and_an_unknown_name_fail_alike(mechanism: str, user: str) -> None:
    site = Site()
    client = site.connect()
    client.user, client.password = user, 'wrong'
    site.run(client.open())
    with pytest.raises(Refused, match='not-authorized'):
        site.run(client.authenticate(mechanism))
    assert site.network.metrics.value('jabberd_c2s_logins', 'failed') == 1
    # The stream is still good for another attempt.
    client.user, client.password = 'romeo', 'secret'
    site.run(client.authenticate(mechanism))


def test_a_name_without_account_has_the_same_salt_each_time_and_another_in_another_service() -> None:
    def salt(site: Site) -> bytes:
        client = site.connect()
        site.run(client.open())
        client.send(AUTH % ('SCRAM-SHA-1', base64.b64encode(b'n,,n=nobody,r=abc').decode()))
        return base64.b64decode(site.run(client.nonza('challenge')).text).split(b',')[1]

    site = Site()
    assert salt(site) == salt(site)
    assert salt(site) != salt(Site())
    assert salt(Site(decoy_secret='x')) == salt(Site(decoy_secret='x'))


def test_too_many_failures_end_the_stream() -> None:
    site = Site(login_attempts=3)
    client = site.connect()
    client.password = 'wrong'
    site.run(client.open())
    for _ in range(3):
        assert not client.error
        with pytest.raises(Refused):
            site.run(client.authenticate('PLAIN'))
    site.settle()
    assert client.error == 'policy-violation'


@pytest.mark.parametrize(
    'words, condition',
    [
        (AUTH % ('DIGEST-MD5', ''), 'invalid-mechanism'),
        (AUTH % ('SCRAM-SHA-1-PLUS', ''), 'invalid-mechanism'),
        (f"<auth xmlns='{ns.SASL}'/>", 'invalid-mechanism'),
        (AUTH % ('PLAIN', '!!!!'), 'incorrect-encoding'),
        (AUTH % ('PLAIN', 'AA=='), 'malformed-request'),
        (AUTH % ('PLAIN', '='), 'malformed-request'),
        (AUTH % ('SCRAM-SHA-1', base64.b64encode(b'hello').decode()), 'malformed-request'),
        (AUTH % ('SCRAM-SHA-1', base64.b64encode(b'p=tls-unique,,n=a,r=b').decode()), 'malformed-request'),
        (AUTH % ('PLAIN', base64.b64encode(b'juliet@example.net\0romeo\0secret').decode()), 'invalid-authzid'),
        (AUTH % ('PLAIN', base64.b64encode(b'@@\0romeo\0secret').decode()), 'invalid-authzid'),
        (f"<abort xmlns='{ns.SASL}'/>", 'aborted'),
    ],
)
def test_each_way_to_get_sasl_wrong_has_its_failure(words: str, condition: str) -> None:
    site = Site()
    client = say(site, header() + words.encode())
    failure = site.run(client.nonza('failure'))
    assert (failure.ns, failure.children[0].name) == (ns.SASL, condition)
    site.run(client.authenticate())


def test_a_client_may_act_as_itself() -> None:
    site = Site()
    client = say(site, header())
    client.send(AUTH % ('PLAIN', base64.b64encode(b'Romeo@example.net\0romeo\0secret').decode()))
    site.run(client.nonza('success'))


def test_an_exchange_may_begin_without_initial_response_and_be_aborted() -> None:
    site = Site()
    client = site.connect()
    site.run(client.open())
    client.send_auth('PLAIN', None)
    assert base64.b64decode(site.run(client.nonza('challenge')).text or '=') == b''
    client.send(f"<abort xmlns='{ns.SASL}'/>")
    assert site.run(client.nonza('failure')).children[0].name == 'aborted'
    client.send_auth('PLAIN', None)
    site.run(client.nonza('challenge'))
    client.respond(b'\0romeo\0secret')
    site.run(client.nonza('success'))


def test_another_attempt_in_the_course_of_one_takes_its_place() -> None:
    """RFC 6120 §6.4.2: the exchange under way is given up, and counts as an attempt."""
    site = Site(login_attempts=3)
    client = say(site, header())
    client.send_auth('PLAIN', None)
    site.run(client.nonza('challenge'))
    client.send(AUTH % ('SCRAM-SHA-1', base64.b64encode(b'n,,n=romeo,r=abc').decode()))
    assert base64.b64decode(site.run(client.nonza('challenge')).text).startswith(b'r=abc')
    site.run(client.authenticate('SCRAM-SHA-256'))
    assert not client.error
    another = say(site, header())
    for _ in range(4):
        another.send_auth('PLAIN', None)
    site.settle()
    assert another.error == 'policy-violation'
    assert [event.name for event in another.inbox if isinstance(event, Nonza)].count('challenge') == 3


def test_a_client_may_vanish_in_the_middle_of_an_exchange() -> None:
    site = Site()
    client = site.connect()
    site.run(client.open())
    client.send_auth('PLAIN', None)
    site.settle()
    client.drop()
    site.settle()
    assert not site.c2s.logins


def test_storage_out_of_order_is_a_temporary_failure() -> None:
    site = Site()
    site.storage.broken = 'no database'
    client = say(site, header() + plain('romeo', 'secret').encode())
    assert site.run(client.nonza('failure')).children[0].name == 'temporary-auth-failure'
    site.storage.broken = ''
    client.send(plain('romeo', 'secret'))
    site.run(client.nonza('success'))


def test_passwords_beyond_the_queue_are_a_temporary_failure() -> None:
    site = Site(password_threads=1, password_queue=1)
    work: list[tuple] = []  # type: ignore[type-arg]

    class BusyThreads:
        def callInThreadWithCallback(self, *call: object) -> None:
            work.append(call)

    site.clock.getThreadPool = BusyThreads  # type: ignore[attr-defined]
    clients = [say(site, header() + plain('romeo', 'secret').encode()) for _ in range(3)]
    assert len(work) == 1, 'one in the thread, one in the queue'
    assert site.run(clients[2].nonza('failure')).children[0].name == 'temporary-auth-failure'
    clients[1].drop()
    site.settle()
    work[0][0](True, work[0][1](*work[0][2:]))
    site.run(clients[0].nonza('success'))
    assert len(work) == 1, 'nobody hashes for a client that is gone'


def test_data_before_the_answer_to_auth_waits_for_it() -> None:
    site = Site()
    client = say(site, header())
    client.send(plain('romeo', 'wrong') + plain('romeo', 'secret'))
    site.run(client.nonza('failure'))
    site.run(client.nonza('success'))


@pytest.mark.parametrize(
    'attrs, condition',
    [
        ({'from': 'juliet@example.net'}, 'invalid-from'),
        ({'to': 'other.example'}, 'not-authorized'),
        ({'to': 'nowhere.example'}, 'host-unknown'),
    ],
)
def test_the_stream_after_login_must_fit_to_who_logged_in(attrs: dict[str, str], condition: str) -> None:
    site = Site(domains=(DOMAIN, 'other.example'))
    client = site.connect()
    site.run(client.open())
    site.run(client.authenticate())
    client._parser.reset()
    client.send(header(**attrs))
    site.settle()
    assert client.error == condition
