"""The router: where frames go, what comes back, and what everybody is told."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from twisted.internet.task import Clock

from jabberd_tx.base.metrics import Metrics
from jabberd_tx.base.turn import Turn
from jabberd_tx.link.frames import (
    BUSY,
    NO_LINK,
    Bounce,
    Confirm,
    Drain,
    Fanout,
    Present,
    Route,
    Working,
    encode,
    make_uid,
)  # fmt: skip
from jabberd_tx.link.interfaces import Frame
from jabberd_tx.routing.options import OPTIONS, ROUTES
from jabberd_tx.routing.router import Router
from jabberd_tx.xmpp.stanza import Stanza

CHAT = Stanza.build('message', {'to': 'juliet@example.net'}, ('jabber:client', 'body', b'<body>hi</body>'))


class Wire:
    """A port as a TCP link has it: keeps each frame and the bytes that it would write."""

    local = False

    def __init__(self, node: str, incarnation: bytes = b'i' * 16) -> None:
        self.node, self.incarnation = node, incarnation
        self.sent: list[tuple[Frame, bytes | None]] = []
        self.ended: str | None = None

    def send(self, frame: Frame, raw: bytes | None = None) -> None:
        self.sent.append((frame, raw))

    def end(self, condition: str, text: str) -> None:
        self.ended = condition

    def take(self) -> list[Frame]:
        """What was sent since the last time."""
        frames, self.sent = [frame for frame, _ in self.sent], []
        return frames


class Here(Wire):
    """A port as a component of the same process has it."""

    local = True


def make_router(routes: list[SimpleNamespace] | None = None, **options: object) -> Router:
    clock, values = Clock(), OPTIONS.defaults()
    values.__dict__.update(options)
    return Router('router-1', clock, Turn(clock), values, Metrics(), routes or [])


@pytest.fixture
def router() -> Router:
    return make_router()


def attach(router: Router, node: str, *names: str, credit: int = 1_000_000, kind: type[Wire] = Wire) -> Wire:
    port = kind(node)
    router.attach(port)
    router.credit(port, credit)
    for name in names:
        assert router.bind(port, name, {}) == 'ok'
    for place in router._nodes.values():
        place.port.take()  # type: ignore[attr-defined]
    return port


def frame(dest: str, number: int = 1, key: str | bytes | None = None, source: str = 'c2s-1', hops: int = 4) -> Route:
    return Route(dest, key, source, 0, make_uid(b's' * 16, number), hops, 0, CHAT)


def send(router: Router, port: Wire, route: Route) -> None:
    """As a TCP link does: bytes that were read, and the frame in them."""
    raw = encode(route)
    router.route(port, route._replace(payload=CHAT.pack()), raw, len(raw))


# ---- where frames go


def test_a_frame_for_a_node_goes_there_as_the_very_bytes_that_came(router: Router) -> None:
    c2s, sm = attach(router, 'c2s-1'), attach(router, 'sm-1')
    raw = encode(frame('sm-1')) + b' trailing items would be here'
    router.route(c2s, frame('sm-1'), raw, len(raw))
    assert sm.sent == [(frame('sm-1'), raw)]
    assert sm.sent[0][1] is raw


def test_a_frame_for_a_name_goes_to_who_serves_it(router: Router) -> None:
    c2s, sm = attach(router, 'c2s-1'), attach(router, 'sm-1', 'example.net', 'example.org')
    send(router, c2s, frame('example.org', key='juliet@example.org'))
    assert [sent.dest for sent in sm.take()] == ['example.org']  # type: ignore[union-attr]


def test_each_key_of_a_name_has_its_instance(router: Router) -> None:
    c2s = attach(router, 'c2s-1')
    sms = [attach(router, f'sm-{n}', 'example.net') for n in range(3)]
    router._clock.advance(0)  # type: ignore[attr-defined]
    for n in range(300):
        for _ in range(2):
            send(router, c2s, frame('example.net', n, f'user{n % 150}@example.net'))
    got = [{sent.key for sent in sm.take()} for sm in sms]  # type: ignore[union-attr]
    assert all(len(keys) > 30 for keys in got)
    assert sum(len(keys) for keys in got) == 150, 'no key went to two'


def test_the_configured_policy_of_a_name_holds() -> None:
    names = {option.name: option.default for option in ROUTES.options}
    route = SimpleNamespace(**{**names, 'name': 'example.net', 'policy': 'failover', 'order': ['sm-2']})
    router = make_router([route])
    c2s, one, two = (
        attach(router, 'c2s-1'),
        attach(router, 'sm-1', 'example.net'),
        attach(router, 'sm-2', 'example.net'),
    )
    for n in range(20):
        send(router, c2s, frame('example.net', n, f'user{n}@example.net'))
    assert (len(one.take()), len(two.take())) == (0, 20)


def test_what_comes_from_this_process_is_encoded_once_for_a_wire_and_handed_over_as_it_is_otherwise(
    router: Router,
) -> None:
    c2s = attach(router, 'c2s-1', kind=Here)
    wire, here = attach(router, 'sm-1'), attach(router, 'sm-2', kind=Here)
    for dest in ('sm-1', 'sm-2'):
        router.route(c2s, frame(dest), None, 1)
        router.fanout(c2s, Fanout(dest, 'c2s-1', make_uid(b's' * 16, 2), [(b't' * 16, '')], CHAT), None, 1)
    assert [raw for _, raw in wire.sent] == [encode(sent) for sent, _ in wire.sent]
    assert [raw for _, raw in here.sent] == [None, None]
    assert here.sent[0][0].payload is CHAT  # type: ignore[union-attr]


def test_confirms_workings_and_bounces_go_to_their_node_whatever_its_credit(router: Router) -> None:
    c2s, sm = attach(router, 'c2s-1', credit=0), attach(router, 'sm-1')
    uid = make_uid(b's' * 16, 1)
    frames = [
        Confirm('c2s-1', 'sm-1', [uid], []),
        Working('c2s-1', 'sm-1', [uid]),
        Bounce('c2s-1', 'sm-1', 'no-session', 'sm-1', None, 0, uid, ''),
    ]
    for passed in frames:
        router.pass_on(sm, passed, encode(passed))
        router.pass_on(sm, passed._replace(dest='c2s-9'), None)
    assert c2s.sent == [(passed, encode(passed)) for passed in frames]
    assert sm.take() == []
    assert router._dropped.total == 3


# ---- what comes back


@pytest.mark.parametrize('dest', ['sm-9', 'example.com'])
def test_what_nobody_is_there_for_is_bounced_no_link(router: Router, dest: str) -> None:
    c2s = attach(router, 'c2s-1')
    route = frame(dest, 7, 'juliet@example.net')._replace(epoch=3)
    send(router, c2s, route)
    router.fanout(c2s, Fanout(dest, 'c2s-1', make_uid(b's' * 16, 8), [], CHAT), None, 1)
    assert c2s.take() == [
        Bounce('c2s-1', '', NO_LINK, dest, 'juliet@example.net', 3, route.uid, ''),
        Bounce('c2s-1', '', NO_LINK, dest, None, 0, make_uid(b's' * 16, 8), ''),
    ]


def test_a_frame_that_may_pass_no_router_is_bounced(router: Router) -> None:
    c2s, sm = attach(router, 'c2s-1'), attach(router, 'sm-1', 'example.net')
    send(router, c2s, frame('sm-1', 1, hops=0))
    send(router, c2s, frame('example.net', 2, 'juliet@example.net', hops=0))
    send(router, c2s, frame('sm-1', 3, hops=1))
    assert [(back.reason, back.detail) for back in c2s.take()] == [(NO_LINK, 'hops')] * 2  # type: ignore[union-attr]
    assert len(sm.take()) == 1


def test_a_node_gets_no_more_than_its_credit_and_the_rest_is_bounced_busy(router: Router) -> None:
    c2s, sm, other = attach(router, 'c2s-1'), attach(router, 'sm-1', credit=1000), attach(router, 'sm-2')
    size = len(encode(frame('sm-1')))
    fit = -(-1000 // size)
    for n in range(fit + 2):
        send(router, c2s, frame('sm-1', n))
        send(router, c2s, frame('sm-2', n))
    fanout = Fanout('sm-1', 'c2s-1', make_uid(b't' * 16, 1), [(b't' * 16, '')], CHAT)
    router.fanout(c2s, fanout, None, 1)
    assert (len(sm.take()), len(other.take())) == (fit, fit + 2), 'and nobody else waits for it'
    assert [(back.reason, back.uid) for back in c2s.take()] == [  # type: ignore[union-attr]
        (BUSY, frame('sm-1', fit).uid),
        (BUSY, frame('sm-1', fit + 1).uid),
        (BUSY, fanout.uid),
    ]
    router.credit(sm, 5000)
    send(router, c2s, frame('sm-1', fit))
    router.fanout(c2s, fanout, encode(fanout), len(encode(fanout)))
    assert len(sm.take()) == 2


def test_what_follows_a_bounced_frame_does_not_overtake_it(router: Router) -> None:
    c2s, sm = attach(router, 'c2s-1'), attach(router, 'sm-1', credit=0)
    send(router, c2s, frame('sm-1', 1))
    router.credit(sm, 100_000)
    send(router, c2s, frame('sm-1', 2))
    send(router, c2s, frame('sm-1', 2, key=b't' * 16))
    assert [sent.key for sent in sm.take()] == [b't' * 16]  # type: ignore[union-attr]
    assert [back.reason for back in c2s.take()] == [BUSY, BUSY]  # type: ignore[union-attr]
    for n in (1, 2, 3):
        send(router, c2s, frame('sm-1', n))
    assert [int.from_bytes(sent.uid[16:], 'big') for sent in sm.take()] == [1, 2, 3]  # type: ignore[union-attr]


def test_credit_has_a_bound_so_that_nobody_can_make_the_router_hold_too_much() -> None:
    router = make_router(credit_limit=70_000)
    sm = attach(router, 'sm-1', credit=1 << 62)
    router.credit(sm, 1 << 62)
    assert router._nodes['sm-1'].credit == 70_000


def test_a_link_that_was_replaced_grants_nothing_and_changes_nothing(router: Router) -> None:
    old = attach(router, 'sm-1', 'example.net', credit=10)
    new = attach(router, 'sm-1', credit=20)
    router.credit(old, 1000)
    router.drain(old)
    router.unbind(old, 'example.net')
    assert router.bind(old, 'example.org', {}) == 'conflict'
    router.detach(old)
    assert router._nodes['sm-1'].port is new
    assert (router._nodes['sm-1'].credit, router._nodes['sm-1'].draining) == (20, False)
    assert new.take() == []


# ---- who is there


def test_a_new_port_first_gets_the_whole_list(router: Router) -> None:
    attach(router, 'c2s-1')
    router.drain(attach(router, 'sm-1', 'example.net', 'a.example'))
    sm = Wire('sm-2', b'j' * 16)
    router.attach(sm)
    assert sm.take() == [
        Present('c2s-1', 'c2s-1', b'i' * 16, True),
        Present('sm-1', 'sm-1', b'i' * 16, True),
        Present('a.example', 'sm-1', b'i' * 16, True),
        Present('example.net', 'sm-1', b'i' * 16, True),
        Drain('sm-1'),
        Present('sm-2', 'sm-2', b'j' * 16, True),
    ]


def test_everybody_hears_who_comes_binds_unbinds_and_goes(router: Router) -> None:
    c2s = attach(router, 'c2s-1')
    sm = Wire('sm-1')
    router.attach(sm)
    assert c2s.take() == [Present('sm-1', 'sm-1', b'i' * 16, True)]
    for _ in range(2):
        assert router.bind(sm, 'example.net', {}) == 'ok'
    assert c2s.take() == [Present('example.net', 'sm-1', b'i' * 16, True)], 'once'
    router.bind(sm, 'example.org', {})
    c2s.take()
    for _ in range(2):
        router.unbind(sm, 'example.net')
    assert c2s.take() == [Present('example.net', 'sm-1', b'i' * 16, False)]
    for _ in range(2):
        router.detach(sm)
    assert c2s.take() == [
        Present('example.org', 'sm-1', b'i' * 16, False),
        Present('sm-1', 'sm-1', b'i' * 16, False),
    ]
    send(router, c2s, frame('example.org', key='juliet@example.org'))
    assert [back.reason for back in c2s.take()] == [NO_LINK]  # type: ignore[union-attr]


@pytest.mark.parametrize('incarnation', [b'i' * 16, b'j' * 16], ids=['same', 'newer'])
def test_a_node_that_attaches_again_takes_the_place_of_its_older_link(router: Router, incarnation: bytes) -> None:
    old, c2s = attach(router, 'sm-1', 'example.net'), attach(router, 'c2s-1')
    new = Wire('sm-1', incarnation)
    router.attach(new)
    assert old.ended == 'conflict'
    assert new.ended is None
    assert c2s.take() == [
        Present('example.net', 'sm-1', b'i' * 16, False),
        Present('sm-1', 'sm-1', b'i' * 16, False),
        Present('sm-1', 'sm-1', incarnation, True),
    ]
    router.credit(new, 1000)
    send(router, c2s, frame('sm-1'))
    assert new.take()[-1] == frame('sm-1')._replace(payload=CHAT.pack())


@pytest.mark.parametrize('node', ['example.net', 'router-1'])
def test_a_node_may_not_take_the_name_of_somebody_else(router: Router, node: str) -> None:
    sm = attach(router, 'sm-1', 'example.net')
    thief = Wire(node)
    router.attach(thief)
    assert thief.ended == 'conflict'
    router.detach(thief)
    router.credit(thief, 1000)
    send(router, sm, frame('example.net', key='juliet@example.net', source='sm-1'))
    assert len(sm.take()) == 1


@pytest.mark.parametrize(
    ('name', 'options', 'outcome'),
    [
        ('example.net', {}, 'ok'),
        ('sm-1', {}, 'ok'),
        ('c2s-1', {}, 'conflict'),
        ('', {}, 'bad-name'),
        ('x' * 1024, {}, 'bad-name'),
        ('é' * 512, {}, 'bad-name'),
        ('example.net', {'policy': 'nearest'}, 'not-supported'),
        ('example.net', {'exclusive': True}, 'ok'),
        ('example.net', {'slots': 2, 'slot': 2}, 'bad-option'),
        ('example.net', {'slots': 2, 'slot': 1}, 'ok'),
        ('example.net', {'slot': 1}, 'conflict'),
        ('example.net', {'weight': -1}, 'bad-option'),
        ('shared.example', {'policy': 'from'}, 'conflict'),
    ],
)
def test_a_bind_is_answered_with_its_outcome(router: Router, name: str, options: dict, outcome: str) -> None:  # type: ignore[type-arg]
    c2s = attach(router, 'c2s-1')
    router.bind(c2s, 'shared.example', {'policy': 'to'})
    sm = attach(router, 'sm-1')
    assert router.bind(sm, name, options) == outcome
    news = [Present(name, 'sm-1', b'i' * 16, True)] if outcome == 'ok' and name != 'sm-1' else []
    assert c2s.take() == news


def test_a_node_may_bind_only_so_many_names() -> None:
    router = make_router(names_limit=2)
    sm = attach(router, 'sm-1', 'a.example', 'b.example')
    assert router.bind(sm, 'c.example', {}) == 'too-many-names'
    assert router.bind(sm, 'a.example', {'weight': 2}) == 'ok', 'one that it has already'
    router.unbind(sm, 'a.example')
    assert router.bind(sm, 'c.example', {}) == 'ok'


# ---- leaving


def test_a_node_that_drains_gets_what_is_for_itself_and_no_new_work_for_a_name(router: Router) -> None:
    c2s, one, two = (
        attach(router, 'c2s-1'),
        attach(router, 'sm-1', 'example.net'),
        attach(router, 'sm-2', 'example.net'),
    )
    router._clock.advance(0)  # type: ignore[attr-defined]
    for _ in range(2):
        router.drain(one)
    assert (c2s.take(), one.take(), two.take()) == ([Drain('sm-1')], [], [Drain('sm-1')])
    for n in range(50):
        send(router, c2s, frame('example.net', n, f'user{n}@example.net'))
    send(router, c2s, frame('sm-1', 99))
    assert (len(one.take()), len(two.take())) == (1, 50)
    router.detach(two)
    one.take()
    send(router, c2s, frame('example.net', 100, 'juliet@example.net'))
    assert len(one.take()) == 1, 'when nobody else is there'


def test_a_node_that_comes_back_after_it_drained_gets_work_again(router: Router) -> None:
    c2s, old = attach(router, 'c2s-1'), attach(router, 'sm-1', 'example.net')
    two = attach(router, 'sm-2', 'example.net')
    router.drain(old)
    router.detach(old)
    new = attach(router, 'sm-1', 'example.net')
    router._clock.advance(0)  # type: ignore[attr-defined]
    for n in range(50):
        send(router, c2s, frame('example.net', n, f'user{n}@example.net'))
    assert min(len(new.take()), len(two.take())) > 10


def test_a_router_that_leaves_tells_all_nodes(router: Router) -> None:
    ports = [attach(router, 'c2s-1'), attach(router, 'sm-1')]
    router.leave()
    assert [port.take() for port in ports] == [[Drain('router-1')]] * 2


def test_frames_and_bounces_are_counted() -> None:
    clock, metrics = Clock(), Metrics()
    router = Router('router-1', clock, Turn(clock), OPTIONS.defaults(), metrics)
    c2s, sm = attach(router, 'c2s-1'), attach(router, 'sm-1', 'example.net')
    send(router, c2s, frame('sm-1'))
    send(router, c2s, frame('sm-9'))
    router.pass_on(sm, Confirm('c2s-1', 'sm-1', [], []), None)
    assert metrics.value('jabberd_router_frames', 'route') == 1
    assert metrics.value('jabberd_router_frames', 'other') == 1
    assert metrics.value('jabberd_router_bounces', 'no-link') == 1
    assert metrics.value('jabberd_router_nodes') == 2
    assert metrics.value('jabberd_router_names') == 1
