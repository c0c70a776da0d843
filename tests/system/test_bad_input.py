"""What no good client sends, to real processes of both shapes: the right error and end, and nobody else is harmed."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from bystanders import Bystanders
from processes import DOMAIN, Site
from raw_client import BIND, RawClient, header, plain

LONGEST_TURN_S = 0.1
# What a process may grow by, over the whole of this file: 2 copies of all buffers that one client may fill, and change.
MOST_GROWTH_KIB = 40_000
MIB = 1 << 20


def resident_kib(site: Site) -> dict[str, int]:
    """Of each process."""
    found = {}
    for name, process in site.processes.items():
        status = Path(f'/proc/{process.popen.pid}/status').read_text()
        found[name] = int(re.findall(r'VmRSS:\s+(\d+)', status)[0])
    return found


@pytest.fixture(scope='module')
def bystanders(site: Site) -> Iterator[Bystanders]:
    """They chat from before the first of these tests until after the last."""
    chatting = Bystanders(site)
    chatting.go_on()
    before = resident_kib(site)
    yield chatting
    chatting.go_on()
    chatting.stop()
    assert chatting.slowest < 3
    for name, process in site.processes.items():
        assert process.metric('jabberd_turn_cpu_longest_seconds') <= LONGEST_TURN_S, name
        grown = resident_kib(site)[name] - before[name]
        assert grown < MOST_GROWTH_KIB, f'{name} has grown by {grown} KiB'


@pytest.fixture(autouse=True)
def unharmed(bystanders: Bystanders) -> Iterator[None]:
    """After each test."""
    yield
    bystanders.go_on()


# ---- stages, and what is wrong at each


async def connected(site: Site) -> RawClient:
    return await RawClient(site.ports[0], site.folder / 'data' / 'cert.pem').connect()


async def opened(site: Site) -> RawClient:
    client = await connected(site)
    await client.open()
    return client


async def secured(site: Site) -> RawClient:
    return await (await connected(site)).start_tls()


async def accepted(site: Site) -> RawClient:
    client = await secured(site)
    client.send(plain('nurse', 'nurse-secret'))
    await client.until('<success[^>]*>')
    return client


async def authenticated(site: Site) -> RawClient:
    return await (await secured(site)).authenticate('nurse')


async def bound(site: Site) -> RawClient:
    return await RawClient(site.ports[-1], site.folder / 'data' / 'cert.pem').login('nurse')


def message(inner: str, attrs: str = '') -> str:
    return f"<message to='juliet@{DOMAIN}'{attrs}>{inner}</message>"


UNKNOWN = header('nowhere.example')
AGAIN = header().partition('?>')[2]
ENDS = {
    'garbage': (connected, b'\x00\xff\xfe garbage \x80\x81' * 9, 'unsupported-encoding|not-well-formed'),
    'TLS on the port for STARTTLS': (connected, b'\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', 'not-well-formed'),
    'HTTP': (connected, 'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n', 'not-well-formed'),
    'UTF-16': (connected, header().encode('utf-16'), 'unsupported-encoding'),
    'an unknown host': (connected, UNKNOWN, 'host-unknown'),
    'no host': (connected, header().replace(f"to='{DOMAIN}'", ''), 'improper-addressing'),
    'no version': (connected, AGAIN.replace(" version='1.0'", ''), 'unsupported-version'),
    'a foreign namespace': (connected, header().replace('jabber:client', 'jabber:server'), 'invalid-namespace'),
    'a DTD before the stream': (connected, "<?xml version='1.0'?><!DOCTYPE x [<!ENTITY a 'b'>]>", 'restricted-xml'),
    'a stanza without TLS': (opened, message('<body>early</body>'), 'not-authorized'),
    'too much before login': (secured, 'x' * 70000, 'policy-violation|bad-format'),
    'half a stanza of 100 KB before login': (secured, '<message><body>' + 'x' * 100_000, 'policy-violation'),
    'a stanza before login': (secured, message('<body>early</body>'), 'not-authorized'),
    'a bind before login': (secured, BIND, 'not-authorized'),
    'a stanza before a resource': (authenticated, message('<body>early</body>'), 'not-authorized'),
    'another host after login': (accepted, UNKNOWN, 'host-unknown'),
    'tags that do not match': (bound, '<message><body></message></body>', 'not-well-formed'),
    'an attribute twice': (bound, "<message to='a' to='b'/>", 'not-well-formed'),
    'a prefix that nobody declared': (bound, '<message><x:y/></message>', 'bad-namespace-prefix'),
    'bytes that are no UTF-8': (bound, b'<message><body>\xff\xfe</body></message>', 'unsupported-encoding'),
    'a character that XML does not have': (bound, b'<message><body>\x01</body></message>', 'not-well-formed'),
    'a DTD': (bound, '<!DOCTYPE message []>', 'restricted-xml'),
    'an entity': (bound, message('<body>&laugh;</body>'), 'restricted-xml'),
    'a comment': (bound, message('<!-- hi -->'), 'restricted-xml'),
    'a processing instruction': (bound, message('<?php hi ?>'), 'restricted-xml'),
    'text between stanzas': (bound, 'hello', 'bad-format'),
    '10 MB in a body': (bound, message('<body>' + 'x' * (10 * MIB) + '</body>'), 'policy-violation'),
    '10 MB in an attribute': (bound, message('', f" id='{'x' * (10 * MIB)}'"), 'policy-violation'),
    '10 MB of a name': (bound, '<' + 'x' * (10 * MIB), 'policy-violation'),
    '300 KB in an attribute': (bound, message('', f" id='{'x' * 300_000}'"), 'policy-violation'),
    '10,000 elements in each other': (bound, message('<a>' * 10_000 + '</a>' * 10_000), 'policy-violation'),
    '10,000 attributes': (bound, message('', ''.join(f" a{n}=''" for n in range(10_000))), 'policy-violation'),
    '10,000 children': (bound, message('<a/>' * 10_000), 'policy-violation'),
    'an element that is no stanza': (bound, "<query xmlns='jabber:iq:roster'/>", 'unsupported-stanza-type'),
    "somebody else's name": (bound, message('', f" from='juliet@{DOMAIN}'"), 'invalid-from'),
    'a stream in the stream': (bound, AGAIN, 'bad-format'),
    'a second XML declaration': (bound, header(), 'restricted-xml'),
    'an h that is too high': (bound, "<enable xmlns='urn:xmpp:sm:3'/><a xmlns='urn:xmpp:sm:3' h='7'/>",
                              'undefined-condition'),
}  # fmt: skip


@pytest.mark.parametrize('what', ENDS)
def test_it_ends_the_stream_with_the_error_for_it(site: Site, what: str) -> None:
    """One stream error, the end of the stream, and the end of the connection."""
    stage, data, condition = ENDS[what]

    async def talk() -> None:
        client = await stage(site)
        client.send(data)
        said = await client.ended()
        errors = re.findall(r'<stream:error><([\w-]+)', said)
        assert len(errors) == 1 and re.fullmatch(condition, errors[0]), said[-600:]
        assert said.endswith('</stream:stream>'), said[-600:]
        assert said.startswith('<?xml') or stage is not connected, 'a stream error needs a stream'
        if what == 'an h that is too high':
            assert 'handled-count-too-high' in said

    asyncio.run(talk())


STANZA_ERRORS = {
    'a second resource': (BIND, 'iq', 'bad-request|not-allowed|service-unavailable|feature-not-implemented'),
    'an address that is none': ("<message to='@@' id='bind'><body>x</body></message>", 'message', 'jid-malformed'),
    'a get with two children': ("<iq type='get' id='bind'><a xmlns='b'/><c xmlns='d'/></iq>", 'iq', 'bad-request'),
    'an IQ of no type': ("<iq type='hello' id='bind'><a xmlns='b'/></iq>", 'iq', 'bad-request'),
    'an unknown request': ("<iq type='get' id='bind'><a xmlns='b'/></iq>", 'iq', 'service-unavailable'),
    'a message to another host': (
        "<message to='a@nowhere.example' id='bind'><body>x</body></message>", 'message', 'remote-server-not-found',
    ),
}  # fmt: skip


@pytest.mark.parametrize('what', STANZA_ERRORS)
def test_it_is_answered_and_the_stream_goes_on(site: Site, what: str) -> None:
    """With the stanza error for it."""
    data, name, condition = STANZA_ERRORS[what]

    async def talk() -> None:
        client = await bound(site)
        client.send(data)
        answer = await client.until(f'</{name}>')
        assert "type='error'" in answer and "id='bind'" in answer, answer
        assert re.search(rf'<(?:{condition}) xmlns=.urn:ietf:params:xml:ns:xmpp-stanzas', answer), answer
        client.send(f"<iq type='get' id='p' to='{DOMAIN}'><ping xmlns='urn:xmpp:ping'/></iq>")
        await client.until("<iq[^>]*id='p'[^>]*/>")
        client.send('</stream:stream>')
        assert (await client.ended()).endswith('</stream:stream>')

    asyncio.run(talk())


def failure(said: str) -> str:
    """The condition of a SASL failure."""
    found = re.findall(r'<failure[^>]*><([\w-]+)', said)
    assert len(found) == 1, said
    return str(found[0])


def test_login_without_tls_needs_encryption(site: Site) -> None:
    """STARTTLS is required, no mechanism is offered, and the password that came all the same is not looked at."""

    async def talk() -> None:
        client = await connected(site)
        features = await client.open()
        assert '<required/>' in features and '<mechanism>' not in features
        client.send(plain('nurse', 'nurse-secret'))
        assert failure(await client.until('</failure>')) == 'encryption-required'
        client.close()

    asyncio.run(talk())


def test_wrong_logins_are_told_apart_by_nothing_and_end_at_the_third(site: Site) -> None:
    """A wrong password and a name that nobody has get the same; then the stream is over."""

    async def talk() -> None:
        client = await secured(site)
        answers = []
        for name in ('nurse', 'nobody'):
            client.send(plain(name, 'wrong'))
            answers.append(await client.until('</failure>'))
        assert answers[0] == answers[1] and failure(answers[0]) == 'not-authorized'
        client.send("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>*</auth>")
        said = await client.ended()
        assert failure(said) == 'incorrect-encoding' and '<policy-violation' in said

    asyncio.run(talk())


def test_what_is_told_after_the_end_changes_nothing(site: Site) -> None:
    """A client that goes on after its stream error is not heard, and is disconnected in the end."""

    async def talk() -> None:
        client = await bound(site)
        client.send('<message><body></message>' + message('<body>afterwards</body>') * 1000)
        said = await client.ended()
        assert said.count('<stream:error>') == 1

    asyncio.run(talk())


def test_many_broken_clients_at_once(site: Site) -> None:
    """Forty of them, of every kind, together."""

    async def one(what: str) -> None:
        stage, data, _ = ENDS[what]
        if stage is bound:
            return
        client = await stage(site)
        client.send(data)
        assert '<stream:error>' in await client.ended()

    async def talk() -> None:
        await asyncio.gather(*(one(what) for what in ENDS), *(one(what) for what in ENDS))

    asyncio.run(talk())
