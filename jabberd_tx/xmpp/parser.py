"""The bytes of a stream in, events out: stanzas are sliced from the input, no tree is built.

How it works.  One namespace-aware expat parser a stream reports each element; noted are its depth,
name and byte index.  At the end of a first-level element `inner` is cut out of the input, with the
offsets of its direct children.

expat is given whole tokens only.  Its newer releases put off a token that came in parts until much
more has come, so that the last stanza of a read would wait for the next one.  So what comes is fed
up to the last '>' that ends a tag (one in an attribute's value does not); the rest is held.  Between
two feeds expat therefore keeps nothing but the open elements, and between two stanzas it can be
dropped, and made anew from a header of our own.

Where a slice would not stand alone (it leans on something declared outside of it), xmpp/rewrite.py
writes it anew.
"""

from __future__ import annotations

import codecs
from typing import Any
from xml.parsers import expat

from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.events import Event, Limits, Nonza, StreamClose, StreamOpen, Violation
from jabberd_tx.xmpp.rewrite import SEPARATOR, rewrite, split
from jabberd_tx.xmpp.stanza import Child, Stanza
from jabberd_tx.xmpp.tokens import Held, tag_end, unfinished
from jabberd_tx.xmpp.writer import quote

__all__ = ['Event', 'Limits', 'Nonza', 'StreamClose', 'StreamOpen', 'StreamParser', 'Violation']

# Bytes given to expat at once.
PIECE = 65536
# expat remembers each name that it ever saw: between two stanzas it is made anew after so many bytes.
RENEWAL = 1 << 20

_SPACE = b' \t\r\n'
_STANZAS = frozenset(('message', 'presence', 'iq'))
_LANG = ns.XML + SEPARATOR + 'lang'
_new_child = tuple.__new__  # Child(…) without the call of a Python function


_DEFAULTS = Limits()


class _Stop(Exception):
    """Leave expat: the stream is over."""


class StreamParser:
    """One stream's parser: see the module's text.

    limits  may be replaced at any time
    lang    xml:lang of the stream header, or None
    """

    __slots__ = (
        '_attrs', '_base', '_children', '_content', '_data', '_depth', '_done', '_end', '_events', '_expat', '_header',
        '_held', '_inner', '_kept', '_leans', '_name', '_outside', '_start', 'lang', 'limits',
    )  # fmt: skip

    def __init__(self, limits: Limits = _DEFAULTS) -> None:
        self.limits = limits
        self.reset()

    def reset(self) -> None:
        """Expect a new stream header (after TLS, SASL).  What has come and was not used is dropped."""
        self.lang: str | None = None
        self._header = b''  # declares what the client's own header does; b'' before that
        self._content = ''  # the content namespace
        # What a slice leans on if it is in there: b'prefix:' for each of the header; None: every slice does.
        self._outside: tuple[bytes, ...] | None = ()
        self._depth = 0  # open elements; the stream is 1, a stanza 2, its direct children 3
        self._done = False
        self._events: list[Event] = []
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
        self._attrs: dict[str, str] = {}
        self._children: list[Any] = []  # a Child each; of the one that is open (name, start)
        self._start = self._inner = 0  # expat's index of its start tag, and of what comes after that
        self._leans = False  # its slice would not stand alone

    # ---- what comes

    def feed(self, data: bytes) -> list[Event]:
        """Take what has come; the events that it completes, in order.  A Violation is the last one ever."""
        if self._done or not data:
            return []
        events = self._events = []
        limit = self.limits[0]
        if self._kept is None and self._held is None and len(data) <= limit and len(data) <= PIECE:
            self._take(data)
        else:
            position = 0
            while position < len(data) and not self._done:
                room = limit - self._pending()
                if room <= 0:
                    self._violate('policy-violation', f'more than {limit} bytes')
                    break
                piece = data[position : position + min(room, PIECE)]
                position += len(piece)
                self._take(piece)
        self._events = []
        if self._done:
            self._let_go()
        return events

    def release(self) -> None:
        """Drop what an idle stream does not need; the next feed makes it anew.  Inside a stanza: nothing."""
        if self._depth == 1 and self._kept is None and self._held is None:
            self._expat = None

    def _pending(self) -> int:
        kept, held = self._kept, self._held
        return (len(kept) if kept is not None else 0) + (len(held.bytes) if held is not None else 0)

    def _take(self, data: bytes) -> None:
        """Give expat what is whole, hold the rest."""
        held = self._held
        if held is not None:
            if not held.add(data, self.limits.attributes):
                return
            data = bytes(held.bytes)
        if self._kept is None:
            if data[0] != 60:
                data = data.lstrip(_SPACE)  # whitespace between stanzas is nothing (RFC 6120 §4.6.1)
            if self._depth == 0 or data[:1] != b'<' or data[1:2] in (b'!', b'?'):
                self._begin(data)
                return
        cut = data.rfind(b'>') + 1
        state = 0
        if cut:
            tag = data.rfind(b'<', 0, cut)
            if tag >= 0 and data[tag + 1] != 47 and (state := unfinished(data, tag)):
                cut = data.rfind(b'>', 0, tag) + 1
        if cut == len(data):
            self._held = None
            self._parse(data)
            return
        self._hold(data[cut:], state)
        if cut:
            self._parse(data[:cut])

    def _hold(self, data: bytes, state: int) -> None:
        """`state`: what `unfinished` said of it, or 0 for not asked."""
        held = self._held
        scans = held.scans + 1 if held is not None and state else 1
        self._held = Held(data, -state if state < -1 else 0, scans)

    def _begin(self, data: bytes) -> None:
        """What stands between stanzas and is no tag, or comes before the stream header."""
        if not data or data == b'<':
            self._held = Held(data) if data else None
        elif self._depth == 0 and (data[:2] in (b'\xfe\xff', b'\xff\xfe') or 0 in data[:4]):
            self._violate('unsupported-encoding', 'not UTF-8')
        elif data[:2] == b'<!' and len(data) < 3:
            self._hold(data, 0)
        elif data[:3] == b'<![' and self._depth:
            self._violate('bad-format', 'text between stanzas')
        elif data[:2] == b'<!' or (data[:2] == b'<?' and self._depth):
            self._violate('restricted-xml', 'comment, processing instruction or DTD')
        elif data[:1] != b'<':
            condition = 'bad-format' if self._depth else 'not-well-formed'
            self._violate(condition, 'text between stanzas' if self._depth else 'text before the stream header')
        else:
            self._begin_stream(data)

    def _begin_stream(self, data: bytes) -> None:
        """XML declaration and stream header, one at a time: nothing after a violation is looked at."""
        if data[:2] == b'<?':
            state = data.find(b'?>') + 2
            state = -1 if state == 1 else state
        else:
            state = tag_end(data, 0)
        if state < 0:
            self._hold(data, state)
            return
        self._held = None
        if self._expat is None:
            self._expat = parser = expat.ParserCreate('UTF-8', SEPARATOR, intern=None)
            parser.XmlDeclHandler = self._on_declaration
            parser.StartNamespaceDeclHandler = self._on_namespace
            parser.StartElementHandler = self._on_header
            parser.EndElementHandler = self._on_end
            parser.CommentHandler = parser.ProcessingInstructionHandler = self._on_restricted
        self._parse(data[:state])
        if state < len(data) and not self._done:
            self._take(data[state:])

    # ---- expat

    def _make(self) -> Any:
        """A parser that stands between two stanzas."""
        parser = self._expat = expat.ParserCreate('UTF-8', SEPARATOR, intern=None)
        parser.Parse(self._header)
        self._listen(parser)
        self._base = len(self._header)
        return parser

    def _listen(self, parser: Any) -> None:
        parser.StartElementHandler = self._on_start
        parser.EndElementHandler = self._on_end
        parser.CommentHandler = parser.ProcessingInstructionHandler = self._on_restricted

    def _parse(self, data: bytes) -> None:
        parser = self._expat or self._make()
        self._data = data
        self._end = 0
        try:
            parser.Parse(data)
        except _Stop:
            pass
        except expat.ExpatError as error:
            if not self._done:
                self._blame(error.code, data[max(parser.ErrorByteIndex - self._base, 0) :])
        if self._done:
            return
        base = self._base
        self._base = base + len(data)
        if self._depth > 1:
            if self._kept is None:
                self._kept = bytearray(data[self._start - base :])
            else:
                self._kept += data
        elif self._depth:
            if self._end != len(data):
                self._begin(data[self._end :].lstrip(_SPACE))
            elif self._base > RENEWAL:
                self._expat = None
        self._data = b''

    def _blame(self, code: int, data: bytes) -> None:
        """An error of expat's, in the RFC's words; `data` is what it stumbled over."""
        text = expat.ErrorString(code) or 'broken XML'
        if code == 11:  # undefined entity
            self._violate('restricted-xml', text)
        elif code in (27, 28, 38, 39, 40):  # unbound, undeclared or reserved prefix
            self._violate('bad-namespace-prefix', text)
        elif data.startswith(b'<!'):
            self._violate('restricted-xml', text)
        else:
            try:
                codecs.utf_8_decode(data[:8], 'strict', False)
            except UnicodeDecodeError:
                self._violate('unsupported-encoding', 'not UTF-8')
            else:
                self._violate('not-well-formed', text)

    def _violate(self, condition: str, text: str) -> None:
        self._done = True
        self._events.append(Violation(condition, text))

    def _stop(self, condition: str, text: str) -> None:
        self._violate(condition, text)
        raise _Stop

    def _on_restricted(self, *_: str) -> None:
        self._stop('restricted-xml', 'comment or processing instruction')

    # ---- the stream header

    def _on_declaration(self, version: str, encoding: str | None, standalone: int) -> None:
        if encoding is not None and encoding.lower() != 'utf-8':
            self._stop('unsupported-encoding', 'not UTF-8')

    def _on_namespace(self, prefix: str | None, uri: str | None) -> None:
        if prefix is None:
            self._content = uri or ''
            if self._content not in ns.CONTENT and self._content not in ('', ns.STREAM):
                self._stop('invalid-namespace', 'unknown content namespace')
        self._attrs[f'xmlns:{prefix}' if prefix else 'xmlns'] = uri or ''

    def _on_header(self, name: str, attrs: dict[str, str]) -> None:
        self._depth = 1
        uri, local = split(name)
        if uri != ns.STREAM:
            self._stop('invalid-namespace', 'not a stream header')
        if local != 'stream':
            self._stop('bad-format', 'not a stream header')
        if len(attrs) > self.limits.attributes:
            self._stop('policy-violation', 'too many attributes')
        declared = self._attrs
        if self._content in ns.CONTENT:
            self._outside = tuple([key[6:].encode() + b':' for key in declared if key != 'xmlns'])
        else:
            self._outside = None
            self._content = next((found for found in declared.values() if found in ns.CONTENT), '')
        self._header = self._synthetic(declared)
        self.lang = attrs.get(_LANG)
        self._events.append(StreamOpen(_as_written(attrs), self._content))
        parser = self._expat
        parser.XmlDeclHandler = parser.StartNamespaceDeclHandler = None
        self._end = len(self._data)
        self._listen(parser)

    @staticmethod
    def _synthetic(declared: dict[str, str]) -> bytes:
        name = next(
            (f'{key[6:]}:stream' for key, uri in declared.items() if uri == ns.STREAM and key != 'xmlns'), 'stream'
        )
        return f'<{name}{"".join([f" {key}={_Q}{quote(uri)}{_Q}" for key, uri in declared.items()])}>'.encode()

    # ---- elements

    def _on_start(self, name: str, attrs: dict[str, str]) -> None:
        depth = self._depth = self._depth + 1
        limits = self.limits
        if len(attrs) > limits[2]:
            self._stop('policy-violation', 'too many attributes')
        if depth == 3:
            children = self._children
            if len(children) >= limits[3]:
                self._stop('policy-violation', 'too many children')
            children.append((name, self._expat.CurrentByteIndex))
        elif depth == 2:
            self._on_first_level(name, attrs)
        elif depth > limits[1] + 1:
            self._stop('policy-violation', 'elements nested too deeply')

    def _on_first_level(self, name: str, attrs: dict[str, str]) -> None:
        index = self._expat.CurrentByteIndex
        data, start = self._data, index - self._base
        if start != self._end and data[self._end : start].strip(_SPACE):
            self._stop('bad-format', 'text between stanzas')
        tag = data[start : data.find(b'>', start) + 1]
        # A '>' in a value leaves a quote open: one kind of quote, an even number of them, and none is.
        if tag.count(b"'") & 1 if b'"' not in tag else (b"'" in tag or tag.count(b'"') & 1):
            tag = data[start : tag_end(data, start)]
        self._name, self._attrs = name, attrs
        self._start, self._inner = index, index + len(tag)
        self._children = []
        self._leans = False
        if b':' in tag or b'xmlns' in tag or self._outside is None:
            self._look_closely(tag)
        uri, local = split(name)
        if uri not in (ns.CLIENT, ns.SERVER, ns.COMPONENT):
            if not uri:
                self._stop('invalid-namespace', 'an element without a namespace')
        elif self._content and uri != self._content:
            self._stop('invalid-namespace', 'an element in another content namespace')
        elif local not in _STANZAS:
            self._stop('unsupported-stanza-type', local)

    def _look_closely(self, tag: bytes) -> None:
        """Whether the slice of an element with this start tag leans on what stands outside of it."""
        uri = split(self._name)[0]
        leans = b':' in tag[: len(tag.split(None, 1)[0])]
        if b'xmlns' in tag:
            declaration = f"xmlns={_Q}{uri}{_Q}".encode()
            leans = leans or tag.count(b'xmlns') > 1 or (
                declaration not in tag and declaration.replace(b"'", b'"') not in tag
            )
        else:
            leans = leans or self._outside is None
        self._leans = leans
        self._attrs = _as_written(self._attrs)

    def _on_end(self, name: str) -> None:
        depth = self._depth
        self._depth = depth - 1
        if depth > 3:
            return
        index = self._expat.CurrentByteIndex
        data, at = self._data, index - self._base
        if depth == 1:
            if data[self._end : at].strip(_SPACE):
                self._stop('bad-format', 'text between stanzas')
            self._done = True
            self._events.append(StreamClose())
            raise _Stop
        # Of '<a/>' the end is reported behind it; of '<a></a>' where the end tag starts.
        if depth == 3:
            children = self._children
            name, start = children[-1]
            if data.startswith(b'</', at) and (data[at - 1] != 62 or not self._empty(start, at)):
                index = self._base + data.find(b'>', at) + 1
            uri, _, local = name.rpartition(SEPARATOR)
            inner = self._inner
            children[-1] = _new_child(
                Child, (ns.CLIENT if uri in ns.CONTENT else uri, local, start - inner, index - inner)
            )
            return
        if index == self._inner and at and data[at - 2] == 47:
            self._end = at
        else:
            self._end = data.find(b'>', at) + 1
        self._complete(index, at)

    def _empty(self, start: int, at: int) -> bool:
        """Whether the child that starts at expat's `start` is one tag that ends at `at` in the data at hand."""
        start -= self._base
        return self._data[at - 2] == 47 and start >= 0 and tag_end(self._data, start) == at

    def _complete(self, index: int, at: int) -> None:
        """A first-level element is whole; its end tag is at expat's `index`, `at` in the data at hand."""
        kept = self._kept
        if kept is None:
            base = self._base
            inner = self._data[self._inner - base : at]
        else:
            kept += self._data[: self._end]
            self._kept = None
            base = self._start
            inner = bytes(kept[self._inner - base : index - base])
        uri, local = split(self._name)
        children = tuple(self._children)
        if self._leans or (inner and self._must_rewrite(inner, children)):
            whole = self._data[self._start - base : self._end] if kept is None else bytes(kept)
            alike = ns.CONTENT if uri in ns.CONTENT else (uri,)
            inner, children = rewrite(self._header, whole, alike)
        if uri in ns.CONTENT:
            self._events.append(Stanza(local, self._attrs, inner, children))
        else:
            self._events.append(Nonza(uri, local, self._attrs, inner, children))

    def _must_rewrite(self, inner: bytes, children: tuple[Child, ...]) -> bool:
        for prefix in self._outside or ():
            if prefix in inner:
                return True
        if b'xmlns' in inner:
            for child in children:
                if child[0] == ns.CLIENT and b'xmlns' in inner[child[2] : child[3]]:
                    return True
        return False


_Q = "'"


def _as_written(attrs: dict[str, str]) -> dict[str, str]:
    """xml:… by name as written, other namespaced ones as '{namespace}name'."""
    written = {}
    for key, value in attrs.items():
        uri, _, local = key.rpartition(SEPARATOR)
        if uri:
            key = f'xml:{local}' if uri == ns.XML else f'{{{uri}}}{local}'
        written[key] = value
    return written
