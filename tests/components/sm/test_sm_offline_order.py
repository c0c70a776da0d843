"""The order in which stored messages are given to a client."""

from __future__ import annotations

from jabberd_tx.components.sm.modules.offline import in_order
from jabberd_tx.link.frames import make_uid
from jabberd_tx.storage.offline import Stored

ROMEO, NURSE = b'r' * 16, b'n' * 16


def stored(stream: bytes, number: int) -> Stored:
    return Stored(make_uid(stream, number), b'', 0.0)


def test_a_streams_messages_go_by_number_and_streams_keep_their_places() -> None:
    """What a dead stream had not acked was stored after a newer message, and goes before it all the same."""
    rows = [stored(ROMEO, 300), stored(NURSE, 7), stored(ROMEO, 298), stored(ROMEO, 299), stored(NURSE, 8)]
    assert in_order(rows) == [
        stored(ROMEO, 298), stored(NURSE, 7), stored(ROMEO, 299), stored(ROMEO, 300), stored(NURSE, 8),
    ]  # fmt: skip
