"""Entity capabilities (XEP-0115): what somebody can do, named by a hash of it.

The string that is hashed can be read in more than one way: where an identity ends and features begin, or features end
and forms begin, is not told in it.  What comes from others is therefore taken only if identities look like nothing
else and features not like them; and one with forms proves what it says of its own sender alone (`for_all`).
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable
from hashlib import new as new_hash
from typing import NamedTuple

from twisted.words.xish.domish import Element

from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.payloads import forms
from jabberd_tx.xmpp.payloads.forms import FORM_TYPE, Form
from jabberd_tx.xmpp.stanza import Stanza
from jabberd_tx.xmpp.writer import start_tag

# What the server calls itself.
NODE = 'urn:x-jabberd-tx:server'
# Those of XEP-0300 that are in use here, as hashlib names them.
HASHES = {'sha-1': 'sha1', 'sha-256': 'sha256'}
# Characters of a `ver` and a `node` that are looked at.
MOST_VER, MOST_NODE = 128, 512

_WORD = re.compile(r'[A-Za-z0-9_-]+')
_LANGUAGE = re.compile(r'[A-Za-z0-9-]*')
_LIKE_AN_IDENTITY = re.compile(r'[A-Za-z0-9_-]+/[A-Za-z0-9_-]*/[A-Za-z0-9-]*/')


class Caps(NamedTuple):
    """What <c/> says."""

    node: str
    ver: str
    hash: str


class Named(NamedTuple):
    """An identity as hashed."""

    category: str
    type: str
    language: str = ''
    name: str = ''


class Told(NamedTuple):
    """A disco#info answer that is well-formed (§5.4).

    for_all  whether its hash proves it, whoever says it
    """

    identities: frozenset[Named]
    features: frozenset[str]
    forms: tuple[Form, ...]
    for_all: bool


def read(presence: Stanza) -> Caps | None:
    """What the presence says; None without a word, or with one that is of the old format or of no use."""
    child = presence.child(ns.CAPS, 'c')
    if child is None:
        return None
    element = next(presence.element.elements(ns.CAPS, 'c'))
    node, ver, how = (element.getAttribute(name) or '' for name in ('node', 'ver', 'hash'))
    if how not in HASHES or not 0 < len(ver) <= MOST_VER or not 0 < len(node) <= MOST_NODE:
        return None
    return Caps(node, ver, how)


def feature(ver: str) -> bytes:
    """<c/> of the server, for stream features (§6.3)."""
    return (start_tag('c', {'xmlns': ns.CAPS, 'hash': 'sha-1', 'node': NODE, 'ver': ver}) + '/>').encode()


def verification(identities: Iterable[Named], features: Iterable[str], all_forms: Iterable[Form], how: str) -> str:
    """The `ver` (§5.1) by one of HASHES."""
    parts = _sorted(['/'.join(identity) for identity in identities]) + _sorted(features)
    for form in sorted(all_forms, key=lambda form: form.form_type.encode()):
        parts.append(form.form_type)
        for field in sorted(form.fields, key=lambda field: field.var.encode()):
            if field.var != FORM_TYPE:
                parts += [field.var, *_sorted(field.values)]
    text = ''.join([f'{part}<' for part in parts])
    return b64encode(new_hash(HASHES[how], text.encode(), usedforsecurity=False).digest()).decode()


def _sorted(texts: Iterable[str]) -> list[str]:
    return sorted(texts, key=lambda text: text.encode())


def parse(query: Element) -> Told:
    """A disco#info <query/>; ValueError: it is ill-formed, or can be read in two ways."""
    identities = [
        Named(
            element.getAttribute('category') or '',
            element.getAttribute('type') or '',
            element.getAttribute((ns.XML, 'lang')) or '',
            element.getAttribute('name') or '',
        )
        for element in query.elements(ns.DISCO_INFO, 'identity')
    ]
    features = [element.getAttribute('var') or '' for element in query.elements(ns.DISCO_INFO, 'feature')]
    found = [forms.parse(element) for element in query.elements(ns.DATA_FORMS, 'x')]
    if len(set(identities)) < len(identities) or len(set(features)) < len(features) or not identities:
        raise ValueError('no identity, or something stands there twice')
    for identity in identities:
        if not (_WORD.fullmatch(identity.category) and _WORD.fullmatch(identity.type)):
            raise ValueError('no category or type of an identity')
        if not _LANGUAGE.fullmatch(identity.language) or '<' in identity.name:
            raise ValueError('no language or name of an identity')
    if any([not name or '<' in name or _LIKE_AN_IDENTITY.match(name) for name in features]):
        raise ValueError('no name of a feature')
    typed = [form for form in found if _is_typed(form)]
    kinds = [form.form_type for form in typed]
    if len(set(kinds)) < len(kinds):
        raise ValueError('two forms of one type')
    return Told(frozenset(identities), frozenset(features), tuple(typed), not found)


def _is_typed(form: Form) -> bool:
    """Whether it counts; ValueError for one whose type is two."""
    types = [field for field in form.fields if field.var == FORM_TYPE]
    if len({value for field in types for value in field.values}) > 1:
        raise ValueError('a form of two types')
    return bool(form.form_type) and types[0].kind == 'hidden'
