"""The tables of docs/link-protocol.md are what the code does: shapes, bytes, proofs, and what closes a link."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from jabberd_tx.link import frames
from jabberd_tx.link.auth import CONNECTING, LISTENING, proof
from jabberd_tx.link.decoding import FrameSplitter, Malformed
from jabberd_tx.link.frames import CODES, Auth, Drain, Hello, Ping, encode
from jabberd_tx.link.shapes import SHAPES
from jabberd_tx.xmpp.stanza import Stanza

PAGE = (Path(__file__).parents[2] / 'docs' / 'link-protocol.md').read_text('utf-8')
LIMIT = 1 << 20


def rows(heading: str) -> list[list[str]]:
    """The cells of the first table after a heading or text, without code marks."""
    lines = PAGE.split(heading, 1)[1].splitlines()
    start = next(index for index, line in enumerate(lines) if line.startswith('| ---'))
    found = []
    for line in lines[start + 1 :]:
        if not line.startswith('|'):
            break
        found.append([cell.strip().strip('`') for cell in line.strip('|').split('|')])
    return found


def values(notation: str) -> list[object]:
    """CBOR diagnostic notation, as far as the page uses it."""
    text = re.sub(r"h'([0-9a-f]*)'", lambda match: repr(bytes.fromhex(match[1])), notation)
    for word, python in (('null', 'None'), ('true', 'True'), ('false', 'False')):
        text = re.sub(rf'\b{word}\b', python, text)
    return list(ast.literal_eval(f'[{text}]'))


def as_frame(name: str, fields: list[object]) -> frames.AnyFrame:
    """The tuple of those fields, with pairs as tuples where the tuple has them so."""
    kind = {kind.__name__.upper(): kind for kind in CODES}[name]
    made = kind(*fields)
    for field in ('targets', 'failed'):
        if hasattr(made, field):
            made = made._replace(**{field: [tuple(pair) for pair in getattr(made, field)]})
    return made


def take(data: bytes, authenticated: bool = True) -> list[frames.AnyFrame | Malformed]:
    splitter = FrameSplitter(LIMIT)
    if authenticated:
        splitter.authenticated()
    return [frame for _, frame in splitter.feed(data)]


FRAMES = rows('## Vectors: frames')


def test_every_frame_has_a_vector_and_a_row_with_its_type_and_fields():
    shapes = {name: (int(code), fields) for code, name, fields in rows('Words for types')}
    assert set(shapes) == {row[0] for row in FRAMES} == {kind.__name__.upper() for kind in CODES}
    for kind, code in CODES.items():
        listed, fields = shapes[kind.__name__.upper()]
        assert listed == code
        assert [field.partition(':')[0] for field in re.split(r', (?=\w+: )', fields)] == list(kind._fields)
        assert SHAPES[code][0] is kind


@pytest.mark.parametrize(('name', 'fields', 'data'), FRAMES)
def test_a_frame_is_encoded_to_the_bytes_on_the_page(name: str, fields: str, data: str):
    assert encode(as_frame(name, values(fields))).hex() == data


@pytest.mark.parametrize(('name', 'fields', 'data'), FRAMES)
def test_the_bytes_on_the_page_are_decoded_to_the_frame(name: str, fields: str, data: str):
    assert take(bytes.fromhex(data)) == [as_frame(name, values(fields))]


def test_a_stanza_is_packed_into_the_payload_and_comes_out_the_same():
    fields = next(fields for name, fields, _ in FRAMES if name == 'ROUTE')
    frame = as_frame('ROUTE', values(fields))
    stanza = Stanza.unpack(frame.payload)
    assert stanza.attrs['to'] == 'juliet@example.net' and stanza.child('jabber:client', 'body')
    assert encode(frame._replace(payload=stanza)) == encode(frame)


def test_the_proofs_are_those_of_the_worked_example():
    hellos = [as_frame(name, values(fields)) for name, fields, _ in FRAMES if name == 'HELLO']
    macs = [as_frame(name, values(fields)) for name, fields, _ in FRAMES if name == 'AUTH']
    secret = re.search(r'With the secret\s+`([^`]+)`', PAGE)[1].encode()
    assert all(type(hello) is Hello for hello in hellos)
    assert macs == [Auth(proof(secret, role, *hellos)) for role in (CONNECTING, LISTENING)]


def test_the_message_of_the_worked_example_is_what_the_proof_is_over():
    import hashlib
    import hmac

    text = PAGE.split("the connecting side's m is\n", 1)[1].split('\nand the two macs', 1)[0]
    message = bytes.fromhex(''.join(text.split()))
    mac = next(values(fields)[0] for name, fields, _ in FRAMES if name == 'AUTH')
    assert hmac.digest(b'correct horse battery', message, hashlib.sha256) == mac


@pytest.mark.parametrize(('taken', 'data', 'why'), rows('## Vectors: what is left alone'))
def test_what_a_later_version_may_add_is_left_alone(taken: str, data: str, why: str):
    wanted = {'-': [], 'PING 1': [Ping(1)], 'DRAIN "sm-a1"': [Drain('sm-a1')]}[taken]
    assert take(bytes.fromhex(data)) == wanted, why


@pytest.mark.parametrize(('when', 'condition', 'data', 'why'), rows('## Vectors: what closes a link'))
def test_what_is_wrong_closes_the_link_with_its_condition(when: str, condition: str, data: str, why: str):
    (error,) = take(bytes.fromhex(data), when == 'after')
    assert type(error) is Malformed, why
    assert error.condition == condition
    assert error.text


def test_every_condition_that_is_sent_is_on_the_page():
    folder = Path(frames.__file__).parent
    code = ''.join(path.read_text('utf-8') for path in folder.glob('*.py'))
    sent = set(re.findall(r"(?:FrameError|\.fail)\(\s*'([a-z-]+)'", code))
    listed = {row[0] for row in rows('**ERROR** is the last frame')}
    assert sent <= listed
