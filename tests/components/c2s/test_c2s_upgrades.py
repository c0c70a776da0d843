"""Accounts get verifiers of stronger mechanisms when their clients log in (XEP-0480)."""

from __future__ import annotations

import base64
import re
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from jabberd_tx.storage import accounts
from jabberd_tx.testing.client import Refused, XmppClient
from jabberd_tx.testing.sasl2_client import log_in, outcome, prove, request, task_data, text_in, upgrades
from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.sasl import Credentials
from jabberd_tx.xmpp.sasl.hashed_token import initiator_hash
from jabberd_tx.xmpp.writer import stream_header
from tests.components.c2s.c2s_support import CREDENTIALS, DOMAIN, Site

OWNER = f'romeo@{DOMAIN}'
WEAK = {'SCRAM-SHA-1': CREDENTIALS['SCRAM-SHA-1']}
BOTH = upgrades('SCRAM-SHA-512', 'SCRAM-SHA-256')
AGENT = 'd4565fa7-4d72-4749-b3d3-740edbf87770'
BIND = f"<bind xmlns='{ns.BIND2}'/>"


def weak_site(**options: Any) -> Site:
    """Romeo's account has but the weakest verifier."""
    site = Site(**options)
    site.run(change(site, WEAK))
    return site


async def change(site: Site, credentials: Credentials) -> None:
    await site.storage.run(accounts.change, OWNER, credentials)


def opened(site: Site, owner: str = OWNER) -> XmppClient:
    client = site.connect()
    site.run(client.open(**{'from': owner} if owner else {}))
    return client


def offered(site: Site, owner: str) -> tuple[list[str], list[str]]:
    """The mechanisms and the upgrade tasks that a stream from there is offered."""
    client = opened(site, owner)
    assert client.features is not None
    tasks = re.findall(f"<upgrade xmlns='{ns.SASL_UPGRADE}'>(.*?)</upgrade>", client.features.inner.decode())
    return client.mechanisms, tasks


def verifiers(site: Site) -> Credentials:
    async def ask() -> Credentials:
        found: Credentials = await site.storage.run(accounts.credentials, OWNER)
        return found

    return site.run(ask())


def continued(site: Site, inline: str = BOTH) -> tuple[XmppClient, str]:
    """A client that has logged in and is to do a task."""
    client = opened(site)
    proof = site.run(prove(client, inline, 'SCRAM-SHA-1'))
    assert proof.name == 'continue'
    return client, text_in(proof, 'task')


@pytest.mark.parametrize(
    'has, tasks',
    [
        (['SCRAM-SHA-512', 'SCRAM-SHA-256', 'SCRAM-SHA-1'], []),
        (['SCRAM-SHA-512', 'SCRAM-SHA-1'], []),
        (['SCRAM-SHA-256', 'SCRAM-SHA-1'], ['UPGR-SCRAM-SHA-512']),
        (['SCRAM-SHA-1'], ['UPGR-SCRAM-SHA-512', 'UPGR-SCRAM-SHA-256']),
    ],
)
def test_a_stream_is_told_what_the_account_has_and_could_have(has: list[str], tasks: list[str]) -> None:
    site = Site()
    site.run(change(site, {name: CREDENTIALS[name] for name in has}))
    assert offered(site, OWNER) == ([*has, 'PLAIN'], tasks)


def test_nothing_is_announced_to_who_does_not_say_who_he_is_or_is_of_elsewhere_or_switched_off() -> None:
    site = weak_site()
    for owner in ('', DOMAIN, 'romeo@example.org', f'romeo@sub.{DOMAIN}'):
        assert offered(site, owner) == ([*CREDENTIALS, 'PLAIN'], [])
    for options in ({'upgrades': False}, {'sasl2': False}):
        assert offered(weak_site(**options), OWNER) == ([*CREDENTIALS, 'PLAIN'], [])


def test_names_without_an_account_seem_to_have_each_kind_of_account_always_the_same() -> None:
    """Whoever goes through names does not learn which there are."""
    site, other = Site(decoy_secret='x'), Site(decoy_secret='x')
    names = [f'nobody{number}@{DOMAIN}' for number in range(30)]
    seen = {name: offered(site, name) for name in names}
    assert sorted({len(tasks) for _, tasks in seen.values()}) == [0, 1, 2]
    assert {name: offered(other, name) for name in names} == seen


@pytest.mark.parametrize('mechanism', ['SCRAM-SHA-1', 'PLAIN'])
def test_an_account_gets_what_it_lacks_and_logs_in_by_it(mechanism: str) -> None:
    site = weak_site()
    client = opened(site)
    if mechanism == 'PLAIN':
        client.send(request('PLAIN', b'\0romeo\0secret', BOTH + BIND))
        proof = site.run(outcome(client, 'continue'))
        assert b'additional-data' not in proof.inner
        assert text_in(proof, 'task') == 'UPGR-SCRAM-SHA-512'
        client = opened(site)
    success = site.run(log_in(client, BOTH + BIND))
    assert b'<bound' in success.inner and b'additional-data' not in success.inner, 'the server had proved itself before'
    assert set(verifiers(site)) == set(CREDENTIALS)
    assert verifiers(site)['SCRAM-SHA-1'] == WEAK['SCRAM-SHA-1'], 'what there was is kept'
    assert offered(site, OWNER) == ([*CREDENTIALS, 'PLAIN'], [])
    for name in CREDENTIALS:
        assert b'additional-data' in site.run(log_in(opened(site), BOTH, mechanism=name)).inner, 'nothing left to do'


def test_only_what_is_asked_for_is_done() -> None:
    site = weak_site()
    assert site.run(prove(opened(site), '', 'SCRAM-SHA-1')).name == 'success'
    assert site.run(prove(opened(site), upgrades('SCRAM-SHA-1', 'X'), 'SCRAM-SHA-1')).name == 'success'
    assert site.run(prove(opened(site, ''), BOTH, 'SCRAM-SHA-1')).name == 'success', 'it was not announced'
    assert verifiers(site) == WEAK
    site.run(log_in(opened(site), upgrades('SCRAM-SHA-256')))
    assert set(verifiers(site)) == {'SCRAM-SHA-1', 'SCRAM-SHA-256'}


ABORT = f"<abort xmlns='{ns.SASL2}'/>"


@pytest.mark.parametrize(
    'first, then, condition',
    [
        (ABORT, '', 'aborted'),
        (f"<next xmlns='{ns.SASL2}' task='UPGR-SCRAM-SHA-1'/>", '', 'invalid-mechanism'),
        (f"<next xmlns='{ns.SASL2}'/>", '', 'invalid-mechanism'),
        ('', ABORT, 'aborted'),
        ('', f"<task-data xmlns='{ns.SASL2}'/>", 'malformed-request'),
        ('', task_data(''), 'malformed-request'),
        ('', task_data('no base64!'), 'incorrect-encoding'),
        ('', task_data(base64.b64encode(bytes(63)).decode()), 'malformed-request'),
        ('', task_data(base64.b64encode(bytes(65)).decode()), 'malformed-request'),
    ],
)
def test_each_way_to_get_a_task_wrong_has_its_failure(first: str, then: str, condition: str) -> None:
    """And nobody is logged in, the account is as it was, and the stream has no other attempt (XEP-0388 §4.8)."""
    site = weak_site()
    client, task = continued(site)
    client.send(first or f"<next xmlns='{ns.SASL2}' task='{task}'/>")
    if then:
        site.run(outcome(client, 'task-data'))
        client.send(then)
    with pytest.raises(Refused, match=condition):
        site.run(outcome(client, 'success'))
    client.send(request('PLAIN', b'\0romeo\0secret'))
    assert site.run(client.end()) == 'not-authorized'
    assert verifiers(site) == WEAK and not site.sm.said


@pytest.mark.parametrize(
    'words',
    [
        request('PLAIN', b'\0romeo\0secret'),
        task_data(base64.b64encode(bytes(64)).decode()),
        f"<response xmlns='{ns.SASL2}'/>",
        '<presence/>',
    ],
)
def test_anything_else_in_the_place_of_a_task_ends_the_stream(words: str) -> None:
    site = weak_site()
    client, _ = continued(site)
    client.send(words)
    assert site.run(client.end()) == 'not-authorized'
    assert verifiers(site) == WEAK and not site.c2s.logins


def test_a_password_that_was_changed_in_between_is_not_added_to() -> None:
    site = weak_site()
    client, task = continued(site)
    client.send(f"<next xmlns='{ns.SASL2}' task='{task}'/>")
    site.run(outcome(client, 'task-data'))
    new = {'SCRAM-SHA-1': CREDENTIALS['SCRAM-SHA-1']._replace(salt=b'another salt')}
    site.run(change(site, new))
    client.send(task_data(base64.b64encode(bytes(64)).decode()))
    with pytest.raises(Refused, match='temporary-auth-failure'):
        site.run(outcome(client, 'success'))
    assert verifiers(site) == new


def test_the_first_of_two_tasks_stands_when_the_second_fails() -> None:
    site = weak_site()
    client, task = continued(site)
    client.send(f"<next xmlns='{ns.SASL2}' task='{task}'/>")
    site.run(outcome(client, 'task-data'))
    client.send(task_data(base64.b64encode(bytes(64)).decode()))
    assert text_in(site.run(outcome(client, 'continue')), 'task') == 'UPGR-SCRAM-SHA-256'
    client.send(f"<abort xmlns='{ns.SASL2}'/>")
    with pytest.raises(Refused, match='aborted'):
        site.run(outcome(client, 'success'))
    assert set(verifiers(site)) == {'SCRAM-SHA-1', 'SCRAM-SHA-512'}


def test_tokens_outlive_an_upgrade_and_do_not_allow_one() -> None:
    site = weak_site()
    wanted = f"<request-token xmlns='{ns.FAST}' mechanism='HT-SHA-256-NONE'/>"
    success = site.run(log_in(opened(site), wanted + upgrades('SCRAM-SHA-256'), agent=AGENT))
    token = success.inner.decode().partition("token='")[2].partition("'")[0]
    client = opened(site)
    initial = b'romeo\0' + initiator_hash(token.encode(), b'')
    client.send(request('HT-SHA-256-NONE', initial, f"<fast xmlns='{ns.FAST}'/>" + BOTH, AGENT))
    assert site.run(outcome(client, 'success', 'continue')).name == 'success'
    assert set(verifiers(site)) == {'SCRAM-SHA-1', 'SCRAM-SHA-256'}


def test_a_database_that_fails_offers_what_there_is_without_an_account() -> None:
    site = weak_site()
    site.storage.broken = 'down'
    assert offered(site, OWNER) == ([*CREDENTIALS, 'PLAIN'], [])


@pytest.mark.parametrize('vanishes', [True, False])
def test_a_client_waits_until_its_account_is_looked_up_or_vanishes(vanishes: bool) -> None:
    site = weak_site()
    looked_up: Deferred[None] = Deferred()
    run = site.storage.run
    site.storage.run = lambda *ask: looked_up.addCallback(lambda _: run(*ask))  # type: ignore[method-assign]
    client = site.connect()
    client.send(stream_header(ns.CLIENT, {'to': DOMAIN, 'version': '1.0', 'from': OWNER}))
    client.send(request('PLAIN', b'\0romeo\0secret'))
    site.settle()
    assert client.features is None and site.c2s.logins
    site.storage.run = run  # type: ignore[method-assign]
    if vanishes:
        client.drop()
        site.settle()
    looked_up.callback(None)
    site.settle()
    if vanishes:
        assert not site.c2s.logins and client.features is None
    else:
        assert site.run(outcome(client, 'success')) and client.jid == OWNER
