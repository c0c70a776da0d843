"""The session store has lost what it held: sessions are attached again."""

from __future__ import annotations

from jabberd_tx.link import session as vocabulary
from tests.components.c2s.c2s_support import Site, chat
from tests.components.c2s.test_c2s_pins import other, pinned


def test_sessions_of_the_sm_that_asks_are_attached_again() -> None:
    """With what they were told to keep; what their clients send meanwhile waits, and goes on after it."""
    site = Site()
    client = site.login()
    client.send('<presence/>')
    site.settle()
    site.deliver(client, vocabulary.keep(b'record'), epoch=site.session(client).epoch)
    epoch = site.session(client).epoch
    site.sm.send('c2s-1', vocabulary.NO_STREAM, vocabulary.announce())
    site.settle()
    assert site.sm.kinds() == ['start', 'attach'] and site.session(client).epoch > epoch
    presence, kept = vocabulary.attach_of(site.sm.said[-1].payload)  # type: ignore[arg-type]
    assert kept == b'record' and presence is not None
    client.send(chat(1))
    site.settle()
    assert site.sm.numbers[-1] == 2


def test_those_of_others_are_not() -> None:
    """An sm speaks for itself."""
    site = Site(sms=2)
    client = site.login()
    epoch = site.session(client).epoch
    other(site, pinned(site, client)).send('c2s-1', vocabulary.NO_STREAM, vocabulary.announce())
    site.settle()
    assert pinned(site, client).kinds() == ['start'] and site.session(client).epoch == epoch
