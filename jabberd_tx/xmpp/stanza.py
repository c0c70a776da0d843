"""A stanza: an envelope of str, and the opaque bytes between its tags.

Nothing on the stanza path builds a tree.  A stanza is its name, the attributes of its start
tag, the bytes between its start and end tag as they came in, and a note of where in those
bytes each direct child lies.  Re-addressing makes a new stanza that shares the bytes; asking
for a child is a look at the notes; dropping a child is a slice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from cbor2 import dumps, loads

if TYPE_CHECKING:
    from twisted.words.xish.domish import Element


_new = tuple.__new__  # Child(…) without the call of a Python function


class Child(NamedTuple):
    """Where a direct child stands: inner[start:end] is the whole of it, tags included.

    `ns` is jabber:client for a child in the content namespace (see ns.CONTENT).
    """

    ns: str
    name: str
    start: int
    end: int


class Stanza:
    """An immutable stanza (RFC 6120 §8).

    name      'message', 'presence' or 'iq'; on links also 'session' (link/session.py)
    attrs     the start tag's attributes, str to str, by their name as written ('to', 'type',
              'xml:lang'); another namespaced attribute as '{namespace}name'.  Never changed in
              place: use `with_attrs`
    inner     the bytes between start and end tag, UTF-8, in the stream's content namespace, such
              that they stand alone there
    children  a tuple of Child, in document order
    """

    __slots__ = ('_packed', 'attrs', 'children', 'inner', 'name')

    def __init__(
        self,
        name: str,
        attrs: Mapping[str, str],
        inner: bytes = b'',
        children: tuple[Child, ...] = (),
    ) -> None:
        self.name = name
        self.attrs = attrs
        self.inner = inner
        self.children = children
        self._packed: bytes | None = None

    @classmethod
    def build(cls, name: str, attrs: Mapping[str, str], *children: tuple[str, str, bytes]) -> Stanza:
        """A stanza from (namespace, local name, whole XML of the child) for each child."""
        notes, position = [], 0
        for ns, local, xml in children:
            notes.append(Child(ns, local, position, position + len(xml)))
            position += len(xml)
        return cls(name, attrs, b''.join([xml for _, _, xml in children]), tuple(notes))

    # ---- looking in

    def child(self, ns: str, name: str) -> Child | None:
        """The first direct child of that namespace and name, or None."""
        for child in self.children:
            if child[1] == name and child[0] == ns:
                return child
        return None

    def xml_of(self, child: Child) -> bytes:
        """The child's own XML, tags included."""
        return self.inner[child.start : child.end]

    @property
    def element(self) -> Element:
        """The stanza as a tree, parsed now: for modules that must look inside, never on the hot path."""
        from jabberd_tx.xmpp.tree import to_element

        return to_element(self)

    # ---- making others

    def with_attrs(self, **changes: str | None) -> Stanza:
        """The same stanza with attributes set (str) or removed (None); `from_` sets 'from'."""
        attrs = dict(self.attrs)
        for key, value in changes.items():
            key = 'from' if key == 'from_' else key
            if value is None:
                attrs.pop(key, None)
            else:
                attrs[key] = value
        return Stanza(self.name, attrs, self.inner, self.children)

    def without(self, ns: str, name: str) -> Stanza:
        """The same stanza without the direct children of that namespace and name."""
        kept = [(c.ns, c.name, self.xml_of(c)) for c in self.children if (c.name, c.ns) != (name, ns)]
        return self if len(kept) == len(self.children) else Stanza.build(self.name, self.attrs, *kept)

    def plus(self, ns: str, name: str, xml: bytes) -> Stanza:
        """The same stanza with one more child at its end."""
        start = len(self.inner)
        children = (*self.children, Child(ns, name, start, start + len(xml)))
        return Stanza(self.name, self.attrs, self.inner + xml, children)

    # ---- on links and on disk

    def pack(self) -> bytes:
        """CBOR array [name, attrs, inner, [[ns, name, start, end] …]]; made once."""
        packed = self._packed
        if packed is None:
            packed = self._packed = dumps([self.name, self.attrs, self.inner, self.children])
        return packed

    @classmethod
    def unpack(cls, packed: bytes) -> Stanza:
        """The inverse of `pack`; ValueError for anything else than such an array.

        Checked are all types, and that the children lie inside `inner` in order; not that `inner` is XML.
        """
        try:
            name, attrs, inner, children = loads(packed)
            for key, value in attrs.items():
                if key.__class__ is not str or value.__class__ is not str:
                    raise ValueError('attributes are not text')
            notes = []
            position = 0
            for child in children:
                ns, local, start, end = child
                if ns.__class__ is not str or local.__class__ is not str or start.__class__ is not int:
                    raise ValueError('wrong types in a child')
                if not position <= start < end or end.__class__ is not int:
                    raise ValueError('children out of order')
                notes.append(_new(Child, child))
                position = end
            if type(name) is not str or type(attrs) is not dict or type(inner) is not bytes:
                raise ValueError('wrong types')
            if position > len(inner) or not name.isalnum():
                raise ValueError('children beyond the end, or no name')
        except Exception as error:
            raise ValueError(f'not a packed stanza: {error}') from None
        stanza = cls(name, attrs, inner, tuple(notes))
        stanza._packed = packed
        return stanza

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Stanza):
            return NotImplemented
        return (self.name, self.attrs, self.inner, self.children) == (
            other.name,
            other.attrs,
            other.inner,
            other.children,
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        """Envelope only: bodies stay out of logs."""
        return f'<{self.name} {dict(self.attrs)} {len(self.inner)} bytes>'
