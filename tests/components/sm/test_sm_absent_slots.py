"""What users see of a component whose slot is away: an error at once, or nothing until it is back."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from jabberd_tx.base.hashing import slot_among
from jabberd_tx.routing.options import BOUNCE, ROUTES, WAIT
from jabberd_tx.testing.network import Recorder
from tests.components.sm.sm_support import Site

GATEWAY = 'gw.example'
PING = "<ping xmlns='urn:xmpp:ping'/>"


def site(absent: str) -> Site:
    table = {**vars(ROUTES.defaults()), 'name': GATEWAY, 'policy': 'from', 'slots': 2, 'absent': absent, 'grace': 10.0}
    return Site(routes=[SimpleNamespace(**table)])


def gateway(site: Site, slot: int) -> Recorder:
    recorder = Recorder(site.network.links(f'gw-{slot}'))
    recorder.links.bind(GATEWAY, slot=slot)
    site.settle()
    return recorder


HOME = slot_among('romeo@example.net', 2)


def test_under_bounce_a_message_and_an_iq_are_answered_at_once() -> None:
    one = site(BOUNCE)
    other = gateway(one, 1 - HOME)
    romeo = one.c2s().client('romeo')
    number = romeo.chat(f'friend@{GATEWAY}', 'hi')
    romeo.send(f"<iq type='get' id='q' to='{GATEWAY}'>{PING}</iq>")
    one.quiet()
    assert ['recipient-unavailable' in xml for xml in romeo.xml()] == [True, True]
    assert "<error type='wait'>" in romeo.xml()[0]
    assert number in romeo.confirmed
    assert other.stanzas == []
    home = gateway(one, HOME)
    romeo.chat(f'friend@{GATEWAY}', 'again')
    one.quiet()
    assert [stanza.attrs['id'] for stanza in home.stanzas] == ['again']


@pytest.mark.parametrize('others', [True, False], ids=['others are there', 'nobody is'])
def test_under_wait_nothing_is_lost_and_all_comes_in_order(others: bool) -> None:
    one = site(WAIT)
    if others:
        gateway(one, 1 - HOME)
    romeo = one.c2s().client('romeo')
    for n in range(20):
        romeo.chat(f'friend@{GATEWAY}', str(n))
    one.network.advance(5)
    assert romeo.stanzas == [] and romeo.confirmed.count(romeo.number) == 0
    home = gateway(one, HOME)
    romeo.chat(f'friend@{GATEWAY}', '20')
    one.quiet()
    assert [stanza.attrs['id'] for stanza in home.stanzas] == [str(n) for n in range(21)]
    assert romeo.stanzas == [] and romeo.number in romeo.confirmed


def test_when_the_slot_is_away_for_too_long_each_message_is_answered_in_its_order() -> None:
    one = site(WAIT)
    romeo = one.c2s().client('romeo')
    for n in range(5):
        romeo.chat(f'friend@{GATEWAY}', str(n))
    one.network.advance(11)
    one.quiet()
    assert romeo.bodies() == [f'error:{n}' for n in range(5)]
    assert all('recipient-unavailable' in xml for xml in romeo.xml())


def test_an_instance_that_goes_with_messages_unconfirmed_leaves_them_to_its_successor() -> None:
    one = site(WAIT)
    home = gateway(one, HOME)
    home.confirms = False
    romeo = one.c2s().client('romeo')
    for n in range(5):
        romeo.chat(f'friend@{GATEWAY}', str(n))
    one.settle()
    assert len(home.stanzas) == 5
    home.links.stop()
    romeo.chat(f'friend@{GATEWAY}', '5')
    one.network.advance(1)
    successor = gateway(one, HOME)
    one.quiet()
    assert [stanza.attrs['id'] for stanza in successor.stanzas] == [str(n) for n in range(6)]
    assert romeo.number in romeo.confirmed
