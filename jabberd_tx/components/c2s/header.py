"""Stream headers: what a client's must say, and the answer (RFC 6120 §4.7)."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.jid import InvalidJid, Jid, parse
from jabberd_tx.xmpp.parser import StreamOpen
from jabberd_tx.xmpp.writer import stream_header

# Of what people read in stream and stanza errors.
LANG = 'en'
# Characters of a client's; RFC 5646 §4.4.1 has 35 for the longest that is in use.
LONGEST_LANG = 64

Problem = tuple[str, str]  # stream error condition, text


def check_header(
    header: StreamOpen, domains: Sequence[str], before: str, who: Jid | None
) -> tuple[str, Problem | None]:
    """The domain that is wanted ('' if none of ours), and what is wrong with the header, if anything.

    domains  that are served, prepared
    before   the domain of this connection's earlier stream, '' for none
    who      who has logged in on it, if anybody
    """
    attrs = header.attrs
    to = attrs.get('to')
    try:
        wanted = parse(to).full if to is not None else ''
    except InvalidJid:
        wanted = ''
    domain = wanted if wanted in domains else ''
    if header.ns != ns.CLIENT:
        return domain, ('invalid-namespace', f'the content namespace is {ns.CLIENT}')
    if not _is_supported(attrs.get('version')):
        return domain, ('unsupported-version', 'RFC 6120 has version 1.0')
    if not wanted:
        return '', ('improper-addressing', 'a stream header needs the domain as its to')
    if not domain:
        return '', ('host-unknown', 'no such domain here')
    if who is not None and domain != before:
        return '', ('not-authorized', 'logged in at another domain')
    if 'from' in attrs:
        try:
            sender = parse(attrs['from']).bare
        except InvalidJid:
            return domain, ('invalid-from', 'not a JID')
        if who is not None and sender != who.bare:
            return domain, ('invalid-from', 'not who has logged in')
    return domain, None


def language(header: StreamOpen) -> str | None:
    """xml:lang of the stream, which its stanzas get (§8.1.5); None where there is none, or something that is none."""
    lang = header.attrs.get('xml:lang')
    return lang if lang is not None and len(lang) <= LONGEST_LANG else None


def _is_supported(version: str | None) -> bool:
    """§4.7.5: 1.0 or higher; none at all means 0.9."""
    major, dot, minor = (version or '').partition('.')
    return bool(dot) and _is_number(major) and _is_number(minor) and int(major) >= 1


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 9


def response_header(domain: str, sender: str = '') -> bytes:
    """The server's header; `sender`: the client's `from`, which comes back as `to` (§4.7.2)."""
    attrs = {'from': domain, 'id': secrets.token_urlsafe(16), 'version': '1.0', 'xml:lang': LANG}
    if sender:
        try:
            attrs['to'] = parse(sender).bare
        except InvalidJid:
            pass
    return stream_header(ns.CLIENT, attrs)
