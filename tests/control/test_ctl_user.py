"""jabberd-ctl user: with no server, in the file; with one, by asking it."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from jabberd_tx.control.account_operations import account_operations, cancel_operation, kick_operation
from jabberd_tx.control.admin import AdminSocket
from jabberd_tx.control.ctl.user_file import BadRow, Row, read_rows
from jabberd_tx.control.options import socket_path
from jabberd_tx.storage import accounts
from jabberd_tx.storage.sql.sqlite import OPTIONS, SqliteStorage
from jabberd_tx.testing.ctl import CtlSite, Said
from jabberd_tx.xmpp.sasl.verifiers import LEAST_ITERATIONS, verify

QUICK = ('--iterations', str(LEAST_ITERATIONS))


@pytest.fixture
def site(tmp_path: Path) -> CtlSite:
    """Without a server."""
    return CtlSite(tmp_path)


def add(site: CtlSite, jid: str, password: str = 'secret') -> Said:
    """user add."""
    return site.run('user', 'add', jid, '--password-stdin', *QUICK, stdin=f'{password}\n')


def stored(site: CtlSite, owner: str) -> Any:
    """The credentials in the database file."""
    from jabberd_tx.storage.sql.connection import SqliteConnection
    from jabberd_tx.storage.sql.database import Call

    connection = SqliteConnection(site.database, 'full', 1)
    (found,) = connection.transact([Call(accounts.credentials, owner, ())])
    connection.close()
    return found


# ---- without a server


def test_an_account_is_made_in_the_file(site: CtlSite) -> None:
    """The JID is prepared, the password can be verified and is nowhere to be seen; the file is private."""
    assert add(site, 'Juliet@EXAMPLE.net', 'pass word') == Said(0, 'juliet@example.net is made\n', '')
    credentials = stored(site, 'juliet@example.net')
    assert sorted(credentials) == ['SCRAM-SHA-1', 'SCRAM-SHA-256', 'SCRAM-SHA-512']
    assert verify('pass word', credentials) and not verify('pass', credentials)
    assert stat.S_IMODE(os.stat(site.database).st_mode) == 0o600
    assert b'pass word' not in Path(site.database).read_bytes()


def test_an_account_is_made_once(site: CtlSite) -> None:
    """The second attempt leaves its password alone, and says what to do."""
    add(site, 'juliet@example.net', 'one')
    said = add(site, 'juliet@example.net', 'two')
    assert said.status == 1 and 'exists already' in said.err and 'user passwd' in said.err
    assert verify('one', stored(site, 'juliet@example.net'))


def test_the_password_is_asked_for_twice(site: CtlSite) -> None:
    """Where it does not come on stdin; it is not shown."""
    said = site.run('user', 'add', 'juliet@example.net', *QUICK, stdin='secret\nsecret\n')
    assert said.status == 0 and 'secret' not in said.out + said.err
    assert verify('secret', stored(site, 'juliet@example.net'))
    said = site.run('user', 'passwd', 'juliet@example.net', *QUICK, stdin='new\nnow\nnew\nnew\n')
    assert said.status == 0
    assert verify('new', stored(site, 'juliet@example.net'))


def test_passwd_changes_an_account_that_is_there(site: CtlSite) -> None:
    """And makes none."""
    change = ('user', 'passwd', 'juliet@example.net', '--password-stdin', *QUICK)
    said = site.run(*change, stdin='other\n')
    assert said.status == 1 and said.err == 'Error: juliet@example.net: no such account\n'
    add(site, 'juliet@example.net')
    assert site.run(*change, stdin='other\r\n').status == 0
    assert verify('other', stored(site, 'juliet@example.net'))


def test_del_deletes_an_account(site: CtlSite) -> None:
    """Once."""
    add(site, 'juliet@example.net')
    assert site.run('user', 'del', 'juliet@example.net').out == 'juliet@example.net is deleted\n'
    assert site.run('user', 'del', 'juliet@example.net').status == 1
    assert stored(site, 'juliet@example.net') is None


def test_list_shows_one_domain_or_all(site: CtlSite) -> None:
    """In order, a JID on each line."""
    for jid in ('romeo@example.org', 'nurse@example.net', 'juliet@example.net'):
        add(site, jid)
    assert site.run('user', 'list').out == 'juliet@example.net\nnurse@example.net\nromeo@example.org\n'
    assert site.run('user', 'list', 'example.org').out == 'romeo@example.org\n'
    assert site.run('user', 'list', 'example.com').status == 1


@pytest.mark.parametrize(
    ('jid', 'password', 'said'),
    [
        ('juliet@example.com', 'x', 'not served here'),
        ('example.net', 'x', 'expected user@domain'),
        ('juliet@example.net/balcony', 'x', 'expected user@domain'),
        ('a b@example.net', 'x', 'not a JID'),
        ('juliet@example.net', '', 'empty'),
        ('juliet@example.net', '\0', ''),
    ],
)
def test_what_cannot_be_an_account_is_refused(site: CtlSite, jid: str, password: str, said: str) -> None:
    """In one line, with nothing made."""
    refused = add(site, jid, password)
    assert refused.status == 1 and said in refused.err and refused.err.count('\n') == 1
    assert site.run('user', 'list').out == ''


def test_a_mistake_in_the_configuration_is_one_line(site: CtlSite) -> None:
    """File, key, what was expected."""
    site.file.write_text('[server]\ndomains = 5')
    said = site.run('user', 'list')
    assert said.status == 1 and str(site.file) in said.err and 'server.domains' in said.err
    assert said.err.count('\n') == 1


def test_root_makes_no_files_in_another_user_s_folder(site: CtlSite) -> None:
    """The server could not open them."""
    if os.geteuid() != 0:
        pytest.skip('only root can give a folder away')
    site.data.mkdir()
    os.chown(site.data, 65534, 65534)
    said = add(site, 'juliet@example.net')
    assert said.status == 1 and 'belongs to user 65534' in said.err
    assert os.listdir(site.data) == []


# ---- import

GOOD = 'romeo,example.net,one\nJuliet, EXAMPLE.org ,"two, too"\nnurse,example.net,three\n'


def import_(site: CtlSite, text: str | bytes) -> Said:
    """user import."""
    file = site.folder / 'users.csv'
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return site.run('user', 'import', str(file), *QUICK)


def test_a_file_of_accounts_is_imported(site: CtlSite) -> None:
    """Of several domains, with or without names of the columns, a byte order mark, empty lines, CRLF."""
    said = import_(site, '\ufeffuser,domain,password\r\n' + GOOD.replace('\n', '\r\n\r\n'))
    assert said.status == 0 and said.out == '3 accounts made, 0 changed, 0 rows left out\n'
    assert verify('two, too', stored(site, 'juliet@example.org'))
    assert site.run('user', 'list').out.split() == ['nurse@example.net', 'romeo@example.net', 'juliet@example.org']


def test_an_import_may_be_done_again(site: CtlSite) -> None:
    """Accounts that are there get the file's password."""
    import_(site, GOOD)
    said = import_(site, GOOD.replace('one', 'first') + 'tybalt,example.net,x\n')
    assert said.out == '1 accounts made, 3 changed, 0 rows left out\n'
    assert verify('first', stored(site, 'romeo@example.net'))


def test_bad_rows_are_named_and_the_others_go_on(site: CtlSite) -> None:
    """With file, line and reason, never with the password; the exit status tells."""
    bad = (
        b'a,example.net\n'  # 4
        b',example.net,hidden\n'
        b'a b,example.net,hidden\n'
        b'a,example.com,hidden\n'
        b'a,example.net,\n'  # 8
        b'b@c,example.net,hidden\n'
        b'\xff\xfe,example.net,hidden\n'
        b'romeo,example.net,hidden\n'
        b'c,example.net,hidden\x7f\n'  # 12: SASLprep refuses control characters
    )
    said = import_(site, GOOD.encode() + bad + b'last,example.net,x\n')
    assert said.status == 1 and said.out == '4 accounts made, 0 changed, 9 rows left out\n'
    assert 'hidden' not in said.err
    lines = [line.partition('users.csv:')[2] for line in said.err.splitlines() if 'users.csv:' in line]
    assert [int(line.partition(':')[0]) for line in lines] == list(range(4, 13))
    assert lines[0] == '4: expected user,domain,password, not 2 columns'
    assert lines[7] == '11: romeo@example.net was in line 1 already'
    assert 'last@example.net' in site.run('user', 'list').out


def test_rows_of_several_lines_are_counted_where_they_end() -> None:
    """A quoted password may hold a line break; the rows after it are numbered as an editor does."""
    text = ['a,x,"one\n', 'two"\n', 'b,x,c\n', 'b,x\n']
    rows = list(read_rows(text, ['x']))
    assert rows == [
        Row(2, 'a@x', 'one\ntwo'),
        Row(3, 'b@x', 'c'),
        BadRow(4, 'expected user,domain,password, not 2 columns'),
    ]


def test_an_import_of_many_goes_through_all_its_groups(site: CtlSite) -> None:
    """More than are written at once, of two domains."""
    rows = [f'user{number:03},example.{"net" if number % 3 else "org"},x' for number in range(200)]
    assert import_(site, '\n'.join(rows)).out.startswith('200 accounts made')
    assert len(site.run('user', 'list').out.split()) == 200


# ---- with a server


class RunningServerTests(TestCase):
    """A server's admin sockets and database in this process; jabberd-ctl asks it."""

    async def setUp(self) -> None:  # type: ignore[override]
        self.site = CtlSite(self.mktemp())
        self.storage = SqliteStorage(self.site.database, reactor, OPTIONS.defaults())
        await self.storage.start()
        self.addCleanup(self.storage.stop)
        self.asked: list[str] = []
        self.kicked: list[str] = []
        counted = {name: self.counted(name, call) for name, call in account_operations(self.storage).items()}
        self.listen('c2s-a7', counted)
        self.listen('router-a7', {})
        for node in ('sm-a7', 'sm-b8'):
            self.listen(node, {'kick': kick_operation(self.kick), 'account.cancel': cancel_operation(self.cancel)})

    def listen(self, node: str, operations: dict[str, Any]) -> None:
        admin = AdminSocket(socket_path(self.site.admin, node), reactor, operations, self.site.admin)
        admin.start()
        self.addCleanup(lambda: Deferred.fromCoroutine(admin.stop()))

    def counted(self, name: str, call: Any) -> Any:
        async def counting(**arguments: Any) -> Any:
            self.asked.append(name)
            return await call(**arguments)

        return counting

    async def cancel(self, owner: str, text: str) -> int | None:
        if not await self.storage.run(accounts.remove, owner):
            return None
        return await self.kick(owner, 'not-authorized', text)

    async def kick(self, owner: str, condition: str, text: str) -> int:
        # By then nobody can log in again.
        assert not await self.storage.run(accounts.exists, owner)
        self.assertEqual((condition, text), ('not-authorized', 'the account has been deleted'))
        self.kicked.append(owner)
        return len(self.kicked)

    async def ctl(self, *arguments: str, stdin: str = '') -> Said:
        return await deferToThread(self.site.run, *arguments, stdin=stdin)

    async def test_the_server_is_asked(self) -> None:
        """For each change; it sees them at once, and gets no password."""
        said = await self.ctl('user', 'add', 'juliet@example.net', '--password-stdin', *QUICK, stdin='secret\n')
        self.assertEqual(said, Said(0, 'juliet@example.net is made\n', ''))
        self.assertTrue(verify('secret', await self.storage.run(accounts.credentials, 'juliet@example.net')))
        await self.ctl('user', 'passwd', 'juliet@example.net', '--password-stdin', *QUICK, stdin='new\n')
        self.assertTrue(verify('new', await self.storage.run(accounts.credentials, 'juliet@example.net')))
        self.assertEqual((await self.ctl('user', 'list')).out, 'juliet@example.net\n')
        self.assertEqual(
            [name for name in self.asked if name != 'account.exists'],
            ['account.add', 'account.change', 'account.page', 'account.page', 'account.page'],
        )

    async def test_a_deleted_user_s_sessions_are_ended(self) -> None:
        """One session manager cancels the account, the others hear of it after it is gone."""
        await self.ctl('user', 'add', 'juliet@example.net', '--password-stdin', *QUICK, stdin='secret\n')
        said = await self.ctl('user', 'del', 'juliet@example.net')
        self.assertEqual(said, Said(0, 'juliet@example.net is deleted, 3 sessions ended\n', ''))
        self.assertEqual(self.kicked, ['juliet@example.net'] * 2)
        self.assertEqual((await self.ctl('user', 'del', 'juliet@example.net')).status, 1)
        self.assertEqual(len(self.kicked), 2)

    async def test_a_file_is_imported_through_the_server(self) -> None:
        """In groups, each of one domain."""
        file = self.site.folder / 'users.csv'
        file.write_text('\n'.join([f'user{number},example.net,x' for number in range(70)]))
        said = await self.ctl('user', 'import', str(file), *QUICK)
        self.assertEqual(said.out, '70 accounts made, 0 changed, 0 rows left out\n')
        self.assertEqual(self.asked, ['account.put_many'] * 2)

    async def test_a_failing_server_is_told_in_one_line(self) -> None:
        """As its storage said it."""
        await self.storage.stop()
        said = await self.ctl('user', 'list')
        self.assertEqual(said, Said(1, '', 'Error: storage is stopped\n'))
