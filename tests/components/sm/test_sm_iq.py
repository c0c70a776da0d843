"""IQs: answered for the server and for accounts, passed on to full JIDs (RFC 6120 §8.2.3, RFC 6121 §8.5)."""

from __future__ import annotations

import pytest

from jabberd_tx.components.sm.hooks import Hooks
from jabberd_tx.link.frames import NO_SESSION
from jabberd_tx.testing.network import Recorder
from jabberd_tx.xmpp.stanza import Stanza
from jabberd_tx.xmpp.writer import to_xml
from tests.components.sm.sm_support import DOMAIN, Client, Site
from tests.components.sm.test_sm_presence import know

ROMEO, JULIET, NURSE = f'romeo@{DOMAIN}', f'juliet@{DOMAIN}', f'nurse@{DOMAIN}'
PING = "<ping xmlns='urn:xmpp:ping'/>"
INFO = "<query xmlns='http://jabber.org/protocol/disco#info'/>"
ITEMS = "<query xmlns='http://jabber.org/protocol/disco#items'/>"


def ask(client: Client, child: str, to: str = '', kind: str = 'get', id: str = 'q') -> str:
    """The XML of the answer, '' when there is none."""
    client.take()
    attrs = ''.join([f" {name}='{value}'" for name, value in (('to', to), ('type', kind), ('id', id)) if value])
    number = client.send(f'<iq{attrs}>{child}</iq>')
    client.node.site.quiet()
    assert number in client.confirmed
    return ''.join(client.xml())


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.mark.parametrize('to', ['', ROMEO, DOMAIN])
def test_the_server_and_ones_own_account_answer_pings(site: Site, to: str) -> None:
    romeo = site.c2s().client('romeo')
    written = f" from='{to}'" if to else ''
    assert ask(romeo, PING, to) == f"<iq type='result' id='q' to='{romeo.jid}'{written}/>"


def test_other_accounts_do_not_answer_pings(site: Site) -> None:
    romeo = site.c2s().client('romeo')
    for to in (JULIET, f'ghost@{DOMAIN}', f'{DOMAIN}/resource'):
        assert "<error type='cancel'><service-unavailable" in ask(romeo, PING, to)


@pytest.mark.parametrize('kind', ['get', 'set'])
@pytest.mark.parametrize('to', ['', DOMAIN, JULIET])
def test_what_nobody_knows_is_service_unavailable(site: Site, kind: str, to: str) -> None:
    romeo = site.c2s().client('romeo')
    assert 'service-unavailable' in ask(romeo, "<x xmlns='unknown'/>", to, kind)


@pytest.mark.parametrize('child', ['', PING + PING, PING + '<x xmlns="y"/>'])
def test_a_get_without_exactly_one_child_is_a_bad_request(site: Site, child: str) -> None:
    assert 'bad-request' in ask(site.c2s().client('romeo'), child, DOMAIN)


def test_an_iq_without_id_or_of_no_such_type_is_a_bad_request(site: Site) -> None:
    romeo = site.c2s().client('romeo')
    assert 'bad-request' in ask(romeo, PING, id='')
    assert 'bad-request' in ask(romeo, PING, kind='query')
    assert 'bad-request' in ask(romeo, PING, kind='')


@pytest.mark.parametrize('kind', ['result', 'error'])
@pytest.mark.parametrize('to', ['', DOMAIN, ROMEO, f'{JULIET}/gone', f'ghost@{DOMAIN}'])
def test_answers_that_nobody_waits_for_are_dropped(site: Site, kind: str, to: str) -> None:
    assert ask(site.c2s().client('romeo'), '', to, kind) == ''


def test_an_iq_to_a_full_jid_is_passed_on_as_it_is_with_its_uid(site: Site) -> None:
    c2s = site.c2s()
    romeo, juliet = c2s.client('romeo'), c2s.client('juliet', 'j')
    assert ask(romeo, PING, juliet.jid) == ''
    assert juliet.xml() == [f"<iq to='{juliet.jid}' type='get' id='q' from='{romeo.jid}'>{PING}</iq>"]
    assert juliet.uids[0][:16] == romeo.stream
    assert ask(juliet, '', romeo.jid, 'result') == ''
    assert romeo.xml() == [f"<iq to='{romeo.jid}' type='result' id='q' from='{juliet.jid}'/>"]


def test_an_iq_to_a_session_that_is_not_there_is_service_unavailable(site: Site) -> None:
    romeo = site.c2s().client('romeo')
    assert 'service-unavailable' in ask(romeo, PING, f'{JULIET}/gone')


def test_errors_do_not_tell_who_is_there(site: Site) -> None:
    """RFC 6120 §13.10.2: bare or full, online, away or unknown, the error is the same."""
    c2s = site.c2s()
    romeo = c2s.client('romeo')
    c2s.client('juliet', 'j')
    seen = set()
    for to in (JULIET, f'{JULIET}/gone', NURSE, f'{NURSE}/gone', f'ghost@{DOMAIN}', f'ghost@{DOMAIN}/gone'):
        seen.add(ask(romeo, PING, to).replace(f"from='{to}'", ''))
    assert len(seen) == 1 and 'service-unavailable' in seen.pop()


def test_an_iq_that_comes_back_is_service_unavailable(site: Site) -> None:
    here, there = site.c2s('c2s-1'), site.c2s('c2s-2')
    romeo, juliet = here.client('romeo'), there.client('juliet', 'j')
    there.bouncing = NO_SESSION
    assert 'service-unavailable' in ask(romeo, PING, juliet.jid)


def test_an_iq_to_a_session_whose_node_dies_is_service_unavailable(site: Site) -> None:
    here, there = site.c2s('c2s-1'), site.c2s('c2s-2')
    romeo, juliet = here.client('romeo'), there.client('juliet', 'j')
    there.holding = True
    romeo.send(f"<iq type='get' id='q' to='{juliet.jid}'>{PING}</iq>")
    site.settle()
    there.links.lose(0)
    site.quiet()
    assert 'service-unavailable' in romeo.xml()[-1]


def test_a_repeated_iq_is_answered_once(site: Site) -> None:
    romeo = site.c2s().client('romeo')
    romeo.take()
    number = romeo.send(f"<iq type='get' id='q'>{PING}</iq>")
    frame = romeo.sent[number]
    site.quiet()
    romeo.sent[number] = frame
    romeo.again(number)
    site.quiet()
    assert len(romeo.stanzas) == 1
    assert romeo.confirmed.count(number) == 2


def test_an_iq_to_a_domain_that_nobody_serves_is_remote_server_not_found(site: Site) -> None:
    romeo = site.c2s().client('romeo')
    assert 'remote-server-not-found' in ask(romeo, PING, 'other.example')
    assert ask(romeo, '', 'other.example', 'result') == ''


def test_components_get_what_is_for_their_domain_and_their_answers_find_the_client(site: Site) -> None:
    component = Recorder(site.network.links('component'))
    component.links.bind('other.example')
    site.settle()
    romeo = site.c2s().client('romeo')
    assert ask(romeo, PING, 'x@other.example') == ''
    (request,) = component.stanzas
    component.send(
        DOMAIN, ROMEO, Stanza('iq', {'type': 'result', 'id': 'q', 'from': 'x@other.example', 'to': romeo.jid})
    )
    site.quiet()
    assert romeo.xml() == [f"<iq type='result' id='q' from='x@other.example' to='{romeo.jid}'/>"]
    # And the other way round.
    ping = request.with_attrs(to=DOMAIN, from_='x@other.example')
    component.frames.clear()
    component.send(DOMAIN, DOMAIN, ping)
    site.quiet()
    assert to_xml(component.stanzas[-1]) == f"<iq type='result' id='q' to='x@other.example' from='{DOMAIN}'/>".encode()


def test_messages_to_a_component_are_settled_when_it_has_them(site: Site) -> None:
    component = Recorder(site.network.links('component'), confirms=False)
    component.links.bind('other.example')
    site.settle()
    romeo = site.c2s().client('romeo')
    number = romeo.chat('room@other.example', 'hi')
    site.settle()
    assert number not in romeo.confirmed
    (frame,) = component.routes
    component.links.confirm(frame.source, frame.uid)
    site.quiet()
    assert number in romeo.confirmed


def test_messages_to_a_component_that_goes_are_answered_or_go_to_the_next(site: Site) -> None:
    first, second = [Recorder(site.network.links(name), confirms=False) for name in ('component-1', 'component-2')]
    first.links.bind('other.example')
    site.settle()
    romeo = site.c2s().client('romeo')
    romeo.chat('room@other.example', 'hi')
    site.settle()
    second.links.bind('other.example')
    site.settle()
    first.links.stop()
    site.settle()
    assert [stanza.attrs['id'] for stanza in second.stanzas] == ['hi']
    second.links.stop()
    site.quiet()
    assert romeo.bodies() == ['error:hi']


def test_a_component_can_not_speak_for_users_of_ours(site: Site) -> None:
    component = Recorder(site.network.links('component'))
    component.links.bind('other.example')
    site.settle()
    romeo, juliet = site.c2s().client('romeo'), site.c2s('c2s-2').client('juliet')
    forged = Stanza('message', {'from': romeo.jid, 'to': JULIET, 'id': 'forged'})
    for stanza in (
        forged,
        forged.with_attrs(from_=None),
        forged.with_attrs(from_='@'),
        forged.with_attrs(from_='x@other.example', to=None),
        Stanza('presence', {'from': ROMEO, 'to': JULIET, 'type': 'subscribed'}),
    ):
        component.send(DOMAIN, JULIET, stanza)
    component.send(DOMAIN, JULIET, forged.with_attrs(from_='x@other.example', id='honest'))
    site.quiet()
    assert juliet.bodies() == ['honest']
    assert len(juliet.stanzas) == 1
    assert len(component.confirmed) == 6


# ---- disco


def test_disco_names_the_server_and_what_is_on(site: Site) -> None:
    romeo = site.c2s().client('romeo')
    xml = ask(romeo, INFO, DOMAIN)
    assert "<identity category='server' type='im'/>" in xml
    for feature in ('urn:xmpp:ping', 'msgoffline', 'http://jabber.org/protocol/disco#info'):
        assert f"<feature var='{feature}'/>" in xml
    xml = ask(romeo, INFO)
    assert "<identity category='account' type='registered'/>" in xml
    assert 'msgoffline' not in xml
    assert "<query xmlns='http://jabber.org/protocol/disco#items'></query>" in ask(romeo, ITEMS, DOMAIN)


@pytest.mark.parametrize('name', ['ping', 'offline', 'disco'])
def test_a_module_that_is_off_is_neither_there_nor_advertised(name: str) -> None:
    off = Site(modules={f'modules.{name}': type('Values', (), {'enabled': False})()})
    romeo = off.c2s().client('romeo')
    assert name not in off.sm.status()['modules']
    info = ask(romeo, INFO, DOMAIN)
    if name == 'disco':
        assert 'service-unavailable' in info
    else:
        on = ask(Site().c2s().client('romeo'), INFO, DOMAIN)
        assert len(on) > len(info)
        assert {'ping': 'urn:xmpp:ping', 'offline': 'msgoffline'}[name] not in info
    if name == 'ping':
        assert 'service-unavailable' in ask(romeo, PING, DOMAIN)


def test_disco_of_another_account_is_for_those_who_may_see_it(site: Site) -> None:
    romeo = site.c2s().client('romeo')
    assert 'service-unavailable' in ask(romeo, INFO, JULIET)
    know(site, ROMEO, JULIET, 'to')
    site.sm.rosters.forget_all()
    assert "category='account'" in ask(romeo, INFO, JULIET)
    assert 'disco#items' in ask(romeo, ITEMS, JULIET)
    assert 'service-unavailable' in ask(romeo, INFO, f'ghost@{DOMAIN}')


def test_disco_of_a_node_that_is_not_there_is_item_not_found(site: Site) -> None:
    romeo = site.c2s().client('romeo')
    for query in (INFO, ITEMS):
        assert 'item-not-found' in ask(romeo, query.replace('/>', " node='x'/>"), DOMAIN)


def test_a_module_that_fails_means_internal_server_error(site: Site) -> None:
    def fail(request: object) -> None:
        raise RuntimeError('broken module')

    site.sm.hooks.add('disco_features', lambda request: ['extra'])
    romeo = site.c2s().client('romeo')
    assert "<feature var='extra'/>" in ask(romeo, INFO, DOMAIN)
    answerer = site.sm.iqs._answerers[('get', 'urn:xmpp:ping', 'ping')][0]
    site.sm.iqs._answerers[('get', 'urn:xmpp:ping', 'ping')] = [answerer._replace(method=fail)]
    assert 'internal-server-error' in ask(romeo, PING)


def test_hooks_have_names() -> None:
    with pytest.raises(KeyError):
        Hooks().add('no such point', print)
