"""A message and a copy of it that is given back are confirmed by two names."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from jabberd_tx.link.frames import CLIENT, REPEAT, RETURNED, Route, confirmation, given_back, make_uid


@given(st.binary(min_size=16, max_size=16), st.integers(0, (1 << 63) - 1))
def test_each_is_told_from_the_other(stream: bytes, number: int) -> None:
    uid = make_uid(stream, number)
    message = Route('example.net', 'a@example.net', 'c2s-1', 1, uid, 8, CLIENT, b'')
    copy = message._replace(flags=RETURNED | REPEAT)
    assert confirmation(message) == uid and given_back(uid) is None
    assert confirmation(copy) != uid and given_back(confirmation(copy)) == uid
    assert len(confirmation(copy)) == 24
