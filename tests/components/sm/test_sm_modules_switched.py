"""Every module is switched by the configuration: disco, hooks and answers are there while it is on, and only then."""

from __future__ import annotations

from xml.etree.ElementTree import fromstring

import pytest

from jabberd_tx.components.sm.finding import found
from jabberd_tx.components.sm.module import SERVER, HookUse, IqUse, Module
from jabberd_tx.testing.memory_server import MemoryServer
from jabberd_tx.xmpp import ns

KINDS = found()


def server(kind: type[Module], on: bool) -> MemoryServer:
    """With disco on in any case, since it is asked."""
    overrides = [f'modules.{kind.name}.enabled={str(on).lower()}', 'modules.disco.enabled=true']
    return MemoryServer(overrides=overrides if kind.name != 'disco' else overrides[:1])


def features(server: MemoryServer, to: str) -> set[str]:
    juliet = server.client('juliet')
    answer = server.ask(juliet, 'get', f"<query xmlns='{ns.DISCO_INFO}'/>", to)
    assert answer.attrs['type'] == 'result'
    query = fromstring(b"<x xmlns='jabber:client'>%b</x>" % answer.inner)
    return {feature.get('var') or '' for feature in query.iter(f'{{{ns.DISCO_INFO}}}feature')}


@pytest.mark.parametrize('kind', [kind for kind in KINDS.values() if kind.name != 'disco'], ids=lambda kind: kind.name)
def test_disco_names_the_features_of_a_module_while_it_is_on(kind: type[Module]) -> None:
    """Of the server and of accounts; what other modules have as well stays, and nothing else comes or goes."""
    for to, declared in (('example.net', 'server_features'), ('juliet@example.net', 'account_features')):
        own = set(getattr(kind, declared))
        others = {feature for other in KINDS.values() if other is not kind for feature in getattr(other, declared)}
        on, off = features(server(kind, True), to), features(server(kind, False), to)
        assert own <= on
        assert not (own - others) & off
        assert off <= on


@pytest.mark.parametrize('kind', KINDS.values(), ids=lambda kind: kind.name)
def test_a_module_has_its_hooks_and_answers_while_it_is_on(kind: type[Module]) -> None:
    """As it declares them."""
    (told,) = [one for one in server(kind, True).sm.modules.listing() if one['name'] == kind.name]
    uses = [use for use, _ in kind.declared()]
    assert told['state'] == 'on'
    points = [use.point for use in uses if isinstance(use, HookUse)]
    assert sorted([point for point, _, _ in told['hooks']]) == sorted(points)
    assert len(told['answers']) == len([use for use in uses if isinstance(use, IqUse)])
    (told,) = [one for one in server(kind, False).sm.modules.listing() if one['name'] == kind.name]
    assert (told['state'], told['hooks'], told['answers']) == ('off', [], [])


@pytest.mark.parametrize('kind', KINDS.values(), ids=lambda kind: kind.name)
def test_what_a_module_answers_is_refused_while_it_is_off(kind: type[Module]) -> None:
    """By service-unavailable, as what nobody has ever heard of."""
    off = server(kind, False)
    juliet = off.client('juliet')
    for use in [use for use, _ in kind.declared() if isinstance(use, IqUse)]:
        to = 'example.net' if SERVER in use.places else ''
        answer = off.ask(juliet, use.kind, f"<{use.name} xmlns='{use.ns}'/>", to)
        assert answer.attrs['type'] == 'error' and b'<service-unavailable' in answer.inner, use
