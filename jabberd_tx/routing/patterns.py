"""Patterns of addresses and of names, as filter and access rules have them.

    example.net            the domain, and everybody there
    romeo@example.net      a user, with all resources
    romeo@example.net/a    one address
    *.example.net          '*' stands for any text and '?' for one character: without '@' and '/' it is the domain that
    spam*@example.net      has to match, with '@' the bare JID, with '/' the full one
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from jabberd_tx.xmpp.jid import InvalidJid, Jid, parse

LONGEST = 3071  # of a pattern, in characters


class Addresses:
    """Those that any of the patterns matches.  Without patterns: everybody."""

    __slots__ = ('_bare', '_domain', '_exact', '_full', '_texts')

    def __init__(self, patterns: Iterable[str]) -> None:
        """ValueError for what is neither an address nor a pattern of one."""
        self._texts = tuple(patterns)
        self._exact: set[str] = set()  # domains, bare and full JIDs
        self._domain: list[re.Pattern[str]] = []
        self._bare: list[re.Pattern[str]] = []
        self._full: list[re.Pattern[str]] = []
        for text in self._texts:
            if not 0 < len(text) <= LONGEST:
                raise ValueError(f'expected an address or a pattern, not {text[:60]!r}')
            if '*' in text or '?' in text:
                of = self._full if '/' in text else self._bare if '@' in text else self._domain
                of.append(glob(text))
                continue
            try:
                self._exact.add(parse(text).full)
            except InvalidJid as error:
                raise ValueError(f'expected an address or a pattern, not {text!r}: {error}') from None

    def __str__(self) -> str:
        return ', '.join(self._texts)

    def __bool__(self) -> bool:
        """Whether there are patterns."""
        return bool(self._texts)

    def has(self, jid: Jid) -> bool:
        """Whether they match this address."""
        if not self._texts:
            return True
        exact = self._exact
        if jid.bare in exact or jid.domain in exact or jid.full in exact:
            return True
        return (
            _any(self._domain, jid.domain) or _any(self._bare, jid.bare) or _any(self._full, jid.full)
        )


class Names:
    """Names of nodes or of services that any of the patterns matches; no patterns match none."""

    __slots__ = ('_patterns', '_texts')

    def __init__(self, patterns: Iterable[str]) -> None:
        self._texts = tuple(patterns)
        self._patterns = [glob(text) for text in self._texts]

    def __str__(self) -> str:
        return ', '.join(self._texts)

    def has(self, name: str) -> bool:
        """Whether they match this name."""
        return _any(self._patterns, name)


def glob(text: str) -> re.Pattern[str]:
    """The expression for a text with '*' and '?'; case does not count."""
    pieces = re.split(r'(\*+|\?)', text)
    return re.compile(
        ''.join('.*' if piece.startswith('*') else '.' if piece == '?' else re.escape(piece) for piece in pieces),
        re.IGNORECASE | re.DOTALL,
    )


def _any(patterns: list[re.Pattern[str]], text: str) -> bool:
    return any(pattern.fullmatch(text) for pattern in patterns)
