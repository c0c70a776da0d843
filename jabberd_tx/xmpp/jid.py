"""JIDs, prepared and compared as RFC 7622 says.  `parse` is the one way in; its results are cached."""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache
from typing import Any

import idna
from precis_i18n import get_profile

MOST_BYTES = 1023  # of each part, in UTF-8 (RFC 7622 §3.2–§3.4)
CACHE = 16384  # JIDs kept prepared
CACHED_LENGTH = 256  # of the longest that is kept, in characters
MOST_CHARACTERS = 4096  # of a part, before preparation: longer ones are not looked at

_USERNAME = get_profile('UsernameCaseMapped')
_OPAQUE = get_profile('OpaqueString')
_EXCLUDED = frozenset('"&\'/:<>@')  # RFC 7622 §3.3.1

# What the profiles leave as it is, but for upper case.
_ASCII_LOCAL = re.compile(r'[!#$%()*+,\-.0-9;=?A-Z\[\\\]^_`a-z{|}~]{1,1023}')
_ASCII_DOMAIN = re.compile(
    r'(?=.{1,1023}\Z)[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?'
    r'(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*'
)
_ASCII_RESOURCE = re.compile(r'[ -~]{1,1023}')
_DOTS = re.compile('[\u3002\uff0e\uff61]')  # RFC 5895 §2.4: other full stops are dots


class InvalidJid(ValueError):
    """Not a JID; the text says which part and why."""


class Jid:
    """A prepared JID.

    local     '' for none
    domain    never empty; U-labels, no trailing dot
    resource  '' for none
    bare      [local@]domain
    full      the whole; equal to `bare` where there is no resource
    """

    __slots__ = ('bare', 'domain', 'full', 'local', 'resource')

    def __init__(self, local: str, domain: str, resource: str = '') -> None:
        """From parts that are prepared: others go through `parse`."""
        self.local, self.domain, self.resource = local, domain, resource
        self.bare = f'{local}@{domain}' if local else domain
        self.full = f'{self.bare}/{resource}' if resource else self.bare

    def __str__(self) -> str:
        return self.full

    def __repr__(self) -> str:
        return f'Jid({self.full!r})'

    def __eq__(self, other: object) -> bool:
        return self.full == other.full if isinstance(other, Jid) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.full)


def parse(text: str) -> Jid:
    """The JID, prepared and checked; InvalidJid.  What was parsed before comes from a cache."""
    return _cached(text) if len(text) <= CACHED_LENGTH else _parse(text)


def _parse(text: str) -> Jid:
    # RFC 7622 §3.1: split at the first '/', then at the first '@' before it.
    address, slash, resource = text.partition('/')
    local, at, domain = address.partition('@')
    if not at:
        local, domain = '', address
    return Jid(
        prepare_local(local) if at else '', prepare_domain(domain), prepare_resource(resource) if slash else ''
    )


_cached = lru_cache(CACHE)(_parse)


def prepare_local(text: str) -> str:
    """Localpart by UsernameCaseMapped and RFC 7622's exclusions; InvalidJid."""
    if _ASCII_LOCAL.fullmatch(text):
        return text.lower()
    local = _enforce(_USERNAME, text, 'localpart')
    if not _EXCLUDED.isdisjoint(local):
        raise InvalidJid('localpart: has a character that RFC 7622 §3.3.1 excludes')
    return _bounded(local, 'localpart')


def prepare_resource(text: str) -> str:
    """Resourcepart by OpaqueString; InvalidJid."""
    if _ASCII_RESOURCE.fullmatch(text):
        return text
    return _bounded(_enforce(_OPAQUE, text, 'resourcepart'), 'resourcepart')


def prepare_domain(text: str) -> str:
    """Domainpart: U-labels, IPv4 or [IPv6] (RFC 7622 §3.2); InvalidJid."""
    if not text.isascii():
        text = _DOTS.sub('.', text)
    text = text.removesuffix('.')
    if _ASCII_DOMAIN.fullmatch(text) and '--' not in text:
        return text.lower()
    if text.startswith('['):
        return _ip_literal(text)
    if len(text) > MOST_BYTES:
        raise InvalidJid(f'domainpart: {len(text)} characters')
    if text.endswith('.'):
        raise InvalidJid('domainpart: an empty label')
    try:
        # The mapping of UTS #46 without its transitional part does what RFC 7622 §3.2.2 asks of a
        # U-label: full- and half-width forms, case, NFC.  `encode` checks each label by IDNA 2008.
        domain = idna.decode(text, uts46=True, std3_rules=True)
        idna.encode(domain)
    except (UnicodeError, ValueError) as error:
        raise InvalidJid(f'domainpart: {error}') from None
    return _bounded(domain, 'domainpart')


def _ip_literal(text: str) -> str:
    try:
        if not text.endswith(']') or '%' in text:  # a zone means nothing to anybody else
            raise ValueError('not an IPv6 address')
        return f'[{ipaddress.IPv6Address(text[1:-1])}]'
    except ValueError as error:
        raise InvalidJid(f'domainpart: {error}') from None


def _enforce(profile: Any, text: str, part: str) -> str:
    if len(text) > MOST_CHARACTERS:
        raise InvalidJid(f'{part}: {len(text)} characters')
    try:
        prepared: str = profile.enforce(text)
    except UnicodeError as error:
        raise InvalidJid(f'{part}: {error}') from None
    return prepared


def _bounded(text: str, part: str) -> str:
    size = len(text.encode())
    if not 1 <= size <= MOST_BYTES:
        raise InvalidJid(f'{part}: {size} bytes, 1 to {MOST_BYTES} allowed')
    return text
