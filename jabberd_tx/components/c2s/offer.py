"""What streams are offered beside mechanisms and TLS, made once from the options: bytes of stream features."""

from __future__ import annotations

from types import SimpleNamespace

from jabberd_tx.components.c2s.client_state import FEATURE as CLIENT_STATE
from jabberd_tx.xmpp.parser import Limits
from jabberd_tx.xmpp.payloads.stream_limits import limits


class Offer:
    """before, after: features that a stream has before and after somebody has logged in."""

    __slots__ = ('after', 'before')

    def __init__(self, options: SimpleNamespace, early: Limits, late: Limits) -> None:
        """`early`, `late`: the limits of streams before and after login."""
        self.before = self.after = b''
        if options.stream_limits:
            self.before = limits(early.stanza_bytes)
            self.after = limits(late.stanza_bytes, int(options.idle_timeout))
        if options.csi:
            self.after += CLIENT_STATE
