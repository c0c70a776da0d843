"""What belongs to an account or the server: private XML, version, time, last activity, contact addresses."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from jabberd_tx import __version__
from jabberd_tx.components.sm.finding import found
from jabberd_tx.storage import last_activity
from tests.components.sm.sm_support import DOMAIN, Site, parse_stanza
from tests.components.sm.test_sm_iq import INFO, ask
from tests.components.sm.test_sm_presence import know

ROMEO, JULIET = f'romeo@{DOMAIN}', f'juliet@{DOMAIN}'
LAST = "<query xmlns='jabber:iq:last'/>"
FORBIDDEN = "<error type='auth'><forbidden"


def private(inner: str = '') -> str:
    return f"<query xmlns='jabber:iq:private'>{inner}</query>"


def values(name: str, **changes: object) -> Any:
    """A module's options, some of them changed."""
    chosen = found()[name].section().defaults()
    for key, value in changes.items():
        assert hasattr(chosen, key)
        setattr(chosen, key, value)
    return chosen


@pytest.fixture
def site() -> Site:
    return Site()


# ---- every module


def module_names() -> list[str]:
    return sorted(found())


@pytest.mark.parametrize('name', module_names())
def test_a_module_that_is_off_takes_its_features_with_it(name: str) -> None:
    """Of the domain and of accounts: those of the others stay, and nothing of it listens or answers."""
    on, off = Site(), Site(modules={f'modules.{name}': values(name, enabled=False)})
    kind = found()[name]
    if found()[name].enabled:
        assert name in on.sm.modules and name not in off.sm.modules
        assert name in on.sm.status()['modules'] and name not in off.sm.status()['modules']
    assert all(seat.owner != name for seat in off.sm.hooks.listing())
    (told,) = [one for one in off.sm.modules.listing() if one['name'] == name]
    assert (told['state'], told['hooks'], told['answers']) == ('off', [], [])
    with_it, without = on.c2s().client('romeo'), off.c2s().client('romeo')
    for place, mine in ((DOMAIN, kind.server_features), ('', kind.account_features)):
        before, after = ask(with_it, INFO, place), ask(without, INFO, place)
        if name == 'disco':
            assert 'service-unavailable' in after
            continue
        others = [other for other in found().values() if other.name != name and other.enabled]
        shared = {f for other in others for f in (other.server_features if place else other.account_features)}
        for feature in mine:
            if kind.enabled:
                assert f"<feature var='{feature}'/>" in before
            assert (f"<feature var='{feature}'/>" in after) == (feature in shared)
        for feature in shared:
            assert f"<feature var='{feature}'/>" in after


# ---- private XML


def test_private_xml_comes_back_as_it_was_put(site: Site) -> None:
    """To all clients of the user; what was never put comes back as it was asked for."""
    c2s = site.c2s()
    romeo, other = c2s.client('romeo', 'a'), c2s.client('romeo', 'b')
    kept = "<storage xmlns='storage:bookmarks'><conference jid='a@b' name='&lt;&amp;'/></storage>"
    empty = "<storage xmlns='storage:bookmarks'/>"
    assert empty.rstrip('/>') in ask(romeo, private(empty))
    assert "type='result'" in ask(romeo, private(kept), kind='set')
    assert kept in ask(other, private(empty), ROMEO)
    assert "type='result'" in ask(romeo, private(empty), kind='set')
    assert 'conference' not in ask(other, private(empty))


def test_several_private_elements_are_put_at_once(site: Site) -> None:
    romeo = site.c2s().client('romeo')
    assert "type='result'" in ask(romeo, private("<a xmlns='x'>1</a><b xmlns='x'>2</b>"), kind='set')
    assert '>2</b>' in ask(romeo, private("<b xmlns='x'/>"))
    assert '>1</a>' in ask(romeo, private("<a xmlns='x'/>"))


@pytest.mark.parametrize(
    ('kind', 'inner', 'condition'),
    [
        ('get', '', 'bad-request'),
        ('get', "<a xmlns='x'/><b xmlns='x'/>", 'bad-request'),
        ('set', '', 'not-acceptable'),
        ('set', '<a/>', 'not-acceptable'),
        ('set', "<a xmlns='jabber:client'/>", 'not-acceptable'),
        ('set', "<a xmlns='x'/><a xmlns='x'/>", 'not-acceptable'),
        ('set', f"<a xmlns='{'x' * 1024}'/>", 'not-acceptable'),
    ],
)
def test_what_private_xml_can_not_be(site: Site, kind: str, inner: str, condition: str) -> None:
    assert condition in ask(site.c2s().client('romeo'), private(inner), kind=kind)


def test_nobody_else_gets_or_sets_private_xml(site: Site) -> None:
    c2s = site.c2s()
    juliet, romeo = c2s.client('juliet'), c2s.client('romeo')
    ask(juliet, private("<a xmlns='x'>secret</a>"), kind='set')
    know(site, ROMEO, JULIET, 'both')
    got = ask(romeo, private("<a xmlns='x'/>"), JULIET)
    assert 'service-unavailable' in got and 'secret' not in got
    assert 'forbidden' in ask(romeo, private("<a xmlns='x'/>"), JULIET, 'set')
    assert 'secret' in ask(juliet, private("<a xmlns='x'/>"))


def test_private_xml_has_its_limits() -> None:
    site = Site(modules={'modules.private': values('private', elements=2, bytes=200)})
    romeo = site.c2s().client('romeo')
    assert "type='result'" in ask(romeo, private("<a xmlns='x'/><b xmlns='x'/>"), kind='set')
    assert 'resource-constraint' in ask(romeo, private("<c xmlns='x'/>"), kind='set')
    assert 'resource-constraint' in ask(romeo, private(f"<a xmlns='x'>{'y' * 200}</a>"), kind='set')
    assert "type='result'" in ask(romeo, private("<a xmlns='x'>z</a>"), kind='set')


# ---- version, time, contact addresses


def test_the_version_is_told_as_far_as_the_options_allow() -> None:
    question = "<query xmlns='jabber:iq:version'/>"
    xml = ask(Site().c2s().client('romeo'), question, DOMAIN)
    assert f'<name>jabberd-tx</name><version>{__version__}</version></query>' in xml
    quiet = Site(modules={'modules.version': values('version', show_version=False, show_os=True)})
    xml = ask(quiet.c2s().client('romeo'), question, DOMAIN)
    assert '<version/>' in xml and '<os>Linux</os>' in xml and __version__ not in xml


def test_the_time_is_the_servers(site: Site) -> None:
    site.clock.advance(86_400 * 365.25 * 50)
    romeo = site.c2s().client('romeo')
    before = site.clock.seconds()
    xml = ask(romeo, "<time xmlns='urn:xmpp:time'/>", DOMAIN)
    utc = xml.partition('<utc>')[2].partition('</utc>')[0]
    assert before - 0.01 <= datetime.fromisoformat(utc).timestamp() <= site.clock.seconds()
    tzo = xml.partition('<tzo>')[2].partition('</tzo>')[0]
    assert datetime.strptime(tzo, '%z').tzinfo is not None and tzo[0] in '+-' and tzo[3] == ':'


def test_whom_to_write_to_is_told_in_a_form_of_the_domain_alone() -> None:
    uris = ['mailto:abuse@example.net', 'xmpp:x@example.net?message&amp=1']
    site = Site(modules={'modules.contacts': values('contacts', abuse=uris)})
    romeo = site.c2s().client('romeo')
    assert (
        "<x xmlns='jabber:x:data' type='result'>"
        "<field var='FORM_TYPE' type='hidden'><value>http://jabber.org/network/serverinfo</value></field>"
        "<field var='abuse-addresses' type='list-multi'><value>mailto:abuse@example.net</value>"
        '<value>xmpp:x@example.net?message&amp;amp=1</value></field></x></query>'
    ) in ask(romeo, INFO, DOMAIN)
    assert 'serverinfo' not in ask(romeo, INFO)


def test_without_contact_addresses_there_is_no_form(site: Site) -> None:
    assert 'serverinfo' not in ask(site.c2s().client('romeo'), INFO, DOMAIN)


# ---- last activity


def test_the_servers_last_activity_is_its_uptime(site: Site) -> None:
    romeo = site.c2s().client('romeo')
    site.advance(3600)
    seconds = int(ask(romeo, LAST, DOMAIN).partition("seconds='")[2].partition("'")[0])
    assert 3600 <= seconds < 3660


def test_a_users_last_activity_is_for_those_who_see_the_presence(site: Site) -> None:
    """0 while a client is available, then the time since the last one left, with what it said."""
    c2s = site.c2s()
    romeo, juliet, other = c2s.client('romeo'), c2s.client('juliet', 'a'), c2s.client('juliet', 'b')
    assert FORBIDDEN in ask(romeo, LAST, JULIET)
    know(site, ROMEO, JULIET, 'to')
    site.sm.rosters.forget_all()
    assert "<query xmlns='jabber:iq:last' seconds='0'>" in ask(romeo, LAST, JULIET)
    other.send("<presence type='unavailable'><status>not yet</status></presence>")
    site.quiet()
    assert "seconds='0'></query>" in ask(romeo, LAST, JULIET)
    juliet.send("<presence type='unavailable'><status>to <![CDATA[<Mantua>]]></status></presence>")
    juliet.leave()
    site.quiet()
    site.clock.advance(903)
    assert "seconds='903'>to &lt;Mantua&gt;</query>" in ask(romeo, LAST, JULIET)
    assert 'service-unavailable' in ask(romeo, LAST, f'ghost@{DOMAIN}')


def test_a_client_that_goes_without_a_word_was_last_here_then(site: Site) -> None:
    c2s = site.c2s()
    juliet = c2s.client('juliet')
    know(site, ROMEO, JULIET, 'to')
    assert "seconds='0'" in ask(juliet, LAST)
    juliet.leave()
    site.quiet()
    left = site.storage.run(last_activity.get, JULIET).result
    assert left.status == '' and site.clock.seconds() - left.at < 60


def test_who_never_was_here_has_no_last_activity(site: Site) -> None:
    know(site, ROMEO, JULIET, 'to')
    assert 'item-not-found' in ask(site.c2s().client('romeo'), LAST, JULIET)


def test_a_clients_own_last_activity_is_for_those_who_see_the_presence(site: Site) -> None:
    c2s = site.c2s()
    romeo, juliet = c2s.client('romeo'), c2s.client('juliet', 'j')
    assert FORBIDDEN in ask(romeo, LAST, juliet.jid)
    assert juliet.take() == []
    know(site, ROMEO, JULIET, 'to')
    site.sm.rosters.forget_all()
    assert ask(romeo, LAST, juliet.jid) == ''
    (asked,) = juliet.take()
    assert asked.children[0].ns == 'jabber:iq:last'
    site.sm.rosters.forget_all()
    site.storage.broken = 'out of order'
    assert 'resource-constraint' in ask(romeo, LAST, juliet.jid)
    assert juliet.take() == []


def test_presence_goes_on_as_modules_want(site: Site) -> None:
    """What was put in its place is what contacts get, and what the store keeps."""
    c2s = site.c2s()
    juliet, romeo = c2s.client('juliet'), c2s.client('romeo')
    know(site, ROMEO, JULIET, 'to')
    site.sm.rosters.forget_all()
    site.sm.hooks.add('presence_broadcast', lambda stanza, session: stanza.plus('y', 'x', b"<x xmlns='y'/>"))
    juliet.send(parse_stanza('<presence><show>away</show></presence>'))
    site.quiet()
    assert romeo.xml() == [f"<presence from='{juliet.jid}' to='{romeo.jid}'><show>away</show><x xmlns='y'/></presence>"]
    (session,) = site.sessions.peek(JULIET)
    assert session.presence is not None and session.presence.child('y', 'x') is not None
