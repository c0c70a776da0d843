"""What external components may send that they should not: each is refused by the name that XEP-0114 and RFC 6120 have
for it, logged once, and two people who chat, and a good component, go on all the while."""

from __future__ import annotations

import asyncio
import re
import signal
import time
from collections.abc import Iterator

import pytest
from bystanders import Bystanders
from component_site import SECRET, ComponentSite, component_site
from processes import DOMAIN, wait_for

from jabberd_tx.components.gateway.external import digest

WAIT_S = 20.0
BAD, GOOD = f'bad.{DOMAIN}', f'good.{DOMAIN}'
LIMITS = 'handshake_timeout = 1\nstall_timeout = 1\nrate_stanzas = 300\nburst_stanzas = 1000\noutgoing_bytes = 65536\n'


def header(to: str = BAD, content: str = 'jabber:component:accept') -> str:
    return f"<stream:stream xmlns='{content}' xmlns:stream='http://etherx.jabber.org/streams' to='{to}'>"


class Raw:
    """A component that says whatever it is told to."""

    def __init__(self) -> None:
        self.seen = b''
        self.reader: asyncio.StreamReader
        self.writer: asyncio.StreamWriter

    async def connect(self, site: ComponentSite, *said: str) -> Raw:
        self.reader, self.writer = await asyncio.open_connection('127.0.0.1', site.port, limit=1 << 16)
        self.say(*said)
        return self

    async def login(self, site: ComponentSite, name: str = BAD) -> Raw:
        await self.connect(site, header(name))
        stream = re.search(r"id='([^']+)'", await self.until('<stream:stream[^>]*>'))
        assert stream is not None
        self.say(f'<handshake>{digest(stream[1], SECRET)}</handshake>')
        await self.until('<handshake/>')
        return self

    def say(self, *said: str) -> None:
        for text in said:
            self.writer.write(text.encode())

    async def until(self, pattern: str) -> str:
        """What has come up to the end of the first match, taken out."""
        while (match := re.search(pattern.encode(), self.seen, re.S)) is None:
            data = await asyncio.wait_for(self.reader.read(65536), WAIT_S)
            assert data, f'closed; no {pattern} in {self.seen!r}'
            self.seen += data
        found, self.seen = self.seen[: match.end()], self.seen[match.end() :]
        return found.decode()

    async def error(self) -> str:
        """The condition of the stream error; the server closes after it."""
        await self.until('<stream:error><')
        condition = await self.until(' ')
        await self.until('</stream:stream>')
        while await asyncio.wait_for(self.reader.read(65536), WAIT_S):
            pass
        self.writer.close()
        return condition.strip()


@pytest.fixture(scope='module')
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComponentSite]:
    """In one process, with small limits."""
    folder = tmp_path_factory.mktemp('bad-input')
    with component_site(folder, 'one process', ('bad', 'good'), ('juliet', 'romeo'), LIMITS) as running:
        yield running


@pytest.fixture(scope='module')
def bystanders(site: ComponentSite) -> Iterator[Bystanders]:
    """Two people who chat."""
    people = Bystanders(site)
    people.go_on()
    yield people
    people.stop()


@pytest.fixture
def others(bystanders: Bystanders) -> Iterator[None]:
    """They go on afterwards."""
    yield
    bystanders.go_on()


def message(sender: str, body: str = 'x') -> str:
    return f"<message from='{sender}' to='nobody@{DOMAIN}'><body>{body}</body></message>"


# Without a name: what is said, and the condition.
NAMELESS = {
    'a name that nobody has': (header('other.localhost'), 'host-unknown'),
    'the name of the users': (header(DOMAIN), 'host-unknown'),
    'a wrong handshake': (header() + '<handshake>' + '0' * 40 + '</handshake>', 'not-authorized'),
    'a stanza instead': (header() + message(BAD), 'not-authorized'),
    'a wrong namespace': (header(content='jabber:client'), 'invalid-namespace'),
    'half a header': (header()[:50], 'connection-timeout'),
    'a header that never ends': ('<stream:stream ' + "a='b' " * 5000, 'policy-violation'),
    'no XML': ('GET / HTTP/1.1\r\n\r\n', 'not-well-formed'),
}
# With one.
NAMED = {
    "somebody else's address": (message(f'juliet@{DOMAIN}'), 'invalid-from'),
    "another component's address": (message(f'a@{GOOD}'), 'invalid-from'),
    'half a stanza': (message(BAD)[:60], 'connection-timeout'),
    'a start tag that never ends': ('<message ' + "a='b' " * 60_000, 'policy-violation'),
    'a huge stanza': ('<message><body>' + 'x' * 300_000, 'policy-violation'),
    'elements without end': ('<message>' + '<a>' * 10_000, 'policy-violation'),
    'a wrong namespace': ("<message xmlns='jabber:server'/>", 'invalid-namespace'),
    'an entity': ('<message>&lol;</message>', 'restricted-xml'),
    'no stanza': ("<xdb xmlns='jabber:x'/>", 'unsupported-stanza-type'),
}


@pytest.mark.parametrize('what', NAMELESS)
def test_before_it_has_its_name(site: ComponentSite, others: None, what: str) -> None:
    async def talk() -> None:
        said, condition = NAMELESS[what]
        assert await (await Raw().connect(site, said)).error() == condition

    asyncio.run(talk())


@pytest.mark.parametrize('what', NAMED)
def test_once_it_has_its_name(site: ComponentSite, others: None, what: str) -> None:
    """And it may come again."""

    async def talk() -> None:
        said, condition = NAMED[what]
        bad = await Raw().login(site)
        bad.say(said)
        assert await bad.error() == condition

    asyncio.run(talk())
    site.wait_connections(BAD, 0)


def test_a_second_one_and_many_alike_are_logged_once(site: ComponentSite, others: None) -> None:
    """conflict, each time; one line."""

    async def talk() -> None:
        first = await Raw().login(site)
        for _ in range(5):
            assert await (await Raw().connect(site, header())).error() == 'conflict'
        first.writer.close()

    asyncio.run(talk())
    site.wait_connections(BAD, 0)
    assert site.gateway.text().count(f'component {BAD} from 127.0.0.1: conflict') == 1
    assert site.gateway.metric('jabberd_gateway_refused_total{condition="conflict"}') == 5


def test_a_flood_is_slowed_down(site: ComponentSite, bystanders: Bystanders) -> None:
    """To its rate; the other component is answered in the meantime, and people chat."""

    async def talk() -> None:
        bad, good = await Raw().login(site), await Raw().login(site, GOOD)
        counted, began = site.gateway.metric('jabberd_gateway_stanzas_received'), time.monotonic()
        bad.say(message(BAD) * 4000)
        for n in range(5):
            good.say(f"<iq type='get' id='p{n}' from='{GOOD}' to='{DOMAIN}'><ping xmlns='urn:xmpp:ping'/></iq>")
            await good.until(f'id=.p{n}.')
            await asyncio.to_thread(bystanders.go_on)
        taken = site.gateway.metric('jabberd_gateway_stanzas_received') - counted
        seconds = time.monotonic() - began
        assert taken <= 1000 + 300 * seconds + 500, (taken, seconds)
        bad.writer.transport.abort()
        good.writer.close()

    asyncio.run(talk())
    assert site.gateway.metric('jabberd_gateway_refused_total{condition="rate"}') >= 1


def test_who_asks_and_does_not_read(site: ComponentSite, bystanders: Bystanders) -> None:
    """Its answers wait within a bound, whatever it asks for; others are answered."""

    def waiting() -> float:
        return site.gateway.metric('jabberd_gateway_waiting_bytes')

    async def talk() -> None:
        bad = await Raw().login(site)
        bad.writer.transport.pause_reading()  # type: ignore[attr-defined]
        ask = f"<iq type='get' id='{'x' * 60_000}' from='{BAD}' to='nowhere.example'><ping xmlns='urn:xmpp:ping'/></iq>"
        bad.say(ask * 400)
        await asyncio.to_thread(wait_for, 'it is slow', lambda: waiting() > 0)
        await asyncio.to_thread(bystanders.go_on)
        assert waiting() < 1 << 20
        bad.writer.transport.abort()

    asyncio.run(talk())
    bystanders.go_on()


def test_tables_come_and_change_while_it_runs(site: ComponentSite, others: None) -> None:
    """SIGHUP: a new component may connect; one whose secret has changed is closed, with `reset`."""
    file, new = site.folder / 'jabberd.toml', f'new.{DOMAIN}'
    before = file.read_text()

    def reload(text: str) -> None:
        file.write_text(text)
        before = site.gateway.text().count('reload: applied external_component')
        site.gateway.popen.send_signal(signal.SIGHUP)
        wait_for('reload', lambda: site.gateway.text().count('reload: applied external_component') > before)

    async def talk() -> None:
        assert await (await Raw().connect(site, header(new))).error() == 'host-unknown'
        added = before + f'\n[[external_component]]\nname = "{new}"\nsecret = "{SECRET}"\n'
        await asyncio.to_thread(reload, added)
        came = await Raw().login(site, new)
        await asyncio.to_thread(reload, before + f'\n[[external_component]]\nname = "{new}"\nsecret = "another"\n')
        assert await came.error() == 'reset'
        wrong = await Raw().connect(site, header(new), '<handshake>' + digest('', SECRET) + '</handshake>')
        assert await wrong.error() == 'not-authorized'

    asyncio.run(talk())
    reload(before)
