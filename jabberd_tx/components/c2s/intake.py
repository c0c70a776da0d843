"""What links bring to c2s: frames for its clients, confirmations of what they said, and news of other nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jabberd_tx.components.c2s.fanouts import take_fanout
from jabberd_tx.components.c2s.session import STARTING
from jabberd_tx.components.c2s.session_frames import take_session_frame
from jabberd_tx.link import session as vocabulary
from jabberd_tx.link.frames import BUSY, ENDING, NO_SESSION, Bounce, Confirm, Fanout, Route, Working, uid_number
from jabberd_tx.xmpp.stanza import Stanza

if TYPE_CHECKING:
    from jabberd_tx.components.c2s.service import C2S
    from jabberd_tx.link.interfaces import Link


class Intake:
    """A link.interfaces.Component, for one c2s, all of whose parts are there."""

    def __init__(self, c2s: C2S) -> None:
        self._c2s = c2s
        self._sessions, self._pins, self._moves, self._returned = c2s.sessions, c2s.pins, c2s.moves, c2s.returned
        self._links, self._domains, self._leaving, self._sent = c2s.links, c2s.domains, c2s.leaving, c2s.measures.sent

    def on_route(self, frame: Route, link: Link) -> None:
        """A stanza for one of our clients, or word from an sm about a session."""
        stanza = frame.payload
        if type(stanza) is not Stanza:
            stanza = Stanza.unpack(stanza)  # type: ignore[arg-type]
        session = self._sessions.get(frame.key)  # type: ignore[arg-type]
        if session is None:
            self._moves.take_stray(frame, stanza, link)
            return
        name = stanza.name
        if name == vocabulary.NAME:
            take_session_frame(self._c2s, session, frame, stanza, link)
            return
        if session.conn is None or session.conn.session is not session:
            # One that is not bound yet may be known already, by another path than its `started` takes: later.
            over = session.conn is None or session.phase is not STARTING
            self._links.bounce(frame, NO_SESSION if over else BUSY, ENDING if over else '', via=link)
            return
        counts = self._sent
        if name == 'message':
            counts.message += 1
        elif name == 'iq':
            counts.iq += 1
            if session.iqs is not None:
                session.answered(stanza)
                if self._leaving.sessions:
                    self._leaving.look_soon()
        else:
            counts.presence += 1
        session.deliver(frame, stanza, link)

    def on_fanout(self, frame: Fanout, link: Link) -> None:
        """One stanza for many clients of ours."""
        take_fanout(self._c2s, frame, link)

    def on_confirm(self, frame: Confirm) -> None:
        """Stanzas of our clients that are settled, and messages that were taken back."""
        sessions = self._sessions
        for uid in frame.uids:
            session = sessions.get(uid[:16])
            if session is None or not session.confirm(int.from_bytes(uid[16:], 'big')):
                self._returned.confirm(uid)
        if self._leaving.sessions:
            self._leaving.look_soon()

    def on_working(self, frame: Working) -> None:
        """Nothing is repeated for being slow: there is no timer to be reset."""

    def on_bounce(self, frame: Bounce, link: Link) -> None:
        """A frame of ours could not be handed on."""
        uid = frame.uid
        if frame.to in self._domains and uid_number(uid) and uid in self._returned:
            self._returned.bounced()
            return
        session = self._sessions.get(uid[:16])
        if session is not None:
            self._pins.bounced(frame, session, link)
        else:
            self._moves.questions.bounced(frame)

    def on_up(self, name: str, node: str, incarnation: bytes) -> None:
        """A node, or an sm of one of our domains, is there."""
        if name == node:
            self._pins.node_up(node, incarnation)
        elif name in self._domains:
            self._pins.try_adrift()
            self._returned.send_again()

    def on_down(self, name: str, node: str, incarnation: bytes) -> None:
        """It is gone."""
        if name == node:
            self._pins.node_down(node, incarnation)
            self._moves.node_down(node)
        elif name in self._domains:
            self._pins.domain_lost(name)
            self._returned.send_again()

    def on_path_lost(self, name: str, node: str, link: Link) -> None:
        """One router does not reach it any more, others do."""
        if name == node:
            self._pins.path_lost(node, link)
        elif name in self._domains:
            self._pins.path_to_domain_lost(name, link)
            self._returned.send_again()

    def on_drain(self, node: str) -> None:
        """A node is about to leave."""
        self._pins.node_drains(node)

    def on_link_up(self, link: Link) -> None:
        """There is a way again."""
        self._pins.try_adrift()

    def on_link_down(self, link: Link) -> None:
        """What went over it may or may not have arrived."""
        if self._links.pick('') is None:
            self._pins.cut_off()
        else:
            self._pins.link_lost(link)
        self._returned.send_again()

    def congested(self) -> bool:
        """Never: each client has its own bounded queue, and its stream is closed when that is full."""
        return False
