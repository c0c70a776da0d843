"""Users block others (XEP-0191): the commands, messages and IQs."""

from __future__ import annotations

import re
from typing import Any

import pytest

from jabberd_tx.components.sm.finding import found
from jabberd_tx.components.sm.hooks import ELSEWHERE
from jabberd_tx.components.sm.modules.blocking import Blocking
from jabberd_tx.storage import blocks, offline
from jabberd_tx.testing.network import Recorder
from jabberd_tx.xmpp.stanza import Stanza
from tests.components.sm.sm_support import DOMAIN, Client, Site, parse_stanza
from tests.components.sm.test_sm_iq import ask

ROMEO, JULIET, NURSE, TYBALT = (f'{name}@{DOMAIN}' for name in ('romeo', 'juliet', 'nurse', 'tybalt'))
LIST = "<blocklist xmlns='urn:xmpp:blocking'/>"
REFUSED = (
    "<error type='cancel'><not-acceptable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>"
    "<blocked xmlns='urn:xmpp:blocking:errors'/></error>"
)
UNAVAILABLE = "<error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"


def command(name: str, *jids: str) -> str:
    items = ''.join([f"<item jid='{jid}'/>" for jid in jids])
    return f"<{name} xmlns='urn:xmpp:blocking'>{items}</{name}>"


def block(client: Client, *jids: str, name: str = 'block') -> None:
    """The client does, and what it gets for that is taken away."""
    answer = ask(client, command(name, *jids), kind='set')
    assert "type='result'" in answer, answer
    for other in client.node.clients.values():
        other.take()


def listed(client: Client) -> list[str]:
    """What the client is told that is blocked."""
    return re.findall("jid='([^']*)'", ask(client, LIST))


def module(site: Site) -> Blocking:
    one = site.sm.modules.by_name['blocking']
    assert isinstance(one, Blocking)
    return one


def options(**changes: object) -> dict[str, Any]:
    """For Site."""
    values = found()['blocking'].section().defaults()
    for name, value in changes.items():
        assert hasattr(values, name)
        setattr(values, name, value)
    return {'modules.blocking': values}


class Verona:
    """Juliet has blocked Tybalt; she is there with two clients, he and Romeo with one each."""

    def __init__(self, *blocked: str) -> None:
        self.site = Site()
        c2s = self.site.c2s()
        self.juliet, self.phone = c2s.client('juliet', 'balcony'), c2s.client('juliet', 'phone')
        self.tybalt, self.romeo = c2s.client('tybalt', 'street'), c2s.client('romeo', 'garden')
        block(self.juliet, *(blocked or (TYBALT,)))

    def came(self, *clients: Client) -> list[str]:
        """All that they have got, as XML."""
        self.site.quiet()
        return [xml for client in clients for xml in client.xml()]


# ---- the commands


def test_a_list_is_told_as_it_was_changed() -> None:
    site = Site()
    juliet = site.c2s().client('juliet')
    assert ask(juliet, LIST) == f"<iq type='result' id='q' to='{juliet.jid}'>{LIST}</iq>"
    block(juliet, 'Romeo@Example.NET', TYBALT)
    assert listed(juliet) == [ROMEO, TYBALT]
    block(juliet, TYBALT, NURSE)
    assert listed(juliet) == [NURSE, ROMEO, TYBALT]
    block(juliet, NURSE, 'nobody@nowhere.example', name='unblock')
    assert listed(juliet) == [ROMEO, TYBALT]
    block(juliet, name='unblock')
    assert listed(juliet) == []


def test_a_list_is_one_for_all_of_a_user_s_clients_and_nobody_else_s() -> None:
    site = Site()
    c2s = site.c2s()
    one, other, romeo = c2s.client('juliet', 'one'), c2s.client('juliet', 'other'), c2s.client('romeo')
    block(one, TYBALT)
    assert listed(other) == [TYBALT]
    assert listed(romeo) == []
    assert '<forbidden' in ask(romeo, command('unblock'), JULIET, 'set')
    assert '<service-unavailable' in ask(romeo, LIST, JULIET)
    assert listed(one) == [TYBALT]


def test_clients_that_have_asked_for_the_list_are_told_of_changes() -> None:
    """§3.3–§3.5: the one that has made it as well, and nobody who has not asked; in the order of the changes."""
    site = Site()
    c2s = site.c2s()
    one, other, third = (c2s.client('juliet', name) for name in ('one', 'other', 'third'))
    ask(one, LIST)
    ask(other, LIST)
    for client in (one, other):
        client.take()
    for name, jids in (('block', [TYBALT, f'{ROMEO}/Garden']), ('unblock', [TYBALT]), ('unblock', [])):
        one.send(f"<iq type='set' id='{name}'>{command(name, *jids)}</iq>")
    site.quiet()
    pushes = [stanza for stanza in other.take() if stanza.name == 'iq']
    assert [stanza.inner.decode() for stanza in pushes] == [
        command('block', TYBALT, f'{ROMEO}/Garden'), command('unblock', TYBALT), "<unblock xmlns='urn:xmpp:blocking'/>",
    ]  # fmt: skip
    assert [(stanza.attrs['type'], stanza.attrs['to'], 'from' in stanza.attrs) for stanza in pushes] == [
        ('set', other.jid, False)
    ] * 3
    assert len({stanza.attrs['id'] for stanza in pushes}) == 3
    own = one.take()
    assert [stanza.inner for stanza in own if stanza.attrs['type'] == 'set'] == [stanza.inner for stanza in pushes]
    assert [stanza.attrs['type'] for stanza in own].count('result') == 3
    assert third.take() == []


@pytest.mark.parametrize(
    ('sent', 'condition'),
    [
        ("<block xmlns='urn:xmpp:blocking'/>", 'bad-request'),
        ("<block xmlns='urn:xmpp:blocking'><item/></block>", 'bad-request'),
        (command('block', '@'), 'jid-malformed'),
        (command('unblock', 'a@b', '@'), 'jid-malformed'),
        (command('block', 'a@x', 'b@x', 'c@x'), 'resource-constraint'),
    ],
)
def test_what_is_wrong_changes_nothing(sent: str, condition: str) -> None:
    site = Site(modules=options(limit=2))
    juliet = site.c2s().client('juliet')
    block(juliet, 'a@b')
    answer = ask(juliet, sent, kind='set')
    assert "type='error'" in answer and f'<{condition} ' in answer
    assert listed(juliet) == ['a@b']


def test_a_guest_has_no_list() -> None:
    """There is no account to keep it for."""
    ghost = Site().c2s().client('ghost')
    assert '<not-allowed ' in ask(ghost, command('block', TYBALT), kind='set')
    assert listed(ghost) == []


def test_a_list_outlives_sessions_and_the_server() -> None:
    site = Site()
    juliet = site.c2s().client('juliet')
    block(juliet, TYBALT)
    juliet.leave()
    site.quiet()
    again = Site(storage=site.storage)
    tybalt, juliet = again.c2s().client('tybalt'), again.c2s('c2s-2').client('juliet')
    assert listed(juliet) == [TYBALT]
    tybalt.chat(juliet.jid, 'm')
    again.quiet()
    assert (tybalt.bodies(), juliet.bodies()) == (['error:m'], [])


def test_when_storage_fails_nothing_is_changed_and_the_client_is_told() -> None:
    site = Site()
    c2s = site.c2s()
    juliet, tybalt = c2s.client('juliet'), c2s.client('tybalt')
    site.storage.broken = 'on fire'
    assert '<resource-constraint ' in ask(juliet, command('block', TYBALT), kind='set')
    site.storage.broken = ''
    tybalt.chat(JULIET, 'm')
    site.quiet()
    assert juliet.bodies() == ['m']


# ---- messages


@pytest.mark.parametrize('kind', ['chat', 'normal', '', 'groupchat', 'headline'])
@pytest.mark.parametrize('to', [TYBALT, f'{TYBALT}/street', f'{TYBALT}/gone'])
def test_what_the_user_sends_to_somebody_blocked_is_refused(kind: str, to: str) -> None:
    """§3.3: not-acceptable, with what is meant by it."""
    verona = Verona()
    verona.juliet.chat(to, 'm', kind)
    (error,) = verona.came(verona.juliet, verona.tybalt)
    assert error.startswith('<message ') and "type='error'" in error and f"from='{to}'" in error
    assert f'<body>m</body>{REFUSED}</message>' in error


@pytest.mark.parametrize('kind', ['chat', 'normal', '', 'groupchat'])
@pytest.mark.parametrize('to', [JULIET, f'{JULIET}/balcony', f'{JULIET}/gone'])
def test_somebody_blocked_gets_the_error_that_nobody_s_name_would_get(kind: str, to: str) -> None:
    """§3.3: service-unavailable; none of the user's clients gets anything, a copy neither."""
    verona = Verona()
    verona.phone.send("<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>")
    verona.site.settle()
    verona.phone.take()
    verona.tybalt.chat(to, 'm', kind)
    assert verona.came(verona.juliet, verona.phone) == []
    (error,) = verona.came(verona.tybalt)
    assert f'<body>m</body>{UNAVAILABLE}</message>' in error
    verona.tybalt.take()
    ghost = to.replace(JULIET, f'ghost@{DOMAIN}')
    verona.tybalt.chat(ghost, 'm', kind)
    assert [xml.replace(ghost, to) for xml in verona.came(verona.tybalt)] == [error]


@pytest.mark.parametrize('kind', ['headline', 'error'])
@pytest.mark.parametrize('to', [JULIET, f'{JULIET}/balcony'])
def test_headlines_and_errors_of_somebody_blocked_are_dropped(kind: str, to: str) -> None:
    """As for one who is not there."""
    verona = Verona()
    verona.tybalt.chat(to, 'm', kind)
    assert verona.came(verona.juliet, verona.phone, verona.tybalt) == []


def test_an_error_to_somebody_blocked_is_dropped() -> None:
    """Errors are never answered."""
    verona = Verona()
    verona.juliet.chat(verona.tybalt.jid, 'm', 'error')
    assert verona.came(verona.juliet, verona.tybalt) == []


def test_others_are_not_concerned() -> None:
    verona = Verona()
    verona.romeo.chat(JULIET, 'a')
    verona.juliet.chat(ROMEO, 'b')
    verona.tybalt.chat(ROMEO, 'c')
    verona.site.quiet()
    assert (verona.juliet.bodies(), verona.phone.bodies()) == (['a'], ['a'])
    assert verona.romeo.bodies() == ['b', 'c']
    assert verona.tybalt.bodies() == []


def test_after_the_end_of_a_block_messages_come_again() -> None:
    verona = Verona(TYBALT, ROMEO)
    block(verona.phone, TYBALT, name='unblock')
    verona.tybalt.chat(verona.juliet.jid, 'a')
    verona.romeo.chat(verona.juliet.jid, 'b')
    verona.site.quiet()
    assert (verona.juliet.bodies(), verona.romeo.bodies()) == (['a'], ['error:b'])
    block(verona.juliet, name='unblock')
    verona.romeo.chat(verona.juliet.jid, 'c')
    verona.juliet.chat(ROMEO, 'd')
    verona.site.quiet()
    assert (verona.juliet.bodies(), verona.romeo.bodies()) == (['c'], ['d'])


@pytest.mark.parametrize(
    ('blocked', 'refused'),
    [
        (f'{TYBALT}/street', ['error:street']),
        (f'{TYBALT}/house', ['error:house']),
        (TYBALT, ['error:street', 'error:house']),
        (DOMAIN, ['error:street', 'error:house']),
        (f'{DOMAIN}/street', []),
    ],
)
def test_a_block_is_of_a_resource_a_user_or_a_domain(blocked: str, refused: list[str]) -> None:
    verona = Verona(blocked)
    house = verona.juliet.node.client('tybalt', 'house')
    for client in (verona.tybalt, house):
        verona.juliet.chat(client.jid, client.resource)
        client.chat(verona.juliet.jid, f'from-{client.resource}')
    verona.site.quiet()
    came = verona.juliet.bodies()
    assert [one for one in came if one.startswith('error:')] == refused
    through = [name for name in ('street', 'house') if f'error:{name}' not in refused]
    assert [one for one in came if one.startswith('from-')] == [f'from-{name}' for name in through]


def test_ones_own_clients_and_the_server_are_never_blocked() -> None:
    """An implementation note of §4, and what would lock users out."""
    verona = Verona(JULIET, DOMAIN, f'{JULIET}/phone')
    verona.juliet.chat(verona.phone.jid, 'm')
    verona.site.quiet()
    assert verona.phone.bodies() == ['m']
    assert "type='result'" in ask(verona.juliet, "<ping xmlns='urn:xmpp:ping'/>", DOMAIN)
    block(verona.juliet, name='unblock')
    assert listed(verona.juliet) == []


def test_a_message_for_who_is_not_there_is_not_stored() -> None:
    verona = Verona()
    for client in (verona.juliet, verona.phone):
        client.leave()
    verona.tybalt.chat(JULIET, 'a')
    verona.romeo.chat(JULIET, 'b')
    verona.site.quiet()
    assert (verona.tybalt.bodies(), verona.romeo.bodies()) == (['error:a'], [])
    rows = verona.site.storage.run(offline.page, JULIET, 0, 9).result
    assert [Stanza.unpack(row.stanza).attrs['id'] for _, row in rows] == ['b']


def test_what_was_stored_before_its_sender_was_blocked_is_dropped() -> None:
    site = Site()
    c2s = site.c2s()
    tybalt, romeo = c2s.client('tybalt'), c2s.client('romeo')
    for n, client in enumerate((tybalt, romeo, tybalt)):
        client.chat(JULIET, f'm{n}')
        site.quiet()
    juliet = c2s.start('juliet', 'r')
    block(juliet, TYBALT)
    juliet.come()
    site.quiet()
    assert juliet.bodies() == ['m1']
    assert site.storage.run(offline.count, JULIET).result == 0


def test_what_one_client_has_not_acked_goes_to_no_other_once_its_sender_is_blocked() -> None:
    site = Site()
    c2s = site.c2s()
    tybalt, juliet, phone = c2s.client('tybalt'), c2s.client('juliet', 'one'), c2s.client('juliet', 'phone')
    tybalt.chat(juliet.jid, 'm')
    site.quiet()
    assert juliet.bodies() == ['m']
    phone.send(f"<iq type='set' id='b'>{command('block', TYBALT)}</iq>")
    site.settle()
    phone.take()
    juliet.live = False
    juliet.give_back([stanza.name for stanza in juliet.stanzas].index('message'))
    juliet.leave()
    site.settle()
    assert phone.bodies() == []
    assert tybalt.bodies() == ['error:m']


def test_messages_of_other_domains_are_refused_both_ways() -> None:
    site = Site()
    other = Recorder(site.network.links('other-1'))
    other.links.bind('other.example')
    site.settle()
    juliet = site.c2s().client('juliet')
    block(juliet, 'ben@other.example')
    other.frames.clear()
    message = parse_stanza(f"<message to='{JULIET}' type='chat' id='m'><body>m</body></message>")
    for sender in ('ben', 'ann'):
        other.send(DOMAIN, JULIET, message.with_attrs(from_=f'{sender}@other.example/x'))
        juliet.chat(f'{sender}@other.example', f'to-{sender}')
    site.settle()
    assert juliet.bodies() == ['error:to-ben', 'm']
    came = [(stanza.attrs['to'], stanza.attrs['type'], stanza.attrs['id']) for stanza in other.stanzas]
    assert sorted(came) == [('ann@other.example', 'chat', 'to-ann'), ('ben@other.example/x', 'error', 'm')]


# ---- IQs

PING = "<ping xmlns='urn:xmpp:ping'/>"


@pytest.mark.parametrize('to', [TYBALT, f'{TYBALT}/street'])
def test_an_iq_to_somebody_blocked_is_refused(to: str) -> None:
    verona = Verona()
    for kind in ('get', 'set'):
        assert REFUSED in ask(verona.juliet, PING, to, kind)
    for kind in ('result', 'error'):
        assert ask(verona.juliet, '', to, kind) == ''
    assert verona.came(verona.tybalt) == []


@pytest.mark.parametrize('to', [JULIET, f'{JULIET}/balcony'])
def test_an_iq_of_somebody_blocked_gets_the_error_of_who_is_not_there(to: str) -> None:
    """§3.3: get and set service-unavailable; results and errors are dropped."""
    verona = Verona()
    for kind, child in (('get', PING), ('set', PING), ('get', "<vCard xmlns='vcard-temp'/>")):
        assert UNAVAILABLE in ask(verona.tybalt, child, to, kind)
    for kind in ('result', 'error'):
        assert ask(verona.tybalt, '', to, kind) == ''
    assert verona.came(verona.juliet, verona.phone) == []
    verona.romeo.send(f"<iq type='get' id='r' to='{verona.juliet.jid}'>{PING}</iq>")
    assert len(verona.came(verona.juliet)) == 1


# ---- who is not concerned


def test_users_without_lists_go_the_short_way() -> None:
    """No module wants to see their messages: to each other, and to other domains."""
    verona = Verona()
    blocking, peek = module(verona.site), verona.site.sessions.peek
    message = parse_stanza(f"<message to='{ROMEO}'/>")
    assert not blocking.concerns(message, peek(ROMEO), peek(TYBALT))
    assert not blocking.concerns(message, peek(ROMEO), ELSEWHERE)
    assert blocking.concerns(message, peek(ROMEO), ())
    assert blocking.concerns(message, peek(JULIET), peek(ROMEO))
    assert blocking.concerns(message, peek(ROMEO), peek(JULIET))
    assert blocking.concerns(message, peek(TYBALT), ())
    assert blocking.concerns(message, None, peek(ROMEO)) and blocking.concerns(message, peek(ROMEO), None)


def test_an_account_made_anew_has_blocked_nobody() -> None:
    """Nothing of the old one's list is left in memory either."""
    site = Site()
    c2s = site.c2s()
    juliet, tybalt = c2s.client('juliet'), c2s.client('tybalt')
    block(juliet, TYBALT)
    site.storage.run(blocks.clear, JULIET)
    site.sm.spawn(site.sm.kick(JULIET, 'not-authorized'))
    site.settle()
    juliet.live = False
    again = c2s.client('juliet', 'again')
    tybalt.chat(JULIET, 'm')
    site.settle()
    assert again.bodies() == ['m']


# ---- single clients


def test_what_is_sent_to_the_bare_jid_does_not_reach_a_single_client_that_is_blocked() -> None:
    """The others get it, copies and all that stands in storage as always."""
    verona = Verona()
    block(verona.romeo, verona.phone.jid)
    for kind in ('chat', 'normal', 'headline'):
        verona.romeo.chat(JULIET, kind, kind)
    assert verona.came(verona.phone) == []
    assert verona.juliet.bodies() == ['chat', 'normal', 'headline']
    verona.juliet.take()
    block(verona.romeo, name='unblock')
    verona.romeo.chat(JULIET, 'again')
    verona.site.quiet()
    assert verona.juliet.bodies() == verona.phone.bodies() == ['again']


def test_where_nobody_else_is_there_it_is_refused() -> None:
    verona = Verona()
    block(verona.romeo, verona.phone.jid)
    verona.juliet.leave()
    verona.site.quiet()
    verona.romeo.take()
    verona.romeo.chat(JULIET, 'hi')
    (error,) = verona.came(verona.romeo)
    assert REFUSED in error
    assert verona.phone.bodies() == []


def test_a_single_client_of_one_s_own_is_not_kept_from_messages() -> None:
    """A user's own clients are not blocked, whatever is on the list."""
    verona = Verona()
    block(verona.juliet, verona.phone.jid)
    verona.juliet.chat(JULIET, 'note')
    verona.site.quiet()
    assert verona.phone.bodies() == ['note']
