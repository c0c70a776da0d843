"""What streams are offered, made once from the options: bytes of stream features."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from types import SimpleNamespace

from jabberd_tx.components.c2s import features
from jabberd_tx.components.c2s.client_state import FEATURE as CLIENT_STATE
from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.acks import FEATURE as ACKS
from jabberd_tx.xmpp.parser import Limits
from jabberd_tx.xmpp.payloads import fast, sasl2, sasl_upgrade
from jabberd_tx.xmpp.payloads.caps import feature
from jabberd_tx.xmpp.payloads.register import FEATURE, TOKEN_FEATURE
from jabberd_tx.xmpp.payloads.stream_limits import limits
from jabberd_tx.xmpp.sasl.hashed_token import ht_offered

# Offers that are remembered: they differ by TLS, the certificate's kind and the options.
MOST = 64
# By the option `registration`; only where a password may be sent.
_BY_TOKEN_TOO = TOKEN_FEATURE + FEATURE
_REGISTRATION = {'closed': b'', 'open': _BY_TOKEN_TOO, 'invited': _BY_TOKEN_TOO}


class Offer:
    """carbons: a session may begin with copies; caps: domain -> the hash of what it tells of itself (XEP-0115), as
    sms say with each session."""

    __slots__ = ('_after', '_before', '_fast', '_inline', '_known', '_registration', 'caps', 'carbons')

    def __init__(
        self,
        options: SimpleNamespace,
        early: Limits,
        late: Limits,
        carbons: bool,
        tokens: bool,
        caps: dict[str, str] | None = None,
    ) -> None:
        """`early`, `late`: the limits of streams before and after login; `carbons`: sms have XEP-0280; `tokens`: there
        is a key for XEP-0484; `caps`: those of the offer before this one."""
        self.carbons = carbons
        self.caps = caps if caps is not None else {}
        self._known: dict[tuple[str, tuple[str, ...], tuple[str, ...], tuple[str, ...]], bytes] = {}
        self._before = self._after = b''
        if options.stream_limits:
            self._before = limits(early.stanza_bytes)
            self._after = limits(late.stanza_bytes, int(options.idle_timeout))
        if options.csi:
            self._after += CLIENT_STATE
        self._inline = _inline(options, carbons) if options.sasl2 else None
        self._registration = _REGISTRATION[options.registration]
        self._fast = options.sasl2 and options.fast and tokens

    def after(self, domain: str) -> bytes:
        """The features of the domain's streams on which somebody has logged in, beside those that all have."""
        caps = self.caps.get(domain)
        return self._after + feature(caps) if caps else self._after

    def before_login(
        self, starttls: str, mechanisms: tuple[str, ...], bindings: tuple[str, ...], upgrades: tuple[str, ...] = ()
    ) -> bytes:
        """The features of a stream on which nobody has logged in; arguments as of features.before_login.

        upgrades  mechanisms that the account of whom the stream is from could have as well (XEP-0480)
        """
        key = starttls, mechanisms, bindings, upgrades
        known = self._known.get(key)
        if known is None:
            more = self._before + (self._registration if 'PLAIN' in mechanisms else b'')
            if mechanisms and self._inline is not None:
                with_tokens = self.token_mechanisms(mechanisms, bindings)
                inline = self._inline + (fast.feature(with_tokens) if with_tokens else b'')
                more = sasl2.feature(mechanisms, inline, sasl_upgrade.feature(upgrades)) + more
            known = features.before_login(starttls, mechanisms, bindings, more)
            if len(self._known) < MOST:
                self._known[key] = known
        return known

    def token_mechanisms(self, mechanisms: Sequence[str], bindings: Collection[str]) -> tuple[str, ...]:
        """Those of XEP-0484, where a password may be sent as well: whoever hears a token's hash may use it."""
        return ht_offered(bindings) if self._fast and 'PLAIN' in mechanisms else ()


def _inline(options: SimpleNamespace, carbons: bool) -> bytes:
    """What may be asked for together with the login (XEP-0388 §2.1)."""
    if not options.bind2:
        return ACKS
    begins = [ns.ACKS, *([ns.CSI] if options.csi else []), *([ns.CARBONS] if carbons else [])]
    return sasl2.bind_feature(tuple(begins)) + ACKS
