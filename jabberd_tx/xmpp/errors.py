"""Errors as the wire says them: stanza errors (RFC 6120 §8.3) and stream errors (§4.9)."""

from __future__ import annotations

from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.stanza import Stanza
from jabberd_tx.xmpp.writer import escape

# RFC 6120 §8.3.3: each condition with the error type that goes with it.  Where the RFC leaves a
# choice, the first that it names; undefined-condition goes with any.
CONDITIONS = {
    'bad-request': 'modify',
    'conflict': 'cancel',
    'feature-not-implemented': 'cancel',
    'forbidden': 'auth',
    'gone': 'cancel',
    'internal-server-error': 'cancel',
    'item-not-found': 'cancel',
    'jid-malformed': 'modify',
    'not-acceptable': 'modify',
    'not-allowed': 'cancel',
    'not-authorized': 'auth',
    'policy-violation': 'modify',
    'recipient-unavailable': 'wait',
    'redirect': 'modify',
    'registration-required': 'auth',
    'remote-server-not-found': 'cancel',
    'remote-server-timeout': 'wait',
    'resource-constraint': 'wait',
    'service-unavailable': 'cancel',
    'subscription-required': 'auth',
    'undefined-condition': 'cancel',
    'unexpected-request': 'wait',
}
TYPES = frozenset(('auth', 'cancel', 'continue', 'modify', 'wait'))

# RFC 6120 §4.9.3.
STREAM_CONDITIONS = frozenset(
    'bad-format bad-namespace-prefix conflict connection-timeout host-gone host-unknown improper-addressing '
    'internal-server-error invalid-from invalid-namespace invalid-xml not-authorized not-well-formed '
    'policy-violation remote-connection-failed reset resource-constraint restricted-xml see-other-host '
    'system-shutdown undefined-condition unsupported-encoding unsupported-feature unsupported-stanza-type '
    'unsupported-version'.split()
)


class StanzaError(Exception):
    """Why a stanza is refused; whoever catches it answers with `reply`.

    condition  one of CONDITIONS
    type       'auth', 'cancel', 'continue', 'modify' or 'wait'; by default the condition's own
    text       for people, or ''
    uri        where to go instead: for 'gone' and 'redirect'
    application  XML of an application-specific condition (§8.3.4), self-contained
    """

    def __init__(
        self, condition: str, text: str = '', type: str | None = None, uri: str = '', application: bytes = b''
    ) -> None:
        super().__init__(condition, text)
        self.condition, self.text, self.uri, self.application = condition, text, uri, application
        self.type = type or CONDITIONS[condition]

    def reply(self, stanza: Stanza) -> Stanza:
        """The error stanza that answers this one: see `error_reply`."""
        return error_reply(stanza, self.condition, self.text, self.type, self.uri, self.application)


def condition_of(text: str, otherwise: str) -> str:
    """The text if it is a condition, such as the one that comes with a BOUNCE `denied`; else the other."""
    return text if text in CONDITIONS else otherwise


def may_reply(stanza: Stanza) -> bool:
    """Whether an error may answer it: never one to an error, nor to an IQ result (RFC 6120 §8.3.1, §8.2.3)."""
    return stanza.attrs.get('type') not in ('error', 'result')


def error_xml(
    condition: str, text: str = '', type: str | None = None, uri: str = '', application: bytes = b''
) -> bytes:
    """The <error/> element in the content namespace; KeyError for a condition that RFC 6120 does not have."""
    kind = type or CONDITIONS[condition]
    content = f"<{condition} xmlns='{ns.STANZAS}'"
    content += f'>{escape(uri)}</{condition}>' if uri else '/>'
    if text:
        content += f"<text xml:lang='en' xmlns='{ns.STANZAS}'>{escape(text)}</text>"
    return b"<error type='%b'>%b%b</error>" % (kind.encode(), content.encode(), application)


def error_reply(
    stanza: Stanza,
    condition: str,
    text: str = '',
    type: str | None = None,
    uri: str = '',
    application: bytes = b'',
) -> Stanza:
    """The error stanza that answers `stanza`, whether it may be answered or not: ask `may_reply`.

    To and from are swapped, the id and the language stay, the original children stand before <error/> (§8.3.1).
    """
    attrs = {key: value for key, value in stanza.attrs.items() if key not in ('to', 'from', 'type')}
    attrs['type'] = 'error'
    sender, target = stanza.attrs.get('from'), stanza.attrs.get('to')
    if sender is not None:
        attrs['to'] = sender
    if target is not None:
        attrs['from'] = target
    return Stanza(stanza.name, attrs, stanza.inner, stanza.children).plus(
        ns.CLIENT, 'error', error_xml(condition, text, type, uri, application)
    )


def stream_error(condition: str, text: str = '', inner: str = '', application: str = '') -> bytes:
    """<stream:error/>, without the end of the stream.

    inner        text of the condition: the host for see-other-host (not yet escaped)
    application  XML of an application-specific element (§4.9.4), self-contained
    """
    element = f"<{condition} xmlns='{ns.STREAMS}'"
    element += f'>{escape(inner)}</{condition}>' if inner else '/>'
    if text:
        element += f"<text xml:lang='en' xmlns='{ns.STREAMS}'>{escape(text)}</text>"
    return f'<stream:error>{element}{application}</stream:error>'.encode()
