"""A user's own account: another password, or none any more (XEP-0077 §3.2, §3.3)."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred

from jabberd_tx.components.sm.cancelling import cancel_account
from jabberd_tx.components.sm.modules.registration import RegistrationOfUsers
from jabberd_tx.storage import accounts
from jabberd_tx.storage.rosters import Item
from jabberd_tx.xmpp.sasl import verify
from tests.components.sm.sm_support import DOMAIN, Client, Site
from tests.components.sm.test_sm_iq import INFO, ask
from tests.components.sm.test_sm_subscriptions import befriend, interested, item_of, seen

ROMEO = f'romeo@{DOMAIN}'
QUERY = "<query xmlns='jabber:iq:register'>%s</query>"
CHANGE = QUERY % '<username>%s</username><password>%s</password>'


class Threads:
    """A thread pool whose work is done at once."""

    def callInThreadWithCallback(self, on_result: Any, call: Any, *arguments: Any) -> None:
        try:
            result = True, call(*arguments)
        except Exception:
            from twisted.python.failure import Failure

            result = False, Failure()
        on_result(*result)


def made(**options: bool) -> Site:
    values = RegistrationOfUsers.section().defaults()
    for name, value in {'enabled': True, **options}.items():
        setattr(values, name, value)
    site = Site(modules={'modules.registration': values})
    site.clock.getThreadPool = Threads  # type: ignore[attr-defined]
    site.clock.callFromThread = lambda call, *arguments: site.clock.callLater(0, call, *arguments)  # type: ignore[attr-defined]
    return site


def credentials(site: Site, owner: str = ROMEO) -> Any:
    found: list[Any] = []
    site.storage.run(accounts.credentials, owner).addCallback(found.append)
    site.quiet()
    return found[0]


@pytest.mark.parametrize('place', ['', DOMAIN, ROMEO])
@pytest.mark.parametrize('name', ['romeo', 'Romeo', ROMEO])
def test_a_user_changes_the_password(place: str, name: str) -> None:
    site = made()
    romeo = site.c2s().client('romeo')
    assert "type='result'" in ask(romeo, CHANGE % (name, 'new one'), place, 'set')
    assert verify('new one', credentials(site))


@pytest.mark.parametrize(
    'name, password, reason',
    [
        ('romeo', '', 'bad-request'),
        ('', 'new one', 'bad-request'),
        ('juliet', 'new one', 'bad-request'),
        ('romeo', '\ue000', 'not-acceptable'),
    ],
)
def test_what_is_no_change_is_refused_without_saying_the_password_again(name: str, password: str, reason: str) -> None:
    site = made()
    before = credentials(site), credentials(site, f'juliet@{DOMAIN}')
    answer = ask(site.c2s().client('romeo'), CHANGE % (name, password), DOMAIN, 'set')
    assert f'<{reason}' in answer and '<password' not in answer
    assert (credentials(site), credentials(site, f'juliet@{DOMAIN}')) == before


def test_a_user_cancels_the_account_and_all_streams_end() -> None:
    site = made()
    c2s = site.c2s()
    romeo, other, juliet = c2s.client('romeo', 'a'), c2s.client('romeo', 'b'), c2s.client('juliet')
    assert "type='result'" in ask(romeo, QUERY % '<remove/>', '', 'set')
    site.quiet()
    assert credentials(site) is None
    assert [len(site.sessions.peek(owner) or ()) for owner in (ROMEO, f'juliet@{DOMAIN}')] == [0, 1]
    assert 'bad-request' in ask(juliet, QUERY % '<remove/><username/>', '', 'set')
    assert credentials(site, f'juliet@{DOMAIN}') and other is not romeo


def ask_for(asker: Client, contact: str, answer: str = '') -> None:
    asker.send(f"<presence to='{contact}' type='subscribe'/>")
    asker.node.site.settle()
    if answer:
        asked = asker.node.client(contact.partition('@')[0], 'x', come=False)
        asked.send(f"<presence to='{asker.owner}' type='{answer}'/>")
        asker.node.site.settle()


@pytest.mark.parametrize('cached', [True, False])
def test_contacts_are_told_that_an_account_is_gone_each_once(cached: bool) -> None:
    """They see its clients go, and subscriptions either way end (RFC 6121 §2.5.2)."""
    site = made()
    c2s = site.c2s()
    romeo, other = interested(c2s.client('romeo', 'a')), c2s.client('romeo', 'b')
    names = ('juliet', 'nurse', 'mercutio', 'tybalt')
    juliet, nurse, mercutio, tybalt = clients = [interested(c2s.client(name)) for name in names]
    befriend(site, romeo, juliet)
    ask_for(romeo, nurse.owner, 'subscribed')
    ask_for(mercutio, ROMEO)
    ask_for(romeo, tybalt.owner)
    for client in clients:
        client.take()
    if not cached:
        site.sm.rosters.forget(ROMEO)
    assert "type='result'" in ask(romeo, QUERY % '<remove/>', '', 'set')
    gone = sorted(f'presence:unavailable:{client.jid}' for client in (romeo, other))
    told = seen(juliet)
    assert sorted(told[:2]) == gone and told[2:] == [
        f'presence:unsubscribe:{ROMEO}', f'push:{ROMEO}:to', f'presence:unsubscribed:{ROMEO}', f'push:{ROMEO}:none',
    ]  # fmt: skip
    assert seen(nurse) == [f'presence:unsubscribe:{ROMEO}', f'push:{ROMEO}:none']
    assert seen(mercutio) == [f'presence:unsubscribed:{ROMEO}', f'push:{ROMEO}:none']
    assert seen(tybalt) == [f'presence:unsubscribe:{ROMEO}']
    site.quiet()
    assert [item_of(site, client.owner, ROMEO) for client in clients] == [Item(ROMEO)] * 3 + [None]
    assert item_of(site, ROMEO, juliet.owner) is None
    assert romeo.closed is not None and other.closed is not None


def test_an_operator_cancels_an_account_in_the_same_way() -> None:
    site = Site()
    c2s = site.c2s()
    romeo, juliet = interested(c2s.client('romeo')), interested(c2s.client('juliet'))
    befriend(site, romeo, juliet)
    found: list[int | None] = []
    for _ in range(2):
        Deferred.fromCoroutine(cancel_account(site.sm, ROMEO, 'gone')).addCallback(found.append)
        site.quiet()
    assert found == [1, None]
    assert seen(juliet)[0] == f'presence:unavailable:{romeo.jid}' and item_of(site, juliet.owner, ROMEO) == Item(ROMEO)
    assert romeo.closed is not None and romeo.closed.attrs['text'] == 'gone'


def test_an_account_whose_removal_fails_is_not_said_to_be_gone() -> None:
    site = made()
    c2s = site.c2s()
    romeo, juliet = interested(c2s.client('romeo')), interested(c2s.client('juliet'))
    befriend(site, romeo, juliet)
    site.storage.broken = 'down'
    assert 'resource-constraint' in ask(romeo, QUERY % '<remove/>', '', 'set')
    assert not seen(juliet) and romeo.closed is None


def test_who_is_registered_is_told_so() -> None:
    answer = ask(made().c2s().client('romeo'), QUERY % '', DOMAIN)
    assert '<registered/><username>romeo</username>' in answer


@pytest.mark.parametrize('option, words', [('password', CHANGE % ('romeo', 'x')), ('cancel', QUERY % '<remove/>')])
def test_each_may_be_switched_off(option: str, words: str) -> None:
    site = made(**{option: False})
    before = credentials(site)
    assert 'not-allowed' in ask(site.c2s().client('romeo'), words, '', 'set')
    assert credentials(site) == before


def test_off_which_it_is_by_default_it_is_not_there() -> None:
    romeo = Site().c2s().client('romeo')
    assert 'service-unavailable' in ask(romeo, QUERY % '', DOMAIN)
    assert 'jabber:iq:register' not in ask(romeo, INFO, DOMAIN)
    assert 'jabber:iq:register' in ask(made().c2s().client('romeo'), INFO, DOMAIN)
