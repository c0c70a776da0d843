"""The Extensible SASL Profile (XEP-0388), and what may be asked for inline: Bind 2 (XEP-0386), resumption, FAST."""

from __future__ import annotations

import re
from typing import NamedTuple

from twisted.words.xish.domish import Element

from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.events import Nonza
from jabberd_tx.xmpp.payloads.fast import Fast, parse_fast
from jabberd_tx.xmpp.sasl.base64 import decode_base64
from jabberd_tx.xmpp.sasl.elements import encode
from jabberd_tx.xmpp.sasl.failure import SaslFailure
from jabberd_tx.xmpp.tree import parse_into
from jabberd_tx.xmpp.writer import escape

_UUID = re.compile('[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}')
_SPACE = ' \t\r\n'
_NS = ns.SASL2.encode()


class Bind(NamedTuple):
    """What a session is to begin with (XEP-0386 §3.2).

    tag       what the client calls itself, '' for nothing
    carbons   with copies of messages (XEP-0280)
    inactive  nobody looks at the client (XEP-0352)
    acks      <enable/> of XEP-0198
    """

    tag: str = ''
    carbons: bool = False
    inactive: bool = False
    acks: Nonza | None = None


class Authenticate(NamedTuple):
    """An <authenticate/>.

    mechanism  as written
    initial    the initial response; None: there is none
    client     the user agent's id in small letters; '' without one that is a UUID
    bind, resume, fast  inline requests (XEP-0386; XEP-0198 §5; XEP-0484 §3.4), if any
    wanted     the mechanism that the client wants a token for (XEP-0484 §3.2); '' for none
    upgrades   the names of the upgrade tasks that it would do (XEP-0480 §2.2)
    """

    mechanism: str
    initial: bytes | None = None
    client: str = ''
    bind: Bind | None = None
    resume: Nonza | None = None
    fast: Fast | None = None
    wanted: str = ''
    upgrades: tuple[str, ...] = ()


def parse_authenticate(request: Nonza) -> Authenticate:
    """SaslFailure: incorrect-encoding of the initial response; malformed-request for XML that cannot be read."""
    root = tree_of(request)
    initial = first(root, ns.SASL2, 'initial-response')
    agent = first(root, ns.SASL2, 'user-agent')
    client = str(agent.getAttribute('id') or '') if agent is not None else ''
    resume = first(root, ns.ACKS, 'resume')
    fast, wanted = first(root, ns.FAST, 'fast'), first(root, ns.FAST, 'request-token')
    return Authenticate(
        request.attrs.get('mechanism', ''),
        None if initial is None else decode(str(initial)),
        client.lower() if _UUID.fullmatch(client) else '',
        _bind(first(root, ns.BIND2, 'bind')),
        None if resume is None else _nonza(resume),
        None if fast is None else parse_fast(fast),
        '' if wanted is None else str(wanted.getAttribute('mechanism') or ''),
        tuple([str(task).strip(_SPACE) for task in root.elements(ns.SASL_UPGRADE, 'upgrade')]),
    )


def _bind(wish: Element | None) -> Bind | None:
    if wish is None:
        return None
    tag, acks = first(wish, ns.BIND2, 'tag'), first(wish, ns.ACKS, 'enable')
    return Bind(
        '' if tag is None else str(tag).strip(_SPACE),
        first(wish, ns.CARBONS, 'enable') is not None,
        first(wish, ns.CSI, 'inactive') is not None,
        None if acks is None else _nonza(acks),
    )


def tree_of(element: Nonza) -> Element:
    """As a tree, without its attributes; SaslFailure('malformed-request')."""
    root = Element((element.ns, element.name))
    try:
        parse_into(root, element.inner)
    except ValueError:
        raise SaslFailure('malformed-request', 'broken XML') from None
    return root


def first(parent: Element, space: str, name: str) -> Element | None:
    """The first child of that name."""
    return next(iter(parent.elements(space, name)), None)


def _nonza(element: Element) -> Nonza:
    attrs = {key: str(value) for key, value in element.attributes.items() if isinstance(key, str)}
    return Nonza(element.uri or '', element.name, attrs)


def decode(text: str) -> bytes:
    """Base64 with white space around it; an empty element is an empty string (XEP-0388 §2.2).

    SaslFailure('incorrect-encoding').
    """
    try:
        return decode_base64(text.strip(_SPACE))
    except ValueError:
        raise SaslFailure('incorrect-encoding') from None


def feature(mechanisms: tuple[str, ...], inline: bytes, more: bytes = b'') -> bytes:
    """The stream feature; `inline`: features that may be asked for in <authenticate/>; `more`: what stands beside."""
    names = ''.join([f'<mechanism>{name}</mechanism>' for name in mechanisms]).encode()
    return b"<authentication xmlns='%b'>%b<inline>%b</inline>%b</authentication>" % (_NS, names, inline, more)


def bind_feature(features: tuple[str, ...]) -> bytes:
    """What stands in the inline features: Bind 2, and what a session may begin with."""
    names = ''.join([f"<feature var='{name}'/>" for name in features])
    return f"<bind xmlns='{ns.BIND2}'><inline>{names}</inline></bind>".encode()


def challenge(data: bytes) -> bytes:
    """The <challenge/> element."""
    return b"<challenge xmlns='%b'>%b</challenge>" % (_NS, encode(data) if data else b'')


def success(jid: str, data: bytes | None, inline: bytes = b'') -> bytes:
    """The <success/> element: who the client is now (a full JID when a resource is bound), the mechanism's additional
    data, and the answers to inline requests."""
    more = b'' if data is None else b'<additional-data>%b</additional-data>' % (encode(data) if data else b'')
    who = escape(jid).encode()
    return b"<success xmlns='%b'>%b<authorization-identifier>%b</authorization-identifier>%b</success>" % (
        _NS, more, who, inline,
    )  # fmt: skip


def bound(inline: bytes) -> bytes:
    """In <success/>: a resource is bound; with the answers of what the session began with."""
    return b"<bound xmlns='%b'>%b</bound>" % (ns.BIND2.encode(), inline)


def failure(reason: SaslFailure) -> bytes:
    """The <failure/> element."""
    text = f"<text xml:lang='en'>{escape(reason.text)}</text>" if reason.text else ''
    return f"<failure xmlns='{ns.SASL2}'><{reason.condition} xmlns='{ns.SASL}'/>{text}</failure>".encode()
