"""Stream features: what a client may do next (RFC 6120 §4.3.2)."""

from __future__ import annotations

from collections.abc import Sequence

from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.acks import FEATURE as ACKS
from jabberd_tx.xmpp.payloads.bind import FEATURE as BIND
from jabberd_tx.xmpp.sasl import channel_bindings

# RFC 3921's session: clients of that age ask for it, newer ones see that they need not.
_SESSION = f"<session xmlns='{ns.SESSION}'><optional/></session>".encode()

# What the session manager has always on (RFC 6121 §2.6.1, §3.4): told, nothing to negotiate.
_ROSTER = f"<ver xmlns='{ns.ROSTER_VERSIONING}'/><sub xmlns='{ns.PREAPPROVAL}'/>".encode()

_ALWAYS_AFTER_LOGIN = b''.join((BIND, _SESSION, ACKS, _ROSTER))


def after_login(more: bytes) -> bytes:
    """The features of a stream on which somebody has logged in.  `more`: those that options switch (offer.py)."""
    return b'<stream:features>%b%b</stream:features>' % (_ALWAYS_AFTER_LOGIN, more)


def with_session(counts: bool, more: bytes) -> bytes:
    """The features of a stream that has a session already (XEP-0388 with a bind or a resumption inline).

    counts  its stanzas are counted already (XEP-0198): a client that were offered that would ask for it once more
    """
    return b'<stream:features>%b%b%b</stream:features>' % (b'' if counts else ACKS, _ROSTER, more)


def before_login(starttls: str, mechanisms: Sequence[str], bindings: Sequence[str], more: bytes = b'') -> bytes:
    """The features of a stream on which nobody has logged in.

    starttls    'required', 'optional' or '' for not offered
    mechanisms  names, best first; none: login needs TLS
    bindings    channel binding types (XEP-0440)
    more        those that options switch (offer.py)
    """
    parts = [b'<stream:features>']
    if starttls:
        inner = '<required/>' if starttls == 'required' else ''
        parts.append(f"<starttls xmlns='{ns.TLS}'>{inner}</starttls>".encode())
    if mechanisms:
        if any(name.endswith('-PLUS') for name in mechanisms):
            parts.append(channel_bindings(bindings))
        inner = ''.join([f'<mechanism>{name}</mechanism>' for name in mechanisms])
        parts.append(f"<mechanisms xmlns='{ns.SASL}'>{inner}</mechanisms>".encode())
    parts += more, b'</stream:features>'
    return b''.join(parts)
