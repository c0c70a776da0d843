"""XEP-0198's counters and elements, without I/O.

Inbound, what counts is not what has come but what is *confirmed*: the session passes in the number
up to which all stanzas of its stream are settled (its uid numbers), and `h` follows from that.
Outbound, each stanza that was sent is kept until the client's `h` covers it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Generic, TypeVar
from xml.sax.saxutils import quoteattr

from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.errors import stream_error
from jabberd_tx.xmpp.events import Nonza

MODULUS = 1 << 32  # h is an xs:unsignedInt that starts again at zero (§4)

FEATURE = f"<sm xmlns='{ns.ACKS}'/>".encode()
ENABLED = f"<enabled xmlns='{ns.ACKS}'/>".encode()
REQUEST = f"<r xmlns='{ns.ACKS}'/>".encode()

Item = TypeVar('Item')


class AcksError(Exception):
    """What the client did wrong; the stream ends.

    condition  the stream error condition (RFC 6120 §4.9.3)
    h, sent    for a handled count that is too high: what it acked, and what it was sent; else None
    """

    def __init__(self, condition: str, text: str, h: int | None = None, sent: int | None = None) -> None:
        super().__init__(condition, text)
        self.condition, self.text, self.h, self.sent = condition, text, h, sent

    def to_xml(self) -> bytes:
        """The stream error, with <handled-count-too-high/> where that is what happened."""
        application = ''
        if self.h is not None:
            application = f"<handled-count-too-high xmlns='{ns.ACKS}' h='{self.h}' send-count='{self.sent}'/>"
        return stream_error(self.condition, self.text, application=application)


class Acks(Generic[Item]):
    """The counters of one stream, from its <enable/> on.

    unacked  what was sent and is not acked, oldest first; whoever sends keeps its length within bounds
    """

    __slots__ = ('_acked', '_before', '_counted', 'unacked')

    def __init__(self, before: int = 0) -> None:
        """`before`: how many of the client's stanzas were numbered before <enable/>; h starts behind them."""
        self._before = self._counted = before
        self._acked = 0
        self.unacked: deque[Item] = deque()

    def h(self, confirmed: int) -> int:
        """`confirmed`: the number up to which all inbound stanzas are confirmed.  0 ≤ h < 2^32."""
        return (max(confirmed, self._counted) - self._before) % MODULUS

    @property
    def state(self) -> tuple[int, int, int]:
        """The counters, for `restored`."""
        return self._before, self._counted, self._acked

    @classmethod
    def restored(cls, state: tuple[int, int, int], unacked: Iterable[Item]) -> Acks[Item]:
        """The counters of another worker, and what was sent and is not acked."""
        acks: Acks[Item] = cls(state[0])
        acks._counted, acks._acked = state[1:]
        acks.unacked.extend(unacked)
        return acks

    def count(self, number: int) -> None:
        """From now on h counts all stanzas up to this number, confirmed or not: a resumption has said so."""
        self._counted = max(number, self._counted)

    def answer(self, confirmed: int) -> bytes:
        """<a/>, to be sent at once for each <r/>."""
        return b"<a xmlns='urn:xmpp:sm:3' h='%d'/>" % self.h(confirmed)

    def sent(self, item: Item) -> None:
        """A stanza was sent (not a nonza); `item` is given back by `acked`."""
        self.unacked.append(item)

    def knows(self, h: int) -> bool:
        """Whether a client that has handled `h` stanzas can be sent all the others; False: some are forgotten.

        AcksError as for `acked`.
        """
        return self._covered(h) >= 0

    def acked(self, h: int) -> list[Item]:
        """The client has handled `h` stanzas: those that this covers, oldest first.

        AcksError when it was never sent so many (§6).  An older h than before is nothing new.
        """
        count = self._covered(h)
        if count < 0:
            return []
        self._acked = h
        unacked = self.unacked
        return [unacked.popleft() for _ in range(count)]

    def _covered(self, h: int) -> int:
        """How many of `unacked`; -1: h is older than the last one."""
        count = (h - self._acked) % MODULUS
        if count > len(self.unacked):
            if count >= MODULUS >> 1:
                return -1
            sent = (self._acked + len(self.unacked)) % MODULUS
            raise AcksError('undefined-condition', f'{h} stanzas acknowledged, {sent} sent', h, sent)
        return count


def parse_h(ack: Nonza) -> int:
    """The `h` of an <a/>; AcksError where it has none that is an xs:unsignedInt."""
    text = ack.attrs.get('h', '').strip(' \t\r\n').removeprefix('+')
    if not (text.isascii() and text.isdigit() and len(text) <= 64 and (h := int(text)) < MODULUS):
        raise AcksError('invalid-xml', 'an ack needs h, a number of stanzas')
    return h


def failed(condition: str, h: int | None = None) -> bytes:
    """<failed/> with a stanza error condition (§6): 'unexpected-request' before bind or a second time.

    h: of a stream that can't be resumed, what was handled of it (§5), where that is known
    """
    handled = '' if h is None else f" h='{h}'"
    return f"<failed xmlns='{ns.ACKS}'{handled}><{condition} xmlns='{ns.STANZAS}'/></failed>".encode()


# ---- resumption (§5)


def wanted_seconds(enable: Nonza, most: int) -> int:
    """For how long the client of an <enable/> wants to be able to resume, `most` at most; 0: not at all."""
    if enable.attrs.get('resume', '').strip() not in ('true', '1'):
        return 0
    wanted = enable.attrs.get('max', '').strip()
    return min(int(wanted), most) if wanted.isascii() and wanted.isdigit() and len(wanted) < 10 else most


def enabled(id: str, seconds: int, location: str = '') -> bytes:
    """<enabled/> for a stream that may be resumed under that id, at best at `location` ('' for none)."""
    at = f' location={quoteattr(location)}' if location else ''
    return f"<enabled xmlns='{ns.ACKS}' id='{id}' resume='true' max='{seconds}'{at}/>".encode()


def resumed(previd: str, h: int) -> bytes:
    """<resumed/>; `previd` has no character that needs escaping."""
    return f"<resumed xmlns='{ns.ACKS}' previd='{previd}' h='{h}'/>".encode()
