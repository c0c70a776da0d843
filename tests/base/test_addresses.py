"""Addresses of hosts."""

from __future__ import annotations

import pytest

from jabberd_tx.base.addresses import ip_of, is_loopback


@pytest.mark.parametrize(
    'host, ip',
    [
        ('192.0.2.1', '192.0.2.1'),
        ('::ffff:192.0.2.1', '192.0.2.1'),
        ('fe80::1%eth0', 'fe80::1'),
        ('2001:DB8::', '2001:db8::'),
    ],
)
def test_one_address_has_one_form(host: str, ip: str) -> None:
    assert str(ip_of(host)) == ip


@pytest.mark.parametrize('host', ['127.3.2.1', '::1', '::1%lo', '::ffff:127.0.0.1', 'localhost'])
def test_this_machine_is_known_in_each_form(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize('host', ['', '192.0.2.1', '::', '0.0.0.0', 'localhost.example.net', '::ffff:192.0.2.1'])
def test_whatever_else_is_elsewhere(host: str) -> None:
    assert not is_loopback(host)
