"""Streams for tests: a header, bytes cut into pieces, and XML compared by what it says."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from xml.etree import ElementTree

from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.parser import Event, Limits, StreamParser

HEADER = (
    b"<?xml version='1.0'?><stream:stream to='example.net' version='1.0' xml:lang='en' "
    b"xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
)
END = b'</stream:stream>'


def pieces(data: bytes, cuts: Iterable[int]) -> list[bytes]:
    """The data, cut at these offsets; empty pieces left out."""
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    return [data[start:end] for start, end in zip(edges, edges[1:], strict=False) if start < end]


def parse(data: bytes, cuts: Iterable[int] = (), header: bytes = HEADER, limits: Limits | None = None) -> list[Event]:
    """The events of a stream after its header, which is fed whole before; `data` comes in pieces."""
    parser = StreamParser(limits or Limits())
    parser.feed(header)
    return [event for piece in pieces(data, cuts) for event in parser.feed(piece)]


def canonical(xml: bytes, header: bytes = HEADER) -> list[Any]:
    """What the XML after a stream header says, however it is written, by a parser that is not ours:
    for each element [name, attributes, content], where text is str and prefixes are gone.

    The three content namespaces are one where they are an element's whole way up.
    """
    name = header[header.rindex(b'<') + 1 :].split(None, 1)[0]
    root = ElementTree.fromstring(b'%b%b</%b>' % (header, xml, name))
    return [_canonical(element, True) for element in root]


def _canonical(element: ElementTree.Element, content: bool) -> list[Any]:
    space, _, local = element.tag.rpartition('}')
    content = content and space[1:] in ns.CONTENT
    found: list[Any] = []
    if element.text:
        found.append(element.text)
    for child in element:
        found.append(_canonical(child, content))
        if child.tail:
            found.append(child.tail)
    return [f'{{{ns.CLIENT}}}{local}' if content else element.tag, dict(element.attrib), found]
