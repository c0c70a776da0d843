"""Clients that send while sms and links come and go, in any order."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from jabberd_tx.link.frames import Route
from tests.components.c2s.c2s_support import ScriptedSm, Site, chat


def frames_of(frames: list[Route], client_session: bytes) -> list[Route]:
    return [frame for frame in frames if frame.uid[:16] == client_session]


class Trial:
    """Clients that send numbered messages while sms and links come and go; every sm settles what reaches it."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.site = Site(sms=2)
        self.clients = [self.site.login('romeo', 'a', acks=True), self.site.login('juliet', 'b', acks=True)]
        self.streams = [self.site.session(client).stream for client in self.clients]
        self.sent = [0, 0]
        self.dead: list[ScriptedSm] = []
        self.linked = True
        self.born = 2

    def step(self, what: str) -> None:
        site, rng = self.site, self.random
        alive = [sm for sm in site.sms if sm not in self.dead]
        if what == 'send':
            who = rng.randrange(2)
            for _ in range(rng.randrange(1, 20)):
                self.sent[who] += 1
                self.clients[who].send(chat(self.sent[who]))
        elif what == 'kill' and alive:
            sm = rng.choice(alive)
            self.dead.append(sm)
            sm.links.stop()
        elif what == 'spawn':
            self.born += 1
            site.sms.append(site.add_sm(f'sm-{self.born}'))
        elif what == 'drain' and alive:
            rng.choice(alive).links.drain()
        elif what == 'unlink' and self.linked:
            self.linked = False
            site.links.stop()
        elif what == 'link' and not self.linked:
            self.linked = True
            site.links.start()
        elif what == 'withhold' and alive:
            rng.choice(alive).confirms = False
        elif what == 'confirm':
            for sm in alive:
                sm.confirms = True
                sm.confirm()
        elif what == 'turn':
            for _ in range(rng.randrange(1, 6)):
                site.network.turn_once()
        elif what == 'wait':
            site.advance(rng.random() * 3)

    def check(self) -> None:
        """Give everything time: then each stanza has settled, and each sm has seen each stream in order."""
        site = self.site
        if not self.linked:
            site.links.start()
        site.sms.append(site.add_sm('sm-last'))
        for _ in range(20):
            for sm in site.sms:
                if sm not in self.dead:
                    sm.confirms = True
                    sm.confirm()
            site.advance(3)
        for client, stream, sent in zip(self.clients, self.streams, self.sent, strict=True):
            assert not client.error and not site.c2s.sessions[stream].unconfirmed
            client.ask()
            site.settle()
            assert client.acked == sent
            for sm in site.sms:
                numbers = list(dict.fromkeys(frame.uid[16:] for frame in frames_of(sm.frames, stream)))
                assert numbers == sorted(numbers), 'first sights in order'
            seen = {frame.uid for sm in site.sms for frame in frames_of(sm.frames, stream)}
            assert len(seen) == sent, 'nothing lost'


WHAT = (
    'send',
    'send',
    'kill',
    'spawn',
    'drain',
    'unlink',
    'link',
    'link',
    'withhold',
    'confirm',
    'turn',
    'turn',
    'wait',
)


@settings(max_examples=30)
@given(st.integers(0, 1 << 30), st.lists(st.sampled_from(WHAT), max_size=25))
def test_whatever_goes_and_comes_nothing_accepted_is_lost_and_order_is_kept(seed: int, steps: list[str]) -> None:
    trial = Trial(seed)
    for what in steps:
        trial.step(what)
    trial.check()
