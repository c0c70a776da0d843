"""Whatever bytes a component sends, in whatever pieces: it is told what is wrong, and nothing else happens."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.logger import LogLevel, globalLogPublisher

from jabberd_tx.components.gateway.external import digest
from tests.components.gateway.gateway_support import NAME, SECRET, World, header, message

PIECES = st.sampled_from(
    [
        *(b'<handshake>', b'</handshake>', b'<handshake/>', b'</stream:stream>', b'<iq/>', b'</message>', b'</a>'),
        *(b"<presence to='juliet@example.net'/>", b"<message from='a@b' to='c'>", b'<a xmlns="b">', b'<!--', b'-->'),
        *(b'<stream:error><conflict/></stream:error>', b'<?xml version="1.0"?>', b'<![CDATA[', b']]>', b'&amp;'),
        *(b'&x;', b'>', b'<', b"'", b' ', b'\xff\xfe', b"<message from='irc.example.net' to='example.net'/>"),
        header(), message('x').encode(),
    ]
)  # fmt: skip


@cache
def one_world() -> World:
    """Each example is one connection more."""
    return World()


@pytest.mark.fuzz
@given(st.booleans(), st.lists(PIECES | st.binary(max_size=20), max_size=12), st.integers(1, 50))
def test_noise(named: bool, pieces: list[bytes], size: int) -> None:
    """Before and after the handshake.  Nothing is logged as a failure, and the gateway goes on."""
    failures = []

    def watch(event):
        if event['log_level'] in (LogLevel.error, LogLevel.critical):
            failures.append(event)

    globalLogPublisher.addObserver(watch)
    try:
        world = one_world()
        peer = world.component() if named else world.connect()
        data = b''.join(pieces)
        for start in range(0, len(data), size):
            world.say(peer, data[start : start + size])
        if peer.error is not None:
            assert peer.seen.endswith(b'</stream:stream>')
        peer.transport.loseConnection()
        world.settle()
        assert not world.gateway.connections and world.nodes() == []
        good = world.connect(header())
        world.say(good, f'<handshake>{digest(good.stream, SECRET)}</handshake>')
        assert world.nodes() == [f'gateway-{NAME}-0']
        good.transport.abortConnection()
        world.settle()
        world.sm.frames.clear()
    finally:
        globalLogPublisher.removeObserver(watch)
    assert not failures
