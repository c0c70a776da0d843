"""XEP-0198's counters."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jabberd_tx.testing import strategies, wire
from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.acks import ENABLED, FEATURE, MODULUS, REQUEST, Acks, AcksError, failed, parse_h
from jabberd_tx.xmpp.parser import Nonza


def test_h_is_what_is_confirmed() -> None:
    """It counts from <enable/> on, and only what the session says is settled."""
    acks: Acks[str] = Acks(before=3)
    assert acks.answer(3) == b"<a xmlns='urn:xmpp:sm:3' h='0'/>"
    assert acks.answer(5) == b"<a xmlns='urn:xmpp:sm:3' h='2'/>"
    assert acks.h(2) == 0


def test_h_starts_again_at_zero() -> None:
    """After 2^32 - 1 comes 0 (§4)."""
    acks: Acks[str] = Acks(before=1)
    assert acks.h(MODULUS) == MODULUS - 1
    assert acks.h(MODULUS + 1) == 0


def test_what_is_sent_is_kept_until_it_is_acked() -> None:
    """Each ack gives back what it covers, oldest first; one that says nothing new gives nothing."""
    acks: Acks[str] = Acks()
    for item in 'abcd':
        acks.sent(item)
    assert acks.acked(2) == ['a', 'b']
    assert acks.acked(2) == []
    assert list(acks.unacked) == ['c', 'd']
    assert acks.acked(1) == [], 'an older ack is nothing new'
    assert acks.acked(4) == ['c', 'd']
    assert not acks.unacked


def test_a_count_that_is_too_high() -> None:
    """The stream error of §6, with what was acked and what was sent."""
    acks: Acks[int] = Acks()
    for item in range(8):
        acks.sent(item)
    acks.acked(3)
    with pytest.raises(AcksError) as caught:
        acks.acked(10)
    assert (caught.value.condition, caught.value.h, caught.value.sent) == ('undefined-condition', 10, 8)
    ((tag, _, (condition, text, application)),) = wire.canonical(caught.value.to_xml())
    assert tag == f'{{{ns.STREAM}}}error'
    assert condition == [f'{{{ns.STREAMS}}}undefined-condition', {}, []]
    assert application == [f'{{{ns.ACKS}}}handled-count-too-high', {'h': '10', 'send-count': '8'}, []]
    assert text[0] == f'{{{ns.STREAMS}}}text'
    assert list(acks.unacked) == [3, 4, 5, 6, 7]


def test_elements() -> None:
    """As §3 to §6 show them."""
    names = []
    for xml in (ENABLED, REQUEST, FEATURE, failed('unexpected-request')):
        (nonza,) = wire.parse(xml)
        assert isinstance(nonza, Nonza) and nonza.ns == ns.ACKS
        names.append((nonza.name, [child[:2] for child in nonza.children]))
    assert names == [
        ('enabled', []), ('r', []), ('sm', []), ('failed', [(ns.STANZAS, 'unexpected-request')])
    ]  # fmt: skip


@pytest.mark.parametrize(
    ('text', 'h'), [('0', 0), ('5', 5), (' 7\n', 7), ('+3', 3), ('007', 7), ('4294967295', 2**32 - 1)]
)
def test_h_of_an_ack(text: str, h: int) -> None:
    """An xs:unsignedInt, in any of its spellings."""
    assert parse_h(Nonza(ns.ACKS, 'a', {'h': text})) == h


@pytest.mark.parametrize('attrs', [
    {}, {'h': ''}, {'h': '-1'}, {'h': '4294967296'}, {'h': '1.0'}, {'h': '1e3'}, {'h': '\u0661'}, {'h': '\u00b2'},
    {'h': '1 2'}, {'h': '++1'}, {'h': '0x1'}, {'h': '9' * 10000},
])  # fmt: skip
def test_an_ack_without_a_number(attrs: dict[str, str]) -> None:
    """Ends the stream with invalid-xml (RFC 6120 §4.9.3.11)."""
    with pytest.raises(AcksError) as caught:
        parse_h(Nonza(ns.ACKS, 'a', attrs))
    assert caught.value.condition == 'invalid-xml'
    assert b'invalid-xml' in caught.value.to_xml() and b'handled' not in caught.value.to_xml()


@pytest.mark.fuzz
@given(strategies.texts)
def test_any_h_is_a_number_or_an_error(text: str) -> None:
    """Nothing else is raised."""
    try:
        h = parse_h(Nonza(ns.ACKS, 'a', {'h': text}))
    except AcksError:
        return
    assert 0 <= h < MODULUS


@pytest.mark.fuzz
@given(st.integers(0, MODULUS - 1), st.lists(st.one_of(st.none(), st.integers(-3, 6)), max_size=30))
def test_nothing_is_lost_or_acked_twice(start: int, steps: list[int | None]) -> None:
    """Whatever is sent (None) and acked (so many more than before), each item is given back once, in order,
    also where the count starts again at zero."""
    acks: Acks[int] = Acks()
    acks._acked = start
    sent = got = 0
    for step in steps:
        if step is None:
            acks.sent(sent)
            sent += 1
            continue
        try:
            items = acks.acked((start + got + step) % MODULUS)
        except AcksError:
            assert step > sent - got
            continue
        assert items == list(range(got, got + max(step, 0)))
        got += len(items)
    assert list(acks.unacked) == list(range(got, sent))
