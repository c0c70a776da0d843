"""Recording in a router's process, and what jabberd-ctl writes down of it."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from jabberd_tx.base.metrics import Metrics
from jabberd_tx.base.turn import Turn
from jabberd_tx.control import recording
from jabberd_tx.control.admin_wire import AdminError
from jabberd_tx.control.ctl.record import Pseudonyms, Recorder
from jabberd_tx.control.recording import PATIENCE, recording_operations
from jabberd_tx.link.frames import CLIENT, REPEAT, Route, make_uid
from jabberd_tx.link.local import LocalLinks
from jabberd_tx.routing.options import OPTIONS
from jabberd_tx.routing.router import Router
from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.stanza import Stanza
from jabberd_tx.xmpp.traffic import Sent


class Taking:
    """A component that takes all and says nothing."""

    def __getattr__(self, name):
        return lambda *arguments: False


class Room:
    """A router with an sm and a c2s in one process, and the operations of its admin socket."""

    def __init__(self):
        self.clock = Clock()
        self.turn = Turn(self.clock)
        self.router = Router('router-1', self.clock, self.turn, OPTIONS.defaults(), Metrics())
        self.operations = recording_operations(self.router, self.clock)
        self.number = 0
        self.links = {}
        for node in ('sm-1', 'c2s-1'):
            links = self.links[node] = LocalLinks(node, self.router, self.turn)
            links.attach(Taking())
            links.start()
        self.links['sm-1'].bind('example.net', 'to')
        self.clock.advance(0)

    def ask(self, name: str, **arguments: Any) -> Any:
        """The result of an operation."""
        results: list[Any] = []
        Deferred.fromCoroutine(self.operations[name](**arguments)).addBoth(results.append)
        [result] = results
        if hasattr(result, 'raiseException'):
            result.raiseException()
        return result

    def send(self, stanza: Stanza, flags: int = CLIENT) -> None:
        """From the c2s to whoever serves the domain."""
        self.number += 1
        uid = make_uid(b's' * 16, self.number)
        route = Route('example.net', 'juliet@example.net', 'c2s-1', 0, uid, 8, flags, stanza)
        self.links['c2s-1'].pick('').route(route)
        self.clock.advance(0)


def chat(text: bytes = b'<body>hello</body>') -> Stanza:
    """What juliet says."""
    attrs = {'from': 'juliet@example.net/balcony', 'to': 'romeo@example.net', 'type': 'chat'}
    return Stanza.build('message', attrs, (ns.CLIENT, 'body', text))


def test_what_clients_send_is_recorded_once():
    """Not what others send, nor repeats, nor what c2s and sm say to each other; nothing after its end."""
    room = Room()
    id = room.ask('record.start')
    room.send(chat())
    room.send(chat(), CLIENT | REPEAT)
    room.send(chat(), 0)
    room.send(Stanza('session', {'type': 'end'}))
    told = room.ask('record.take', id=id)
    assert (len(told['stanzas']), told['dropped'], told['more']) == (1, 0, False)
    at, *rest = told['stanzas'][0]
    shape = [(ns.CLIENT, 'body', 18)]
    assert at > 1e9 and rest[:5] == ['juliet@example.net/balcony', 'romeo@example.net', 'message', 'chat', 18]
    assert [*rest[5]] == shape and rest[6] is None
    assert room.ask('record.take', id=id, last=True) == {'stanzas': [], 'dropped': 0, 'more': False}
    room.send(chat())
    with pytest.raises(AdminError, match='no such recording'):
        room.ask('record.take', id=id)
    assert [name for name, _ in room.router.served()] == ['example.net']


def test_bodies_only_when_asked():
    """Two recordings at once have what each asked for."""
    room = Room()
    shapes, bodies = room.ask('record.start', bodies=False), room.ask('record.start', bodies=True)
    room.send(chat())
    assert room.ask('record.take', id=shapes)['stanzas'][0][-1] is None
    assert room.ask('record.take', id=bodies)['stanzas'][0][-1] == '<body>hello</body>'


def test_there_is_a_bound_to_everything(monkeypatch):
    """What waits, what one take gives, how many recordings, and how long one that nobody takes from goes on."""
    monkeypatch.setattr(recording, 'MOST_STANZAS', 5)
    monkeypatch.setattr(recording, 'BATCH_STANZAS', 2)
    room = Room()
    id = room.ask('record.start')
    for _ in range(8):
        room.send(chat())
    takes = [room.ask('record.take', id=id, last=True) for _ in range(3)]
    assert [(len(told['stanzas']), told['dropped'], told['more']) for told in takes] == [
        (2, 3, True), (2, 3, True), (1, 3, False),
    ]  # fmt: skip
    ids = [room.ask('record.start') for _ in range(recording.MOST_RECORDINGS)]
    with pytest.raises(AdminError, match='4 recordings'):
        room.ask('record.start')
    room.clock.advance(PATIENCE - 1)
    room.ask('record.take', id=ids[0])
    room.clock.advance(2)
    room.ask('record.take', id=ids[0])
    with pytest.raises(AdminError, match='over'):
        room.ask('record.take', id=ids[1])
    assert [len(room.ask('record.start')) for _ in ids[1:]] == [16, 16, 16]


@pytest.mark.parametrize('arguments', [{'id': 1}, {'id': ''}, {'id': 'x', 'last': 1}])
def test_nonsense_is_refused(arguments):
    """With a condition."""
    with pytest.raises(AdminError):
        Room().ask('record.take', **arguments)


def test_pseudonyms_tell_who_is_who_and_not_who_they_are():
    """The same for the same, in all their parts; the server's own domain as well."""
    names = Pseudonyms()
    jids = ['juliet@example.net/balcony', 'romeo@example.net', 'juliet@example.net/garden', 'example.net']
    jids += ['romeo@example.org/balcony', 'juliet@example.net', 'room@rooms.example.net/juliet', '']
    expected = ['u1@d1/r1', 'u2@d1', 'u1@d1/r2', 'd1', 'u3@d2/r1', 'u1@d1', 'u4@d3/r1', '']
    assert [names.jid(jid) for jid in jids] == expected


class Source:
    """What one router has recorded."""

    def __init__(self, *at: float) -> None:
        self.lost, self.dropped = '', 2
        self._at = list(at)

    def take(self, last: bool) -> list[Sent]:
        taken, self._at = self._at, []
        return [Sent(at, 'a@b/c', '', 'message', '', 0, ()) for at in taken]


def test_what_several_routers_have_is_put_in_order():
    """By time, up to the most that was asked for; the last line says what was lost."""
    out = io.StringIO()
    recorder = Recorder(out, 3, None)
    start = recorder._started
    recorder.begin(False)
    recorder.finish([Source(start + 3, start + 5), Source(start + 2, start + 4)])  # type: ignore[list-item]
    lines = [json.loads(text) for text in out.getvalue().splitlines()]
    assert [line['t'] for line in lines[1:-1]] == [2.0, 3.0, 4.0]
    assert (lines[-1]['stanzas'], lines[-1]['dropped'], recorder.count) == (3, 4, 3)
    assert recorder.losses() == ', 4 came too fast and are left out'
