"""Component plugins at work in a server in memory: they serve users, are counted and shown, fail alone, and stop."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.operations import Operations
from twisted.internet.defer import Deferred

from jabberd_tx.base.hashing import slot_among
from jabberd_tx.base.options import ConfigError, Option
from jabberd_tx.components.plugins import hosted
from jabberd_tx.components.plugins.hosted import HostedPlugins
from jabberd_tx.components.plugins.plugin import ComponentPlugin, Place
from jabberd_tx.components.stanza_component import Answer, StanzaComponent
from jabberd_tx.link.interfaces import Links
from jabberd_tx.storage.module_tables import ModuleTables
from jabberd_tx.storage.operations import Run, write
from jabberd_tx.storage.schema import OWNER_BYTES, JidText
from jabberd_tx.testing.memory_server import MemoryServer
from jabberd_tx.testing.network import Network
from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.errors import StanzaError
from jabberd_tx.xmpp.stanza import Stanza

import jabberd_tx.compat.wokkel  # noqa: F401  # isort: skip
from wokkel.ping import PingHandler

# wokkel uses names that Twisted has marked as old.
pytestmark = pytest.mark.filterwarnings('ignore:twisted.python.compat:DeprecationWarning')

metadata = sa.MetaData()
counts = sa.Table(
    'count', metadata, sa.Column('owner', JidText(OWNER_BYTES), primary_key=True), sa.Column('number', sa.Integer)
)
FIND = sa.select(counts.c.number).where(counts.c.owner == sa.bindparam('who'))
FORGET = sa.delete(counts).where(counts.c.owner == sa.bindparam('who'))
NOTE = sa.insert(counts)


def make(op: Operations) -> None:
    """Counts."""
    op.create_table('count', sa.Column('owner', JidText(1024), primary_key=True), sa.Column('number', sa.Integer))


@write('count.one')
def one_more(run: Run, owner: str, step: int) -> int:
    found = run(FIND, who=owner)
    number = (found[0][0] if found else 0) + step
    run(FORGET, who=owner)
    run(NOTE, owner=owner, number=number)
    return number


class Counting(StanzaComponent):
    """The lower level: no trees."""

    plugin: Count

    async def message(self, stanza: Stanza) -> Stanza:
        owner = stanza.attrs['from'].partition('/')[0]
        number = await self.plugin.storage.run(one_more, owner, self.plugin.values.step)
        return self.answer(stanza, (ns.CLIENT, 'body', f'<body>{number}</body>'.encode()))


class Count(ComponentPlugin):
    """Counts."""

    name, policy = 'count', 'from'
    options = (Option('step', int, 1, 'By how much.'),)
    tables = ModuleTables('count', metadata, make)
    events: list[str]

    def make(self, links: Links) -> StanzaComponent:
        component = Counting(links, self.domain, self.reactor, self.policy)
        component.plugin = self
        return component


class Pong(ComponentPlugin):
    """Answers pings."""

    name = 'pong'
    enabled = True

    def handlers(self) -> list[Any]:
        return [PingHandler()]


ON = ('component.count.enabled=true', 'component.count.step=2')


def test_plugins_of_both_kinds_serve_users() -> None:
    """One over stanzas, with options and storage; one of wokkel's handlers."""
    server = MemoryServer(overrides=ON, plugins=[Count, Pong])
    juliet = server.client('juliet')
    for _ in range(2):
        juliet.send("<message to='count.example.net' type='chat'><body>x</body></message>")
        server.settle()
    assert [one.inner for one in juliet.take_stanzas('message')] == [b'<body>2</body>', b'<body>4</body>']
    pong = server.ask(juliet, 'get', f"<ping xmlns='{ns.PING}'/>", 'pong.example.net')
    assert pong.attrs['type'] == 'result' and pong.attrs['from'] == 'pong.example.net'
    refused = server.ask(juliet, 'get', "<query xmlns='urn:x'/>", 'pong.example.net')
    assert refused.attrs['type'] == 'error'
    assert server.metrics.value('jabberd_component_stanzas', 'pong') == 2
    assert server.metrics.value('jabberd_component_taken', 'count') == 0


def test_an_operator_sees_what_there_is() -> None:
    server = MemoryServer(overrides=ON[:1], plugins=[Count, Pong])
    server.ask(server.client('juliet'), 'get', f"<ping xmlns='{ns.PING}'/>", 'pong.example.net')
    count, pong = server.plugins.listing()
    assert pong == {
        'name': 'pong', 'help': 'Answers pings.', 'xeps': [], 'module': __name__, 'state': 'on',
        'domain': 'pong.example.net', 'server': '', 'linked': True, 'handlers': ['PingHandler'],
        'stanzas': 1, 'faults': 0, 'taken': 0, 'sent': 0,
    }  # fmt: skip
    assert (count['state'], count['handlers']) == ('on', [])
    count, pong = MemoryServer(plugins=[Count, Pong]).plugins.listing()
    assert (count['state'], 'domain' in count) == ('off', False)


def test_an_instance_has_the_slot_that_the_configuration_says() -> None:
    """What is for another slot waits for whoever has that."""
    asked = [f'component.count.{option}' for option in ('slots=2', 'slot=1', 'weight=2.5')]
    server = MemoryServer(overrides=[*ON, *asked], plugins=[Count])
    juliet, romeo = server.client('juliet'), server.client('romeo')
    assert (slot_among('juliet@example.net', 2), slot_among('romeo@example.net', 2)) == (1, 0)
    for client in (juliet, romeo):
        client.send("<message to='count.example.net'><body>x</body></message>")
    server.settle()
    assert [one.inner for one in juliet.take_stanzas('message')] == [b'<body>2</body>']
    assert romeo.take_stanzas('message') == []


# ---- life


class Living(ComponentPlugin):
    """Notes what becomes of it."""

    name = 'living'
    notes: list[str]
    gate: Deferred[None] | None = None

    def start(self) -> Awaitable[None] | None:
        self.notes.append('start')
        return self.gate

    def stop(self) -> Awaitable[None] | None:
        self.notes.append('stop')
        return self.gate


def start(network: Network, kind: type[ComponentPlugin]) -> tuple[HostedPlugins, Deferred[Any]]:
    plugins = HostedPlugins({kind.name: kind}, network.clock, network.metrics)
    place = Place('living.example.net', network.clock, network.metrics)
    values = kind.section().defaults()
    done = Deferred.fromCoroutine(plugins.start(kind, place, values, network.links('living-1')))
    network.settle()
    return plugins, done


def test_its_start_comes_before_its_name_and_its_stop_after() -> None:
    network = Network()
    gate: Deferred[None] = Deferred()
    notes: list[str] = []
    plugins, started = start(network, type('Now', (Living,), {'name': 'now', 'notes': notes, 'gate': gate}))
    looking = network.links('looking')

    class Looks:
        def __getattr__(self, name: str) -> Any:
            return lambda *arguments: False

    looking.attach(Looks())  # type: ignore[arg-type]
    looking.start()
    network.settle()
    assert notes == ['start'] and not started.called and not looking.instances('living.example.net')
    gate.callback(None)
    network.settle()
    assert started.called and list(looking.instances('living.example.net')) == ['living-1']
    done = Deferred.fromCoroutine(plugins.stop('now'))
    network.advance(1)
    assert done.called and notes == ['start', 'stop'] and not looking.instances('living.example.net')
    assert plugins.by_name == {}


def test_one_that_can_not_start_is_left_out() -> None:
    """By what it raises where it is made, where it starts, or by taking too long; it is shown as failed."""

    class NotMade(Living):
        """Fails at once."""

        name, notes = 'not-made', []

        def make(self, links: Links) -> StanzaComponent:
            raise KeyError('oops')

    for kind in (NotMade, type('Slow', (Living,), {'name': 'slow', 'notes': [], 'gate': Deferred()})):
        network = Network()
        plugins, started = start(network, kind)
        network.advance(hosted.START_S + 1)
        assert started.called and plugins.by_name == {} and plugins.listing()[0]['state'] == 'failed'


def test_a_configuration_that_a_plugin_does_not_take_is_an_error() -> None:
    class Picky(Living):
        """Wants something else."""

        name, notes = 'picky', []

        def start(self) -> None:
            raise ConfigError('component.picky: expected better')

    plugins, started = start(Network(), Picky)
    errors: list[Any] = []
    started.addErrback(lambda failure: errors.append(str(failure.value)))
    assert errors == ['component.picky: expected better']


def test_a_component_that_fails_is_counted() -> None:
    class Bad(StanzaComponent):
        def message(self, stanza: Stanza) -> Answer:
            raise KeyError('oops') if stanza.attrs['id'] == 'bad' else StanzaError('gone')

    class BadPlugin(ComponentPlugin):
        """Fails."""

        name, enabled = 'bad', True

        def make(self, links: Links) -> StanzaComponent:
            return Bad(links, self.domain, self.reactor)

    server = MemoryServer(plugins=[BadPlugin])
    juliet = server.client('juliet')
    for id in ('bad', 'gone'):
        juliet.send(f"<message to='bad.example.net' id='{id}'><body>x</body></message>")
    server.settle()
    assert [one.attrs['type'] for one in juliet.take_stanzas('message')] == ['error', 'error']
    assert server.metrics.value('jabberd_component_faults', 'bad') == 1
