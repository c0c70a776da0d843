"""What modules do is counted for each, without a line of theirs; and the listing tells what is on and where it sits."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred

from jabberd_tx.base.options import load
from jabberd_tx.components.sm.finding import sections
from jabberd_tx.components.sm.hooks import POINTS, STOP, Hooks
from jabberd_tx.components.sm.module import Module
from jabberd_tx.components.sm.modules.ping import Ping
from jabberd_tx.components.sm.tally import Tallies
from jabberd_tx.testing.client import run
from jabberd_tx.testing.network import Network
from jabberd_tx.xmpp.errors import StanzaError
from tests.components.sm.sm_support import DOMAIN, Site
from tests.components.sm.test_sm_iq import ask

PING = "<ping xmlns='urn:xmpp:ping'/>"


def test_iqs_are_counted_with_the_time_that_they_took(monkeypatch: pytest.MonkeyPatch) -> None:
    """At once or after a wait; refusals and failures are calls, and no answers."""
    waiting: list[Deferred[None]] = []
    outcomes: list[Any] = [None, StanzaError('not-allowed'), RuntimeError('no'), Deferred, RuntimeError]

    def pong(module: Module, request: Any) -> Any:
        outcome = outcomes.pop(0)
        if isinstance(outcome, type):
            waiting.append(Deferred())
            return waiting[-1]
        if outcome is not None:
            raise outcome

    monkeypatch.setattr(Ping, 'pong', _like(Ping.pong, pong))
    site = Site()
    romeo = site.c2s().client('romeo')
    for _ in range(3):
        ask(romeo, PING, DOMAIN)
    for end in (lambda: waiting[0].callback(None), lambda: waiting[1].errback(RuntimeError('late'))):
        romeo.send(f"<iq type='get' id='w' to='{DOMAIN}'>{PING}</iq>")
        site.advance(2)
        end()
        site.quiet()
    metrics = site.network.metrics
    assert metrics.value('jabberd_module_calls', 'ping') == 5
    assert metrics.value('jabberd_module_answers', 'ping') == 2
    assert metrics.value('jabberd_module_failures', 'ping') == 2
    assert metrics.value('jabberd_module_answer_seconds', 'ping') == 2
    text = metrics.text().decode()
    assert '# TYPE jabberd_module_calls_total counter' in text
    assert 'jabberd_module_calls_total{module="ping"} 5.0' in text


def _like(declared: Any, method: Any) -> Any:
    method.uses = declared.uses
    return method


@pytest.mark.parametrize('how', ['ask', 'collect', 'tell'])
def test_calls_of_hooks_and_their_failures_are_counted(how: str) -> None:
    """Of each handler that was called, until one answers; a late failure as well."""
    tallies = Tallies()
    hooks = Hooks(POINTS, tallies)
    late: Deferred[None] = Deferred()

    def first(*arguments: object) -> object:
        return late if how == 'ask' else None

    def second(*arguments: object) -> None:
        raise RuntimeError('no')

    def third(*arguments: object) -> object:
        return STOP if how == 'ask' else ()

    for order, handler in enumerate((first, second, third, third)):
        hooks.add('message_sent', handler, order, f'm{order}')
    if how == 'ask':
        done = Deferred.fromCoroutine(hooks.ask('message_sent', None))
        late.errback(RuntimeError('late'))
        assert run(Network(), _result(done)) is STOP
    else:
        getattr(hooks, how)('message_sent', None)
    seen = [(tallies.of(f'm{n}').calls, tallies.of(f'm{n}').failures) for n in range(4)]
    asked = how == 'ask'
    assert seen == [(1, int(asked)), (1, 1), (1, 0), (int(not asked), 0)]


async def _result(done: Deferred[Any]) -> Any:
    return await done


def test_the_listing_tells_what_is_on_off_and_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the places of those that are on."""

    def fail(module: Module) -> None:
        raise RuntimeError('no')

    monkeypatch.setattr(Ping, 'start', fail)
    config = load(None, sections(), ['modules.disco.enabled=false'])
    site = Site(modules={section.name: config.section(section) for section in sections()})
    told = {one['name']: one for one in site.sm.modules.listing()}
    assert [told[name]['state'] for name in ('disco', 'ping', 'offline')] == ['off', 'failed', 'on']
    assert told['ping']['answers'] == told['disco']['answers'] == []
    assert ['message_unreachable', 50, 'store'] in told['offline']['hooks']
    assert told['offline']['module'] == 'jabberd_tx.components.sm.modules.offline'
    site = Site()
    (disco,) = [one for one in site.sm.modules.listing() if one['name'] == 'disco']
    assert ['get', 'http://jabber.org/protocol/disco#info', 'query', ['own account', 'server']] in disco['answers']
