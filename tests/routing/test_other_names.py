"""What a router serves by other names: aliases, the default route, and all instances at once."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from jabberd_tx.base.options import ConfigError, load
from jabberd_tx.link.frames import BUSY, DEFAULT_ROUTE, NO_LINK
from jabberd_tx.routing.other_names import ALIASES
from jabberd_tx.testing.network import Network, Recorder
from jabberd_tx.xmpp.stanza import Stanza


def alias(name: str, target: str) -> SimpleNamespace:
    return SimpleNamespace(name=name, target=target)


class Site:
    """A router, and components by their names."""

    def __init__(self, coded: bool = False, **options: object) -> None:
        self.network = Network(coded=coded, **options)
        self.router = self.network.router
        self.c2s = self.component('c2s-1')

    def component(self, node: str, name: str = '', **options: object) -> Recorder:
        recorder = Recorder(self.network.links(node))
        if name:
            recorder.links.bind(name, **options)  # type: ignore[arg-type]
        self.network.settle()
        return recorder

    def say(self, dest: str, to: str = '', sender: Recorder | None = None) -> bytes:
        uid = (sender or self.c2s).send(dest, None, Stanza('message', {'to': to or f'juliet@{dest}'}))
        self.network.settle()
        return uid

    def forget_news(self) -> None:
        self.c2s.news.clear()


# ---- aliases


@pytest.mark.parametrize('coded', [False, True])
def test_what_is_for_an_alias_goes_to_those_of_its_target_as_it_came(coded: bool) -> None:
    site = Site(coded=coded)
    muc = site.component('muc-1', 'muc.example.net')
    site.router.rename('', [alias('conference.example.net', 'muc.example.net')])
    uid = site.say('conference.example.net')
    assert [(route.uid, route.dest) for route in muc.routes] == [(uid, 'conference.example.net')]
    assert site.c2s.links.instances('conference.example.net').keys() == {'muc-1'}
    assert site.c2s.links.reachable('conference.example.net')


def test_whoever_comes_later_is_told_of_aliases_as_well() -> None:
    site = Site()
    site.router.rename('', [alias('conference.example.net', 'muc.example.net')])
    site.component('muc-1', 'muc.example.net')
    assert ('up', 'conference.example.net', 'muc-1') in site.c2s.news
    assert ('up', 'conference.example.net', 'muc-1') in site.component('late-1').news


def test_who_serves_the_name_itself_has_it() -> None:
    site = Site()
    muc = site.component('muc-1', 'muc.example.net')
    site.router.rename('', [alias('conference.example.net', 'muc.example.net')])
    own = site.component('conference-1', 'conference.example.net')
    site.say('conference.example.net')
    assert (len(own.routes), len(muc.routes)) == (1, 0)


def test_an_alias_that_is_taken_away_is_told_and_counts_no_more() -> None:
    site = Site()
    site.component('muc-1', 'muc.example.net')
    site.router.rename('', [alias('conference.example.net', 'muc.example.net')])
    site.network.settle()
    site.forget_news()
    site.router.rename('', [])
    site.say('conference.example.net')
    assert site.c2s.news == [('down', 'conference.example.net', 'muc-1')]
    assert site.c2s.bounces[0].reason == NO_LINK


@pytest.mark.parametrize(
    ('text', 'said'),
    [
        ('[[alias]]\nname = "a"', 'alias.0: expected a name and a target'),
        ('[[alias]]\nname = "a"\ntarget = "b"\n[[alias]]\nname = "a"\ntarget = "c"', 'each name once'),
        ('[[alias]]\nname = "a"\ntarget = "b"\n[[alias]]\nname = "b"\ntarget = "c"', 'not the alias'),
    ],
)
def test_aliases_that_lead_nowhere_are_refused_when_the_file_is_read(tmp_path, text: str, said: str) -> None:
    (tmp_path / 'a.toml').write_text(text)
    with pytest.raises(ConfigError, match=said):
        load(tmp_path / 'a.toml', [ALIASES])


# ---- the default route


@pytest.mark.parametrize('coded', [False, True])
@pytest.mark.parametrize('configured', [False, True])
def test_what_is_for_a_name_that_nobody_serves_goes_to_the_default_route(coded: bool, configured: bool) -> None:
    site = Site(coded, **({'default': 's2s.example.net'} if configured else {}))
    assert not site.c2s.links.reachable('example.org')
    s2s = site.component('s2s-1', 's2s.example.net', default=not configured)
    uid = site.say('example.org')
    assert [(route.uid, route.dest) for route in s2s.routes] == [(uid, 'example.org')]
    assert site.c2s.links.reachable('example.org') and ('up', DEFAULT_ROUTE, 's2s-1') in site.c2s.news


def test_all_instances_of_the_default_route_share_it_whichever_of_them_asked() -> None:
    site = Site()
    two = [site.component(f's2s-{n}', 's2s.example.net', policy='round-robin', default=n == 1) for n in range(2)]
    for n in range(4):
        site.say(f'n{n}.example.org')
    assert [len(one.routes) for one in two] == [2, 2]
    assert site.c2s.links.instances(DEFAULT_ROUTE).keys() == {'s2s-0', 's2s-1'}


def test_another_default_route_is_refused_until_the_first_is_gone() -> None:
    site = Site()
    first = site.component('s2s-1', 's2s.example.net', default=True)
    assert site.router.bind(site.component('other-1').links, 'other.example.net', {'default': True}) == 'conflict'
    first.links.stop()
    site.network.settle()
    assert ('down', DEFAULT_ROUTE, 's2s-1') in site.c2s.news and not site.c2s.links.reachable('example.org')
    late = site.component('late-1', 'late.example.net', default=True)
    site.say('example.org')
    assert len(late.routes) == 1


def test_a_node_that_is_gone_is_no_name_that_nobody_serves() -> None:
    site = Site()
    s2s = site.component('s2s-1', 's2s.example.net', default=True)
    site.say('c2s-9', to='juliet@example.net')
    assert not s2s.routes and site.c2s.bounces[0].reason == NO_LINK


def test_the_default_route_can_be_addressed_and_what_comes_from_it_does_not_go_back_there() -> None:
    site = Site()
    s2s = site.component('s2s-1', 's2s.example.net', default=True)
    site.say(DEFAULT_ROUTE, to='stranger@example.net')
    assert [route.dest for route in s2s.routes] == [DEFAULT_ROUTE]
    site.say('example.org', sender=s2s)
    assert [bounce.reason for bounce in s2s.bounces] == [NO_LINK] and len(s2s.routes) == 1


def test_the_name_of_the_default_route_belongs_to_nobody() -> None:
    site = Site()
    assert site.router.bind(site.c2s.links, DEFAULT_ROUTE, {}) == 'bad-name'
    assert site.router.bind(site.c2s.links, 'a/*', {}) == 'bad-name'
    star = site.component('*')
    assert star.links.pick('') is None


def test_a_configured_default_route_takes_the_place_of_one_that_was_bound() -> None:
    site = Site()
    site.component('s2s-1', 's2s.example.net', default=True)
    other = site.component('other-1', 'other.example.net')
    site.router.rename('other.example.net', [])
    site.say('example.org')
    assert len(other.routes) == 1 and site.c2s.links.instances(DEFAULT_ROUTE).keys() == {'other-1'}


@pytest.mark.parametrize('options', [{'default': 'yes'}, {'default': 1}, {'log': 'yes'}])
def test_options_that_are_no_truth_values_are_refused(options: dict[str, object]) -> None:
    site = Site()
    assert site.router.bind(site.c2s.links, 'a.example.net', options) == 'bad-option'


# ---- all instances


@pytest.mark.parametrize('coded', [False, True])
def test_all_instances_of_a_name_get_what_is_sent_to_all(coded: bool) -> None:
    site = Site(coded)
    three = [site.component(f'muc-{n}', 'muc.example.net') for n in range(3)]
    uid = site.say('muc.example.net/*')
    assert [[route.uid for route in one.routes] for one in three] == [[uid]] * 3
    assert set(site.c2s.confirmed) == {uid}


def test_those_without_credit_are_left_out_and_only_when_all_are_it_comes_back() -> None:
    site = Site()
    one, other = [site.component(f'muc-{n}', 'muc.example.net') for n in range(2)]
    site.router._nodes['muc-0'].credit = 0
    site.say('muc.example.net/*')
    assert (len(one.routes), len(other.routes), site.c2s.bounces) == (0, 1, [])
    site.router._nodes['muc-1'].credit = 0
    site.say('muc.example.net/*')
    assert [(bounce.reason, bounce.to) for bounce in site.c2s.bounces] == [(BUSY, 'muc.example.net/*')]


def test_without_an_instance_it_comes_back_whatever_the_default_route_is() -> None:
    site = Site()
    s2s = site.component('s2s-1', 's2s.example.net', default=True)
    site.say('muc.example.net/*')
    assert [bounce.reason for bounce in site.c2s.bounces] == [NO_LINK] and not s2s.routes
