"""What expat reports of a stream, made into events: stanzas are sliced from the input, no tree is built.

Noted of each element are its depth, name and byte index.  At the end of a first-level element `inner` is cut out of
the input, with the offsets of its direct children.  Where a slice would not stand alone (it leans on something
declared outside of it), xmpp/rewrite.py writes it anew.
"""

from __future__ import annotations

from typing import Any, NoReturn
from xml.parsers import expat

from jabberd_tx.xmpp import ns, violations
from jabberd_tx.xmpp.events import Event, Limits, Nonza, StreamClose, StreamOpen, Violation
from jabberd_tx.xmpp.header import NO_CONTEXT, HeaderError, context
from jabberd_tx.xmpp.names import SEPARATOR, as_written, child_name, split
from jabberd_tx.xmpp.rewrite import TooLong, rewrite
from jabberd_tx.xmpp.slices import leans_inside, leans_outside
from jabberd_tx.xmpp.stanza import Child, Stanza
from jabberd_tx.xmpp.tokens import Held, tag_end

# expat remembers each name that it ever saw: between two stanzas it is made anew after so many bytes.
RENEWAL = 1 << 20
# Characters of a namespace: expat copies it for each name that is in it.
LONGEST_NAMESPACE = 1024

SPACE = b' \t\r\n'
NO_EVENTS: list[Event] = []
NO_CHILDREN: list[Any] = []
NO_ATTRS: dict[str, str] = {}
_new_child = tuple.__new__  # Child(…) without the call of a Python function


class _Stop(Exception):
    """Leave expat: the stream is over."""


class ElementReader:
    """The half of a StreamParser (xmpp/parser.py) that lives with expat.  It is given whole tokens by `_parse`.

    limits  may be replaced at any time
    lang    xml:lang of the stream header, or None
    """

    __slots__ = (
        '_attrs', '_base', '_children', '_context', '_data', '_depth', '_done', '_end', '_events', '_expat', '_held',
        '_inner', '_kept', '_leans', '_name', '_start', 'lang', 'limits',
    )  # fmt: skip

    limits: Limits

    def reset(self) -> None:
        """Expect a new stream header (after TLS, SASL).  What has come and was not used is dropped."""
        self.lang: str | None = None
        self._context = NO_CONTEXT  # of the stream header, once it is there
        self._depth = 0  # open elements; the stream is 1, a stanza 2, its direct children 3
        self._done = False
        self._events = NO_EVENTS
        self._let_go()

    def _let_go(self) -> None:
        self._expat: Any = None
        self._base = 0  # how many bytes expat had before `_data`
        self._data = b''  # what expat has at hand
        self._end = 0  # where in `_data` the last first-level element ended
        self._held: Held | None = None  # come, but not given to expat
        self._kept: bytearray | None = None  # given to expat, of a first-level element that is not complete
        # Of the first-level element at hand:
        self._name = ''
        self._attrs = NO_ATTRS
        self._children = NO_CHILDREN  # a Child each; of the one that is open (name, start)
        self._start = self._inner = 0  # expat's index of its start tag, and of what comes after that
        self._leans = False  # its slice would not stand alone

    # ---- the stream header

    def _make_first(self) -> None:
        """A parser that waits for the stream header."""
        self._attrs = {}
        self._expat = parser = expat.ParserCreate('UTF-8', SEPARATOR, intern=None)
        parser.XmlDeclHandler = self._on_declaration
        parser.StartNamespaceDeclHandler = self._on_namespace_of_header
        parser.StartElementHandler = self._on_header
        parser.EndElementHandler = self._on_end
        parser.CommentHandler = parser.ProcessingInstructionHandler = self._on_restricted

    def _on_declaration(self, version: str, encoding: str | None, standalone: int) -> None:
        if encoding is not None and encoding.lower() != 'utf-8':
            self._stop(violations.ENCODING)

    def _on_namespace_of_header(self, prefix: str | None, uri: str | None) -> None:
        self._on_namespace(prefix, uri)
        self._attrs[prefix or ''] = uri or ''

    def _on_header(self, name: str, attrs: dict[str, str]) -> None:
        declared, self._attrs = self._attrs, NO_ATTRS
        if len(attrs) + len(declared) > self.limits.attributes:
            self._stop(Violation(violations.POLICY, 'too many attributes'))
        try:
            found = context(name, tuple(declared.items()))
        except HeaderError as error:
            self._stop(Violation(str(error), 'not the header of an XMPP stream'))
        self._context = found
        self.lang = attrs.get(f'{ns.XML}{SEPARATOR}lang')
        self._events.append(StreamOpen(as_written(attrs), found.content))
        self._depth = 1
        self._end = len(self._data)
        self._expat.XmlDeclHandler = None
        self._listen(self._expat)

    # ---- expat

    def _make(self) -> Any:
        """A parser that stands between two stanzas."""
        header = self._context.header
        parser = self._expat = expat.ParserCreate('UTF-8', SEPARATOR, intern=None)
        parser.Parse(header)
        self._listen(parser)
        self._base = len(header)
        return parser

    def _listen(self, parser: Any) -> None:
        parser.StartElementHandler = self._on_start
        parser.EndElementHandler = self._on_end
        parser.StartNamespaceDeclHandler = self._on_namespace
        parser.CommentHandler = parser.ProcessingInstructionHandler = self._on_restricted

    def _parse(self, data: bytes) -> None:
        """Whole tokens to expat."""
        parser = self._expat or self._make()
        self._data = data
        self._end = 0
        try:
            parser.Parse(data)
        except _Stop:
            return
        except expat.ExpatError as error:
            self._violate(violations.of_expat(error.code, data, max(parser.ErrorByteIndex - self._base, 0)))
            return
        base = self._base
        self._base = base + len(data)
        self._data = b''
        if self._depth == 1:
            if self._end != len(data):
                self._violate(violations.of_between(data[parser.CurrentByteIndex - base :]) or violations.TEXT_BETWEEN)
            elif base > RENEWAL:
                self._expat = None
        elif self._depth:
            # All tags were whole: what expat has not been through can only be a comment or the like.
            if parser.CurrentByteIndex != self._base:
                self._violate(violations.RESTRICTED)
            elif self._kept is None:
                self._kept = bytearray(data[self._start - base :])
            else:
                self._kept += data

    def _violate(self, violation: Violation) -> None:
        self._done = True
        self._events.append(violation)

    def _stop(self, violation: Violation) -> NoReturn:
        self._violate(violation)
        raise _Stop

    def _on_restricted(self, *_: str) -> None:
        self._stop(violations.RESTRICTED)

    def _on_namespace(self, prefix: str | None, uri: str | None) -> None:
        if uri is not None and len(uri) > LONGEST_NAMESPACE:
            self._stop(Violation(violations.POLICY, 'too long a namespace'))

    # ---- elements

    def _on_start(self, name: str, attrs: dict[str, str]) -> None:
        depth = self._depth = self._depth + 1
        if depth == 3:
            children = self._children
            children.append((name, self._expat.CurrentByteIndex))
            if len(children) > self.limits[3]:
                self._stop(Violation(violations.POLICY, 'too many children'))
        elif depth == 2:
            index = self._expat.CurrentByteIndex
            data, start = self._data, index - self._base
            if start != self._end and data[self._end : start].strip(SPACE):
                self._stop(violations.TEXT_BETWEEN)
            tag = data[start : data.find(62, start) + 1]
            # That '>' ends the tag if there are quotes of one kind in it, and an even number of them.
            if (39 in tag or tag.count(34) & 1) if 34 in tag else tag.count(39) & 1:
                tag = data[start : tag_end(data, start)]
            self._name, self._attrs = name, attrs
            self._start, self._inner = index, index + len(tag)
            self._children = []
            # Without a colon and 'xmlns' it has no prefix and declares nothing.
            self._leans = 58 in tag or (120 in tag and b'xmlns' in tag) or name not in self._context[1]
            if self._leans:
                self._look_closely(tag)
        elif depth > self.limits[1] + 1:
            self._stop(Violation(violations.POLICY, 'elements nested too deeply'))
        if attrs and len(attrs) > self.limits[2]:
            self._stop(Violation(violations.POLICY, 'too many attributes'))

    def _look_closely(self, tag: bytes) -> None:
        """Whether this first-level element may be here, and whether its slice stands alone."""
        uri, local = split(self._name)
        if self._name not in self._context.stanzas:
            violation = violations.of_element(uri, local, self._context.content)
            if violation is not None:
                self._stop(violation)
        if 58 in tag:
            self._attrs = as_written(self._attrs)
        self._leans = leans_outside(tag, uri, self._context)

    def _on_end(self, name: str) -> None:
        depth = self._depth
        self._depth = depth - 1
        if depth > 3:
            return
        index = self._expat.CurrentByteIndex
        data, at = self._data, index - self._base
        # Of '<a/>' the end is reported behind it; of '<a></a>' where the end tag starts.
        if depth == 3:
            child, start = self._children[-1]
            if data[at - 1] != 62 or not self._is_empty(start, at):
                index += data.find(62, at) + 1 - at
            uri, local = child_name(child)
            inner = self._inner
            self._children[-1] = _new_child(Child, (uri, local, start - inner, index - inner))
        elif depth == 2:
            self._end = at if index == self._inner and at > 1 and data[at - 2] == 47 else data.find(62, at) + 1
            self._complete(index, at)
        else:
            if data[self._end : at].strip(SPACE):
                self._stop(violations.TEXT_BETWEEN)
            self._done = True
            self._events.append(StreamClose())
            raise _Stop

    def _is_empty(self, start: int, at: int) -> bool:
        """Whether the child that starts at expat's `start` is a single tag; its end was reported `at`."""
        data = self._data
        if not data.startswith(b'</', at):
            return True
        start -= self._base
        return data[at - 2] == 47 and start >= 0 and tag_end(data, start) == at

    def _complete(self, index: int, at: int) -> None:
        """A first-level element is whole: its content ends at expat's `index`, which is `at` in the data at hand."""
        kept = self._kept
        if kept is None:
            inner = self._data[self._inner - self._base : at]
        else:
            kept += self._data[: self._end]
            inner = bytes(kept[self._inner - self._start : index - self._start])
        children = tuple(self._children)
        # A prefix takes a colon, a declaration an equals sign.
        if self._leans or ((58 in inner or 61 in inner) and leans_inside(inner, children, self._context)):
            inner, children = self._rewritten()
        self._kept = None
        name = self._context[1].get(self._name)
        if name is not None:
            self._events.append(Stanza(name, self._attrs, inner, children))
        else:
            uri, local = split(self._name)
            self._events.append(Nonza(uri, local, self._attrs, inner, children))

    def _rewritten(self) -> tuple[bytes, tuple[Child, ...]]:
        kept = self._kept
        whole = self._data[self._start - self._base : self._end] if kept is None else bytes(kept)
        uri = split(self._name)[0]
        alike = ns.CONTENT if uri in ns.CONTENT else (uri,)
        try:
            return rewrite(self._context.header, whole, alike, 2 * self.limits.stanza_bytes)
        except TooLong:
            self._stop(Violation(violations.POLICY, 'namespaces take too many bytes'))
