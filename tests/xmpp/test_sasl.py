"""What surrounds the exchange: mechanisms, verifiers, PLAIN, SASLprep, and the elements on the wire."""

from __future__ import annotations

import stringprep
from xml.etree import ElementTree

import pytest
import scramp
from hypothesis import given
from hypothesis import strategies as st
from scramp.core import saslprep as scramp_saslprep

from jabberd_tx.xmpp import ns, sasl
from jabberd_tx.xmpp.sasl import SaslFailure, derive, offered, parse_plain, saslprep, verify

CREDENTIALS = derive('pencil', 4096)
SCRAM = ['SCRAM-SHA-512', 'SCRAM-SHA-256', 'SCRAM-SHA-1']
PLUS = [name + '-PLUS' for name in SCRAM]
TEXT = st.text(st.characters(exclude_categories=('Cs',)), max_size=30)


@pytest.mark.parametrize(
    ('tls', 'allow_plain', 'bindings', 'known', 'names'),
    [
        (True, False, ['tls-exporter'], SCRAM, [*PLUS, *SCRAM, 'PLAIN']),
        (True, False, [], SCRAM, [*SCRAM, 'PLAIN']),
        (False, False, [], SCRAM, SCRAM),
        (False, True, [], SCRAM, [*SCRAM, 'PLAIN']),
        (True, False, ['tls-exporter'], ['SCRAM-SHA-1'], ['SCRAM-SHA-1-PLUS', 'SCRAM-SHA-1', 'PLAIN']),
        (False, False, [], [], []),
    ],
)
def test_mechanisms_are_offered_strongest_first(tls, allow_plain, bindings, known, names):
    """PLAIN without TLS only where allowed; -PLUS only with something to bind to."""
    assert offered(tls, allow_plain, bindings, known) == names


def test_each_offered_scram_mechanism_can_be_started():
    for name in offered(True, False, ['tls-exporter']):
        if name != 'PLAIN':
            sasl.ScramServer(name, {'tls-exporter': b'x'})


def test_channel_binding_types_are_announced():
    """XEP-0440's element; none where there are no types."""
    element = ElementTree.fromstring(sasl.channel_bindings(['tls-exporter', 'tls-server-end-point']))
    assert element.tag == '{urn:xmpp:sasl-cb:0}sasl-channel-binding'
    assert [child.attrib for child in element] == [{'type': 'tls-exporter'}, {'type': 'tls-server-end-point'}]
    assert sasl.channel_bindings([]) == b''


@pytest.mark.parametrize('authzid', ['', 'user@example.org', 'USER@Example.org'])
def test_a_client_may_act_as_itself(authzid):
    sasl.check_authzid(authzid, 'user@example.org')


@pytest.mark.parametrize(
    'authzid', ['other@example.org', 'user@example.org/home', 'user', 'example.org', '@', '\ud7ff@@']
)
def test_a_client_may_act_as_nobody_else(authzid):
    with pytest.raises(SaslFailure, match='invalid-authzid'):
        sasl.check_authzid(authzid, 'user@example.org')


# ---- verifiers


def test_derive_makes_a_verifier_for_each_hash():
    """Each with its own salt, and different ones each time."""
    again = derive('pencil', 4096)
    assert set(CREDENTIALS) == set(SCRAM)
    salts = {verifier.salt for made in (CREDENTIALS, again) for verifier in made.values()}
    assert len(salts) == 6 and {len(salt) for salt in salts} == {16}
    assert {verifier.iterations for verifier in again.values()} == {4096}
    assert sasl.DEFAULT_ITERATIONS >= sasl.LEAST_ITERATIONS == 4096


def test_verify_knows_the_password():
    """In any spelling that SASLprep makes equal; with whichever verifier there is."""
    accented = derive('p\u00e9ncil \u2168', 4096)
    assert verify('p\u00e9ncil \u2168', accented)
    assert verify('pe\u0301ncil\u00a0IX', accented)
    for name, verifier in CREDENTIALS.items():
        assert verify('pencil', {name: verifier})
        assert not verify('Pencil', {name: verifier})
    for wrong in ('', 'penci', 'pencil ', '\x07', '\U0001f600'):
        assert not verify(wrong, CREDENTIALS)


def test_verify_of_nobody_is_false():
    """No account, or one that no password opens."""
    assert not verify('pencil', None)
    assert not verify('', None)
    assert not verify('pencil', {})


@pytest.mark.parametrize('password', ['', '\u00ad', 'bell\x07', '\u0627\u0031', '\U0001f600', 'a\ue000', '\u200e'])
def test_a_password_that_may_not_be_is_refused(password):
    """Empty, with control, private or unassigned characters, or mixed directions; the text is not in the error."""
    with pytest.raises(ValueError) as caught:
        derive(password, 4096)
    assert not password or password not in str(caught.value)


def test_fewer_iterations_than_the_rfc_allows_are_refused():
    with pytest.raises(ValueError, match='4096'):
        derive('pencil', 4095)


# ---- PLAIN


@pytest.mark.parametrize(
    ('message', 'parts'),
    [
        (b'\0tim\0tanstaaftanstaaf', ('', 'tim', 'tanstaaftanstaaf')),
        (b'Ursel\0Kurt\0xipj3plmq', ('Ursel', 'Kurt', 'xipj3plmq')),
        ('\0I\u00adX\0\u00aa'.encode(), ('', 'IX', '\u00aa')),
    ],
)
def test_plain_has_three_parts(message, parts):
    """RFC 4616 §4's examples; the name is prepared, the password left to `verify`."""
    assert parse_plain(message) == parts


@pytest.mark.parametrize(
    'message',
    [
        b'',
        b'\0',
        b'\0\0',
        b'\0a\0',
        b'\0\0b',
        b'a\0b',
        b'\0a\0b\0',
        b'\0a\0b\0c',
        b'\0\xff\0b',
        b'\0a\x07\0b',
        b'\0\xc2\xad\0b',
    ],
)
def test_a_plain_message_of_another_shape_is_malformed(message):
    with pytest.raises(SaslFailure, match='malformed-request'):
        parse_plain(message)


@pytest.mark.fuzz
@given(
    st.one_of(
        st.binary(max_size=40), st.lists(st.sampled_from([b'\0', b'a', b'\xff', b'x@y']), max_size=8).map(b''.join)
    )
)
def test_any_plain_message_is_read_or_refused(message):
    """Nothing but SaslFailure comes out, and what is read was there."""
    try:
        _, name, password = parse_plain(message)
    except SaslFailure as failure:
        assert failure.condition == 'malformed-request'
    else:
        assert name and message.endswith(b'\0' + password.encode())


# ---- SASLprep


@pytest.mark.parametrize(
    ('text', 'prepared'),
    [
        ('I\u00adX', 'IX'),
        ('user', 'user'),
        ('USER', 'USER'),
        ('\u00aa', 'a'),
        ('\u2168', 'IX'),
        ('a\u00a0b', 'a b'),
        ('', ''),
        ('\u0627', '\u0627'),
        ('\u06271\u0628', '\u06271\u0628'),
    ],
)
def test_saslprep_examples(text, prepared):
    """RFC 4013 §3, and a no-break space."""
    assert saslprep(text) == prepared


@pytest.mark.parametrize(
    'text', ['\x07', '\u06271', '\u0627a\u0628', '\u206a', '\ufffd', '\u2ff0', '\U000e0001', '\x7f']
)
def test_saslprep_prohibits(text):
    with pytest.raises(ValueError):
        saslprep(text, stored=False)


def test_saslprep_of_a_query_lets_new_characters_through():
    """Unassigned in Unicode 3.2: allowed in a name to be looked up, not in what is stored."""
    assert stringprep.in_table_a1('\U0001f600')
    assert saslprep('\U0001f600', stored=False) == '\U0001f600'
    with pytest.raises(ValueError):
        saslprep('\U0001f600')


@pytest.mark.fuzz
@given(TEXT)
def test_saslprep_agrees_with_another_implementation(text):
    """scramp's, on any text."""
    try:
        expected = scramp_saslprep(text)
    except scramp.ScramException:
        expected = None
    try:
        prepared = saslprep(text)
    except ValueError:
        prepared = None
    assert prepared == expected


# ---- elements


@pytest.mark.parametrize(('text', 'data'), [('', None), ('=', b''), ('AGE=', b'\0a'), ('biws', b'n,,')])
def test_base64_of_the_client(text, data):
    """RFC 6120 §6.4.2: '=' is empty data, no text is no initial response."""
    assert sasl.decode(text) == data


@pytest.mark.parametrize(
    'text', ['==', '====', 'A', 'AB', 'ABC', 'AB=C', 'A===', ' AGE=', 'AGE=\n', 'AGE=AGE=', '~~~~', 'é', 'AG_-']
)
def test_other_text_is_incorrect_encoding(text):
    with pytest.raises(SaslFailure, match='incorrect-encoding'):
        sasl.decode(text)


@pytest.mark.fuzz
@given(st.text(max_size=30))
def test_any_text_is_decoded_or_refused(text):
    try:
        data = sasl.decode(text)
    except SaslFailure as failure:
        assert failure.condition == 'incorrect-encoding'
    else:
        assert data is None or sasl.encode(data).decode() == text or data


@pytest.mark.fuzz
@given(st.binary(max_size=40))
def test_what_is_encoded_is_decoded(data):
    assert sasl.decode(sasl.encode(data).decode()) == data


def test_challenge_and_success():
    """Base64 as text, '=' where it is empty, no text where the mechanism has no data."""
    for made, name, text in (
        (sasl.challenge(b'n,,'), 'challenge', 'biws'),
        (sasl.challenge(b''), 'challenge', '='),
        (sasl.success(b'n,,'), 'success', 'biws'),
        (sasl.success(b''), 'success', '='),
        (sasl.success(), 'success', None),
    ):
        element = ElementTree.fromstring(made)
        assert (element.tag, element.text) == (f'{{{ns.SASL}}}{name}', text)


@pytest.mark.parametrize('condition', sorted(sasl.CONDITIONS))
def test_each_condition_has_its_element(condition):
    """RFC 6120 §6.5; the text is escaped."""
    element = ElementTree.fromstring(sasl.failure(SaslFailure(condition, 'a <b> & c')))
    assert element.tag == f'{{{ns.SASL}}}failure'
    assert [child.tag for child in element] == [f'{{{ns.SASL}}}{condition}', f'{{{ns.SASL}}}text']
    assert element[1].text == 'a <b> & c'
    assert element[1].attrib == {'{http://www.w3.org/XML/1998/namespace}lang': 'en'}
    assert len(ElementTree.fromstring(sasl.failure(SaslFailure(condition)))) == 1
