"""What the configuration says about each external component, checked."""

from __future__ import annotations

import hmac
from collections.abc import Collection, Iterable, Mapping
from hashlib import sha1
from types import SimpleNamespace
from typing import NamedTuple

from jabberd_tx.base.options import ConfigError
from jabberd_tx.link.directory import Address, parse_address
from jabberd_tx.xmpp.jid import InvalidJid, parse


class External(NamedTuple):
    """One [[external_component]].

    name     prepared
    slots    the number that the name is shared out over, 0 for none; `first`: the first of those that are for this
             component, of which there are `most`
    senders  domains that it may send from; `below`: '.example.org' for all below
    connect  where it listens; () when it is the one that connects
    """

    name: str
    secret: str
    policy: str
    weight: float
    slots: int
    first: int
    most: int
    senders: frozenset[str]
    below: tuple[str, ...]
    anybody: bool
    connect: tuple[Address, ...]

    def may_send_from(self, domain: str) -> bool:
        """Whether it may, by the prepared domain of a `from`."""
        return domain in self.senders or self.anybody or bool(self.below and domain.endswith(self.below))

    def bind_options(self, slot: int) -> dict[str, object]:
        """What its connection in that slot asks of a router (docs/routing.md)."""
        options: dict[str, object] = {}
        if self.weight != 1.0:
            options['weight'] = self.weight
        if self.slots:
            options.update(slots=self.slots, slot=slot)
        return options


def read_externals(
    tables: Iterable[SimpleNamespace],
    domains: Collection[str],
    fixed: Mapping[str, int] | None = None,
    process: int = 0,
) -> list[External]:
    """From the values of EXTERNAL.  ConfigError, one line.

    domains  of the site's users; fixed: how many slots a router has for a name, where that is configured there;
    process  the number of this one, whose slots follow those of the ones before
    """
    found: list[External] = []
    for number, table in enumerate(tables):
        external = _read(table, f'external_component.{number}', fixed or {}, process)
        if external.name in domains:
            raise ConfigError(f'external_component.{number}.name: {external.name} is a domain of [server]')
        for other in found:
            if other.name == external.name and _overlap(other, external):
                raise ConfigError(
                    f'external_component.{number}.first_slot: another table of {external.name} has a slot of these'
                )
        found.append(external)
    return found


def _overlap(one: External, other: External) -> bool:
    return one.first < other.first + other.most and other.first < one.first + one.most


def _read(table: SimpleNamespace, place: str, fixed: Mapping[str, int], process: int) -> External:
    name = _domain(table.name, f'{place}.name')
    if not table.secret:
        raise ConfigError(f'{place}.secret: expected a secret')
    count = len(table.connect) or table.connections
    slots = table.slots or fixed.get(name, 0)
    first = table.first_slot + process * count
    if slots and first + count > slots:
        raise ConfigError(f'{place}.slots: expected {first + count} or more, so many have connections')
    try:
        connect = tuple([parse_address(text) for text in table.connect])
    except ValueError as error:
        raise ConfigError(f'{place}.connect: {error}') from None
    below = tuple([_domain(text[2:], f'{place}.senders') for text in table.senders if text.startswith('*.')])
    exact = [text for text in table.senders if not text.startswith('*')]
    senders = frozenset([name, *(_domain(text, f'{place}.senders') for text in exact)])
    return External(
        name, table.secret, table.policy, table.weight, slots, first, count, senders,
        tuple([f'.{domain}' for domain in below]), '*' in table.senders, connect,
    )  # fmt: skip


def _domain(text: str, place: str) -> str:
    try:
        jid = parse(text)
    except InvalidJid as error:
        raise ConfigError(f'{place}: expected a domain name, not {text!r}: {error}') from None
    if jid.local or jid.resource:
        raise ConfigError(f'{place}: expected a domain name, not {text!r}')
    return jid.domain


def digest(stream: str, secret: str) -> str:
    """What proves that one knows the secret, on the stream with that id (XEP-0114 §3)."""
    return sha1((stream + secret).encode(), usedforsecurity=False).hexdigest()


def proves(text: str, stream: str, secret: str) -> bool:
    """Whether this is the digest; in a time that does not tell how much of it is right."""
    return hmac.compare_digest(text.strip().encode(), digest(stream, secret).encode())
