"""What a stream parser gives out, and the limits that it keeps."""

from __future__ import annotations

from typing import NamedTuple

from jabberd_tx.xmpp.rewrite import text_of
from jabberd_tx.xmpp.stanza import Child, Stanza


class Limits(NamedTuple):
    """What one first-level element may have; beyond it the stream ends with policy-violation.

    stanza_bytes  of the whole element, and of the stream header
    depth         of elements below the stream, at least 2: a stanza is at 1, its children are at 2
    attributes    of one tag; in the stream header, declarations too
    children      direct children of a first-level element
    """

    stanza_bytes: int = 262144
    depth: int = 64
    attributes: int = 64
    children: int = 256


class StreamOpen(NamedTuple):
    """A stream header.

    attrs  by name as written ('to', 'xml:lang'); another namespaced attribute as '{namespace}name'
    ns     the content namespace; '' where the header declares none (each stanza then names its own)
    """

    attrs: dict[str, str]
    ns: str


class Nonza:
    """A first-level element that is no stanza.

    ns, name  of the element; attrs as a stanza's
    inner     what is between its tags, to be read with `ns` as the default namespace
    children  as a stanza's
    """

    __slots__ = ('attrs', 'children', 'inner', 'name', 'ns')

    def __init__(
        self,
        ns: str,
        name: str,
        attrs: dict[str, str],
        inner: bytes = b'',
        children: tuple[Child, ...] = (),
    ) -> None:
        self.ns, self.name, self.attrs, self.inner, self.children = ns, name, attrs, inner, children

    @property
    def text(self) -> str:
        """The text directly inside it, children left out."""
        return text_of(self.inner)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Nonza):
            return NotImplemented
        return all(getattr(self, key) == getattr(other, key) for key in self.__slots__)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        """Name only: SASL's elements carry secrets."""
        return f'<{self.name} xmlns={self.ns!r}>'


class StreamClose(NamedTuple):
    """The stream's end tag."""


class Violation(NamedTuple):
    """What ends the stream: a condition of RFC 6120 §4.9.3, and text for people.  Nothing comes after it."""

    condition: str
    text: str


Event = StreamOpen | Stanza | Nonza | StreamClose | Violation
