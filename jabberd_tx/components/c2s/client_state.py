"""Client state (XEP-0352): what may wait while nobody looks at a client, and what need not come at all.

docs/client-state.md has the rules as a table; `judge` is that table.  held_back.py is where it waits.
"""

from __future__ import annotations

import re
from enum import IntEnum

from jabberd_tx.base.metrics import Counters, Metrics
from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.stanza import Child, Stanza

FEATURE = f"<csi xmlns='{ns.CSI}'/>".encode()

MUC_USER = 'http://jabber.org/protocol/muc#user'
_OWN_STATUS = re.compile(rb"""<status[^<>]*\scode\s*=\s*["']110["']""")
# Children that somebody should see soon, though there is no body: namespace -> reason.
URGENT = {
    'eu.siacs.conversations.axolotl': 'encrypted',
    'urn:xmpp:omemo:2': 'encrypted',
    'urn:xmpp:openpgp:0': 'encrypted',
    'urn:xmpp:jingle-message:0': 'call',
    'urn:xmpp:call-invites:0': 'call',
    'jabber:x:conference': 'invitation',
    MUC_USER: 'invitation',
    'urn:xmpp:mam:2': 'archive',
}
_CARBONS = 'urn:xmpp:carbons:2'
# In a carbon copy, which is not parsed: what makes it urgent.
_URGENT_COPIES = (b'<body', b'<encrypted', b'<openpgp', b'urn:xmpp:jingle-message:0', b'urn:xmpp:call-invites:0')
# Children that make a chat state no more than that.
_BESIDE_STATE = frozenset((ns.CHAT_STATES, 'urn:xmpp:hints', 'urn:xmpp:sid:0', ns.DELAY))

HELD = ('presence', 'message')
DROPPED = ('replaced', 'chat-state')
SENT = (
    'active', 'full', 'old', 'answer', 'iq', 'body', 'encrypted', 'call', 'invitation', 'archive', 'error',
    'subscription', 'own',
)  # fmt: skip


class Verdict(IntEnum):
    """SEND: now, and before it what is held.  HOLD: later.  DROP: not at all."""

    SEND, HOLD, DROP = range(3)


class StateMeasures:
    """held, dropped: stanzas, by reason; flushed: how often what was held went out, by reason."""

    def __init__(self, metrics: Metrics) -> None:
        name = 'jabberd_c2s_inactive'
        self.held: Counters = metrics.counters(f'{name}_held', 'Stanzas held for inactive clients.', 'reason', HELD)
        self.dropped: Counters = metrics.counters(f'{name}_dropped', 'Held stanzas not sent.', 'reason', DROPPED)
        self.flushed: Counters = metrics.counters(f'{name}_flushed', 'Flushes of held stanzas.', 'reason', SENT)


def judge(stanza: Stanza) -> tuple[Verdict, str]:
    """What becomes of a stanza for an inactive client, and why: a row of docs/client-state.md."""
    name, kind = stanza.name, stanza.attrs.get('type')
    if name == 'iq':
        return Verdict.SEND, 'iq'
    if kind == 'error':
        return Verdict.SEND, 'error'
    if name == 'presence':
        if kind not in (None, 'unavailable'):
            return Verdict.SEND, 'subscription'
        return (Verdict.SEND, 'own') if _is_own_in_room(stanza) else (Verdict.HOLD, 'presence')
    return _judge_message(stanza)


def _judge_message(stanza: Stanza) -> tuple[Verdict, str]:
    states = others = False
    for child in stanza.children:
        space = child[0]
        if space == ns.CLIENT and child[1] == 'body':
            return Verdict.SEND, 'body'
        if space in URGENT:
            return Verdict.SEND, URGENT[space]
        if space == _CARBONS and _is_urgent(stanza, child):
            return Verdict.SEND, 'body'
        if space == ns.CHAT_STATES:
            states = True
        elif space not in _BESIDE_STATE and (space, child[1]) != (ns.CLIENT, 'thread'):
            others = True
    return (Verdict.DROP, 'chat-state') if states and not others else (Verdict.HOLD, 'message')


def _is_own_in_room(stanza: Stanza) -> bool:
    """XEP-0045 §7.2.2: the answer to a join, which the client waits for."""
    child = stanza.child(MUC_USER, 'x')
    return child is not None and _OWN_STATUS.search(stanza.xml_of(child)) is not None


def _is_urgent(stanza: Stanza, carbon: Child) -> bool:
    copy = stanza.xml_of(carbon)
    return any(mark in copy for mark in _URGENT_COPIES)
