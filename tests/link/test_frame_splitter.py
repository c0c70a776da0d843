"""The decoder under fire: whatever comes in whatever pieces, whole frames come out, or one reason to close."""

from __future__ import annotations

import tracemalloc

import pytest
from cbor2 import dumps, loads
from hypothesis import given
from hypothesis import strategies as st

from jabberd_tx.link.decoding import HANDSHAKE_LIMIT, MOST_DEPTH, FrameError, FrameSplitter, Malformed, decode
from jabberd_tx.link.frames import (
    Auth,
    Bind,
    Bounce,
    Bound,
    Confirm,
    Credit,
    Drain,
    Error,
    Fanout,
    Hello,
    Ping,
    Pong,
    Present,
    Redirect,
    Route,
    Unbind,
    Working,
    encode,
)
from jabberd_tx.link.shapes import CHECKS, SHAPES, ShapeError, check

LIMIT = 65536

texts = st.text(st.characters(codec='utf-8'), max_size=40)
names = st.text(st.characters(codec='utf-8'), min_size=1, max_size=40)
ids = st.binary(min_size=16, max_size=16)
uids = st.binary(min_size=24, max_size=24)
counts = st.integers(0, (1 << 63) - 1)
keys = st.none() | texts | st.binary(max_size=40)
payloads = st.binary(max_size=300)
uid_lists = st.lists(uids, max_size=5)
options = st.dictionaries(texts, st.none() | st.booleans() | counts | texts | st.floats(allow_nan=False), max_size=4)

FRAMES = st.one_of(
    st.builds(Hello, st.just(1), names, ids, st.binary(min_size=16, max_size=64), st.lists(texts, max_size=3)),
    st.builds(Auth, st.binary(min_size=32, max_size=32)),
    st.builds(Bind, names, options),
    st.builds(Unbind, names),
    st.builds(Bound, names, names),
    st.builds(Route, names, keys, names, counts, uids, st.integers(0, 255), counts, payloads),
    st.builds(Fanout, names, names, uids, st.lists(st.tuples(ids, texts), max_size=5), payloads),
    st.builds(Confirm, names, names, uid_lists, st.lists(st.tuples(uids, ids), max_size=5)),
    st.builds(Working, names, names, uid_lists),
    st.builds(Bounce, names, texts, names, names, keys, counts, uids, texts),
    st.builds(Present, names, names, ids, st.booleans()),
    st.builds(Ping, counts),
    st.builds(Pong, counts),
    st.builds(Credit, counts),
    st.builds(Redirect, names, names, counts),
    st.builds(Drain, names),
    st.builds(Error, names, texts),
)
# Anything that CBOR can say, tags left out.
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 64), (1 << 64) - 1) | st.floats(allow_nan=False) | texts | payloads,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=12,
)


def split(chunks: list[bytes], authenticated: bool = True) -> list[tuple[bytes, object]]:
    splitter = FrameSplitter(LIMIT)
    if authenticated:
        splitter.authenticated()
    return [item for chunk in chunks for item in splitter.feed(chunk)]


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(at % (len(data) + 1) for at in cuts), len(data)]
    return [data[one:other] for one, other in zip(edges, edges[1:], strict=False)]


@pytest.mark.fuzz
@given(FRAMES)
def test_every_frame_comes_out_as_it_went_in(frame):
    raw = encode(frame)
    assert split([raw]) == [(raw, frame)]


@pytest.mark.fuzz
@given(st.lists(FRAMES, max_size=6), st.lists(st.integers(0, 1 << 16), max_size=12))
def test_frames_come_out_the_same_however_the_bytes_are_cut(frames, cuts):
    data = b''.join(map(encode, frames))
    found = split(cut(data, cuts))
    assert [frame for _, frame in found] == frames
    assert b''.join(raw for raw, _ in found) == data


def test_a_frame_comes_out_with_its_last_byte_when_bytes_come_one_by_one():
    frames = [Ping(1), Drain('sm-a1'), Ping(2)]
    data = b''.join(map(encode, frames))
    splitter = FrameSplitter(LIMIT)
    splitter.authenticated()
    ends = [position for position in range(len(data)) if splitter.feed(data[position : position + 1])]
    sizes = [len(encode(frame)) for frame in frames]
    assert ends == [sum(sizes[: n + 1]) - 1 for n in range(3)]


@pytest.mark.fuzz
@given(st.lists(st.binary(max_size=200), max_size=8), st.booleans())
def test_arbitrary_bytes_end_in_frames_or_one_reason_and_raise_nothing(chunks, authenticated):
    found = split(chunks, authenticated)
    reasons = [frame for _, frame in found if type(frame) is Malformed]
    assert len(reasons) <= 1
    if reasons:
        assert found[-1] == (b'', reasons[0])
        assert reasons[0].condition and reasons[0].text


@pytest.mark.fuzz
@given(st.binary(min_size=1, max_size=300), st.booleans())
def test_the_contents_of_a_frame_may_be_anything(body, authenticated):
    try:
        decode(body, authenticated)
    except FrameError as error:
        assert error.condition in ('bad-frame', 'unknown-frame', 'not-authorized', 'unsupported-version')


@pytest.mark.fuzz
@given(st.integers(-1, 130), st.lists(VALUES, max_size=10))
def test_any_values_in_any_frame_are_a_frame_or_a_refusal(kind, fields):
    try:
        frame = decode(dumps([kind, *fields]))
    except FrameError as error:
        assert error.condition in ('bad-frame', 'unknown-frame')
    else:
        assert frame is None or frame == decode(encode(frame)[4:])


@given(FRAMES, st.data())
def test_the_quick_checks_agree_with_the_table_of_shapes(frame, data):
    items = _items(frame)
    items[data.draw(st.integers(1, len(items) - 1))] = data.draw(VALUES)
    assert _outcome(CHECKS[items[0]], items) == _outcome(check, items)


def _items(frame):
    return loads(encode(frame)[4:])


def _outcome(checking, items):
    """What the quick way and the table must agree on; pairs are tuples in one and lists in the other."""
    try:
        return dumps(list(checking(list(items))))
    except ShapeError as error:
        return str(error)


@given(FRAMES, st.integers(0, 10_000))
def test_a_frame_that_is_cut_off_is_refused(frame, at):
    body = encode(frame)[4:]
    with pytest.raises(FrameError):
        decode(body[: at % len(body)])


@given(FRAMES, st.binary(min_size=1, max_size=20))
def test_nothing_may_follow_the_array_within_its_frame(frame, rest):
    with pytest.raises(FrameError):
        decode(encode(frame)[4:] + rest)


@given(FRAMES, st.lists(VALUES, max_size=3))
def test_more_items_than_a_frame_has_are_left_alone(frame, more):
    assert decode(dumps([*_items(frame), *more])) == frame


@pytest.mark.parametrize('length', [0, LIMIT + 1, 1 << 31, (1 << 32) - 1])
def test_a_length_out_of_bounds_is_refused_as_soon_as_it_is_read(length):
    found = split([length.to_bytes(4, 'big')])
    assert [frame.condition for _, frame in found] == ['frame-size']


def test_a_frame_of_the_greatest_length_is_taken():
    frame = Error('x', 'y' * (LIMIT - 7))
    assert len(encode(frame)) == LIMIT + 4
    assert split([encode(frame)]) == [(encode(frame), frame)]


def test_before_authentication_frames_are_short():
    assert split([(HANDSHAKE_LIMIT + 1).to_bytes(4, 'big')], authenticated=False)[0][1].condition == 'frame-size'


def test_an_announced_length_takes_no_memory():
    """64 MiB are allowed and announced; what is held is what has come."""
    splitter = FrameSplitter(64 << 20)
    splitter.authenticated()
    tracemalloc.start()
    try:
        splitter.feed((64 << 20).to_bytes(4, 'big') + b'x')
        for claim in (b'\x9b', b'\x5b', b'\xbb', b'\x7b'):
            with pytest.raises(FrameError):
                decode(claim + (1 << 40).to_bytes(8, 'big'))
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_a_long_frame_in_small_pieces_takes_memory_for_itself_once():
    body = encode(Route('a', None, 'b', 0, bytes(24), 1, 0, bytes(1 << 20)))
    splitter = FrameSplitter(2 << 20)
    splitter.authenticated()
    tracemalloc.start()
    try:
        for at in range(0, len(body) - 100, 100):
            assert splitter.feed(body[at : at + 100]) == []
        assert tracemalloc.get_traced_memory()[1] < 3 * len(body)
    finally:
        tracemalloc.stop()


def test_what_came_before_a_bad_frame_is_delivered_and_nothing_after_it():
    good, bad = encode(Ping(1)), b'\0\0\0\1\xff'
    splitter = FrameSplitter(LIMIT)
    splitter.authenticated()
    found = splitter.feed(good + bad + good)
    assert [type(frame) for _, frame in found] == [Ping, Malformed]
    assert splitter.feed(good) == []
    assert splitter.feed(b'\0' * LIMIT) == [] and len(splitter._held) == 0


def test_before_authentication_one_frame_is_given_at_a_time_and_the_rest_by_the_rules_that_follow():
    splitter = FrameSplitter(LIMIT)
    auth, long = Auth(bytes(32)), Route('a', None, 'b', 0, bytes(24), 1, 0, bytes(2 * HANDSHAKE_LIMIT))
    assert [frame for _, frame in splitter.feed(encode(auth) + encode(long))] == [auth]
    splitter.authenticated()
    assert [frame for _, frame in splitter.feed(b'')] == [long]


def test_arrays_nest_so_deep_and_no_deeper():
    def nested(depth):
        value = []
        for _ in range(depth - 2):
            value = [value]
        return dumps([128, value])

    assert decode(nested(MOST_DEPTH)) is None
    with pytest.raises(FrameError):
        decode(nested(MOST_DEPTH + 1))
    with pytest.raises(FrameError):
        decode(b'\x81' * 60000 + b'\x01')


@pytest.mark.parametrize(
    'body',
    [bytes.fromhex('820b c5821a3b9aca0001'), bytes.fromhex('820b c4821a3b9aca0001'), bytes.fromhex('820b d81d00')],
    ids=['bigfloat', 'decimal', 'shared reference'],
)
def test_a_tag_that_stands_for_much_work_is_not_looked_at(body):
    with pytest.raises(FrameError):
        decode(body)


def test_the_refusal_names_the_frame_and_its_field():
    with pytest.raises(FrameError) as caught:
        decode(dumps([5, 'a', None, 'b', 0, b'short', 1, 0, b'']))
    assert str(caught.value) == 'ROUTE: uid must be 24 bytes'
    with pytest.raises(FrameError) as caught:
        decode(dumps([10, 'a']))
    assert str(caught.value) == 'PRESENT has 4 fields, not 1'


def test_every_type_has_a_shape_for_all_of_its_fields():
    for kind, fields in SHAPES.values():
        assert len(kind._fields) == len(fields)
