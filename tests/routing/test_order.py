"""Between two nodes, and from one sender to one key of a name, frames stay in order: whoever else comes and goes."""

from __future__ import annotations

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from jabberd_tx.link.frames import Bounce, Confirm, Route, make_uid
from jabberd_tx.link.interfaces import Link
from jabberd_tx.testing.network import Network, Recorder
from jabberd_tx.xmpp.stanza import Stanza

Lane = tuple[str, str | bytes | None]


class Sender(Recorder):
    """Keeps what is not confirmed; repeats a lane in order, from its first, once it has heard that one of it was
    bounced: which may be later than when it was, as if there were a wire in between."""

    def __init__(self, network: Network, node: str) -> None:
        super().__init__(network.links(node))
        self.held: dict[Lane, list[Route]] = defaultdict(list)
        self.unheard: set[Lane] = set()  # lanes of which a frame was bounced
        self.waiting: set[Lane] = set()  # the same, once it has heard of it
        self.streams: dict[Lane, bytes] = {}
        self.counts: dict[Lane, int] = defaultdict(int)

    def say(self, lane: Lane) -> None:
        self.counts[lane] += 1
        # As unique as the random ones of real senders.
        stream = self.streams.setdefault(lane, f'{self.links.node}/{len(self.streams)}'.encode().ljust(16))
        uid = make_uid(stream, self.counts[lane])
        stanza = Stanza('message', {'from': self.links.node, 'id': str(self.counts[lane])}, b'x' * 500)
        frame = Route(*lane, self.links.node, 0, uid, 4, 0, stanza)
        self.held[lane].append(frame)
        if lane not in self.waiting:
            self.put(frame)

    def put(self, frame: Route) -> None:
        link = self.links.pick('')
        assert link is not None
        link.route(frame)

    def hear(self) -> None:
        self.waiting |= self.unheard
        self.unheard = set()

    def repeat(self) -> None:
        lanes, self.waiting = self.waiting, set()
        for lane in lanes:
            for frame in list(self.held[lane]):
                self.put(frame)

    def on_confirm(self, frame: Confirm) -> None:
        for lane, held in self.held.items():
            self.held[lane] = [one for one in held if one.uid not in frame.uids]

    def on_bounce(self, frame: Bounce, link: Link) -> None:
        super().on_bounce(frame, link)
        self.unheard.add((frame.to, frame.key))


STABLE = ['stable-1', 'stable-2']
OTHERS = ['other-1', 'other-2', 'other-3']
LANES: list[Lane] = [
    ('stable-1', None),
    ('stable-2', b'k' * 16),
    ('stable.example', 'juliet@example.net'),
    ('stable.example', 'romeo@example.net'),
]
steps = st.lists(
    st.tuples(st.just('say'), st.integers(0, 1), st.sampled_from(LANES), st.integers(1, 12))
    | st.tuples(st.sampled_from(['attach', 'detach', 'bind', 'unbind', 'drain']), st.sampled_from(OTHERS))
    | st.tuples(st.sampled_from(['turn', 'hear', 'repeat', 'wait', 'congest', 'relieve'])),
    max_size=60,
)


@given(st.booleans(), steps)
def test_frames_of_one_sender_to_one_receiver_stay_in_order(coded: bool, history: list) -> None:  # type: ignore[type-arg]
    """Nothing is lost, and none overtakes another, though inboxes fill up and other nodes and names come and go."""
    network = Network(coded=coded)
    receivers = [Recorder(network.links(node, window=3000)) for node in STABLE]
    for receiver in receivers:
        receiver.links.bind('stable.example', 'to')
    senders = [Sender(network, node) for node in ('sender-1', 'sender-2')]
    others: dict[str, Recorder] = {}
    network.settle()
    for what, *arguments in history:
        if what == 'say':
            which, lane, count = arguments
            for _ in range(count):
                senders[which].say(lane)
        elif what in ('hear', 'repeat'):
            for sender in senders:
                sender.hear() if what == 'hear' else sender.repeat()
        elif what == 'turn':
            network.turn_once()
        elif what == 'wait':
            network.advance(0.03)  # in 60 steps less than lanes.LAPSE
        elif what in ('congest', 'relieve'):
            for receiver in receivers:
                receiver.full = what == 'congest'
        else:
            change(network, others, what, *arguments)
    for receiver in receivers:
        receiver.full = False
    for _ in range(500):
        network.advance(0.1)
        if not any(any(sender.held.values()) for sender in senders):
            break
        for sender in senders:
            sender.hear()
            sender.repeat()
    in_order(receivers, senders)


def change(network: Network, others: dict[str, Recorder], what: str, node: str) -> None:
    """Something happens to a node that has nothing to do with it."""
    if what == 'attach' and node not in others:
        others[node] = Recorder(network.links(node))
    elif what == 'detach' and node in others:
        others.pop(node).links.stop()
    elif what == 'bind' and node in others:
        others[node].links.bind('other.example')
    elif what == 'unbind' and node in others:
        others[node].links.unbind('other.example')
    elif what == 'drain' and node in others:
        others[node].links.drain()


def in_order(receivers: list[Recorder], senders: list[Sender]) -> None:
    """Every number of every lane arrived, the first time each after those before it."""
    arrived: dict[tuple[str, Lane], list[int]] = defaultdict(list)
    for receiver in receivers:
        for frame in receiver.routes:
            numbers = arrived[frame.source, (frame.dest, frame.key)]
            number = int.from_bytes(frame.uid[16:], 'big')
            if number not in numbers:
                numbers.append(number)
    for sender in senders:
        for lane, count in sender.counts.items():
            assert arrived[sender.links.node, lane] == list(range(1, count + 1)), lane
