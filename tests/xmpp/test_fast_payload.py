"""FAST on the wire (XEP-0484)."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jabberd_tx.testing import strategies
from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.events import Nonza
from jabberd_tx.xmpp.payloads import fast
from jabberd_tx.xmpp.payloads.fast import Fast
from jabberd_tx.xmpp.payloads.sasl2 import parse_authenticate
from jabberd_tx.xmpp.sasl import SaslFailure
from jabberd_tx.xmpp.writer import quote


def parse(**attrs: str) -> Fast | None:
    """What a <fast/> with these attributes says, within its <authenticate/>."""
    said = ''.join([f" {name}='{quote(value)}'" for name, value in attrs.items()])
    return parse_authenticate(Nonza(ns.SASL2, 'authenticate', {}, f"<fast xmlns='{ns.FAST}'{said}/>".encode())).fast


@pytest.mark.parametrize(
    'attrs, found',
    [
        ({}, Fast()),
        ({'count': ''}, Fast()),
        ({'count': '0'}, Fast(0)),
        ({'count': ' 0123 '}, Fast(123)),
        ({'invalidate': 'true'}, Fast(None, True)),
        ({'count': '5', 'invalidate': '1'}, Fast(5, True)),
        ({'invalidate': 'false'}, Fast()),
        ({'invalidate': 'TRUE'}, Fast()),
    ],
)
def test_what_is_there_and_what_is_not(attrs: dict[str, str], found: Fast) -> None:
    assert parse(**attrs) == found


@pytest.mark.parametrize('count', ['-1', '1.5', '1e3', '0x1', '1_0', '٣', '²', '1 2', '9' * 19])
def test_a_count_is_a_number_that_fits_the_database(count: str) -> None:
    with pytest.raises(SaslFailure, match='malformed-request'):
        parse(count=count)


@pytest.mark.fuzz
@given(st.integers(0, 10**18 - 1), st.booleans())
def test_what_a_client_counts_is_read(count: int, invalidate: bool) -> None:
    assert parse(count=str(count), invalidate=str(invalidate).lower()) == Fast(count, invalidate)


@pytest.mark.fuzz
@given(strategies.texts, strategies.texts)
def test_whatever_else_is_refused_or_read_and_breaks_nothing(count: str, invalidate: str) -> None:
    try:
        found = parse(count=count, invalidate=invalidate)
    except SaslFailure as failure:
        assert failure.condition == 'malformed-request' and not re.fullmatch('[0-9]{0,18}', count.strip())
    else:
        assert found == Fast(int(count) if count.strip() else None, invalidate.strip() in ('1', 'true'))
        assert found is not None and (found.uses is None or 0 <= found.uses < 1 << 63)


@pytest.mark.fuzz
@given(st.floats(0, 4e9))
def test_the_end_of_a_token_is_told_as_it_is(expires: float) -> None:
    """XEP-0082, in UTC, never later than it is."""
    (told,) = re.findall("expiry='(.*?)'", fast.token('secret', expires).decode())
    assert 0 <= expires - datetime.strptime(told, '%Y-%m-%dT%H:%M:%SZ').replace(tzinfo=UTC).timestamp() < 1
