"""jabberd-ctl invite: with no server, in the file; with one, by asking it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from jabberd_tx.components.c2s.registration import hash_of
from jabberd_tx.control.admin import AdminSocket
from jabberd_tx.control.admin_wire import AdminError
from jabberd_tx.control.invite_operations import invite_operations
from jabberd_tx.control.options import socket_path
from jabberd_tx.storage import invites
from jabberd_tx.storage.sql.sqlite import OPTIONS, SqliteStorage
from jabberd_tx.testing.ctl import CtlSite

LINK = re.compile(r'xmpp:(\S+)\?register;preauth=(\S{24})\n')


@pytest.fixture
def site(tmp_path: Path) -> CtlSite:
    """Without a server."""
    return CtlSite(tmp_path)


def test_an_invitation_is_made_listed_and_deleted(site: CtlSite) -> None:
    """The link is shown once; what is stored is a hash, and so is the id."""
    said = site.run('invite', 'add', 'Juliet@example.net', '--days', '1')
    match = LINK.fullmatch(said.out)
    assert match is not None and match[1] == 'juliet@example.net'
    assert match[2].encode() not in Path(site.database).read_bytes()
    site.run('invite', 'add', 'example.net', '--uses', '5')
    first, second = site.run('invite', 'list').out.splitlines()
    assert first.startswith(f'{hash_of(match[2])[:12]}  juliet@example.net  1  20')
    assert '  example.net  5  ' in second
    assert site.run('invite', 'del', first[:12]).out == f'{first[:12]} is deleted\n'
    assert site.run('invite', 'list', 'example.net').out == second + '\n'


@pytest.mark.parametrize(
    'arguments, text',
    [
        (('add', 'juliet@elsewhere.net'), 'is not served here'),
        (('add', 'elsewhere.net'), 'is not served here'),
        (('add', 'juliet@example.net', '--uses', '2'), 'has one use'),
        (('del', 'a'), 'no such invitation'),
        (('del', 'a' * 12), 'no such invitation'),
        (('list', 'elsewhere.net'), 'is not served here'),
    ],
)
def test_what_can_not_be_is_said_in_a_line(site: CtlSite, arguments: tuple[str, ...], text: str) -> None:
    said = site.run('invite', *arguments)
    assert said.status and text in said.err and len(said.err.splitlines()) == 1


def test_nobody_is_invited_to_an_account_that_there_is(site: CtlSite) -> None:
    site.run('user', 'add', 'juliet@example.net', '--password-stdin', '--iterations', '4096', stdin='x\n')
    assert 'exists already' in site.run('invite', 'add', 'juliet@example.net').err


class WithServer(TestCase):
    """A process that has storage is asked."""

    async def test_a_running_server_makes_lists_and_deletes_it(self) -> None:
        site = CtlSite(self.mktemp())
        storage = SqliteStorage(site.database, reactor, OPTIONS.defaults())
        await storage.start()
        self.addCleanup(storage.stop)
        path = socket_path(site.admin, 'jabberd-a7')
        admin = AdminSocket(path, reactor, invite_operations(storage), site.admin)
        admin.start()
        self.addCleanup(lambda: Deferred.fromCoroutine(admin.stop()))
        said = await deferToThread(site.run, 'invite', 'add', 'example.net')
        match = LINK.fullmatch(said.out)
        assert match is not None, said
        found = await storage.run(invites.get, 'example.net', hash_of(match[2]))
        self.assertEqual((found.local, found.uses), ('', 1))
        listed = await deferToThread(site.run, 'invite', 'list')
        await deferToThread(site.run, 'invite', 'del', listed.out[:12])
        self.assertEqual(await storage.run(invites.listing, 'example.net'), [])

    async def test_what_comes_over_the_link_is_checked(self) -> None:
        operations = invite_operations(None)  # type: ignore[arg-type]
        good: dict[str, Any] = {'domain': 'd', 'token': 'a' * 64, 'invite': ['', 1.0, 1], 'now': 1.0}
        for change in ({'domain': 1}, {'token': 'x'}, {'invite': ['', 1, 1]}, {'invite': ['', 1.0, 0]}, {'now': 1}):
            with self.assertRaises(AdminError):
                await operations['invite.add'](**{**good, **change})

