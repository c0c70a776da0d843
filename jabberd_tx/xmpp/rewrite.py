"""The slow way: writes elements anew as XML that stands alone, with the offsets of direct children.

Elements never get a prefix; a namespaced attribute gets one that its own element declares.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from xml.parsers import expat

from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.names import SEPARATOR, split
from jabberd_tx.xmpp.stanza import Child
from jabberd_tx.xmpp.writer import escape, quote


class TooLong(Exception):
    """What is written anew takes more bytes than it may."""


class SelfContained:
    """Writes the content of one element whose namespaces are `alike`: what is in one of them, directly
    under others that are, needs no declaration.

    Call start, text and end in document order; then `inner` and `children` are as a Stanza's.
    TooLong as soon as there are more than `most` bytes, with the namespaces of `children`: one long declaration may
    be written many times.
    """

    def __init__(self, alike: Collection[str], most: int | None = None) -> None:
        self._alike = alike
        self._left = most
        self._parts: list[str] = []  # since the last direct child
        self._whole: list[bytes] = []  # up to it
        self._size = 0  # bytes of those
        self._open: list[tuple[str, str | None]] = []  # (tag name, default namespace inside; None: alike)
        self._pending = False  # the last start tag lacks its '>'
        self._note = ('', '')
        self._children: list[Child] = []

    def _write(self, text: str) -> None:
        if self._pending:
            text = f'>{text}'
            self._pending = False
        self._parts.append(text)
        self._count(text)

    def _count(self, text: str) -> None:
        if self._left is not None:
            self._left -= len(text) if text.isascii() else len(text.encode())
            if self._left < 0:
                raise TooLong

    def _flush(self) -> None:
        whole = ''.join(self._parts).encode()
        self._parts = []
        self._whole.append(whole)
        self._size += len(whole)

    def start(self, uri: str, name: str, attrs: Mapping[tuple[str, str], str]) -> None:
        """A start tag; attrs by (namespace or '', local name)."""
        if self._open:
            default = self._open[-1][1]
        else:
            default = None
            self._flush()
            self._note = (ns.CLIENT if uri in ns.CONTENT else uri, name)
        inside = None if default is None and uri in self._alike else uri
        tag = f'<{name}' if inside == default else f"<{name} xmlns='{quote(uri)}'"
        for count, ((space, key), value) in enumerate(attrs.items()):
            if space == ns.XML:
                key = f'xml:{key}'
            elif space:
                tag += f" xmlns:ns{count}='{quote(space)}'"
                key = f'ns{count}:{key}'
            tag += f" {key}='{quote(value)}'"
        self._write(tag)
        self._pending = True
        self._open.append((name, inside))

    def text(self, text: str) -> None:
        """Character data."""
        if text:
            self._write(escape(text))

    def end(self) -> None:
        """The end tag of the element that is open."""
        name, _ = self._open.pop()
        if self._pending:
            self._pending = False
            self._write('/>')
        else:
            self._write(f'</{name}>')
        if not self._open:
            start = self._size
            self._flush()
            self._count(self._note[0])
            self._children.append(Child(*self._note, start, self._size))

    @property
    def inner(self) -> bytes:
        self._flush()
        return b''.join(self._whole)

    @property
    def children(self) -> tuple[Child, ...]:
        return tuple(self._children)


def rewrite(
    header: bytes, xml: bytes, alike: Collection[str], most: int | None = None
) -> tuple[bytes, tuple[Child, ...]]:
    """`inner` and `children` of one element, such that they stand alone inside it.

    header  a start tag that declares what is declared outside of the element
    xml     the whole element, known to be well-formed there
    alike   namespaces that the element's content is in without a declaration
    most    bytes of the result, and of the namespaces in `children`; TooLong beyond
    """
    out = SelfContained(alike, most)
    parser = expat.ParserCreate('UTF-8', SEPARATOR, intern=None)
    depth = 0

    def on_start(name: str, attrs: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > 1:
            uri, _, local = name.rpartition(SEPARATOR)
            out.start(uri, local, {split(key): value for key, value in attrs.items()} if attrs else {})

    def on_end(name: str) -> None:
        nonlocal depth
        depth -= 1
        if depth > 0:
            out.end()

    def on_text(text: str) -> None:
        if depth > 0:
            out.text(text)

    parser.buffer_text = True
    parser.Parse(header)
    parser.StartElementHandler, parser.EndElementHandler = on_start, on_end
    parser.CharacterDataHandler = on_text
    parser.Parse(xml)
    # What came in parts may be put off by expat until the document ends.
    parser.Parse(b'</' + header[1 : header.index(b' ')] + b'>', True)
    return out.inner, out.children


def text_of(inner: bytes) -> str:
    """The text directly inside an element, its children left out; namespaces do not matter."""
    if b'<' not in inner and b'&' not in inner and b'\r' not in inner:
        return inner.decode()
    parts: list[str] = []
    depth = 0
    parser = expat.ParserCreate('UTF-8', intern=None)

    def on_start(name: str, attrs: dict[str, str]) -> None:
        nonlocal depth
        depth += 1

    def on_end(name: str) -> None:
        nonlocal depth
        depth -= 1

    def on_text(text: str) -> None:
        if depth == 1:
            parts.append(text)

    parser.StartElementHandler, parser.EndElementHandler = on_start, on_end
    parser.CharacterDataHandler = on_text
    parser.Parse(b'<x>' + inner + b'</x>', True)
    return ''.join(parts)
