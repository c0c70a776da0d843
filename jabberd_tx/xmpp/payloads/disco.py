"""Service discovery's answers (XEP-0030)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.payloads.forms import Form
from jabberd_tx.xmpp.writer import start_tag


class Identity(NamedTuple):
    """What an entity is: category and type of the registry, such as ('server', 'im'); a name for people or ''."""

    category: str
    type: str
    name: str = ''


class Info(NamedTuple):
    """What an entity tells of itself; identities as of `Identity`."""

    identities: Iterable[tuple[str, ...]]
    features: Iterable[str]
    forms: Iterable[Form] = ()


class Item(NamedTuple):
    """An entity, or a node of one, that belongs to the one asked."""

    jid: str
    name: str = ''
    node: str = ''


def _some(**attrs: str) -> dict[str, str]:
    return {key: value for key, value in attrs.items() if value}


def info(told: Info, node: str = '') -> bytes:
    """<query/> that answers disco#info.  Features go out sorted, each once; forms as XEP-0128 has them."""
    parts = [start_tag('query', {'xmlns': ns.DISCO_INFO, **_some(node=node)}), '>']
    for identity in told.identities:
        category, kind, name = Identity(*identity)
        parts += start_tag('identity', {'category': category, 'type': kind, **_some(name=name)}), '/>'
    for feature in sorted(set(told.features)):
        parts += start_tag('feature', {'var': feature}), '/>'
    parts += [form.xml() for form in told.forms]
    return ''.join([*parts, '</query>']).encode()


def items(entries: Iterable[tuple[str, ...]], node: str = '') -> bytes:
    """<query/> that answers disco#items.  Entries are (jid[, name[, node]])."""
    parts = [start_tag('query', {'xmlns': ns.DISCO_ITEMS, **_some(node=node)}), '>']
    for entry in entries:
        jid, name, at = Item(*entry)
        parts += start_tag('item', {'jid': jid, **_some(name=name, node=at)}), '/>'
    return ''.join([*parts, '</query>']).encode()
