"""Components that clients find by asking the server what it has."""

from __future__ import annotations

from jabberd_tx.testing.network import Recorder
from tests.components.sm.sm_support import DOMAIN, Site
from tests.components.sm.test_sm_iq import ask
from tests.components.sm.test_sm_profile import values

ITEMS = "<query xmlns='http://jabber.org/protocol/disco#items'/>"


def test_those_that_are_there_are_listed_in_their_order() -> None:
    listed = ['irc.example.net  IRC & more', 'absent.example.net', 'bot.example.net']
    site = Site(modules={'modules.services': values('services', listed=listed)})
    romeo = site.c2s().client('romeo')
    assert '<item' not in ask(romeo, ITEMS, DOMAIN)
    component = Recorder(site.network.links('component'))
    for name in ('bot.example.net', 'irc.example.net'):
        component.links.bind(name)
    site.settle()
    told = ask(romeo, ITEMS, DOMAIN)
    assert (
        "<item jid='irc.example.net' name='IRC &amp; more'/><item jid='bot.example.net'/></query>" in told
    ), told
    assert 'bot.example.net' not in ask(romeo, ITEMS, '')
