"""The listings of docs/filters.md do what the page says, and a reload brings what has changed in them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from jabberd_tx.base.options import ConfigError, load
from jabberd_tx.link.frames import DEFAULT_ROUTE, Route, make_uid
from jabberd_tx.link.local import LocalLinks
from jabberd_tx.routing.router import Router
from jabberd_tx.services.parts import make_router
from jabberd_tx.services.sections import all_sections
from jabberd_tx.services.server import Server
from jabberd_tx.testing.network import Recorder
from jabberd_tx.xmpp.stanza import Stanza

PAGE = Path(__file__).parents[2] / 'docs' / 'filters.md'
LISTINGS = re.findall(r'^```toml\n(.*?)^```$', PAGE.read_text(), re.M | re.S)


class Site:
    """A router as a process makes it from a file, and a `Server` around it that does not run."""

    def __init__(self, folder: Path, text: str) -> None:
        self.file = folder / 'jabberd.toml'
        self.write(text)
        config = load(self.file, all_sections())

        async def nothing(server: Any) -> None: ...

        self.server = Server('router', config, Clock(), nothing)
        self.router: Router = make_router(self.server)

    def write(self, text: str) -> None:
        self.file.write_text(text)
        self.file.chmod(0o600)

    def reload(self, text: str) -> Any:
        """What the reload reports; ConfigError."""
        self.write(text)
        found: list[Any] = []
        Deferred.fromCoroutine(self.server.reload.run()).addBoth(found.append)
        if isinstance(found[0], Failure):
            found[0].raiseException()
        return found[0]

    def node(self, node: str, *names: str) -> Recorder:
        recorder = Recorder(LocalLinks(node, self.router, self.server.turn))
        for name in names:
            recorder.links.bind(name)
        self.settle()
        return recorder

    def settle(self) -> None:
        for _ in range(20):
            self.server.reactor.advance(0)

    def judged(self, sender: str, to: str, type: str = '') -> tuple[str, str]:
        """(action, condition or target) of the rule that counts."""
        attrs = {'from': sender, 'to': to, **({'type': type} if type else {})}
        frame = Route('example.net', None, 'c2s-1', 0, make_uid(b's' * 16, 1), 4, 0, Stanza('message', attrs))
        rule = self.router.filters.judge(frame)
        return ('', '') if rule is None else (rule.action, rule.target or rule.condition)


@pytest.fixture
def page(tmp_path: Path) -> Site:
    """All listings of the page in one file."""
    return Site(tmp_path, ''.join(LISTINGS))


def test_the_filter_rules_of_the_page(page: Site) -> None:
    romeo = 'romeo@example.net/a'
    assert page.judged('admin@example.net/x', 'all.example.net', 'normal')[0] == 'allow'
    assert page.judged(romeo, 'all.example.net') == ('deny', 'forbidden')
    for spammer in ('x@a.spam.example', 'spam1@example.org/r'):
        assert page.judged(spammer, 'juliet@example.net', 'chat') == ('deny', 'not-allowed')
    assert page.judged(romeo, 'juliet@example.net') == ('redirect', 'inspection.example.net')
    assert page.judged(romeo, 'juliet@example.net', 'chat') == ('', '')


def test_the_alias_and_the_default_route_of_the_page(page: Site) -> None:
    asker = page.node('c2s-1')
    page.node('muc-1', 'muc.example.net')
    page.node('s2s-1', 's2s.example.net')
    assert asker.links.instances('conference.example.net').keys() == {'muc-1'}
    assert asker.links.instances(DEFAULT_ROUTE).keys() == {'s2s-1'}


def test_the_access_rules_of_the_page(page: Site) -> None:
    access = page.router.access
    assert access.may_bind('sm-a', 'example.net', {}) and not access.may_bind('sm-a', 'muc.example.net', {})
    assert access.may_bind('bridge-1', 'x.bridge.example.net', {})
    assert access.secret_of('bridge-1', 'usual') == 'what only the bridges know'
    assert access.may_bind('recorder-7', 'recorder-7', {'log': True})
    assert not access.may_bind('muc-1', 'muc.example.net', {})


def test_a_reload_brings_all_that_has_changed(page: Site) -> None:
    asker = page.node('c2s-1')
    page.node('muc-1', 'muc.example.net')
    page.node('s2s-1', 's2s.example.net')
    new = """
[router]
default = "muc.example.net"

[[alias]]
name = "rooms.example.net"
target = "muc.example.net"

[[access]]
nodes = ["muc-*"]
names = ["muc.example.net"]
"""
    report = page.reload(new)
    page.settle()
    assert report.failed == report.restart == []
    assert asker.links.instances(DEFAULT_ROUTE).keys() == asker.links.instances('rooms.example.net').keys() == {'muc-1'}
    assert not asker.links.instances('conference.example.net') and not page.router.filters
    assert page.router.access.may_bind('muc-1', 'muc.example.net', {})


def test_a_reload_of_a_bad_rule_changes_nothing(page: Site) -> None:
    with pytest.raises(ConfigError, match='filter.0.from'):
        page.reload('[[filter]]\nfrom = ["@"]\n')
    assert page.judged('romeo@example.net/a', 'all.example.net') == ('deny', 'forbidden')
