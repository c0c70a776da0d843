"""Accounts that people make, change and cancel themselves, and guests without one, through both shapes."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from processes import DOMAIN, SHAPES, Site
from raw_client import RawClient
from slixmpp_client import Client

OPTIONS = f'registration = "open"\nanonymous_domains = ["{DOMAIN}"]\nanonymous_reach = ["helpdesk@{DOMAIN}"]\n'


class OpenSite(Site):
    """Registration, the module of it, and guests are allowed."""

    def __init__(self, folder: Path, shape: str, settings: str = '') -> None:
        super().__init__(folder, shape, settings + '\n[modules.registration]\nenabled = true\n')
        config = folder / 'jabberd.toml'
        config.write_text(config.read_text().replace('[c2s]\n', f'[c2s]\n{OPTIONS}'))


@pytest.fixture(scope='module', params=SHAPES)
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A running site with an account helpdesk."""
    with OpenSite.start(tmp_path_factory.mktemp(request.param.replace(' ', '-')), request.param) as running:
        running.add_user('helpdesk', 'helpdesk-secret')
        yield running


def test_slixmpp_makes_an_account_changes_its_password_and_cancels_it(site: Site) -> None:
    """XEP-0077 as slixmpp's plugin does it."""

    async def talk() -> None:
        client = Client(site, 'mercutio', site.ports[0])
        client.register_plugin('xep_0004')
        client.register_plugin('xep_0066')
        client.register_plugin('xep_0077')

        async def register(form: Any) -> None:
            assert form['register']['fields'] == {'username', 'password'}
            request = client.Iq()
            request['type'] = 'set'
            request['register']['username'] = client.boundjid.user
            request['register']['password'] = client.password
            await request.send()

        client.add_event_handler('register', register)
        await client.login()
        await client.plugin['xep_0077'].change_password('another')
        await client.leave()
        again = Client(site, 'mercutio', site.ports[-1], 'another')
        again.register_plugin('xep_0004')
        again.register_plugin('xep_0066')
        again.register_plugin('xep_0077')
        await again.login()
        await again.plugin['xep_0077'].cancel_registration()
        assert (await again.until('stream_error'))['condition'] == 'not-authorized'

    asyncio.run(talk())
    assert 'mercutio' not in site.ctl('user', 'list').stdout


def test_who_cancels_an_account_leaves_no_subscription_behind(site: Site) -> None:
    """The contact sees the client go and both subscriptions end, at another worker; so too when an operator does it."""
    register = (
        "<iq type='set' id='r'><query xmlns='jabber:iq:register'><username>%s</username>"
        '<password>%s</password></query></iq>'
    )
    roster = "<iq type='get' id='%s'><query xmlns='jabber:iq:roster'/></iq>"

    async def talk(user: str) -> None:
        certificate = site.folder / 'data' / 'cert.pem'
        jid, desk = f'{user}@{DOMAIN}', f'helpdesk@{DOMAIN}'
        newcomer = await RawClient(site.ports[-1], certificate).connect()
        await newcomer.start_tls()
        newcomer.send(register % (user, f'{user}-secret'))
        await newcomer.until(r"<iq[^>]*id='r'[^>]*>")
        newcomer.close()
        newcomer = await RawClient(site.ports[-1], certificate).login(user)
        helper = await RawClient(site.ports[0], certificate).login('helpdesk')
        helper.send(roster % 'l1')
        await helper.until("<iq[^>]*id='l1'[^>]*>")
        for asker, asked, of in ((newcomer, helper, desk), (helper, newcomer, jid)):
            asker.send(f"<presence to='{of}' type='subscribe'/>")
            await asked.until("<presence[^>]*type='subscribe'[^>]*>")
            asked.send(f"<presence to='{jid if of == desk else desk}' type='subscribed'/>")
            await asker.until(f"<presence[^>]*from='{of}/[^>]*>")
        if user == 'sampson':
            newcomer.send("<iq type='set' id='x'><query xmlns='jabber:iq:register'><remove/></query></iq>")
            await newcomer.until("<iq[^>]*type='result'[^>]*>")
        else:
            done = await asyncio.to_thread(site.ctl, 'user', 'del', jid)
            assert done.stdout == f'{jid} is deleted, 1 sessions ended\n'
        assert '<not-authorized' in await newcomer.ended()
        # In any order: what a client is told by its contact's sm may be faster than what it is told by its own.
        told = [await helper.until("<presence[^>]*type='un[^>]*>") for _ in range(3)]
        assert all(f"from='{jid}" in one.rpartition('<')[2] for one in told), told
        kinds = [re.findall("type='(un[a-z]+)'", one)[-1] for one in told]
        assert sorted(kinds) == ['unavailable', 'unsubscribe', 'unsubscribed']
        helper.send(roster % 'l2')
        assert f"jid='{jid}' subscription='none'" in await helper.until("<iq[^>]*id='l2'.*?</iq>")
        helper.close()

    for user in ('sampson', 'gregory'):
        asyncio.run(talk(user))


def test_an_invitation_keeps_a_name_for_whoever_has_its_link(site: Site) -> None:
    """jabberd-ctl invite, while the server runs; XEP-0445 on the wire."""
    link = site.ctl('invite', 'add', f'tybalt@{DOMAIN}').stdout
    match = re.fullmatch(rf'xmpp:tybalt@{DOMAIN}\?register;preauth=(\S+)\n', link)
    assert match is not None, link
    register = (
        "<iq type='set' id='%s'><query xmlns='jabber:iq:register'><username>tybalt</username>"
        '<password>tybalt-secret</password></query></iq>'
    )

    async def talk() -> None:
        certificate = site.folder / 'data' / 'cert.pem'
        client = await RawClient(site.ports[0], certificate).connect()
        await client.start_tls()
        client.send(register % 'r1')
        assert 'conflict' in await client.until(r"<iq[^>]*id='r1'.*?</iq>")
        client.send(f"<iq type='set' id='p' to='{DOMAIN}'><preauth xmlns='urn:xmpp:pars:0' token='{match[1]}'/></iq>")
        assert "type='result'" in await client.until(r"<iq[^>]*id='p'[^>]*>")
        client.send(register % 'r2')
        assert "type='result'" in await client.until(r"<iq[^>]*id='r2'[^>]*>")
        client.close()
        await (await Client(site, 'tybalt', site.ports[-1]).login()).leave()

    asyncio.run(talk())
    assert site.ctl('invite', 'list').stdout == '', 'what is used up is not listed'


def test_a_guest_reaches_the_helpdesk_and_nobody_else(site: Site) -> None:
    """SASL ANONYMOUS by slixmpp."""

    async def talk() -> None:
        desk = await Client(site, 'helpdesk', site.ports[0]).login()
        guest = Client(site, 'x', site.ports[-1], password='')
        guest.requested_jid = type(guest.requested_jid)(DOMAIN)
        guest.boundjid = type(guest.boundjid)(DOMAIN)
        guest.plugin['feature_mechanisms'].use_mech = 'ANONYMOUS'
        await guest.login(available=False)
        assert guest.plugin['feature_mechanisms'].mech.name == 'ANONYMOUS'
        assert guest.boundjid.user.startswith('anonymous-')
        guest.send_message(f'helpdesk@{DOMAIN}', 'help!', mtype='chat')
        message = await desk.until('message')
        assert message['from'].full == guest.boundjid.full
        desk.send_message(message['from'], 'what is it?', mtype='chat')
        assert (await guest.until('message'))['body'] == 'what is it?'
        guest.send_message(f'tybalt@{DOMAIN}', 'psst', mtype='chat')
        error = await guest.until('message_error')
        assert error['error']['condition'] == 'forbidden'
        await guest.leave()
        await desk.leave()

    asyncio.run(talk())
