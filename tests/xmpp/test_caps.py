"""Entity capabilities (XEP-0115): the hash as the XEP computes it, and answers that prove nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jabberd_tx.testing import wire
from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.payloads import caps
from jabberd_tx.xmpp.payloads.caps import Caps, Named, Told
from jabberd_tx.xmpp.stanza import Stanza

EXODUS = """
<identity category='client' name='Exodus 0.9.1' type='pc'/>
<feature var='http://jabber.org/protocol/caps'/><feature var='http://jabber.org/protocol/muc'/>
<feature var='http://jabber.org/protocol/disco#items'/><feature var='http://jabber.org/protocol/disco#info'/>
"""
PSI = """
<identity xml:lang='en' category='client' name='Psi 0.11' type='pc'/>
<identity xml:lang='el' category='client' name='Ψ 0.11' type='pc'/>
<feature var='http://jabber.org/protocol/caps'/><feature var='http://jabber.org/protocol/disco#info'/>
<feature var='http://jabber.org/protocol/disco#items'/><feature var='http://jabber.org/protocol/muc'/>
<x xmlns='jabber:x:data' type='result'>
  <field var='FORM_TYPE' type='hidden'><value>urn:xmpp:dataforms:softwareinfo</value></field>
  <field var='ip_version' type='text-multi'><value>ipv6</value><value>ipv4</value></field>
  <field var='os'><value>Mac</value></field><field var='os_version'><value>10.5.1</value></field>
  <field var='software_version'><value>0.11</value></field><field var='software'><value>Psi</value></field>
</x>
"""


def read(inner: str) -> Told:
    (stanza,) = wire.parse(f"<iq><query xmlns='{ns.DISCO_INFO}'>{inner}</query></iq>".encode())
    assert isinstance(stanza, Stanza)
    return caps.parse(next(stanza.element.elements()))


def ver(told: Told, how: str = 'sha-1') -> str:
    return caps.verification(told.identities, told.features, told.forms, how)


@pytest.mark.parametrize(
    ('inner', 'expected', 'for_all'),
    [(EXODUS, 'QgayPKawpkPSDYmwT/WM94uAlu0=', True), (PSI, 'q07IKJEyjvHSyhy//CH0CxmKi8w=', False)],
)
def test_the_hashes_of_the_specification(inner: str, expected: str, for_all: bool) -> None:
    """Its simple and its complex example; what has forms proves nothing of others."""
    told = read(inner)
    assert (ver(told), told.for_all) == (expected, for_all)
    assert ver(told, 'sha-256') != expected


def typed_form(values: str) -> str:
    return f"<x xmlns='jabber:x:data' type='result'><field var='FORM_TYPE' type='hidden'>{values}</field></x>"


ONE = "<identity category='client' type='pc'/>"


@pytest.mark.parametrize(
    'inner',
    [
        '',
        "<feature var='a'/>",
        ONE + ONE,
        ONE + "<feature var='a'/><feature var='a'/>",
        "<identity category='client'/>",
        "<identity type='pc'/>",
        "<identity category='a/b' type='pc'/>",
        "<identity category='client' type='pc' xml:lang='a/b'/>",
        "<identity category='client' type='pc' name='a&lt;b'/>",
        ONE + "<feature var='a&lt;b'/>",
        ONE + "<feature var='client/pc//Exodus'/>",
        ONE + '<feature/>',
        ONE + "<x xmlns='jabber:x:data'/>",
        ONE + 2 * typed_form('<value>a</value>'),
        ONE + typed_form('<value>a</value><value>b</value>'),
    ],
)
def test_ill_formed_answers_and_those_that_can_be_read_in_two_ways(inner: str) -> None:
    """Prove nothing."""
    with pytest.raises(ValueError):
        read(inner)


def test_a_form_without_a_hidden_type_is_passed_over() -> None:
    """But then the answer is its sender's alone, too."""
    told = read(EXODUS + "<x xmlns='jabber:x:data' type='result'><field var='FORM_TYPE'><value>a</value></field></x>")
    assert (told.forms, told.for_all, ver(told)) == ((), False, 'QgayPKawpkPSDYmwT/WM94uAlu0=')


WORDS = st.text('abcz-/:#.<', min_size=1, max_size=12)


@given(st.lists(WORDS, max_size=4), st.lists(st.tuples(WORDS, WORDS, WORDS), max_size=3))
@pytest.mark.fuzz
def test_one_hash_is_of_one_set_of_features(features: list[str], identities: list[tuple[str, str, str]]) -> None:
    """Of two answers that count for everybody, those of the same hash say the same: cut the hashed text anywhere."""
    honest = {Named('client', 'pc', '', 'A'), *[Named(a, b, '', c) for a, b, c in identities]}
    parts = sorted(['/'.join(one) for one in honest]) + sorted(set(features))
    readings = set()
    text = ''.join([f'{part}<' for part in parts])
    pieces = text.split('<')[:-1]
    for cut in range(len(pieces) + 1):
        said = [piece.split('/', 3) for piece in pieces[:cut]]
        if any(len(one) < 4 for one in said):
            continue
        xml = ''.join(
            [wire_tag('identity', category=a, type=b, lang=c, name=d) for a, b, c, d in said]
            + [wire_tag('feature', var=piece) for piece in pieces[cut:]]
        )
        try:
            told = read(xml)
        except ValueError:
            continue
        if ver(told) == caps.verification(honest, set(features), (), 'sha-1'):
            readings.add((told.identities, told.features))
    assert len(readings) <= 1


def wire_tag(tag: str, **attrs: str) -> str:
    quoted = {('xml:lang' if key == 'lang' else key): value.replace('<', '&lt;') for key, value in attrs.items()}
    return f'<{tag}' + ''.join([f" {key}='{value}'" for key, value in quoted.items()]) + '/>'


@pytest.mark.parametrize(
    ('attrs', 'expected'),
    [
        ("hash='sha-1' node='n' ver='v'", Caps('n', 'v', 'sha-1')),
        ("hash='sha-256' node='n' ver='v'", Caps('n', 'v', 'sha-256')),
        ("node='n' ver='0.9' ext='a b'", None),
        ("hash='md5' node='n' ver='v'", None),
        ("hash='sha-1' ver='v'", None),
        ("hash='sha-1' node='n'", None),
        (f"hash='sha-1' node='n' ver='{'x' * 129}'", None),
    ],
)
def test_what_presence_says(attrs: str, expected: Caps | None) -> None:
    """The old format, hashes that nobody knows, and what is too long say nothing."""
    (stanza,) = wire.parse(f"<presence><c xmlns='{ns.CAPS}' {attrs}/></presence>".encode())
    assert isinstance(stanza, Stanza)
    assert caps.read(stanza) == expected
    assert caps.read(Stanza('presence', {})) is None
