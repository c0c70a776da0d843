"""The note on a stanza that was kept before it went on (XEP-0203)."""

from __future__ import annotations

from datetime import UTC, datetime

from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.stanza import Stanza
from jabberd_tx.xmpp.writer import escape, start_tag


def timestamp(at: float) -> str:
    """Unix seconds as XEP-0082's DateTime in UTC, with milliseconds."""
    return datetime.fromtimestamp(at, UTC).strftime('%Y-%m-%dT%H:%M:%S.%f')[:-3] + 'Z'


def stamp(stanza: Stanza, at: float, by: str, text: str = '') -> Stanza:
    """The stanza with a <delay/>: `by` (a JID) has kept it since `at` (unix seconds)."""
    tag = start_tag('delay', {'xmlns': ns.DELAY, 'from': by, 'stamp': timestamp(at)})
    xml = f'{tag}>{escape(text)}</delay>' if text else f'{tag}/>'
    return stanza.plus(ns.DELAY, 'delay', xml.encode())
