"""XEP-0480 on the wire."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.events import Nonza
from jabberd_tx.xmpp.payloads import sasl_upgrade
from jabberd_tx.xmpp.payloads.sasl2 import parse_authenticate
from jabberd_tx.xmpp.payloads.sasl_upgrade import check_next, parse_hash
from jabberd_tx.xmpp.sasl import SaslFailure


def task_data(inner: str) -> Nonza:
    return Nonza(ns.SASL2, 'task-data', {}, inner.encode())


def test_the_elements_of_the_xep() -> None:
    """§2.2, example 2, and §3, example 5, without white space."""
    assert (
        sasl_upgrade.feature(('SCRAM-SHA-256', 'SCRAM-SHA-512'))
        == b"<upgrade xmlns='urn:xmpp:sasl:upgrade:0'>UPGR-SCRAM-SHA-256</upgrade>"
        b"<upgrade xmlns='urn:xmpp:sasl:upgrade:0'>UPGR-SCRAM-SHA-512</upgrade>"
    )
    signature = base64.b64decode('dj1tc1ZIcy9CeklPSERxWGVWSDdFbW1EdTlpZDg9')
    assert (
        sasl_upgrade.continuation('SCRAM-SHA-256', signature) == b"<continue xmlns='urn:xmpp:sasl:2'><additional-data>"
        b'dj1tc1ZIcy9CeklPSERxWGVWSDdFbW1EdTlpZDg9</additional-data>'
        b'<tasks><task>UPGR-SCRAM-SHA-256</task></tasks></continue>'
    )
    check_next(Nonza(ns.SASL2, 'next', {'task': 'UPGR-SCRAM-SHA-256'}), 'SCRAM-SHA-256')
    assert (
        sasl_upgrade.salt(base64.b64decode('QV9TWENSWFE2c2VrOGJmX1o='), 4096) == b"<task-data xmlns='urn:xmpp:sasl:2'>"
        b"<salt xmlns='urn:xmpp:scram-upgrade:0' iterations='4096'>QV9TWENSWFE2c2VrOGJmX1o=</salt></task-data>"
    )
    salted = 'BzOnw3Pc5H4bOLlPZ/8JAy6wnTpH05aH21KW2+Xfpaw='
    hashed = f"<hash xmlns='urn:xmpp:scram-upgrade:0'>\n      {salted}\n    </hash>"
    assert parse_hash(task_data(f'\n    {hashed}\n'), 32) == base64.b64decode(salted)


def test_a_wish_names_tasks() -> None:
    inner = (
        "<upgrade xmlns='urn:xmpp:sasl:upgrade:0'>UPGR-SCRAM-SHA-256</upgrade><upgrade xmlns='urn:x'>UPGR-X</upgrade>"
        "<upgrade xmlns='urn:xmpp:sasl:upgrade:0'>\n UPGR-Y\n</upgrade><upgrade xmlns='urn:xmpp:sasl:upgrade:0'/>"
    )
    found = parse_authenticate(Nonza(ns.SASL2, 'authenticate', {}, inner.encode()))
    assert found.upgrades == ('UPGR-SCRAM-SHA-256', 'UPGR-Y', '')


@pytest.mark.parametrize('task', ['UPGR-SCRAM-SHA-256-PLUS', 'SCRAM-SHA-256', 'UPGR-SCRAM-SHA-1', '', None])
def test_another_task_is_not_begun(task: str | None) -> None:
    with pytest.raises(SaslFailure, match='invalid-mechanism'):
        check_next(Nonza(ns.SASL2, 'next', {} if task is None else {'task': task}), 'SCRAM-SHA-256')


@pytest.mark.parametrize(
    'inner',
    ['', '<hash>AAAA</hash>', f"<hash xmlns='{ns.SCRAM_UPGRADE}'/>", f"<hash xmlns='{ns.SCRAM_UPGRADE}'>AA==</hash>"],
)
def test_what_is_no_hash_of_that_size_is_refused(inner: str) -> None:
    with pytest.raises(SaslFailure, match='malformed-request'):
        parse_hash(task_data(inner), 3)


@pytest.mark.fuzz
@given(st.binary(min_size=1), st.text(' \t\n', max_size=3))
def test_what_a_client_has_hashed_is_read(salted: bytes, space: str) -> None:
    text = space + base64.b64encode(salted).decode() + space
    assert parse_hash(task_data(f"<hash xmlns='{ns.SCRAM_UPGRADE}'>{text}</hash>"), len(salted)) == salted


@pytest.mark.fuzz
@given(st.binary(), st.integers(1, 64))
def test_any_other_bytes_are_refused_and_break_nothing(inner: bytes, size: int) -> None:
    for words in (inner, b"<hash xmlns='urn:xmpp:scram-upgrade:0'>%b</hash>" % inner):
        try:
            found = parse_hash(Nonza(ns.SASL2, 'task-data', {}, words), size)
        except SaslFailure as failure:
            assert failure.condition in ('malformed-request', 'incorrect-encoding')
        else:
            assert len(found) == size
