"""What a log of copies says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jabberd_tx.link import stream_copies as log
from jabberd_tx.xmpp.stanza import Stanza
from jabberd_tx.xmpp.writer import to_xml

ONE, OTHER = b'1' * 16, b'2' * 16


def uid(number: int, stream: bytes = b'x' * 16) -> bytes:
    return stream + number.to_bytes(8, 'big')


def message(number: int) -> bytes:
    return b"<message from='a@b/c' to='romeo@example.net/r'><body>%d</body></message>" % number


def base(**changes: object) -> log.Base:
    said = log.Base(
        'romeo@example.net/r', None, 3, 1, b'p', b'k' * 8, b's' * 16, 60, 1, (1, 1, 0), [], [], [], [], b'', []
    )  # fmt: skip
    return said._replace(**changes)


def sent(number: int, stream: bytes = ONE) -> bytes:
    data = message(number)
    return log.sent(stream, uid(number), len(data)) + data


def held(number: int, stream: bytes = ONE) -> bytes:
    data = message(number)
    return log.held(stream, uid(number), len(data)) + data


def test_what_was_sent_and_not_acked_is_left() -> None:
    """In order, of each stream its own."""
    chunks = [
        log.base(ONE, base()) + sent(1) + log.base(OTHER, base(jid='juliet@example.net/j')),
        sent(2) + sent(9, OTHER) + log.acked(ONE, 1) + sent(3),
    ]
    streams = log.streams_of(chunks)
    assert [number for number, _ in streams[ONE].unacked] == [uid(2), uid(3)]
    assert list(streams[OTHER].unacked) == [(uid(9), message(9))]
    assert streams[ONE].counters == (1, 1, 1)
    assert streams[OTHER].bare == 'juliet@example.net'


def test_what_was_passed_on_is_known() -> None:
    """Acked or not, and what a base says."""
    earlier = b'y' * 16
    stream = log.streams_of([log.base(ONE, base(passed_on=[(earlier, 5, 1)])) + sent(1) + log.acked(ONE, 1)])[ONE]
    assert stream.passed_on.seen(uid(1)) and stream.passed_on.seen(uid(5, earlier))
    assert not stream.passed_on.seen(uid(2))


def test_a_new_base_voids_what_was_said_before() -> None:
    """All of it."""
    again = base(told=9, unacked=[(uid(2), message(2))], counters=(1, 1, 7))
    stream = log.streams_of([log.base(ONE, base()) + sent(1) + held(5), log.base(ONE, again) + log.acked(ONE, 1)])[ONE]
    assert (stream.told, list(stream.unacked), stream.held, stream.counters) == (9, [], [], (1, 1, 8))


def test_what_was_held_back_and_then_sent_is_there_once() -> None:
    """And what is still held is there, too."""
    flushed = held(1) + held(2) + sent(1) + sent(2) + log.released(ONE)
    stream = log.streams_of([log.base(ONE, base()) + flushed + held(3)])
    assert [number for number, _ in stream[ONE].unacked] == [uid(1), uid(2)]
    assert [number for number, _ in stream[ONE].held] == [uid(3)]


def test_the_rest() -> None:
    """How far the client was told, its presence, what is kept for session managers; a stream that is over."""
    said = log.told(ONE, 7) + log.told(ONE, 5) + log.presence(ONE, b'packed') + log.kept(ONE, b'record')
    streams = log.streams_of([log.base(ONE, base()) + said + log.base(OTHER, base()) + log.over(OTHER)])
    assert list(streams) == [ONE]
    stream = streams[ONE]
    assert (stream.told, stream.presence, stream.kept) == (7, b'packed', b'record')


def test_iqs_wait_until_they_are_answered() -> None:
    """Whatever was said of them last."""
    answer = b"<iq type='result' id='two'/>"
    waiting = log.asked(ONE, [('one', b'1'), ('two', b'2')])
    answered = log.sent(ONE, uid(1), len(answer)) + answer
    asked = [('none', b'0')]
    chunks = [log.base(ONE, base(asked=asked)), waiting, answered + log.acked(ONE, 1)]
    assert [log.streams_of(chunks[:count])[ONE].asked for count in (1, 2, 3)] == [
        {'none': b'0'}, {'one': b'1', 'two': b'2'}, {'one': b'1'},
    ]  # fmt: skip


def test_of_a_stream_without_a_base_nothing_is_known() -> None:
    """The beginning of the log may be gone."""
    rest = sent(1) + held(2) + log.acked(ONE, 1) + log.told(ONE, 2) + log.presence(ONE, b'') + log.kept(ONE, b'')
    assert log.streams_of([rest + log.released(ONE) + log.over(ONE)]) == {}


def test_a_stanza_comes_back_as_it_was() -> None:
    """With all that was noted of it."""
    stanza = Stanza.build(
        'message', {'from': 'a@b/c', 'to': 'd@e', 'xml:lang': 'en', 'id': "o'clock"},
        ('jabber:client', 'body', b'<body>1 &lt; 2</body>'), ('urn:x', 'y', b"<y xmlns='urn:x'/>"),
    )  # fmt: skip
    again = log.stanza_of(to_xml(stanza))
    assert (again.name, dict(again.attrs), again.inner, again.children) == (
        stanza.name, dict(stanza.attrs), stanza.inner, stanza.children,
    )  # fmt: skip
    with pytest.raises(ValueError, match='stanza'):
        log.stanza_of(b'<a/>')


def test_what_goes_back() -> None:
    """Messages and IQs of others."""
    assert log.may_go_back(uid(1), message(1))
    assert log.may_go_back(uid(1), b"<iq type='get'/>")
    assert not log.may_go_back(uid(1), b'<presence/>')
    assert not log.may_go_back(log.OWN, b"<iq type='result'/>")


@pytest.mark.fuzz
@given(st.lists(st.binary(max_size=200)))
def test_what_is_no_log_is_refused(chunks: list[bytes]) -> None:
    """By ValueError, or there is nothing in it."""
    try:
        assert log.streams_of(chunks) == {}
    except ValueError:
        pass


@pytest.mark.fuzz
@given(st.integers(0, 400))
def test_a_log_that_is_cut_short_is_refused(end: int) -> None:
    """Between two records it is a shorter log."""
    whole = log.base(ONE, base()) + sent(1) + log.told(ONE, 7) + sent(2)
    ends = {0, len(log.base(ONE, base()))}
    for record in (sent(1), log.told(ONE, 7), sent(2)):
        ends.add(max(ends) + len(record))
    end = min(end, len(whole))
    if end in ends:
        assert len(log.streams_of([whole[:end]])) == (end > 0)
    else:
        with pytest.raises(ValueError, match='log'):
            log.streams_of([whole[:end]])
