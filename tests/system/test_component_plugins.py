"""The components of docs/components.md in each way that they run, and wokkel's handlers with real peers.

Inside `jabberd`; in `jabberd-component` beside processes apart; as components of another jabberd-tx and of Prosody,
by XEP-0114.  The plugins and the configurations are the listings of that page.
"""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from textwrap import indent
from types import SimpleNamespace
from typing import Any, NamedTuple
from xml.etree.ElementTree import Element, tostring

import pytest
from processes import DOMAIN, Process, Site, wait_for
from prosody import COMPONENT, Prosody, prosody
from slixmpp.exceptions import IqError
from slixmpp_client import Client

from jabberd_tx.testing.blocking_client import BlockingClient
from jabberd_tx.testing.ports import free_port
from tests.component_tutorial import PAGE, configurations, import_path, make_packages

HERE = Path(__file__).parent
SITE, REMOTE = configurations()
# Beside what the page switches on.
MORE = '\n[component.dice]\nenabled = true\nmost = 3\n[component.whisper]\nenabled = true\n'
FEED = '[component.feed]\nenabled = true\n'
SECRET = 'what the other server knows it by'
NAMES = ('shout', 'whisper', 'dice', 'visitor')
WAYS = ('jabberd', 'jabberd-component', 'XEP-0114 to jabberd', 'XEP-0114 to Prosody')
MESSAGE, IQ = '{jabber:client}message', '{jabber:client}iq'
ERROR = '{jabber:client}error/{urn:ietf:params:xml:ns:xmpp-stanzas}'
MUC_USER = '{http://jabber.org/protocol/muc#user}x'


class Running(NamedTuple):
    """A server with the components.

    host     the process that they run in
    site     of jabberd-tx, or None
    prosody  or None
    """

    host: Process
    site: Site | None
    prosody: Prosody | None
    database: Path

    def login(self) -> BlockingClient:
        """juliet, at the server."""
        if self.prosody is not None:
            client = BlockingClient('127.0.0.1', self.prosody.port, f'juliet@{DOMAIN}', 'secret')
        else:
            assert self.site is not None
            tls = ssl.create_default_context(cafile=str(self.site.folder / 'data' / 'cert.pem'))
            client = BlockingClient('127.0.0.1', self.site.ports[0], f'juliet@{DOMAIN}', 'juliet-secret', tls)
        client.login()
        return client


@pytest.fixture(scope='module')
def plugins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The plugins of the page and of this folder are on the import path of processes."""
    packages = make_packages(tmp_path_factory.mktemp('components'))
    path = os.pathsep.join([str(HERE / 'component_plugins'), import_path(packages)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('PYTHONPATH', path)
        yield


@pytest.fixture(scope='module', params=WAYS)
def running(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, plugins: None
) -> Iterator[Running]:
    """The components, in one way."""
    folder = tmp_path_factory.mktemp('site')
    with ExitStack() as stack:
        if request.param == 'XEP-0114 to Prosody':
            names = {f'{name}.{DOMAIN}': SECRET for name in NAMES}
            shown = indent(COMPONENT.format(name=f'shout.{DOMAIN}', secret=SECRET), '    ')
            assert shown in PAGE.read_text()
            server = stack.enter_context(prosody(folder, ['juliet'], names))
            yield remote(tmp_path_factory, stack, server.component_port, None, server)
            return
        local = request.param in ('jabberd', 'jabberd-component')
        port = free_port()
        tables = SITE[SITE.index('[component') :] + MORE + FEED if local else gateway(port)
        site = Site(folder, 'apart' if request.param == 'jabberd-component' else 'one process', tables)
        stack.enter_context(site)
        site.run_all()
        site.add_user('juliet', 'juliet-secret')
        if not local:
            yield remote(tmp_path_factory, stack, port, site, None)
            return
        host = site.processes.get('jabberd')
        if host is None:
            host = site.run('component-a', 'jabberd-component', '--node', 'a')
            site.wait_ready()
            wait_for('both routers know it', lambda: host.metric('jabberd_link_up') >= 8)
        yield Running(host, site, None, folder / 'data' / 'jabberd.sqlite')


def gateway(port: int) -> str:
    """What lets a jabberd-tx take in the components."""
    table = '[[external_component]]\nname = "{name}.{domain}"\nsecret = "{secret}"\n'
    tables = [table.format(name=name, domain=DOMAIN, secret=SECRET) for name in NAMES]
    return '\n'.join([f'[gateway]\nport = {port}', *tables])


def remote(
    factory: pytest.TempPathFactory, stack: ExitStack, port: int, site: Site | None, server: Prosody | None
) -> Running:
    """`jabberd-component` with the page's file, for a server whose port for components it is."""
    folder = factory.mktemp('remote')
    assert SECRET in REMOTE and 'tcp:127.0.0.1:5347' in REMOTE
    text = REMOTE.replace('tcp:127.0.0.1:5347', f'tcp:127.0.0.1:{port}')
    for name in ('dice', 'whisper', 'visitor'):
        text += f'\n[component.{name}]\nenabled = true\ndomain = "{name}.{DOMAIN}"\nsecret = "{SECRET}"\n'
        text += f'connect = "tcp:127.0.0.1:{port}"\n' + ('most = 3\n' if name == 'dice' else '')
    (folder / 'jabberd.toml').write_text(text)
    (folder / 'jabberd.toml').chmod(0o600)
    host = Process(SimpleNamespace(folder=folder), 'component', ['jabberd-component'])  # type: ignore[arg-type]
    stack.callback(host.stop)
    wait_for('the component is ready', host.ready)
    wait_for('all are taken in', lambda: host.text().count('is taken in at') == 4)
    return Running(host, site, server, folder / 'shout-data' / 'jabberd.sqlite')


def say(client: BlockingClient, name: str, text: str) -> None:
    client.send(f"<message to='{name}.{DOMAIN}' type='chat'><body>{text}</body></message>")


def hear(client: BlockingClient) -> str:
    message = client.expect(MESSAGE)
    assert message.get('type') == 'chat', tostring(message)
    return message.findtext('{jabber:client}body') or ''


def ask(client: BlockingClient, payload: str, to: str) -> Element:
    client.send(f"<iq type='get' id='q' to='{to}.{DOMAIN}'>{payload}</iq>")
    return client.expect(IQ)


# ---- the tutorial's components


def test_the_components_of_the_page(running: Running) -> None:
    """Messages in order, IQs of wokkel's own handlers, errors, what is stored, stanzas without trees."""
    juliet = running.login()
    for n in range(20):
        say(juliet, 'shout', f'«{n}» a &lt; b')
    assert [hear(juliet) for _ in range(20)] == [f'«{n}» A < B' for n in range(20)]
    say(juliet, 'whisper', 'SOFT')
    assert hear(juliet) == 'soft'
    for dice, total in (('2d1', '2'), ('3d1', '3'), ('1d1', '1'), ('best', '3')):
        say(juliet, 'dice', dice)
        assert hear(juliet) == total
    say(juliet, 'dice', '4d6')
    refused = juliet.expect(MESSAGE)
    assert refused.get('type') == 'error' and refused.find(f'{ERROR}not-acceptable') is not None
    assert ask(juliet, "<ping xmlns='urn:xmpp:ping'/>", 'shout').get('type') == 'result'
    info = ask(juliet, "<query xmlns='http://jabber.org/protocol/disco#info'/>", 'dice')
    features = {one.get('var') for one in info.iter('{http://jabber.org/protocol/disco#info}feature')}
    assert features >= {'urn:xmpp:ping', 'jabber:iq:version'}
    assert ask(juliet, "<query xmlns='urn:x'/>", 'shout').find(f'{ERROR}service-unavailable') is not None
    juliet.leave()
    with closing(sqlite3.connect(running.database)) as connection:
        assert connection.execute('SELECT owner, best FROM dice').fetchall() == [(f'juliet@{DOMAIN}', 3)]
    assert running.host.metric('jabberd_component_stanzas_total{component="shout"}') == 22
    assert running.host.metric('jabberd_component_faults_total') == 0


def test_an_operator_sees_them(running: Running) -> None:
    """In `jabberd-ctl components`, of the site or of the component's own folder."""
    ctl = Site.ctl(running.host.site, 'components', '--json', 'shout')
    (told,) = json.loads(ctl.stdout)['components']
    assert (told['state'], told['domain'], told['linked']) == ('on', f'shout.{DOMAIN}', True), ctl
    assert told['handlers'] == ['Shouting', 'PingHandler', 'DiscoHandler']
    assert told['server'].startswith('tcp:') == (running.host.name == 'component')


@pytest.mark.parametrize('running', ['XEP-0114 to Prosody'], indirect=True)
def test_wokkels_muc_client_visits_a_room(running: Running) -> None:
    """It enters, hears, and says."""
    room = f'verona@rooms.{DOMAIN}'
    juliet = running.login()
    juliet.send(f"<presence to='{room}/juliet'><x xmlns='http://jabber.org/protocol/muc'/></presence>")
    until(juliet, '{jabber:client}presence', f'{room}/juliet')
    say(juliet, 'visitor', room)
    until(juliet, '{jabber:client}presence', f'{room}/visitor')
    told = until(juliet, MESSAGE, f'visitor.{DOMAIN}')
    assert told.findtext('{jabber:client}body') == 'juliet, visitor'
    juliet.send(f"<message to='{room}' type='groupchat'><body>Soft</body></message>")
    said = until(juliet, MESSAGE, f'{room}/visitor')
    assert said.findtext('{jabber:client}body') == 'juliet said Soft'
    juliet.leave()


def until(client: BlockingClient, tag: str, sender: str) -> Element:
    """The next such element from there; others are passed over."""
    while True:
        element = client.next(20)
        if (element.tag, element.get('from')) == (tag, sender):
            return element


@pytest.mark.parametrize('running', ['jabberd', 'jabberd-component'], indirect=True)
def test_wokkels_pubsub_service_serves_slixmpp(running: Running) -> None:
    """A node is made, subscribed to, published to, and read; slixmpp's own plugin asks."""
    feed = f'feed.{DOMAIN}'
    assert running.site is not None
    site = running.site

    async def talk() -> None:
        juliet = Client(site, 'juliet', site.ports[0])
        for plugin in ('xep_0060', 'xep_0066'):
            juliet.register_plugin(plugin)
        heard: asyncio.Queue[Any] = asyncio.Queue()
        juliet.add_event_handler('pubsub_publish', heard.put_nowait)
        await juliet.login()
        pubsub = juliet.plugin['xep_0060']
        await pubsub.create_node(feed, 'news')
        await pubsub.subscribe(feed, 'news')
        payload = juliet.plugin['xep_0066'].stanza.OOB()
        payload['url'] = 'https://example.net/a?b&c'
        await pubsub.publish(feed, 'news', id='1', payload=payload)
        event = await asyncio.wait_for(heard.get(), 20)
        assert event['pubsub_event']['items']['item']['id'] == '1'
        items = (await pubsub.get_items(feed, 'news'))['pubsub']['items']
        assert [item['id'] for item in items] == ['1'] and 'https://example.net/a?b&amp;c' in str(items)
        with pytest.raises(IqError) as raised:
            await pubsub.get_items(feed, 'olds')
        assert raised.value.iq['error']['condition'] == 'item-not-found'
        nodes = await juliet.plugin['xep_0030'].get_items(feed)
        assert [item[1] for item in nodes['disco_items']['items']] == ['news']
        await juliet.leave()

    asyncio.run(talk())


@pytest.mark.parametrize('running', ['jabberd'], indirect=True)
def test_an_option_is_applied_to_the_running_component(running: Running) -> None:
    """One with `reload`, there and back."""
    assert running.site is not None
    file = running.site.folder / 'jabberd.toml'
    juliet = running.login()
    for most, kind in ((1, 'error'), (3, 'chat')):
        text = file.read_text()
        file.write_text(text.replace('most = 3' if most == 1 else 'most = 1', f'most = {most}'))
        assert f'applied: component.dice.most: {4 - most} -> {most}' in running.site.ctl('reload').stdout
        say(juliet, 'dice', '2d1')
        assert juliet.expect(MESSAGE).get('type') == kind
    juliet.leave()
