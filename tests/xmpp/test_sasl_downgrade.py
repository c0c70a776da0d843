"""XEP-0474: the hash of what was offered."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from jabberd_tx.xmpp.sasl import HASHES, offer_hash

NAMES = st.lists(st.sampled_from(['PLAIN', *HASHES, *(name + '-PLUS' for name in HASHES)]), min_size=1, unique=True)
TYPES = st.lists(st.sampled_from(['tls-exporter', 'tls-server-end-point', 'tls-unique']), unique=True)


def test_the_example_of_the_xep() -> None:
    """§6.3: the base64 in the example's challenge."""
    offered = ('SCRAM-SHA-1', 'SCRAM-SHA-1-PLUS')
    bindings = ('tls-server-end-point', 'tls-exporter')
    assert offer_hash('SCRAM-SHA-1-PLUS', offered, bindings) == 'G6k/rBLDqgOhRRaCuuatSDFkJ08='


@given(NAMES, TYPES, st.randoms())
def test_order_does_not_matter_and_whatever_is_taken_away_does(names: list[str], types: list[str], random) -> None:  # type: ignore[no-untyped-def]
    said = offer_hash('SCRAM-SHA-256', tuple(names), tuple(types))
    random.shuffle(names)
    random.shuffle(types)
    assert offer_hash('SCRAM-SHA-256', tuple(names), tuple(types)) == said
    assert offer_hash('SCRAM-SHA-256', tuple(names[1:]), tuple(types)) != said
    if types:
        assert offer_hash('SCRAM-SHA-256', tuple(names), tuple(types[1:])) != said
