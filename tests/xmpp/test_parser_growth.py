"""Whatever a client sends, its stanza takes no more bytes on a link than the limits let one foresee."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jabberd_tx.testing import wire
from jabberd_tx.xmpp.events import Limits, Violation
from jabberd_tx.xmpp.stanza import Stanza

LIMITS = Limits(stanza_bytes=4000, children=100)
# Three times the limit, and a note for each child (docs/link-protocol.md), as [link] frame_limit is checked.
MOST = 3 * LIMITS.stanza_bytes + 32 * LIMITS.children + 64

units = st.sampled_from(['u', 'é', '€', '&amp;', '𝄞'])
namespaces = st.builds(lambda unit, count: unit * count, units, st.integers(1, 200))


@given(namespaces, st.integers(1, 100), st.sampled_from(['<a:b/>', '<a:b>€</a:b>', "<c a:d='€'/>", '<c><a:b/></c>']))
@pytest.mark.fuzz
def test_what_is_written_anew_is_bounded_in_bytes(uri: str, count: int, child: str) -> None:
    """A namespace that is declared once outside may come into every child: refused beyond twice the stanza's limit."""
    header = wire.HEADER[:-1] + f" xmlns:a='{uri}'>".encode()
    data = f"<message id='€'>{child * count}</message>".encode()
    (event,) = wire.parse(data, header=header, limits=LIMITS)
    if isinstance(event, Violation):
        assert event.condition == 'policy-violation'
    else:
        assert isinstance(event, Stanza) and len(event.children) == count
        assert len(event.pack()) <= MOST


def test_a_namespace_of_many_bytes_in_many_children_is_refused() -> None:
    """Counted in bytes: each of these characters takes three."""
    header = wire.HEADER[:-1] + f" xmlns:a='{'€' * 50}'>".encode()
    (event,) = wire.parse(b'<message>' + b'<a:b/>' * 50 + b'</message>', header=header, limits=LIMITS)
    assert isinstance(event, Violation) and event.condition == 'policy-violation'


def test_the_most_that_is_only_sliced_is_bounded_too() -> None:
    """The namespace of each child is noted beside the slice."""
    uri = 'u' * 180
    inner = f"<a xmlns='{uri}'/>".encode() * 20
    (event,) = wire.parse(b'<message>' + inner + b'</message>', limits=LIMITS)
    assert isinstance(event, Stanza) and event.inner == inner
    assert len(event.pack()) <= MOST
