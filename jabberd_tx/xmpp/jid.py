"""JIDs, prepared and compared as RFC 7622 says.  `parse` is the one way in; its results are cached."""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache

import idna
from precis_i18n import get_profile

MOST_BYTES = 1023  # of each part, in UTF-8 (RFC 7622 §3.2–§3.4)
CACHE = 16384  # JIDs kept prepared

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


@lru_cache(CACHE)
def parse(text: str) -> Jid:
    """Split at the first '/', then at the first '@' before it (RFC 7622 §3.1), and prepare each part."""
    address, slash, resource = text.partition('/')
    local, at, domain = address.partition('@')
    if not at:
        local, domain = '', address
    return Jid(
        prepare_local(local) if at else '', prepare_domain(domain), prepare_resource(resource) if slash else ''
    )


def prepare_local(text: str) -> str:
    """Localpart by UsernameCaseMapped and RFC 7622's exclusions; InvalidJid."""
    if _ASCII_LOCAL.fullmatch(text):
        return text.lower()
    try:
        local: str = _USERNAME.enforce(text)
    except (UnicodeError, ValueError) as error:
        raise InvalidJid(f'localpart: {error}') from None
    if not _EXCLUDED.isdisjoint(local):
        raise InvalidJid('localpart: has a character that RFC 7622 §3.3.1 excludes')
    return _bounded(local, 'localpart')


def prepare_resource(text: str) -> str:
    """Resourcepart by OpaqueString; InvalidJid."""
    if _ASCII_RESOURCE.fullmatch(text):
        return text
    try:
        resource: str = _OPAQUE.enforce(text)
    except (UnicodeError, ValueError) as error:
        raise InvalidJid(f'resourcepart: {error}') from None
    return _bounded(resource, 'resourcepart')


def prepare_domain(text: str) -> str:
    """Domainpart: U-labels, IPv4 or [IPv6] (RFC 7622 §3.2); InvalidJid."""
    if text.endswith('.'):
        text = text[:-1]
    if _ASCII_DOMAIN.fullmatch(text) and 'xn--' not in (lower := text.lower()):
        return lower
    if text.startswith('[') and text.endswith(']'):
        try:
            return f'[{ipaddress.IPv6Address(text[1:-1])}]'
        except ValueError as error:
            raise InvalidJid(f'domainpart: {error}') from None
    try:
        domain = idna.decode(_DOTS.sub('.', text), uts46=True, std3_rules=True)
        idna.encode(domain)
    except (UnicodeError, ValueError) as error:
        raise InvalidJid(f'domainpart: {error}') from None
    return _bounded(domain, 'domainpart')


def _bounded(part: str, name: str) -> str:
    size = len(part.encode())
    if not 1 <= size <= MOST_BYTES:
        raise InvalidJid(f'{name}: {size} bytes, 1 to {MOST_BYTES} allowed')
    return part
