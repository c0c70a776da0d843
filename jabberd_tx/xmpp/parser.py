"""The bytes of a stream in, events out.

How it works.  One namespace-aware expat parser a stream reports each element; xmpp/elements.py makes events of that,
and slices stanzas out of the input.  Here is what expat is given.

That is whole tokens only.  Its newer releases put off a token that came in parts until much more has come, so that
the last stanza of a read would wait for the next one.  So what comes is fed up to the last '>' that ends a tag (one in
an attribute's value does not); the rest is held.  Between two feeds expat therefore keeps nothing but the open
elements, and between two stanzas it can be dropped, and made anew from a header of our own.
"""

from __future__ import annotations

from jabberd_tx.xmpp import violations
from jabberd_tx.xmpp.elements import NO_EVENTS, SPACE, ElementReader
from jabberd_tx.xmpp.events import Event, Limits, Nonza, StreamClose, StreamOpen, Violation
from jabberd_tx.xmpp.tokens import Held, declaration_end, tag_end, unfinished

__all__ = ['Event', 'Limits', 'Nonza', 'StreamClose', 'StreamOpen', 'StreamParser', 'Violation']

# Bytes given to expat at once.
PIECE = 65536

_DEFAULTS = Limits()


class StreamParser(ElementReader):
    """One stream's parser: see the module's text.

    limits  may be replaced at any time
    lang    xml:lang of the stream header, or None
    """

    __slots__ = ()

    def __init__(self, limits: Limits = _DEFAULTS) -> None:
        self.limits = limits
        self.reset()

    def close(self) -> None:
        """The connection is gone: let go of everything; later feeds do nothing."""
        self._done = True
        self._let_go()

    def release(self) -> None:
        """Drop what an idle stream does not need; the next feed makes it anew.  Inside a stanza: nothing."""
        if self.idle:
            self._let_go()

    @property
    def idle(self) -> bool:
        """Whether it stands between two first-level elements, with nothing of a next one."""
        return self._depth == 1 and self._kept is None and self._held is None

    # ---- what comes

    def feed(self, data: bytes) -> list[Event]:
        """Take what has come; the events that it completes, in order.  A Violation is the last one ever."""
        if self._done or not data:
            return []
        events = self._events = []
        limit, size = self.limits[0], len(data)
        if self._kept is not None or self._held is not None or size > limit or size > PIECE:
            self._take_in_pieces(data, limit)
        # Between stanzas, from a start tag to an end tag: most of what comes.
        elif data[-1] == 62 and data[data.rfind(60) + 1] == 47 and data[0] == 60 and self._depth:
            self._parse(data)
        else:
            self._take(data)
        self._events = NO_EVENTS
        if self._done:
            self._let_go()
        return events

    def _take_in_pieces(self, data: bytes, limit: int) -> None:
        """No more at once than may still come of one element, so that the limit holds before memory grows."""
        position = 0
        while position < len(data) and not self._done:
            kept, held = self._kept, self._held
            room = limit - (len(kept) if kept is not None else 0) - (len(held.bytes) if held is not None else 0)
            if room <= 0:
                self._violate(Violation(violations.POLICY, f'an element of more than {limit} bytes'))
                return
            piece = data[position : position + min(room, PIECE)]
            position += len(piece)
            self._take(piece)

    def _take(self, data: bytes) -> None:
        """Give expat what is whole, hold the rest."""
        held = self._held
        if held is not None:
            if not held.add(data, self.limits[2]):
                return
            data = bytes(held.bytes)
        if self._kept is None and (data[0] != 60 or not self._depth or len(data) < 3 or data[1] in b'!?'):
            data = self._between(data)
            if not data:
                return
        cut = data.rfind(b'>') + 1
        state = 0
        if cut:
            tag = data.rfind(b'<', 0, cut)
            if tag >= 0 and data[tag + 1] != 47 and (state := unfinished(data, tag)):
                cut = data.rfind(b'>', 0, tag) + 1
        if not cut:
            self._hold(data, state)
            return
        self._held = None
        if cut == len(data):
            self._parse(data)
            return
        self._parse(data[:cut])
        rest = data[cut:]
        if not self._done and (self._kept is not None or (rest := self._between(rest))):
            self._hold(rest, state)

    def _between(self, data: bytes) -> bytes:
        """What is for expat of data that starts between two stanzas, or before the stream header."""
        data = data.lstrip(SPACE)  # whitespace is nothing there (RFC 6120 §4.6.1)
        if not data:
            self._held = None
        elif data in (b'<', b'<!'):
            self._hold(data, 0)
        elif self._depth:
            if violation := violations.of_between(data):
                self._violate(violation)
            else:
                return data
        elif violation := violations.of_start(data):
            self._violate(violation)
        else:
            self._begin(data)
        return b''

    def _hold(self, data: bytes, state: int) -> None:
        """`state`: what `unfinished` said of it, or 0 for not asked."""
        held = self._held
        self._held = Held(data, state, 1 if held is None else held.scans + 1)

    # ---- the stream header

    def _begin(self, data: bytes) -> None:
        """XML declaration and stream header, one at a time: what comes after a violation is not looked at."""
        end = declaration_end(data) if data[1] == 63 else tag_end(data, 0)
        if end < 0:
            self._hold(data, end)
            return
        self._held = None
        if self._expat is None:
            self._make_first()
        self._parse(data[:end])
        if end < len(data) and not self._done:
            self._take(data[end:])
