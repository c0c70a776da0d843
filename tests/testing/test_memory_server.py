"""The server in memory that modules are tested with."""

from __future__ import annotations

import pytest

from jabberd_tx.base.options import ConfigError
from jabberd_tx.testing.client import Refused
from jabberd_tx.testing.memory_server import MemoryServer


def test_clients_log_in_and_talk() -> None:
    """Each by its own stream; presence and messages go as in a server with sockets."""
    server = MemoryServer()
    juliet, romeo = server.client('juliet', 'balcony'), server.client('romeo', acks=True)
    assert juliet.jid == 'juliet@example.net/balcony'
    romeo.send(f"<message to='{juliet.jid}' type='chat'><body>Soft</body></message>")
    server.settle()
    (message,) = juliet.take_stanzas()
    assert (message.attrs['from'], message.inner) == (romeo.jid, b'<body>Soft</body>')
    assert server.ask(romeo, 'get', "<ping xmlns='urn:xmpp:ping'/>", 'example.net').attrs['type'] == 'result'
    assert server.ask(romeo, 'get', "<ping xmlns='urn:xmpp:ping'/>", 'example.net').attrs['id'] == 'ask-2'


def test_time_passes_only_when_it_is_told_to() -> None:
    """For the server's timers as well."""
    server = MemoryServer()
    before = server.clock.seconds()
    server.client('juliet')
    assert server.clock.seconds() == before
    server.advance(3600)
    assert server.clock.seconds() == before + 3600


def test_options_are_those_of_the_configuration() -> None:
    """And are checked as there."""
    assert 'ping' not in MemoryServer(overrides=['modules.ping.enabled=false']).sm.modules
    with pytest.raises(ConfigError):
        MemoryServer(overrides=['modules.ping.volume=11'])


def test_who_has_no_account_is_refused() -> None:
    """Nobody but those who are named."""
    with pytest.raises(Refused, match='not-authorized'):
        MemoryServer(users=['juliet']).client('romeo')
