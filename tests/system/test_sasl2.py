"""Logging in with XEP-0388 and what goes with it, as clients do over TLS, through both shapes."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from xml.etree.ElementTree import Element

import pytest
from bound_client import SASL2, BoundClient
from processes import DOMAIN, SHAPES, Site

from jabberd_tx.control.account_operations import packed
from jabberd_tx.control.admin_client import AdminLink
from jabberd_tx.testing.blocking_client import Refused
from jabberd_tx.xmpp.sasl import derive
from jabberd_tx.xmpp.sasl.hashed_token import initiator_hash, responder_hash

AGENT = 'd4565fa7-4d72-4749-b3d3-740edbf8777%d'
BIND2, CARBONS, FAST = 'urn:xmpp:bind:0', 'urn:xmpp:carbons:2', 'urn:xmpp:fast:0'
UPGRADE, SCRAM_UPGRADE = 'urn:xmpp:sasl:upgrade:0', 'urn:xmpp:scram-upgrade:0'
FEATURES = f'{{{SASL2}}}authentication'


@pytest.fixture(scope='module', params=SHAPES)
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """romeo and juliet."""
    with Site.start(tmp_path_factory.mktemp(request.param.replace(' ', '-')), request.param) as running:
        for name in ('romeo', 'juliet'):
            running.add_user(name, f'{name}-secret')
        yield running


def client_of(site: Site, user: str, port: int = 0) -> BoundClient:
    return BoundClient(site.ports[port], site.folder / 'data' / 'cert.pem', user, f'{user}-secret')


def offered(client: BoundClient, path: str) -> list[str]:
    return [one.text or '' for one in client.features.iterfind(path)]


@pytest.mark.parametrize('binding', ['EXPR', 'ENDP'])
def test_a_token_logs_in_on_the_connection_that_it_is_bound_to(site: Site, binding: str) -> None:
    """HT-SHA-256-EXPR and HT-SHA-256-ENDP (XEP-0484): got at one worker, used at another, and of no use elsewhere."""
    mechanism, agent = f'HT-SHA-256-{binding}', AGENT % 1
    client = client_of(site, 'romeo')
    assert mechanism in offered(client, f'{FEATURES}/{{{SASL2}}}inline/{{{FAST}}}fast/{{{FAST}}}mechanism')
    wish = f"<request-token xmlns='{FAST}' mechanism='{mechanism}'/>"
    success = client.log_in_by_password('SCRAM-SHA-256', wish, agent)
    given = success.find(f'{{{FAST}}}token')
    assert given is not None
    token = (given.get('token') or '').encode()
    client.drop()

    def come_back(data: bytes | None = None, by: str = mechanism) -> tuple[BoundClient, Element]:
        again = client_of(site, 'romeo', -1)
        initial = b'romeo\0' + initiator_hash(token, again.bindings[binding] if data is None else data)
        return again, again.authenticate_by(by, initial, f"<fast xmlns='{FAST}'/><bind xmlns='{BIND2}'/>", agent)

    for data, by in ((bytes(32), mechanism), (b'', mechanism), (b'', 'HT-SHA-256-NONE')):
        with pytest.raises(Refused, match='not-authorized'):
            come_back(data, by)
    again, success = come_back()
    proof = base64.b64decode(success.findtext(f'{{{SASL2}}}additional-data') or '')
    assert proof == responder_hash(token, again.bindings[binding]), 'the server has the token, and the same connection'
    assert again.jid.startswith(f'romeo@{DOMAIN}/')
    again.expect('{http://etherx.jabber.org/streams}features')
    again.leave()


def test_carbons_asked_for_with_the_resource_are_there_from_the_first_message_on(site: Site) -> None:
    """XEP-0386 with XEP-0280 inline: no IQ is needed."""
    clients = []
    for port, inline in ((0, ''), (-1, f"<enable xmlns='{CARBONS}'/>"), (0, '')):
        client = client_of(site, 'juliet', port)
        path = f'{FEATURES}/{{{SASL2}}}inline/{{{BIND2}}}bind/{{{BIND2}}}inline/{{{BIND2}}}feature'
        assert CARBONS in [one.get('var') for one in client.features.iterfind(path)]
        client.log_in_by_password(inline=f"<bind xmlns='{BIND2}'><tag>test</tag>{inline}</bind>")
        client.expect('{http://etherx.jabber.org/streams}features')
        clients.append(client)
    first, copied, _ = clients
    romeo = client_of(site, 'romeo')
    romeo.log_in_by_password(inline=f"<bind xmlns='{BIND2}'/>")
    romeo.expect('{http://etherx.jabber.org/streams}features')
    romeo.send(f"<message to='{first.jid}' type='chat'><body>psst</body></message>")
    first.expect('{jabber:client}message')
    first.send(f"<message to='{romeo.jid}' type='chat'><body>yes?</body></message>")
    romeo.expect('{jabber:client}message')
    for direction, text in (('received', 'psst'), ('sent', 'yes?')):
        copy = copied.expect('{jabber:client}message')
        message = copy.find(f'{{{CARBONS}}}{direction}/{{urn:xmpp:forward:0}}forwarded/{{jabber:client}}message')
        assert message is not None and copy.get('from') == f'juliet@{DOMAIN}'
        assert message.findtext('{jabber:client}body') == text
    for client in (first, copied, clients[2]):
        # Nobody has got anything else, and who has not asked for copies none.
        client.send(f"<iq type='get' id='p' to='{DOMAIN}'><ping xmlns='urn:xmpp:ping'/></iq>")
        assert client.expect('{jabber:client}iq').get('id') == 'p'
        client.leave()
    romeo.leave()


def put_weak_account(site: Site, user: str) -> None:
    """As brought from a server that had SCRAM-SHA-1 alone."""
    verifiers = {'SCRAM-SHA-1': derive(f'{user}-secret', 4096)['SCRAM-SHA-1']}
    for path in sorted((site.folder / 'data' / 'run').glob('*.sock')):
        with AdminLink(str(path)) as link:
            if 'account.put_many' in link.ask('operations'):
                assert link.ask('account.put_many', domain=DOMAIN, pairs=[[f'{user}@{DOMAIN}', packed(verifiers)]]) == 1
                return
    raise AssertionError('no process has storage')


def upgrade(client: BoundClient, task: str, salted: bytes | None = None) -> Element:
    """One task; `salted`: in place of what the password hashes to."""
    client.send(f"<next xmlns='{SASL2}' task='{task}'/>")
    salt = client.answer('task-data').find(f'{{{SCRAM_UPGRADE}}}salt')
    assert salt is not None and int(salt.get('iterations') or 0) >= 4096
    name = 'sha' + task.rpartition('-')[2]
    made = hashlib.pbkdf2_hmac(
        name, client.password.encode(), base64.b64decode(salt.text or ''), int(salt.get('iterations') or 0)
    )
    data = base64.b64encode(made if salted is None else salted).decode()
    client.send(f"<task-data xmlns='{SASL2}'><hash xmlns='{SCRAM_UPGRADE}'>{data}</hash></task-data>")
    return client.answer('success', 'continue')


def test_an_account_from_elsewhere_gets_the_stronger_verifiers_that_it_lacks(site: Site) -> None:
    """XEP-0480: announced, asked for, done, and announced no more; a bad hash changes nothing."""
    put_weak_account(site, 'mercutio')
    mechanisms, tasks = f'{FEATURES}/{{{SASL2}}}mechanism', f'{FEATURES}/{{{UPGRADE}}}upgrade'
    wish = ''.join([f"<upgrade xmlns='{UPGRADE}'>UPGR-SCRAM-SHA-{size}</upgrade>" for size in (256, 512)])
    for salted in (b'short', None):
        client = client_of(site, 'mercutio')
        assert offered(client, mechanisms) == ['SCRAM-SHA-1-PLUS', 'SCRAM-SHA-1', 'PLAIN']
        assert offered(client, tasks) == ['UPGR-SCRAM-SHA-512', 'UPGR-SCRAM-SHA-256']
        more = client.log_in_by_password(inline=f"{wish}<bind xmlns='{BIND2}'/>")
        if salted is not None:
            with pytest.raises(Refused, match='malformed-request'):
                upgrade(client, 'UPGR-SCRAM-SHA-512', salted)
            client.drop()
            continue
        for task in ('UPGR-SCRAM-SHA-512', 'UPGR-SCRAM-SHA-256'):
            assert more.findtext(f'{{{SASL2}}}tasks/{{{SASL2}}}task') == task
            more = upgrade(client, task)
        assert more.tag == f'{{{SASL2}}}success' and client.jid.startswith(f'mercutio@{DOMAIN}/')
        client.drop()
    for size in (512, 256, 1):
        again = client_of(site, 'mercutio', -1)
        assert f'SCRAM-SHA-{size}' in offered(again, mechanisms) and offered(again, tasks) == []
        again.log_in_by_password(f'SCRAM-SHA-{size}', wish)
        assert again.jid == f'mercutio@{DOMAIN}'
        again.drop()
