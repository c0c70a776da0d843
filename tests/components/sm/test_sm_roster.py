"""Rosters: get, set, remove and pushes (RFC 6121 §2)."""

from __future__ import annotations

import re

import pytest
from twisted.internet.defer import Deferred

from jabberd_tx.components.sm.rosters import Rosters
from jabberd_tx.storage import rosters
from jabberd_tx.storage.rosters import Item
from jabberd_tx.testing.storage import ImmediateStorage
from tests.components.sm.sm_support import DOMAIN, Client, Site
from tests.components.sm.test_sm_presence import know

ROMEO, JULIET = f'romeo@{DOMAIN}', f'juliet@{DOMAIN}'


ITEMS = re.compile("<query xmlns='jabber:iq:roster' ver='[^']+'>(.*)</query>", re.S)


def ask(client: Client, item: str = '', kind: str = 'set', to: str = '') -> str:
    """A roster IQ; the answer's XML (pushes are left in client.stanzas)."""
    target = f" to='{to}'" if to else ''
    client.send(f"<iq type='{kind}' id='q'{target}><query xmlns='jabber:iq:roster'>{item}</query></iq>")
    client.node.site.settle()
    (answer,) = [stanza for stanza in client.stanzas if stanza.attrs.get('id') == 'q']
    xml = client.xml()[client.stanzas.index(answer)]
    client.stanzas.remove(answer)
    return xml


def get(client: Client) -> str:
    """The items of the roster."""
    xml = ask(client, kind='get')
    assert "type='result'" in xml
    return ITEMS.findall(xml)[0]


def pushes(client: Client) -> list[str]:
    """The items that were pushed since the last time."""
    client.node.site.settle()
    return [
        ITEMS.findall(stanza.inner.decode())[0]
        for stanza in client.take()
        if stanza.name == 'iq' and stanza.attrs['type'] == 'set'
    ]


def test_a_new_roster_is_empty() -> None:
    site = Site()
    assert get(site.c2s().client('romeo')) == ''


def test_what_is_set_is_pushed_to_all_who_asked_and_comes_with_the_next_get() -> None:
    site = Site()
    c2s = site.c2s()
    one, two, third = [c2s.client('romeo', name) for name in ('one', 'two', 'third')]
    get(one), get(two)
    answer = ask(one, f"<item jid='{JULIET}' name='J &amp; C'><group>Friends</group><group>Verona</group></item>")
    assert answer == f"<iq type='result' id='q' to='{one.jid}'/>"
    item = (
        f"<item jid='{JULIET}' subscription='none' name='J &amp; C'><group>Friends</group><group>Verona</group></item>"
    )
    assert pushes(one) == pushes(two) == [item]
    assert pushes(third) == []
    assert get(third) == item
    site.quiet()


def test_setting_again_changes_name_and_groups_and_nothing_else() -> None:
    site = Site()
    know(site, ROMEO, JULIET, 'both')
    romeo = site.c2s().client('romeo')
    ask(romeo, f"<item jid='{JULIET}/balcony' name='J' subscription='none' ask='subscribe'><group>G</group></item>")
    assert get(romeo) == f"<item jid='{JULIET}' subscription='both' name='J'><group>G</group></item>"
    ask(romeo, f"<item jid='{JULIET}'/>")
    assert get(romeo) == f"<item jid='{JULIET}' subscription='both'/>"


def test_removing_a_contact_ends_both_subscriptions_and_the_contact_is_told() -> None:
    site = Site()
    know(site, ROMEO, JULIET, 'both')
    c2s = site.c2s()
    romeo, juliet = c2s.client('romeo', 'r'), c2s.client('juliet', 'j')
    get(romeo), get(juliet)
    juliet.take()
    assert "type='result'" in ask(romeo, f"<item jid='{JULIET}' subscription='remove'/>")
    site.settle()
    assert [stanza.attrs['type'] for stanza in juliet.stanzas if stanza.name == 'presence'] == [
        'unavailable', 'unsubscribe', 'unsubscribed',
    ]  # fmt: skip
    assert pushes(juliet)[-1] == f"<item jid='{ROMEO}' subscription='none'/>"
    assert f"<item jid='{JULIET}' subscription='remove'/>" in pushes(romeo)
    assert get(romeo) == ''
    assert site.storage.run(rosters.get, ROMEO).result == []
    site.quiet()


def test_removing_who_only_asked_answers_the_request() -> None:
    site = Site()
    c2s = site.c2s()
    romeo, juliet = c2s.client('romeo'), c2s.client('juliet')
    get(romeo)
    ask(juliet, f"<item jid='{ROMEO}' name='R'/>")
    romeo.send(f"<presence to='{JULIET}' type='subscribe'/>")
    site.settle()
    ask(juliet, f"<item jid='{ROMEO}' subscription='remove'/>")
    site.settle()
    assert [stanza.attrs['type'] for stanza in romeo.stanzas if stanza.name == 'presence'][-1] == 'unsubscribed'
    assert site.storage.run(rosters.get, JULIET).result == []


def test_putting_who_has_asked_into_the_roster_keeps_the_request() -> None:
    site = Site()
    c2s = site.c2s()
    romeo, juliet = c2s.client('romeo'), c2s.client('juliet')
    romeo.send(f"<presence to='{JULIET}' type='subscribe'/>")
    site.settle()
    ask(juliet, f"<item jid='{ROMEO}'/>")
    assert get(juliet) == f"<item jid='{ROMEO}' subscription='none'/>"
    juliet.send(f"<presence to='{ROMEO}' type='subscribed'/>")
    site.settle()
    assert get(juliet) == f"<item jid='{ROMEO}' subscription='from'/>"


@pytest.mark.parametrize(
    'item,condition',
    [
        ('', 'bad-request'),
        (f"<item jid='{JULIET}'/><item jid='nurse@{DOMAIN}'/>", 'bad-request'),
        ('<item/>', 'bad-request'),
        ("<item jid='@'/>", 'jid-malformed'),
        (f"<item jid='{JULIET}'><group>a</group><group>a</group></item>", 'bad-request'),
        (f"<item jid='{JULIET}'><group/></item>", 'not-acceptable'),
        (f"<item jid='{JULIET}' name='{'x' * 1024}'/>", 'not-acceptable'),
        (f"<item jid='{JULIET}'><group>{'x' * 1024}</group></item>", 'not-acceptable'),
        (f"<item jid='{JULIET}'><group>1</group><group>2</group><group>3</group></item>", 'not-acceptable'),
        (f"<item jid='{JULIET}' subscription='remove'/>", 'item-not-found'),
        (f"<item jid='{ROMEO}'/>", 'not-allowed'),
    ],
)
def test_what_may_not_be_set_gets_the_error_that_the_rfc_names(item: str, condition: str) -> None:
    site = Site(roster_groups=2)
    romeo = site.c2s().client('romeo')
    assert f'<{condition} ' in ask(romeo, item)
    assert get(romeo) == ''


def test_a_full_roster_takes_no_more_contacts_but_changes() -> None:
    site = Site(roster_items=2)
    romeo = site.c2s().client('romeo')
    for name in ('a', 'b'):
        assert "type='result'" in ask(romeo, f"<item jid='{name}@x.example'/>")
    assert 'resource-constraint' in ask(romeo, "<item jid='c@x.example'/>")
    assert "type='result'" in ask(romeo, "<item jid='b@x.example' name='B'/>")
    romeo.send(f"<presence to='{JULIET}' type='subscribe'/>")
    site.settle()
    assert any('resource-constraint' in xml for xml in romeo.xml())
    assert site.network.metrics.value('jabberd_sm_limited', 'roster') == 2


def test_nobody_sees_or_sets_anothers_roster() -> None:
    site = Site()
    romeo = site.c2s().client('romeo')
    assert 'service-unavailable' in ask(romeo, kind='get', to=JULIET)
    assert "<error type='auth'><forbidden" in ask(romeo, f"<item jid='{ROMEO}'/>", to=JULIET)
    assert "<error type='auth'><forbidden" in ask(romeo, f"<item jid='{ROMEO}'/>", to=f'ghost@{DOMAIN}')
    assert 'service-unavailable' in ask(romeo, kind='get', to=DOMAIN)


def test_when_storage_fails_the_client_is_told_to_wait() -> None:
    site = Site()
    romeo = site.c2s().client('romeo')
    site.storage.broken = 'out of order'
    assert "<error type='wait'><resource-constraint" in ask(romeo, f"<item jid='{JULIET}'/>")
    site.storage.broken = ''
    assert get(romeo) == ''


# ---- what is kept in memory


class CountingStorage(ImmediateStorage):
    """How often which operation was asked; the next answers may be held back."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[str, str]] = []
        self.hold = False
        self.held: list[tuple[Deferred[object], tuple[object, ...]]] = []

    def run(self, operation: object, owner: str, *arguments: object) -> Deferred[object]:  # type: ignore[override]
        self.asked.append((operation.name, owner))  # type: ignore[attr-defined]
        if not self.hold:
            return super().run(operation, owner, *arguments)  # type: ignore[arg-type]
        answer: Deferred[object] = Deferred()
        self.held.append((answer, (operation, owner, *arguments)))
        return answer

    def release(self) -> None:
        answer, call = self.held.pop(0)
        super().run(*call).chainDeferred(answer)  # type: ignore[arg-type]


def made(storage: CountingStorage, alone: bool = True, most: int = 3) -> tuple[Rosters, list[float]]:
    now = [0.0]
    return Rosters(storage, lambda: now[0], lambda: most, lambda: alone), now


def run(work: object) -> object:
    deferred = Deferred.fromCoroutine(work)  # type: ignore[arg-type]
    return deferred.result if deferred.called else deferred


def test_a_roster_is_read_once_and_the_one_used_longest_ago_is_forgotten() -> None:
    storage = CountingStorage()
    kept, _ = made(storage)
    for owner in ('a', 'b', 'c', 'a', 'd'):
        run(kept.get(owner))
    assert len(kept) == 3
    assert kept.peek('b') is None
    assert kept.peek('a') == {}
    assert storage.asked == [('roster.load', owner) for owner in ('a', 'b', 'c', 'd')]


def test_beside_other_sms_a_roster_is_trusted_for_seconds_and_read_anew_before_a_change() -> None:
    storage = CountingStorage()
    kept, now = made(storage, alone=False)
    run(kept.get('a'))
    storage.run(rosters.put, 'a', Item('x', name='from elsewhere'))
    now[0] = 4.0
    assert kept.peek('a') == {}
    now[0] = 5.0
    assert kept.peek('a') is None
    seen = []
    run(kept.change('a', 'x', lambda old, roster: seen.append(old) or old._replace(name='n'), lambda changed: None))  # type: ignore[func-returns-value,union-attr]
    assert seen == [Item('x', name='from elsewhere')]
    assert kept.peek('a') == {'x': Item('x', name='n')}


def test_changes_of_one_roster_are_made_one_after_the_other() -> None:
    storage = CountingStorage()
    kept, _ = made(storage)
    run(kept.get('a'))
    storage.hold = True
    order: list[object] = []
    for name in ('one', 'two'):
        Deferred.fromCoroutine(
            kept.change(
                'a',
                'x',
                lambda old, roster, name=name: Item('x', name=(old.name if old else '') + name),  # type: ignore[misc]
                lambda changed: order.append(changed.new and changed.new.name),
            )
        )
    assert len(storage.held) == 1
    storage.release()
    assert order == ['one']
    storage.release()
    assert order == ['one', 'onetwo']


def test_a_change_that_is_refused_changes_nothing_and_lets_the_next_one_in() -> None:
    storage = CountingStorage()
    kept, _ = made(storage)

    def refuse(old: object, roster: object) -> None:
        raise ValueError('no')

    failed = Deferred.fromCoroutine(kept.change('a', 'x', refuse, lambda changed: None))
    failed.addErrback(lambda failure: failure.trap(ValueError))
    assert run(kept.get('a')) == {}
    assert ('roster.put', 'a') not in storage.asked
