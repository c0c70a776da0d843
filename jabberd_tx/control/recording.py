"""Recording what clients send: a log sink in a router's process, and what `jabberd-ctl record` asks of it.

    record.start(bodies)       -> id
    record.take(id, last)      -> {'stanzas': [...], 'dropped': n, 'more': bool}

Whoever started it takes what has come, again and again; a recording that nobody takes from ends.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from secrets import token_bytes, token_hex
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from jabberd_tx.control.admin import Operation
from jabberd_tx.control.admin_wire import AdminError
from jabberd_tx.link.frames import CLIENT, REPEAT, Copy, Route
from jabberd_tx.link.interfaces import Frame
from jabberd_tx.routing.router import Router
from jabberd_tx.xmpp.stanza import Stanza
from jabberd_tx.xmpp.traffic import KINDS, Sent, sent

# At a time.
MOST_RECORDINGS = 4
# What waits to be taken; more is dropped, and counted.
MOST_STANZAS, MOST_BYTES = 20_000, 32 << 20
# What one take gives: far below the admin link's bound.
BATCH_STANZAS, BATCH_BYTES = 1000, 262_144
# A recording that nobody takes from for so long is over.
PATIENCE = 15.0
# What the router may hand on before it is told that there is room for more.
CREDIT = 1 << 24


class Recording:
    """One of them: what a router sees of an attached node (link.interfaces.Port)."""

    local = True

    def __init__(self, router: Router, bodies: bool, now: Callable[[], float] = time.time) -> None:
        """bodies: whether to record what is between a stanza's tags, and not its shape alone."""
        self.id = token_hex(8)
        self.node, self.incarnation = f'record-{self.id}', token_bytes(16)
        self.dropped = self.waiting = 0
        self._router, self._bodies, self._now = router, bodies, now
        self._taken: deque[tuple[float, Stanza | bytes, int]] = deque()
        self._attached = True
        router.attach(self)
        # A name of its own: copies are asked for with a name.
        router.bind(self, f'log.{self.node}', {'log': True})
        router.credit(self, CREDIT)

    def detach(self) -> None:
        """Nothing more comes; what has come is still there."""
        if self._attached:
            self._attached = False
            self._router.detach(self)

    # ---- Port

    def send(self, frame: Frame, raw: bytes | None = None) -> None:
        """Note a copy of what a client has sent; all else is passed over."""
        if type(frame) is not Copy or not self._attached:
            return
        self._router.credit(self, CREDIT)
        route = frame.frame
        if type(route) is not Route or not route.flags & CLIENT or route.flags & REPEAT:
            return
        payload = route.payload
        size = len(payload) if isinstance(payload, bytes) else len(payload.inner)
        if len(self._taken) >= MOST_STANZAS or self.waiting + size > MOST_BYTES:
            self.dropped += 1
            return
        self.waiting += size
        self._taken.append((self._now(), payload, size))

    def end(self, condition: str, text: str) -> None:
        """Another node of this name: there is none."""
        self.detach()

    # ---- what was noted

    def take(self) -> list[Sent]:
        """Some of what has come, oldest first; `at` is the time of day."""
        found: list[Sent] = []
        size = 0
        while self._taken and len(found) < BATCH_STANZAS and size < BATCH_BYTES:
            at, payload, bytes_ = self._taken.popleft()
            self.waiting -= bytes_
            size += bytes_
            try:
                stanza = payload if isinstance(payload, Stanza) else Stanza.unpack(payload)
            except ValueError:
                continue
            if stanza.name in KINDS:
                found.append(sent(at, stanza, self._bodies))
        return found

    @property
    def more(self) -> bool:
        """Whether there is something to take."""
        return bool(self._taken)


def recording_operations(router: Router, clock: IReactorTime) -> dict[str, Operation]:
    """For AdminSocket."""
    known: dict[str, tuple[Recording, IDelayedCall]] = {}

    def forget(id: str) -> None:
        recording, end = known.pop(id)
        recording.detach()
        if end.active():
            end.cancel()

    async def start(bodies: bool = False) -> str:
        if type(bodies) is not bool:
            raise AdminError('bad-request', 'expected bodies to be true or false')
        if len(known) >= MOST_RECORDINGS:
            raise AdminError('busy', f'{len(known)} recordings go on already')
        recording = Recording(router, bodies)
        known[recording.id] = recording, clock.callLater(PATIENCE, forget, recording.id)
        return recording.id

    async def take(id: str, last: bool = False) -> dict[str, Any]:
        if type(id) is not str or type(last) is not bool or id not in known:
            raise AdminError('no-such-recording', 'there is no such recording, or it is over')
        recording, end = known[id]
        end.reset(PATIENCE)
        if last:
            recording.detach()
        stanzas = [list(one) for one in recording.take()]
        if last and not recording.more:
            forget(id)
        return {'stanzas': stanzas, 'dropped': recording.dropped, 'more': recording.more}

    return {'record.start': start, 'record.take': take}
