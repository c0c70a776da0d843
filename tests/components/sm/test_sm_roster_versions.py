"""Roster versioning: a client that has a roster gets what it missed (RFC 6121 §2.6)."""

from __future__ import annotations

import re

from jabberd_tx.storage import accounts, rosters
from jabberd_tx.storage.rosters import Item
from tests.components.sm.sm_support import DOMAIN, Client, Site
from tests.components.sm.test_sm_roster import ask

ROMEO, JULIET = f'romeo@{DOMAIN}', f'juliet@{DOMAIN}'
QUERY = re.compile("<query xmlns='jabber:iq:roster' ver='([^']*)'>(.*)</query>")
SET = "<iq type='set' id='s'><query xmlns='jabber:iq:roster'>{}</query></iq>"


def get(client: Client, version: str | None = None) -> tuple[str, str] | None:
    """(version, items) of the result; None: it is empty."""
    client.take()
    ver = '' if version is None else f" ver='{version}'"
    client.send(f"<iq type='get' id='g'><query xmlns='jabber:iq:roster'{ver}/></iq>")
    client.node.site.settle()
    assert client.stanzas[0].attrs == {'type': 'result', 'id': 'g', 'to': client.jid}
    found = QUERY.search(client.xml()[0])
    assert found is not None or not client.stanzas[0].inner
    return (found[1], found[2]) if found else None


def pushed(client: Client) -> list[tuple[str, str]]:
    """(version, item) of each push since the last time, in order."""
    client.node.site.settle()
    stanzas = [stanza for stanza in client.take() if stanza.attrs.get('type') == 'set']
    return [QUERY.findall(stanza.inner.decode())[0] for stanza in stanzas]


def item(name: str, more: str = '') -> str:
    return f"<item jid='{name}@x.example'{more}/>"


def names(pushes: list[tuple[str, str]]) -> list[str]:
    """The contacts, with '-' for a removal."""
    return [
        ('-' if "'remove'" in xml else '') + xml.partition("jid='")[2].partition('@')[0] for _, xml in pushes
    ]  # fmt: skip


def test_results_and_pushes_have_the_version_though_nobody_asked_for_it() -> None:
    site = Site()
    romeo = site.c2s().client('romeo')
    found = get(romeo)
    assert found is not None
    versions = [found[0]]
    for name in ('a', 'b', 'b'):
        ask(romeo, item(name))
        ((version, _),) = pushed(romeo)
        versions.append(version)
    assert len(set(versions)) == 4
    assert get(romeo) == (versions[-1], item('a', " subscription='none'") + item('b', " subscription='none'"))


def test_a_client_without_a_version_yet_gets_the_whole_roster_with_one() -> None:
    site = Site()
    romeo = site.c2s().client('romeo')
    ask(romeo, item('a'))
    found = get(romeo, '')
    assert found is not None and found[0] and "jid='a@x.example'" in found[1]


def test_a_client_that_has_it_all_gets_an_empty_result_and_no_pushes() -> None:
    site = Site()
    romeo = site.c2s().client('romeo')
    empty = get(romeo)
    assert empty is not None and get(romeo, empty[0]) is None
    ask(romeo, item('a'))
    found = get(romeo)
    assert found is not None
    assert get(romeo, found[0]) is None
    assert pushed(romeo) == []


def test_a_client_gets_what_it_missed_as_pushes_after_an_empty_result() -> None:
    """Once for each contact, as it came to be last, in order, each with its version; the last is the roster's."""
    site = Site()
    c2s = site.c2s()
    romeo, other = c2s.client('romeo', 'r'), c2s.client('romeo', 'other')
    for name in 'abcdefg':
        ask(romeo, item(name))
    found = get(romeo)
    assert found is not None
    romeo.leave()
    site.settle()
    for change in (item('b', " name='B'"), item('c', " subscription='remove'"), item('h'), item('b', " name='BB'")):
        ask(other, change)
    romeo = c2s.client('romeo', 'r')
    assert get(romeo, found[0]) is None
    pushes = pushed(romeo)
    assert names(pushes) == ['-c', 'h', 'b']
    assert "name='BB'" in pushes[-1][1]
    now = get(romeo)
    assert now is not None and pushes[-1][0] == now[0]
    assert len({version for version, _ in pushes}) == 3
    # And from a version in between it gets the rest.
    assert get(romeo, pushes[0][0]) is None
    assert pushed(romeo) == pushes[1:]


def test_what_others_do_to_a_roster_makes_versions_too_and_what_is_not_seen_makes_none() -> None:
    site = Site()
    c2s = site.c2s()
    romeo, juliet = c2s.client('romeo', 'r'), c2s.client('juliet', 'j')
    for name in 'abc':
        ask(romeo, item(name))
    before = get(romeo)
    assert before is not None
    juliet.send(f"<presence to='{ROMEO}' type='subscribe'/>")
    site.settle()
    assert get(romeo, before[0]) is None and pushed(romeo) == []
    romeo.send(f"<presence to='{JULIET}' type='subscribed'/>")
    site.settle()
    get(romeo, before[0])
    assert names(pushed(romeo)) == ['juliet']


def test_the_whole_roster_comes_where_it_is_less_than_what_was_missed_or_the_version_is_unknown() -> None:
    site = Site()
    romeo = site.c2s().client('romeo')
    for name in 'ab':
        ask(romeo, item(name))
    old = get(romeo)
    assert old is not None
    for name in 'ab':
        ask(romeo, item(name, " name='x'"))
    for version in (old[0], 'nonsense', '9' * 40, 'first.1', '&lt;'):
        found = get(romeo, version)
        assert found is not None and found[1].count('<item ') == 2
        assert pushed(romeo) == []


def test_a_change_that_is_made_meanwhile_is_pushed_after_what_was_missed() -> None:
    """The whole time somebody changes the roster: the client's last push is the roster's last version."""
    site = Site()
    c2s = site.c2s()
    romeo, other = c2s.client('romeo', 'r'), c2s.client('romeo', 'other')
    for name in 'abcdef':
        ask(other, item(name))
    found = get(other)
    assert found is not None
    ask(other, item('a', " name='1'"))
    romeo.take()
    other.send(SET.format(item('b', " name='2'")))
    romeo.send(f"<iq type='get' id='g'><query xmlns='jabber:iq:roster' ver='{found[0]}'/></iq>")
    other.send(SET.format(item('c', " name='3'")))
    pushes = pushed(romeo)
    assert names(pushes) == ['a', 'b', 'c']
    now = get(romeo)
    assert now is not None and pushes[-1][0] == now[0]


def test_versions_are_those_of_storage_whoever_counts_them_up() -> None:
    """Another sm has changed the roster; what this one has kept is not trusted for ever, and the next change goes on
    from there."""
    site = Site()
    romeo = site.c2s().client('romeo')
    ask(romeo, item('a'))
    found = get(romeo)
    assert found is not None
    site.storage.run(rosters.put, ROMEO, Item('b@x.example'), 'other')
    site.sm.rosters.forget_all()
    again = get(romeo)
    assert again is not None and again[0] != found[0] and 'b@x.example' in again[1]
    ask(romeo, item('c'))
    ((version, _),) = pushed(romeo)
    assert version not in (found[0], again[0])


def test_the_owner_of_a_name_that_somebody_had_before_gets_a_roster_of_its_own() -> None:
    """A version of the earlier account says nothing of the new one."""
    site = Site()
    romeo = site.c2s().client('romeo')
    ask(romeo, item('a'))
    old = get(romeo)
    assert old is not None
    site.storage.run(accounts.remove, ROMEO)
    site.sm.rosters.forget(ROMEO)
    assert get(romeo, old[0]) == ('0', '')
    ask(romeo, item('b'))
    found = get(romeo, old[0])
    assert found is not None and found[0] != old[0]


def test_after_a_failure_of_storage_the_version_is_read_anew() -> None:
    """Whether the change was made is not known."""
    site = Site()
    romeo = site.c2s().client('romeo')
    ask(romeo, item('a'))
    site.storage.broken = 'out of order'
    assert 'resource-constraint' in ask(romeo, item('b'))
    assert site.sm.rosters.peek(ROMEO) is None
    site.storage.broken = ''
    found = get(romeo)
    assert found is not None and found[1] == item('a', " subscription='none'")
