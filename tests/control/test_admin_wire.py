"""Requests and replies of the admin link as bytes: the document's examples, and whatever else may come."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from cbor2 import dumps
from hypothesis import given
from hypothesis import strategies as st

from jabberd_tx.control import admin_wire
from jabberd_tx.control.admin_wire import LENGTH, MOST_BYTES, AdminError

DOCUMENT = Path(__file__).parents[2] / 'docs' / 'admin-protocol.md'
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.binary(max_size=20) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)


def body(framed: bytes) -> bytes:
    """Without its length, which is checked."""
    (length,) = LENGTH.unpack_from(framed)
    assert length == len(framed) - LENGTH.size
    return framed[LENGTH.size :]


def test_the_document_s_examples_are_what_goes_over_the_wire() -> None:
    """Each hex line of docs/admin-protocol.md, in the order it has them."""
    examples = [
        bytes.fromhex(line) for line in re.findall(r'^    ([0-9a-f]{2}(?: [0-9a-f]{2})+)$', DOCUMENT.read_text(), re.M)
    ]
    assert examples == [
        admin_wire.request('kick', {'owner': 'juliet@example.net'}),
        admin_wire.result(2),
        admin_wire.refusal(AdminError('unknown-operation', 'kick: no such operation here')),
    ]


@pytest.mark.fuzz
@given(st.text(max_size=20), st.dictionaries(st.text(max_size=9), VALUES, max_size=4))
def test_requests_come_back(operation: str, arguments: dict[str, Any]) -> None:
    """Any operation and arguments."""
    assert admin_wire.read_request(body(admin_wire.request(operation, arguments))) == (operation, arguments)


@pytest.mark.fuzz
@given(VALUES)
def test_results_come_back(value: Any) -> None:
    """Any value, None included."""
    assert admin_wire.read_reply(body(admin_wire.result(value))) == value


@pytest.mark.fuzz
@given(st.binary(max_size=60) | VALUES.map(dumps))
def test_other_bytes_are_refused_with_a_condition(data: bytes) -> None:
    """A request that is none is a bad request, a reply that is none a bad reply; nothing else is raised."""
    try:
        operation, arguments = admin_wire.read_request(data)
        assert type(operation) is str and type(arguments) is dict
    except AdminError as error:
        assert error.condition == 'bad-request'
    try:
        admin_wire.read_reply(data)
    except AdminError as error:
        assert error.condition


def test_refusals_come_back_as_they_were_raised() -> None:
    """Condition and text; a long text is cut."""
    with pytest.raises(AdminError) as raised:
        admin_wire.read_reply(body(admin_wire.refusal(AdminError('full', 'x' * 5000))))
    assert (raised.value.condition, raised.value.text) == ('full', 'x' * 1000)


def test_what_is_too_large_is_not_sent() -> None:
    """ValueError on this side, rather than a closed connection on the other."""
    with pytest.raises(ValueError, match=str(MOST_BYTES)):
        admin_wire.request('account.page', {'after': 'x' * MOST_BYTES})
