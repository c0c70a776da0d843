"""XEP-0388 on the wire: what an <authenticate/> asks for."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.events import Nonza
from jabberd_tx.xmpp.payloads import sasl2
from jabberd_tx.xmpp.payloads.sasl2 import Authenticate, Bind, parse_authenticate
from jabberd_tx.xmpp.sasl import SaslFailure
from jabberd_tx.xmpp.writer import escape

CLIENT = 'd4565fa7-4d72-4749-b3d3-740edbf87770'


def authenticate(inner: str, mechanism: str = 'SCRAM-SHA-1') -> Nonza:
    return Nonza(ns.SASL2, 'authenticate', {'mechanism': mechanism}, inner.encode())


def test_the_request_of_the_xep() -> None:
    """XEP-0388 §2.3, example 3, and XEP-0386 §3.2, example 3."""
    initial = 'cD10bHMtZXhwb3J0ZXIsLG49dXNlcixyPTEyQzRDRDVDLUUzOEUtNEE5OC04RjZELTE1QzM4RjUxQ0NDNg=='
    found = parse_authenticate(
        authenticate(
            f"""
  <initial-response>{initial}</initial-response>
  <user-agent id='{CLIENT}'><software>AwesomeXMPP</software><device>Kiva's Phone</device></user-agent>
  <bind xmlns='urn:xmpp:bind:0'>
    <tag>AwesomeXMPP</tag>
    <enable xmlns='urn:xmpp:carbons:2'/>
    <enable xmlns='urn:xmpp:sm:3' resume='true'/>
    <inactive xmlns='urn:xmpp:csi:0'/>
  </bind>
  <resume xmlns='urn:xmpp:sm:3' h='5' previd='x'/>"""
        )
    )
    assert found == Authenticate(
        'SCRAM-SHA-1',
        b'p=tls-exporter,,n=user,r=12C4CD5C-E38E-4A98-8F6D-15C38F51CCC6',
        CLIENT,
        Bind('AwesomeXMPP', True, True, Nonza(ns.ACKS, 'enable', {'resume': 'true'})),
        Nonza(ns.ACKS, 'resume', {'h': '5', 'previd': 'x'}),
    )


@pytest.mark.parametrize(
    'inner, found',
    [
        ('', Authenticate('SCRAM-SHA-1')),
        ('<initial-response/>', Authenticate('SCRAM-SHA-1', b'')),
        ('<initial-response>\n  AA==\n</initial-response>', Authenticate('SCRAM-SHA-1', b'\0')),
        ("<user-agent id='me'/>", Authenticate('SCRAM-SHA-1')),
        (f"<user-agent id='{CLIENT.upper()}'/>", Authenticate('SCRAM-SHA-1', None, CLIENT)),
        ("<bind xmlns='urn:xmpp:bind:0'/>", Authenticate('SCRAM-SHA-1', None, '', Bind())),
        ("<bind xmlns='urn:xmpp:bind:1'/>", Authenticate('SCRAM-SHA-1')),
    ],
)
def test_what_is_there_and_what_is_not(inner: str, found: Authenticate) -> None:
    assert parse_authenticate(authenticate(inner)) == found


@pytest.mark.parametrize('text', ['=', 'A', 'AA', 'A A=', '*'])
def test_an_initial_response_is_strict_base64(text: str) -> None:
    with pytest.raises(SaslFailure, match='incorrect-encoding'):
        parse_authenticate(authenticate(f'<initial-response>{text}</initial-response>'))


@pytest.mark.fuzz
@given(st.binary(), st.text(st.characters(codec='utf-8', categories=('L', 'N', 'P', 'S')), max_size=20))
def test_what_a_client_writes_is_read(data: bytes, tag: str) -> None:
    found = parse_authenticate(
        authenticate(
            f'<initial-response>{base64.b64encode(data).decode()}</initial-response>'
            f"<bind xmlns='urn:xmpp:bind:0'><tag>{escape(tag)}</tag></bind>"
        )
    )
    assert (found.initial, found.bind) == (data, Bind(tag))


@pytest.mark.fuzz
@given(st.binary())
def test_bytes_that_no_client_writes_are_refused_or_read_and_break_nothing(inner: bytes) -> None:
    try:
        parse_authenticate(Nonza(ns.SASL2, 'authenticate', {}, inner))
    except SaslFailure as failure:
        assert failure.condition in ('malformed-request', 'incorrect-encoding')


def test_empty_data_is_an_empty_element_and_no_data_is_none() -> None:
    """XEP-0388 §2.2."""
    assert sasl2.challenge(b'') == b"<challenge xmlns='urn:xmpp:sasl:2'></challenge>"
    assert b'additional-data' not in sasl2.success('a@b', None)
    assert b'<additional-data></additional-data>' in sasl2.success('a@b', b'')
