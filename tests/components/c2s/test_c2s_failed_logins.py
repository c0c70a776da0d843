"""What failed logins do to the next ones, and to whom they do nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred

from jabberd_tx.components.c2s.failed_logins import Failures, delay
from jabberd_tx.testing.client import Refused, XmppClient
from jabberd_tx.testing.sasl2_client import log_in, outcome, request
from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.events import Nonza
from jabberd_tx.xmpp.sasl.hashed_token import initiator_hash
from tests.components.c2s.c2s_support import DOMAIN, Site

OPTIONS = {
    'require_tls': False, 'login_attempts': 5, 'failures_account': 3, 'failures_address': 6, 'failures_forgiven': 600,
    'failures_delay': 8, 'login_timeout': 60, 'unlimited_addresses': [],
}  # fmt: skip
MALLORY, OWNER = '203.0.113.9', '198.51.100.1'


class Attempt:
    """One login on a connection of its own; `seconds` until it was over."""

    def __init__(self, site: Site, user: str, password: str, host: str, mechanism: str = 'SCRAM-SHA-1') -> None:
        self.site, self.began = site, site.clock.seconds()
        self.client = XmppClient(f'{user}@{DOMAIN}', password)
        self.outcome = ''
        self.seconds = -1.0
        self.client = site.connect(user, host)
        self.client.password = password
        Deferred.fromCoroutine(self._log_in(mechanism)).addErrback(self._failed)
        site.settle()

    async def _log_in(self, mechanism: str) -> None:
        await self.client.open()
        try:
            await self.client.authenticate(mechanism)
        except Refused as refused:
            self._over(str(refused))
        else:
            self._over('success')

    def _over(self, outcome: str) -> None:
        self.outcome, self.seconds = outcome, self.site.clock.seconds() - self.began

    def _failed(self, failure: object) -> None:
        self.outcome = 'closed'

    def wait(self) -> float:
        """Until it is over; how long that took since it began."""
        while not self.outcome:
            assert self.site.clock.seconds() - self.began < 60
            self.site.advance(0.25)
        self.client.drop()
        self.site.settle()
        return self.seconds


def guess(site: Site, user: str = 'romeo', host: str = MALLORY, password: str = 'wrong') -> float:
    attempt = Attempt(site, user, password, host)
    seconds = attempt.wait()
    assert attempt.outcome == ('not-authorized' if password == 'wrong' else 'success')
    return seconds


@pytest.mark.parametrize('mechanism', ['PLAIN', 'SCRAM-SHA-256'])
@pytest.mark.parametrize('user', ['romeo', 'nobody', 'not@a@jid'])
def test_guesses_become_slower_and_slower(user: str, mechanism: str) -> None:
    """Whether there is such an account or not."""
    site = Site(**OPTIONS, plain_without_tls=True)
    if mechanism == 'PLAIN':
        # It is offered without TLS on this machine only.
        waits = [Attempt(site, user, 'wrong', '127.0.0.1', mechanism).wait() for _ in range(8)]
    else:
        waits = [Attempt(site, user, 'wrong', MALLORY, mechanism).wait() for _ in range(8)]
    assert waits[:3] == [0, 0, 0] and waits == sorted(waits)
    assert waits[4] > waits[3] > 0 and 7 < waits[-1] <= 8.25
    assert site.c2s.limited.counts.login_delay == 5


def test_the_owner_is_not_locked_out_from_elsewhere() -> None:
    """However often somebody else fails, from however many addresses."""
    site = Site(**OPTIONS)
    for n in range(4):
        for _ in range(5):
            guess(site, host=f'203.0.113.{n}')
    assert guess(site, host=OWNER, password='secret') == 0


def test_other_accounts_are_free_until_the_address_has_failed_too_often() -> None:
    """Then all of its logins wait, side by side."""
    site = Site(**OPTIONS)
    for _ in range(4):
        guess(site)
    assert guess(site, 'juliet', password='secret') == 0
    for n in range(6):
        guess(site, f'user{n}')
    attempts = [Attempt(site, 'juliet', 'secret', MALLORY) for _ in range(3)]
    waits = [attempt.wait() for attempt in attempts]
    assert 0 < max(waits) <= 8.25 and len(set(waits)) == 1
    assert guess(site, 'juliet', OWNER, 'secret') == 0


def test_many_connections_guess_no_faster_than_one() -> None:
    """Those beyond the first few wait for each other, or are told to come again later."""
    site = Site(**OPTIONS)
    for _ in range(4):
        guess(site)
    attempts = [Attempt(site, 'romeo', 'wrong', MALLORY) for _ in range(30)]
    refused = [attempt for attempt in attempts if attempt.outcome == 'temporary-auth-failure']
    assert len(refused) > 20 and site.c2s.limited.counts.login_refused == len(refused)
    for attempt in attempts:
        attempt.wait()
    waits = sorted({attempt.seconds for attempt in attempts if attempt not in refused})
    assert len(waits) == len(attempts) - len(refused), 'no two at once'


def test_so_many_at_once_are_guesses_even_before_one_has_failed() -> None:
    """A client of twenty connections does not notice."""
    site = Site(**OPTIONS)
    clients = [site.connect('romeo', MALLORY) for _ in range(40)]
    for client in clients:
        site.run(client.open())
        client.send_auth('SCRAM-SHA-1', b'n,,n=romeo,r=abc')
    site.settle()
    answers = [event.name for client in clients for event in client.inbox if isinstance(event, Nonza)]
    assert 20 <= answers.count('challenge') <= 23 and answers.count('failure') > 10
    for client in clients:
        client.drop()
    site.settle()
    failures = site.c2s.authentication._failures
    assert not failures.under_way and not failures.next and not site.clock.getDelayedCalls()[3:]


def test_a_success_ends_it_and_time_forgives() -> None:
    """The right password at last; or some minutes."""
    site = Site(**OPTIONS)
    for _ in range(4):
        guess(site)
    assert guess(site, password='secret') > 0
    assert guess(site, password='secret') == 0
    for _ in range(4):
        guess(site)
    site.advance(700)
    assert guess(site) == 0


def test_addresses_that_are_excepted_and_a_delay_of_none() -> None:
    """Nobody waits; a new value holds at once."""
    site = Site(**{**OPTIONS, 'unlimited_addresses': ['203.0.113.0/24']})
    assert [guess(site) for _ in range(8)] == [0] * 8
    site = Site(**{**OPTIONS, 'failures_delay': 0})
    assert [guess(site) for _ in range(8)] == [0] * 8
    site.c2s.options.failures_delay = 4
    assert guess(site) > 0


def test_a_client_that_leaves_while_it_waits_leaves_nothing_behind() -> None:
    """And has not failed."""
    site = Site(**OPTIONS)
    for _ in range(4):
        guess(site)
    attempt = Attempt(site, 'romeo', 'wrong', MALLORY)
    assert not attempt.outcome
    attempt.client.drop()
    site.settle()
    failures = site.c2s.authentication._failures
    assert not failures.under_way and not failures.next


def test_what_is_no_failure_of_the_client_is_not_counted() -> None:
    """Aborted exchanges, and data that is none."""
    site = Site(**OPTIONS)
    for _ in range(8):
        client = site.connect('romeo', MALLORY)
        site.run(client.open())
        client.send_auth('SCRAM-SHA-1', b'n,,n=romeo,r=abc')
        site.run(client.nonza('challenge'))
        client.send("<abort xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>")
        assert site.run(client.nonza('failure')).children[0].name == 'aborted'
        client.drop()
        site.settle()
    assert guess(site) == 0


AGENT = 'd4565fa7-4d72-4749-b3d3-740edbf87770'
WANTED = f"<request-token xmlns='{ns.FAST}' mechanism='HT-SHA-256-NONE'/>"


class ByToken(Attempt):
    """By XEP-0484, with what may be a token."""

    async def _log_in(self, mechanism: str) -> None:
        await self.client.open()
        initial = self.client.user.encode() + b'\0' + initiator_hash(self.client.password.encode(), b'')
        self.client.send(request('HT-SHA-256-NONE', initial, f"<fast xmlns='{ns.FAST}' count='1'/>", AGENT))
        try:
            await outcome(self.client, 'success')
        except Refused as refused:
            self._over(str(refused))
        else:
            self._over('success')


def token(site: Site) -> str:
    """One of romeo's client on this machine, got in the time that it takes."""
    client = site.connect()
    site.run(client.open())
    success = site.run(log_in(client, WANTED, agent=AGENT))
    return success.inner.decode().partition("token='")[2].partition("'")[0]


def test_wrong_tokens_are_failed_logins_like_wrong_passwords() -> None:
    """Each slows down the other's attempts; the right one of either ends it."""
    site = Site(**{**OPTIONS, 'unlimited_addresses': ['203.0.114.0/24']}, plain_without_tls=True)
    right = token(site)
    for _ in range(2):
        assert ByToken(site, 'romeo', 'wrong', '127.0.0.1').wait() == 0
    assert guess(site, host='127.0.0.1') == 0
    attempt = ByToken(site, 'romeo', 'wrong', '127.0.0.1')
    assert attempt.wait() > 0 and attempt.outcome == 'not-authorized'
    assert guess(site, host='127.0.0.1') > 0
    attempt = ByToken(site, 'romeo', right, '127.0.0.1')
    assert attempt.wait() > 0 and attempt.outcome == 'success'
    assert guess(site, host='127.0.0.1') == 0


def test_a_token_that_is_used_once_more_with_its_count_has_failed() -> None:
    """Whoever has overheard it, and says it again (XEP-0484 §3.4)."""
    site = Site(**OPTIONS, plain_without_tls=True)
    right = token(site)
    assert ByToken(site, 'romeo', right, '127.0.0.1').wait() == 0
    waits = [ByToken(site, 'romeo', right, '127.0.0.1').wait() for _ in range(5)]
    assert waits[:3] == [0, 0, 0] and 0 < waits[3] < waits[4]
    assert site.c2s.limited.counts.login_delay == 2


def test_the_table_is_bounded_and_lets_go_of_the_oldest() -> None:
    """And of those that are forgiven, as new ones come."""
    failures = Failures(most=100)
    for n in range(1000):
        failures.add(f'a{n}', 0.0, 1, 1000)
        assert len(failures) <= 100
    assert failures.beyond('a999', 0.0, 1, 1000) == 1 and failures.beyond('a0', 0.0, 1, 1000) == 0
    for n in range(60):
        failures.add(f'b{n}', 5000.0, 1, 1000)
    assert len(failures) == 60


@given(st.floats(-100, 1000), st.floats(0.1, 600))
def test_a_delay_is_never_longer_than_the_longest(beyond: float, longest: float) -> None:
    """And there is none for those that are free."""
    assert 0 <= delay(beyond, longest) <= longest
    assert (delay(beyond, longest) == 0) == (beyond <= 0)
