"""Counting TLS records in a stream that comes in pieces."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jabberd_tx.base.tls_records import RecordCounter


@pytest.mark.fuzz
@given(st.lists(st.integers(0, 700), min_size=1, max_size=8), st.lists(st.integers(0, 6000), max_size=8))
def test_records_are_counted_in_any_pieces(lengths, cuts):
    """Each piece that ends with a record tells how many ended in it, every other one says 0."""
    stream, ends = b'', []
    for length in lengths:
        stream += b'\x17\x03\x03' + length.to_bytes(2, 'big') + bytes(length)
        ends.append(len(stream))
    edges = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    counter = RecordCounter()
    for start, stop in pairwise(edges):
        expected = sum(start < end <= stop for end in ends) if stop in ends else 0
        assert counter.complete(stream[start:stop]) == expected


@pytest.mark.fuzz
@given(st.lists(st.binary(min_size=1, max_size=40), max_size=20))
def test_bytes_that_are_no_tls_do_no_harm(pieces):
    """Nothing is raised, and no more than a header is held."""
    counter = RecordCounter()
    for piece in pieces:
        assert counter.complete(piece) >= 0
        assert len(counter._header) < 5
