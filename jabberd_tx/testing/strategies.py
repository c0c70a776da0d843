"""hypothesis strategies for what the wire carries, good and bad.

    @given(strategies.streams())
    def test_events_do_not_depend_on_how_the_bytes_come(self, stream): ...
"""

from __future__ import annotations

import random
from typing import Any, NamedTuple

from hypothesis import strategies as st

from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.rewrite import SelfContained
from jabberd_tx.xmpp.stanza import Stanza

# XML 1.0 §2.2 Char, with what is special somewhere coming up often.
_special = '<>&\'"]\r\n\t /=:;{}[]!?-ab\xe9\u6f22\U0001f600'
texts = st.one_of(
    st.text(_special, max_size=12),
    st.text(
        st.characters(codec='utf-8', exclude_categories=['Cs', 'Cc'], exclude_characters='\ufffe\uffff'), max_size=12
    ),
)
names = st.sampled_from(['body', 'x', 'query', 'item', 'é', 'a-b', 'message', '_9'])
prefixes = ('a', 'stream', 'bé', 'x9')
namespaces = st.sampled_from([ns.CLIENT, ns.ROSTER, ns.STREAM, 'urn:x', 'urn:a&b', "urn:'q'", ''])
attribute_names = st.sampled_from(['to', 'type', 'id', 'a', 'b-c', 'é'])


class Node(NamedTuple):
    """An element before it is written: attrs by (namespace, local name); content is Nodes and str."""

    uri: str
    name: str
    attrs: dict[tuple[str, str], str]
    content: list[Any]


_attrs = st.dictionaries(
    st.tuples(st.sampled_from(['', '', '', ns.XML, 'urn:x', ns.ROSTER]), attribute_names), texts, max_size=3
)
nodes: st.SearchStrategy[Node] = st.recursive(
    st.builds(Node, namespaces, names, _attrs, st.lists(texts, max_size=1)),
    lambda inner: st.builds(Node, namespaces, names, _attrs, st.lists(st.one_of(texts, inner), max_size=4)),
    max_leaves=8,
)
stanza_names = st.sampled_from(['message', 'presence', 'iq'])
stanza_nodes = st.builds(
    Node, st.just(ns.CLIENT), stanza_names, _attrs, st.lists(st.one_of(texts, nodes), max_size=4)
)


def render(node: Node, scope: dict[str, str], rnd: random.Random) -> str:
    """One of the many ways to write the node where `scope` (prefix or '' to namespace) is declared."""
    scope, declared = dict(scope), {}

    def declare(prefix: str, uri: str) -> None:
        scope[prefix] = declared[prefix] = uri

    found = [prefix for prefix, uri in scope.items() if prefix and uri == node.uri]
    if node.uri and found and rnd.random() < 0.4:
        prefix = rnd.choice(found)
    elif node.uri and rnd.random() < 0.3:
        prefix = rnd.choice(prefixes)
        declare(prefix, node.uri)
    else:
        prefix = ''
        if scope.get('', '') != node.uri or rnd.random() < 0.2:
            declare('', node.uri)
    written = []
    for (uri, local), value in node.attrs.items():
        if uri == ns.XML:
            local = f'xml:{local}'
        elif uri:
            usable = [key for key, space in scope.items() if key and space == uri]
            if not usable:
                usable = [f'n{len(scope)}']  # in no use yet: nothing that this element declares has gone from scope
                declare(usable[0], uri)
            local = f'{usable[0]}:{local}'
        written.append((local, value))
    written += [(f'xmlns:{key}' if key else 'xmlns', uri) for key, uri in declared.items()]
    rnd.shuffle(written)
    tag = f'{prefix}:{node.name}' if prefix else node.name
    space = lambda: rnd.choice(['', '', '', ' ', '\n'])  # noqa: E731
    start = f'<{tag}' + ''.join(
        [f' {space()}{key}{space()}={space()}{_value(value, rnd)}' for key, value in written]
    ) + space()
    content = [render(part, scope, rnd) if isinstance(part, Node) else _text(part, rnd) for part in node.content]
    if not any(content) and rnd.random() < 0.7:
        return f'{start}/>'
    return f'{start}>{"".join(content)}</{tag}{space()}>'


def _value(value: str, rnd: random.Random) -> str:
    quote = rnd.choice('\'"')
    return quote + ''.join([_character(c, quote + '<&\r\n\t', rnd) for c in value]) + quote


def _text(text: str, rnd: random.Random) -> str:
    if text and ']]>' not in text and '\r' not in text and rnd.random() < 0.3:
        return f'<![CDATA[{text}]]>'
    return ''.join([_character(c, '<&\r]', rnd) for c in text])


def _character(character: str, special: str, rnd: random.Random) -> str:
    entities = {'<': '&lt;', '>': '&gt;', '&': '&amp;', "'": '&apos;', '"': '&quot;'}
    if character not in special and rnd.random() < 0.9:
        return character
    choices = [f'&#{ord(character)};', f'&#x{ord(character):x};', entities.get(character, '')]
    return rnd.choice([choice for choice in choices if choice])


def _render(node: Node, rnd: random.Random) -> bytes:
    return render(node, {'': ns.CLIENT, 'stream': ns.STREAM}, rnd).encode()


# Whole stanzas as bytes, well-formed after testing.wire.HEADER, written in all the ways that XML allows.
# One seed, and not a draw for each choice: that would take longer than the tests.
stanza_xml: st.SearchStrategy[bytes] = st.builds(
    _render, stanza_nodes, st.integers(0, (1 << 32) - 1).map(random.Random)
)
between = st.sampled_from([b'', b'', b' ', b'\n', b' \r\n\t'])
nonzas = st.sampled_from(
    [b"<r xmlns='urn:xmpp:sm:3'/>", b"<a xmlns='urn:xmpp:sm:3' h='1'/>", b"<x xmlns='u'>a<b/></x>"]
)


def _join(parts: list[tuple[bytes, bytes]]) -> bytes:
    return b''.join([space + xml for space, xml in parts])


# What a good client sends after its header: stanzas and nonzas with whitespace between.
streams: st.SearchStrategy[bytes] = st.builds(
    _join, st.lists(st.tuples(between, st.one_of(stanza_xml, nonzas)), max_size=4)
)
cuts = st.lists(st.integers(min_value=0, max_value=2000), max_size=12)


def _dense(seed: int) -> bytes:
    rnd = random.Random(seed)

    def some(alphabet: str, most: int) -> str:
        return ''.join([rnd.choice(alphabet) for _ in range(rnd.randrange(most))])

    def element(name: str, depth: int) -> str:
        tag = f'<{name}'
        for number in range(rnd.randrange(3)):
            quote, other = rnd.sample('\'"', 2)
            tag += f' a{number}={quote}{some(">/ab:" + other, 6)}{quote}'
        content = ''.join([part(depth + 1) for _ in range(rnd.randrange(4))])
        return f'{tag}>{content}</{name}>' if content or rnd.random() < 0.3 else f'{tag}/>'

    def part(depth: int) -> str:
        kind = rnd.randrange(4)
        if kind == 0:
            return f'<![CDATA[{some("<>/ab!-?" + chr(34) + chr(39), 8)}]]>'
        if kind == 1:
            return some('>/a\'"', 6)
        return element('a', depth) if kind == 2 and depth < 5 else '<a/>'

    stanzas = [element(rnd.choice(['message', 'iq']), 1) + some(' \n', 2) for _ in range(rnd.randrange(1, 4))]
    return ''.join(stanzas).encode()


# The same of little but markup, and of text and values that look like it: where tags end is hard to tell.
dense_streams: st.SearchStrategy[bytes] = st.integers(0, (1 << 48) - 1).map(_dense)


def _mutate(data: bytes, changes: list[tuple[int, int, bytes]]) -> bytes:
    for position, length, replacement in changes:
        position %= len(data) + 1
        data = data[:position] + replacement + data[position + length :]
    return data


_shreds = st.sampled_from([
    b'<', b'>', b'/>', b'</', b'"', b"'", b'&', b';', b'<!--', b'-->', b'<![CDATA[', b']]>', b'<?', b'?>',
    b'<!DOCTYPE x>', b'&x;', b'&#0;', b'\xff', b'\xc3', b'\xef\xbb\xbf', b'\x00', b':', b'xmlns=', b"xmlns:a='b'",
    b'</message>', b'</stream:stream>', b'<message>', b'=', b' ',
])  # fmt: skip

# XML-ish bytes: good streams with bits put in, taken out and overwritten.
broken_streams: st.SearchStrategy[bytes] = st.builds(
    _mutate,
    streams,
    st.lists(
        st.tuples(st.integers(0, 2000), st.integers(0, 8), st.one_of(_shreds, st.binary(max_size=4))),
        min_size=1,
        max_size=4,
    ),
)


def _stanza(name: str, attrs: dict[str, str], content: list[Any]) -> Stanza:
    out = SelfContained(ns.CONTENT)
    for node in content:
        _write(out, node)
    return Stanza(name, attrs, out.inner, out.children)


def _write(out: SelfContained, node: Any) -> None:
    if isinstance(node, str):
        out.text(node)
        return
    out.start(node.uri, node.name, node.attrs)
    for part in node.content:
        _write(out, part)
    out.end()


stanza_attrs = st.dictionaries(
    st.sampled_from(['to', 'from', 'id', 'type', 'xml:lang', '{urn:x}a']), texts, max_size=5
)
stanzas: st.SearchStrategy[Stanza] = st.builds(
    _stanza, stanza_names, stanza_attrs, st.lists(st.one_of(texts, nodes), max_size=3)
)

# JIDs that are one, by their parts; and anything that looks a little like one.
_local = st.text(st.sampled_from('abcXYZ09.-_+!#éßΣπא漢'), min_size=1, max_size=8)
_label = st.text(st.sampled_from('abcXYZ09éß漢'), min_size=1, max_size=8)
_domain = st.one_of(
    st.lists(_label, min_size=1, max_size=3).map('.'.join), st.sampled_from(['127.0.0.1', '[::1]', 'xn--bcher-kva.de'])
)
_resource = texts.filter(bool)
jids: st.SearchStrategy[str] = st.builds(
    lambda local, domain, resource: f'{local + "@" if local else ""}{domain}{"/" + resource if resource else ""}',
    st.one_of(st.just(''), _local),
    _domain,
    st.one_of(st.just(''), _resource),
)
jid_like: st.SearchStrategy[str] = st.one_of(
    jids,
    st.text(max_size=30),
    st.text(st.sampled_from('ab@/.:[]%\u3002\u200dÉß\ufb01\uff21 "&\u0301א1Σ-'), max_size=20),
)
