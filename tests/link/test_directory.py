"""Addresses of routers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jabberd_tx.link.directory import Address, StaticDirectory, parse_address


@pytest.mark.parametrize(
    ('text', 'address'),
    [
        ('127.0.0.1:5347', Address('127.0.0.1', 5347)),
        (' router1.example.net:1 ', Address('router1.example.net', 1)),
        ('[2001:db8::1]:65535', Address('2001:db8::1', 65535)),
        ('localhost:0', Address('localhost', 0)),
    ],
)
def test_an_address_is_read_and_written(text, address):
    assert parse_address(text) == address
    assert parse_address(str(address)) == address


@pytest.mark.parametrize(
    'text', ['', 'host', 'host:', ':5347', 'host:port', 'host:65536', 'host:-1', '2001:db8::1:5347', '[]:1', 'h:５']
)
def test_what_is_no_address_is_refused_with_what_was_expected(text):
    with pytest.raises(ValueError, match='expected host:port'):
        parse_address(text)


@given(st.text(max_size=30))
def test_any_text_is_an_address_or_a_value_error(text):
    try:
        address = parse_address(text)
    except ValueError:
        return
    assert 0 <= address.port <= 65535 and address.host


def test_a_static_directory_tells_its_addresses_and_every_change():
    told = []
    directory = StaticDirectory(['a:1', 'b:2'])
    directory.start(told.append)
    directory.replace(['b:2', 'c:3'])
    with pytest.raises(ValueError):
        directory.replace(['nonsense'])
    directory.stop()
    directory.replace(['d:4'])
    assert told == [{Address('a', 1), Address('b', 2)}, {Address('b', 2), Address('c', 3)}]
