"""Frames to names, kept until they are confirmed: in order, sent again when their way is lost, given up in time."""

from __future__ import annotations

import pytest

from jabberd_tx.base.replay import WIDTH
from jabberd_tx.link import kept_frames
from jabberd_tx.link.frames import BUSY, NO_LINK, REPEAT, Bounce, Confirm, uid_number
from jabberd_tx.link.interfaces import Link
from jabberd_tx.link.kept_frames import KeptFrames, TooManyKept
from jabberd_tx.testing.network import Network, Recorder
from jabberd_tx.xmpp.stanza import Stanza

NAME = 'example.net'
JULIET = 'juliet@example.net'


class Sender(Recorder):
    """A component that sends by KeptFrames alone."""

    def __init__(self, network: Network, most: int = 10_000) -> None:
        links = network.links('bot-1')
        self.lost: list[tuple[str, str]] = []
        self.kept = KeptFrames(links, network.clock, self.gave_up, patience=10.0, most=most)
        super().__init__(links)
        network.settle()

    def gave_up(self, stanza: Stanza, reason: str) -> None:
        self.lost.append((stanza.attrs['id'], reason))

    def say(self, *ids: int, key: str = JULIET) -> None:
        for id in ids:
            self.kept.send(NAME, key, Stanza('message', {'id': str(id)}))

    def on_confirm(self, frame: Confirm) -> None:
        for uid in frame.uids:
            self.kept.confirmed(uid)

    def on_bounce(self, frame: Bounce, link: Link) -> None:
        super().on_bounce(frame, link)
        self.kept.bounced(frame, link)

    def on_up(self, name: str, node: str, incarnation: bytes) -> None:
        self.kept.name_came(name)

    def on_down(self, name: str, node: str, incarnation: bytes) -> None:
        self.kept.name_lost(name)

    def on_link_up(self, link: Link) -> None:
        self.kept.link_came()

    def on_link_down(self, link: Link) -> None:
        self.kept.link_lost(link)


@pytest.fixture
def network() -> Network:
    return Network()


def server(network: Network, node: str = 'sm-1', confirms: bool = True, window: int = 1 << 20) -> Recorder:
    recorder = Recorder(network.links(node, window), confirms)
    recorder.links.bind(NAME)
    network.settle()
    return recorder


def ids(recorder: Recorder) -> list[int]:
    return [int(one.attrs['id']) for one in recorder.stanzas]


def test_what_is_confirmed_is_kept_no_longer(network: Network) -> None:
    sm, sender = server(network), Sender(network)
    sender.say(1, 2, 3)
    assert len(sender.kept) == 3
    network.settle()
    assert ids(sm) == [1, 2, 3] and len(sender.kept) == 0
    assert [frame.flags for frame in sm.routes] == [0, 0, 0]
    assert len({frame.uid for frame in sm.routes}) == 3


def test_no_more_of_a_recipient_is_under_way_than_a_replay_window_tells_apart(network: Network) -> None:
    """One that is not confirmed holds up what is 64 behind it; other recipients have windows of their own."""
    sm, sender = server(network, confirms=False), Sender(network)
    sender.say(*range(100))
    sender.say(100, key='romeo@example.net')
    network.settle()
    assert ids(sm) == [*range(WIDTH), 100]
    for frame in sm.routes[1:WIDTH]:
        sm.links.confirm('bot-1', frame.uid)
    network.settle()
    assert len(sm.routes) == WIDTH + 1
    sm.links.confirm('bot-1', sm.routes[0].uid)
    network.settle()
    assert sorted(ids(sm)) == list(range(101))


def test_while_nobody_serves_the_name_it_waits_and_goes_in_order_as_soon_as_somebody_does(network: Network) -> None:
    sender = Sender(network)
    sender.say(1, 2)
    network.advance(1.0)
    sender.say(3)
    assert sender.bounces and all(bounce.reason == NO_LINK for bounce in sender.bounces)
    sm = server(network)
    assert ids(sm) == [1, 2, 3]
    assert len(sender.kept) == 0 and not network.clock.getDelayedCalls()


def test_what_nobody_takes_is_given_up_and_told(network: Network) -> None:
    """In order, after the patience; the next stanza has all of it again."""
    sender = Sender(network)
    sender.say(1, 2)
    network.advance(9.0)
    assert sender.lost == []
    network.advance(4.0)
    assert sender.lost == [('1', NO_LINK), ('2', NO_LINK)]
    assert len(sender.kept) == 0
    sender.say(3)
    sm = server(network)
    network.advance(5.0)
    assert ids(sm) == [3]


def test_a_busy_node_gets_all_in_order_when_it_has_room(network: Network) -> None:
    """Also what came after the first that was refused."""
    sm, sender = server(network, window=600), Sender(network)
    sm.full = True
    sender.say(*range(10))
    network.settle()
    assert len(sm.routes) < 10 and {bounce.reason for bounce in sender.bounces} == {BUSY}
    sm.full = False
    network.advance(20.0)
    seen: list[int] = []
    for number in ids(sm):
        if number not in seen:
            seen.append(number)
    assert seen == list(range(10)) and sender.lost == [] and len(sender.kept) == 0


def test_what_an_instance_took_with_it_goes_to_the_next_as_a_repeat(network: Network) -> None:
    first, sender = server(network, confirms=False), Sender(network)
    sender.say(1, 2)
    network.settle()
    first.links.stop()
    second = server(network, 'sm-2')
    network.advance(5.0)
    assert ids(second)[:2] == [1, 2]
    assert {frame.flags for frame in second.routes} == {REPEAT}
    assert [uid_number(frame.uid) for frame in second.routes[:2]] == [1, 2]
    assert len(sender.kept) == 0


def test_what_went_over_a_lost_link_goes_again_over_the_next(network: Network) -> None:
    sm, sender = server(network, confirms=False), Sender(network)
    sender.say(1)
    network.settle()
    sender.links.stop()
    network.settle()
    sender.say(2)
    assert ids(sm) == [1]
    sm.confirms = True
    sender.links.start()
    network.settle()
    assert ids(sm) == [1, 1, 2] and len(sender.kept) == 0
    assert [frame.flags for frame in sm.routes] == [0, REPEAT, 0]


def test_no_more_is_kept_than_the_bound(network: Network) -> None:
    sender = Sender(network, most=3)
    sender.say(1, 2, 3)
    with pytest.raises(TooManyKept):
        sender.say(4)


def test_idle_lanes_are_forgotten_beyond_their_number(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those with something in them are not."""
    monkeypatch.setattr(kept_frames, 'MOST_LANES', 4)
    sm, sender = server(network), Sender(network)
    for number in range(20):
        sender.say(number, key=f'user{number}@example.net')
        network.settle()
    assert ids(sm) == list(range(20))
    assert len(sender.kept._lanes) == len(sender.kept._by_stream) <= 4
    sm.confirms = False
    for number in range(6):
        sender.say(number, key=f'user{number}@example.net')
    assert len(sender.kept) == 6


def test_a_stop_leaves_no_calls(network: Network) -> None:
    sender = Sender(network)
    sender.say(1)
    network.settle()
    assert network.clock.getDelayedCalls()
    sender.kept.stop()
    assert not network.clock.getDelayedCalls()
