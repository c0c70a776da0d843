"""Modules: found by declaration, inside the package and outside; and what their hooks may do to messages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from zope.interface.verify import verifyObject

import twisted.plugins
from jabberd_tx.base.options import load
from jabberd_tx.components.sm import finding
from jabberd_tx.components.sm.finding import DuplicateModule, found, sections
from jabberd_tx.components.sm.hooks import ELSEWHERE, POINTS, STOP, Hooks
from jabberd_tx.components.sm.lanes import Item
from jabberd_tx.components.sm.module import OWN_ACCOUNT, SERVER, IModule, IqUse, Module, answers, hook
from jabberd_tx.components.sm.modules.ping import Ping
from jabberd_tx.xmpp.errors import StanzaError
from tests.components.sm.sm_support import DOMAIN, Site
from tests.components.sm.test_sm_iq import INFO, ask

JULIET = f'juliet@{DOMAIN}'

OUTSIDE = '''
from jabberd_tx.base.options import Option
from jabberd_tx.components.sm.module import SERVER, Module, answers, hook


class Shout(Module):
    """Makes everybody speak up.

    This is not told in the reference."""

    name = 'shout'
    xeps = ('XEP-9999',)
    server_features = ('urn:example:shout',)
    options = (Option('volume', int, 11, 'How loud.', low=1, high=11),)

    @hook('message_sent', order=10)
    def shout(self, message):
        return message.stanza.with_attrs(id=message.stanza.attrs['id'].upper() + '!' * self.values.volume)

    @answers('get', 'urn:example:shout', 'volume', SERVER)
    def volume(self, request):
        return request.result('urn:example:shout', 'volume', b"<volume xmlns='urn:example:shout'>%d</volume>" % 11)
'''


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of twisted.plugins that belongs to somebody else, with a module in it."""
    folder = tmp_path / 'twisted' / 'plugins'
    folder.mkdir(parents=True)
    (folder / 'example_shout.py').write_text(OUTSIDE)
    monkeypatch.setattr(twisted.plugins, '__path__', [*twisted.plugins.__path__, str(folder)])
    return folder


def test_the_packages_own_modules_are_found_and_keep_the_interface() -> None:
    kinds = found()
    assert {'disco', 'offline', 'ping'} <= set(kinds)
    for name, kind in kinds.items():
        assert verifyObject(IModule, kind)
        assert kind.name == name
        assert kind.help and not kind.help.endswith('\n')
        assert kind.section().name == f'modules.{name}'
        assert kind.section().options[0].name == 'enabled'


def test_a_module_from_elsewhere_is_found_configured_and_at_work(outside: Path) -> None:
    (section,) = [section for section in sections() if section.name == 'modules.shout']
    assert section.help == 'Makes everybody speak up. (XEP-9999)'
    config = load(None, sections(), ['modules.shout.volume=2'])
    site = Site(modules={section.name: config.section(section) for section in sections()})
    c2s = site.c2s()
    romeo, juliet = c2s.client('romeo'), c2s.client('juliet')
    romeo.chat(JULIET, 'hi')
    site.quiet()
    assert juliet.bodies() == ['HI!!']
    assert 'urn:example:shout' in ask(romeo, INFO, DOMAIN)
    assert '>11</volume>' in ask(romeo, "<volume xmlns='urn:example:shout'/>", DOMAIN)
    assert ('message_sent', 10, 'shout', 'shout') in site.sm.hooks.listing()
    (told,) = [one for one in site.sm.modules.listing() if one['name'] == 'shout']
    assert told['xeps'] == ['XEP-9999']


def test_a_module_from_elsewhere_can_be_switched_off(outside: Path) -> None:
    config = load(None, sections(), ['modules.shout.enabled=false'])
    site = Site(modules={section.name: config.section(section) for section in sections()})
    romeo = site.c2s().client('romeo')
    assert 'urn:example:shout' not in ask(romeo, INFO, DOMAIN)
    assert all(seat.owner != 'shout' for seat in site.sm.hooks.listing())


def test_two_modules_of_one_name_are_refused(outside: Path) -> None:
    (outside / 'example_ping.py').write_text(OUTSIDE.replace("'shout'", "'ping'"))
    with pytest.raises(DuplicateModule, match='named ping'):
        found()


def test_a_plugin_file_that_can_not_be_imported_hides_nobody_else(outside: Path) -> None:
    (outside / 'example_broken.py').write_text('import no_such_module_anywhere')
    assert 'shout' in found()


def test_a_module_at_hand_needs_no_plugin_file() -> None:
    class AtHand(Module):
        """Is here."""

        name = 'at-hand'

    assert found([AtHand])['at-hand'] is AtHand
    assert 'at-hand' not in found()
    assert finding.sections([AtHand])[-1].name == 'modules.at-hand'


def test_a_module_that_can_not_start_is_not_advertised(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(module: Module) -> None:
        raise RuntimeError('no')

    monkeypatch.setattr(Ping, 'start', fail)
    site = Site()
    romeo = site.c2s().client('romeo')
    assert 'urn:xmpp:ping' not in ask(romeo, INFO, DOMAIN)
    assert 'service-unavailable' in ask(romeo, "<ping xmlns='urn:xmpp:ping'/>", DOMAIN)


def test_nobody_answers_what_somebody_answers_already() -> None:
    site = Site()
    use = IqUse('get', 'urn:xmpp:ping', 'ping', frozenset((OWN_ACCOUNT, SERVER)))
    with pytest.raises(ValueError, match='ping answers'):
        site.sm.iqs.add(use, lambda request: None, 'other')


def test_one_method_may_have_several_uses() -> None:
    class Several(Module):
        """Does all."""

        name = 'several'

        @hook('session_started')
        @hook('session_ended', order=3)
        @answers('get', 'x', 'y', SERVER)
        def all(self, thing: object) -> None: ...

    module = Several(None, None)  # type: ignore[arg-type]
    assert len(module.uses()) == 3


# ---- hooks by themselves


def test_handlers_are_called_in_order_until_one_answers() -> None:
    hooks = Hooks()
    calls: list[str] = []

    def handler(name: str, answer: Any = None) -> Any:
        def call(value: str) -> Any:
            calls.append(f'{name} {value}')
            return answer

        call.__name__ = name
        return call

    hooks.add('message_sent', handler('last'), order=90, owner='z')
    hooks.add('message_sent', handler('first'), order=10, owner='a')
    hooks.add('message_sent', handler('middle', 'answer'), owner='m')
    assert [(seat.order, seat.handler) for seat in hooks.listing()] == [(10, 'first'), (50, 'middle'), (90, 'last')]
    assert hooks.ask_now('message_sent', 'x') == ('answer', None)
    assert calls == ['first x', 'middle x']
    chain = hooks.chains['message_sent']
    hooks.remove('m')
    assert hooks.chains['message_sent'] is chain and len(chain) == 2
    assert hooks.ask_now('message_sent', 'x') == (None, None)


def test_a_handler_that_fails_is_passed_over_and_one_that_refuses_is_not() -> None:
    hooks = Hooks()

    def fail(value: object) -> None:
        raise RuntimeError('broken')

    def refuse(value: object) -> None:
        raise StanzaError('forbidden')

    hooks.add('message_to', fail)
    hooks.add('message_to', lambda value: 'answer')
    assert hooks.ask_now('message_to', 1) == ('answer', None)
    hooks.add('message_to', refuse, order=1)
    with pytest.raises(StanzaError):
        hooks.ask_now('message_to', 1)
    hooks.add('session_ended', fail)
    heard: list[object] = []
    hooks.add('session_ended', heard.append)
    hooks.tell('session_ended', 'it')
    assert heard == ['it']
    hooks.add('disco_features', fail)
    hooks.add('disco_features', lambda request: ['a', 'b'])
    hooks.add('disco_features', lambda request: None)
    assert hooks.collect('disco_features', None) == ['a', 'b']


def test_a_handler_may_take_its_time_and_the_others_come_after_it() -> None:
    hooks = Hooks()
    waiting: list[Deferred[Any]] = [Deferred(), Deferred()]
    order: list[str] = []
    hooks.add('message_to', lambda value: waiting[0])
    hooks.add('message_to', lambda value: order.append('second'))
    hooks.add('message_to', lambda value: waiting[1])
    asked = Deferred.fromCoroutine(hooks.ask('message_to', 1))
    assert order == []
    waiting[0].callback(None)
    assert order == ['second']
    waiting[1].callback('late')
    assert asked.result == 'late'


def test_modules_can_tell_other_domains_from_users_who_are_not_there() -> None:
    """message_concerns gets no sessions of either; which of the two it is costs no look at the address."""
    site = Site()
    romeo = site.c2s().client('romeo')
    seen: list[Any] = []
    site.sm.hooks.add('message_concerns', lambda stanza, own, others: seen.append(others), 1, 'notes')
    romeo.chat(f'juliet@{DOMAIN}', 'one')
    romeo.chat('juliet@elsewhere.example', 'two')
    site.settle()
    assert seen == [(), ()] and seen[0] is not ELSEWHERE and seen[1] is ELSEWHERE


def test_every_point_says_what_it_is_for() -> None:
    assert all(point.help.endswith('.') and point.arguments for point in POINTS)


# ---- hooks on messages


def two_with(point: str, handler: Any) -> tuple[Site, Any, Any]:
    site = Site()
    site.sm.hooks.add(point, handler, owner='test')
    c2s = site.c2s()
    return site, c2s.client('romeo'), c2s.client('juliet')


@pytest.mark.parametrize('point', ['message_sent', 'message_to'])
def test_a_message_can_be_stopped_refused_or_changed(point: str) -> None:
    def handler(message: Item) -> Any:
        name = message.stanza.attrs['id']
        assert message.sender.startswith('romeo@') and message.to.bare == JULIET and len(message.uid) == 24
        if name == 'stop':
            return STOP
        if name == 'refuse':
            raise StanzaError('not-acceptable', 'no')
        return message.stanza.with_attrs(id='changed') if name == 'change' else None

    site, romeo, juliet = two_with(point, handler)
    for name in ('plain', 'stop', 'refuse', 'change'):
        romeo.chat(JULIET, name)
    site.quiet()
    assert juliet.bodies() == ['plain', 'changed']
    assert romeo.bodies() == ['error:refuse']
    assert 'not-acceptable' in romeo.xml()[-1]
    assert len(romeo.confirmed) == romeo.number + 1


@pytest.mark.parametrize('point', ['message_sent', 'message_to'])
def test_a_message_waits_for_a_handler_that_takes_its_time_and_so_do_those_behind_it(point: str) -> None:
    waiting: list[Deferred[Any]] = []

    def handler(message: Item) -> Any:
        if message.stanza.attrs['id'].startswith('slow'):
            waiting.append(Deferred())
            return waiting[-1]
        return None

    site, romeo, juliet = two_with(point, handler)
    for name in ('a', 'slow1', 'b', 'slow2', 'c'):
        romeo.chat(JULIET, name)
    site.settle()
    assert juliet.bodies() == ['a']
    waiting[0].callback(None)
    site.settle()
    assert juliet.bodies() == ['a', 'slow1', 'b']
    waiting[1].callback(STOP)
    site.quiet()
    assert juliet.bodies() == ['a', 'slow1', 'b', 'c']


def test_a_handler_that_fails_in_the_end_lets_the_message_go_on() -> None:
    waiting: Deferred[Any] = Deferred()
    site, romeo, juliet = two_with('message_to', lambda message: waiting)
    romeo.chat(JULIET, 'a')
    site.settle()
    waiting.errback(RuntimeError('broken'))
    site.quiet()
    assert juliet.bodies() == ['a']


def test_what_modules_send_goes_to_whom_it_is_for() -> None:
    site = Site()
    c2s = site.c2s()
    romeo = c2s.client('romeo', 'r')
    from jabberd_tx.xmpp.stanza import Stanza

    for name, to, more in (
        ('message', romeo.jid, {'id': 'full'}),
        ('message', romeo.owner, {'id': 'bare'}),
        ('message', JULIET, {'id': 'offline'}),
        ('presence', romeo.owner, {}),
        ('iq', f'{romeo.owner}/gone', {'id': 'x', 'type': 'get'}),
        ('message', 'x@nowhere.example', {}),
    ):
        site.sm.send(Stanza(name, {'from': DOMAIN, 'to': to, **more}))
    site.quiet()
    assert romeo.bodies() == ['full', 'bare']
    assert [stanza.name for stanza in romeo.stanzas] == ['message', 'presence', 'message'] or len(romeo.stanzas) == 3
    later = c2s.start('juliet', 'j').come()
    site.quiet()
    assert later.bodies() == ['offline']
