"""vCards on the wire (XEP-0054): their photo, read and replaced; presence that tells of it (XEP-0153)."""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from binascii import Error as BadBase64
from hashlib import sha1

from twisted.words.xish.domish import Element

from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.payloads.forms import text_of
from jabberd_tx.xmpp.stanza import Stanza
from jabberd_tx.xmpp.tree import from_element

_SPACE = re.compile(r'[ \t\r\n]+')
_PHOTO = re.compile(rb'<photo(?:\s[^<>]*)?>\s*([0-9A-Fa-f]{40})\s*</photo\s*>')


def photo_of(card: Element) -> bytes | None:
    """The data of the first photo that stands in the vCard itself; None without one.  ValueError: no Base64."""
    for photo in card.elements(ns.VCARD, 'PHOTO'):
        for value in photo.elements(ns.VCARD, 'BINVAL'):
            text = _SPACE.sub('', text_of(value))
            if text:
                return _decoded(text)
    return None


def _decoded(text: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except (BadBase64, ValueError):
        raise ValueError('the photo is no Base64') from None


def with_photo(stanza: Stanza, data: bytes, media_type: str) -> bytes:
    """The stanza's <vCard/>, whose first photo is replaced; its XML stands alone."""
    root = stanza.element
    card: Element = next(root.elements(ns.VCARD, 'vCard'))
    for photo in card.elements(ns.VCARD, 'PHOTO'):
        if next(photo.elements(ns.VCARD, 'BINVAL'), None) is not None:
            photo.children = []
            for name, text in (('TYPE', media_type), ('BINVAL', b64encode(data).decode())):
                child = Element((ns.VCARD, name))
                child.addContent(text)
                photo.addChild(child)
            break
    root.children = [card]
    return from_element(root).inner


def hash_of(data: bytes) -> str:
    """As XEP-0153 §3.1 has it."""
    return sha1(data, usedforsecurity=False).hexdigest()


def told_hash(presence: Stanza) -> str | None:
    """The photo's hash that a presence tells, in lower case; '' when it tells of none, None without a word."""
    child = presence.child(ns.VCARD_UPDATE, 'x')
    if child is None:
        return None
    found = _PHOTO.search(presence.xml_of(child))
    return found[1].decode().lower() if found else ''


def telling_hash(presence: Stanza, photo: str) -> Stanza:
    """The presence with that hash, and no other; '': there is no photo."""
    inner = f'<photo>{photo}</photo>' if photo else '<photo/>'
    xml = f"<x xmlns='{ns.VCARD_UPDATE}'>{inner}</x>".encode()
    return presence.without(ns.VCARD_UPDATE, 'x').plus(ns.VCARD_UPDATE, 'x', xml)
