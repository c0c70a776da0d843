"""The checks of jabberd-ctl check, one by one, and what the command makes of them."""

from __future__ import annotations

import os
import socket
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from jabberd_tx.base.certificates import self_signed
from jabberd_tx.control.check.certificates import check_certificates
from jabberd_tx.control.check.database import check_data_folder, check_database
from jabberd_tx.control.check.finding import FAIL, OK, WARN, Finding
from jabberd_tx.control.check.limits import check_descriptors, check_sysctls, descriptor_limit
from jabberd_tx.control.check.ports import Port, check_port
from jabberd_tx.control.ctl.check import ports
from jabberd_tx.control.ctl.site import Site
from jabberd_tx.storage import migrations
from jabberd_tx.storage.sql.sqlite_file import SqliteFile
from jabberd_tx.testing.ctl import PLAIN, SECTIONS, CtlSite

NOW = datetime.now(UTC)


def levels(findings: list[Finding]) -> list[str]:
    """Just those."""
    return [found.level for found in findings]


# ---- certificates


class Certificate:
    """A self-signed one, in files."""

    def __init__(self, folder: Path, *domains: str, days: int = 365) -> None:
        folder.mkdir()
        self.chain, self.key = str(folder / 'certificate.pem'), str(folder / 'key.pem')
        self_signed(domains, self.chain, self.key, days)

    def table(self, *domains: str) -> SimpleNamespace:
        """As [[certificate]]."""
        return SimpleNamespace(domains=list(domains), chain=self.chain, key=self.key)


def certificates(
    *tables: SimpleNamespace, domains: tuple[str, ...] = ('example.net',), required: bool = True, now: datetime = NOW
) -> list[Finding]:
    """What is found."""
    return list(check_certificates(tables, domains, required, now))


def test_a_good_certificate_is_ok(tmp_path: Path) -> None:
    """With its names and its end."""
    (found,) = certificates(Certificate(tmp_path / 'a', 'example.net', '*.example.net').table())
    assert found.level == OK
    assert f'for example.net, *.example.net until {NOW + timedelta(days=365):%Y-%m-%d}' in found.text


def test_each_domain_wants_a_certificate(tmp_path: Path) -> None:
    """One that names it and is shown for it; wildcards count for one label."""
    a = Certificate(tmp_path / 'a', 'example.net', '*.example.net')
    found = certificates(a.table(), domains=('example.net', 'chat.example.net', 'a.b.example.net', 'example.org'))
    assert [one.subject for one in found if one.level == FAIL] == ['domain a.b.example.net', 'domain example.org']
    found = certificates(a.table('example.net'), domains=('example.net', 'chat.example.net'))
    assert [one.subject for one in found if one.level == FAIL] == ['domain chat.example.net']


@pytest.mark.parametrize(
    ('days', 'level', 'text'), [(345, WARN, 'expires on'), (366, FAIL, 'expired on'), (-1, FAIL, 'not valid before')]
)
def test_dates_are_looked_at(tmp_path: Path, days: int, level: str, text: str) -> None:
    """A warning for the last three weeks."""
    table = Certificate(tmp_path / 'a', 'example.net').table()
    (found,) = certificates(table, now=NOW + timedelta(days=days))
    assert (found.level, text in found.text) == (level, True)


def test_files_that_cannot_be_used_fail(tmp_path: Path) -> None:
    """Another key, no certificate in it, not there; what is wrong is named."""
    a, b = Certificate(tmp_path / 'a', 'example.net'), Certificate(tmp_path / 'b', 'example.net')
    mixed = SimpleNamespace(domains=[], chain=a.chain, key=b.key)
    assert 'not that of the certificate' in certificates(mixed)[0].text
    swapped = SimpleNamespace(domains=[], chain=a.key, key=a.chain)
    assert levels(certificates(swapped)) == [FAIL, FAIL]
    absent = SimpleNamespace(domains=[], chain=str(tmp_path / 'x.pem'), key=a.key)
    assert 'x.pem: No such file' in certificates(absent)[0].text


def test_a_key_that_everybody_may_read_is_told(tmp_path: Path) -> None:
    """With the command that helps."""
    a = Certificate(tmp_path / 'a', 'example.net')
    os.chmod(a.key, 0o644)
    (found,) = certificates(a.table())
    assert (found.level, found.advice) == (WARN, f'chmod 600 {a.key}')


def test_no_certificate_matters_where_tls_is_required() -> None:
    """Elsewhere it is a warning."""
    assert levels(certificates()) == [FAIL]
    assert levels(certificates(required=False)) == [WARN]


# ---- ports


@pytest.mark.parametrize('address', ['127.0.0.1', '::1'])
def test_a_taken_port_is_ours_or_somebody_else_s(address: str) -> None:
    """Told by the process that holds it; on another address it is free."""
    with socket.socket(socket.AF_INET6 if ':' in address else socket.AF_INET) as listener:
        listener.bind((address, 0))
        listener.listen()
        number = listener.getsockname()[1]
        ours = check_port(Port('c2s.port', address, number), [1 << 30, os.getpid()])
        assert (ours.level, ours.text) == (OK, f'taken by this server (process {os.getpid()})')
        theirs = check_port(Port('c2s.port', '', number), [])
        assert theirs.level == FAIL and f'taken by process {os.getpid()}' in theirs.text
        assert 'c2s.port' in theirs.advice
        assert check_port(Port('c2s.port', '127.0.0.2', number), []).level == OK


def test_a_free_port_is_ok_and_an_address_from_elsewhere_is_not() -> None:
    """192.0.2.1 is for documentation (RFC 5737)."""
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        number = probe.getsockname()[1]
    assert check_port(Port('c2s.port', '127.0.0.1', number), []) == Finding(OK, f'port {number} (c2s.port)', 'free')
    found = check_port(Port('c2s.port', '192.0.2.1', number), [])
    assert (found.level, found.text) == (FAIL, '192.0.2.1 is no address of this machine')


# ---- database


def test_a_database_of_this_version_is_ok(tmp_path: Path) -> None:
    """Before the first start as well."""
    path = str(tmp_path / 'data' / 'x.sqlite')
    assert 'the first start makes it' in str(next(check_database(SqliteFile(path))))
    assert not os.path.exists(path)
    migrations.upgrade(SqliteFile(path))
    found = [str(one) for one in check_database(SqliteFile(path))]
    assert found == [f'ok    database {path}: schema {migrations.HEAD}']


def test_a_database_that_cannot_be_used_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another schema (with the command to run), another program's file, one that is locked."""
    path = str(tmp_path / 'x.sqlite')
    migrations.upgrade(SqliteFile(path))
    with closing(sqlite3.connect(path, isolation_level=None)) as holder:
        holder.execute('BEGIN IMMEDIATE')
        (found,) = check_database(SqliteFile(path))
        assert (found.level, 'locked' in found.text) == (FAIL, True)
    monkeypatch.setattr(migrations, 'HEAD', '9999')
    (found,) = check_database(SqliteFile(path))
    assert (found.level, 'run jabberd-ctl db upgrade' in found.text) == (FAIL, True)
    Path(path).write_bytes(b'something else ' * 100)
    (found,) = check_database(SqliteFile(path))
    assert (found.level, 'not a database' in found.text) == (FAIL, True)


def test_files_that_others_may_read_are_told(tmp_path: Path) -> None:
    """The database's, and the folder that it is in."""
    path = str(tmp_path / 'x.sqlite')
    migrations.upgrade(SqliteFile(path))
    os.chmod(path, 0o640)
    assert levels(list(check_database(SqliteFile(path)))) == [WARN, OK]
    tmp_path.chmod(0o755)
    assert levels(list(check_data_folder(str(tmp_path)))) == [WARN]
    tmp_path.chmod(0o700)
    assert levels(list(check_data_folder(str(tmp_path)))) == [OK]
    assert levels(list(check_data_folder(str(tmp_path / 'none')))) == [OK]


# ---- limits


def test_few_file_descriptors_are_told() -> None:
    """A process that can take hardly anybody fails."""
    found = list(check_descriptors({'c2s-a7': 1000, 'sm-a7': 4096, 'jabberd': 65536}))
    assert levels(found) == [FAIL, WARN, OK]
    assert '900 connections' in found[0].text and 'LimitNOFILE' in found[0].advice


def test_the_limit_of_a_process_is_that_of_the_kernel() -> None:
    """Its own, and of one that is gone the reader's."""
    import resource

    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    assert descriptor_limit(os.getpid()) == descriptor_limit(1 << 30) == soft


def test_sysctls_that_are_too_small_are_told_with_the_command() -> None:
    """And those that can't be read; the real ones are read without a fault."""
    values = {
        'net.core.somaxconn': '128\n',
        'net.ipv4.tcp_max_syn_backlog': '2048\n',
        'net.ipv4.ip_local_port_range': '50000\t60999\n',
    }

    def read(name: str) -> str:
        if name not in values:
            raise FileNotFoundError(name)
        return values[name]

    found = list(check_sysctls(4096, read))
    assert [(one.subject.rpartition('.')[2], one.level) for one in found] == [
        ('somaxconn', WARN),
        ('tcp_max_syn_backlog', OK),
        ('file-max', WARN),
        ('ip_local_port_range', WARN),
    ]
    assert found[0].advice == 'sysctl -w net.core.somaxconn=4096'
    assert 'cannot be read' in found[2].text
    assert len(list(check_sysctls(4096))) == 4


# ---- the command


def test_check_says_ok_for_a_site_that_is_ready(tmp_path: Path) -> None:
    """A line for each thing, a sum at the end, status 0."""
    Certificate(tmp_path / 'data', 'example.net', 'example.org')
    site = CtlSite(tmp_path, PLAIN + '[[certificate]]\n')
    site.data.chmod(0o700)
    migrations.upgrade(SqliteFile(site.database))
    said = site.run('check')
    assert said.status == 0, said.out
    assert all(line[:6] in ('ok    ', 'warn  ') for line in said.out.splitlines()[:-1])
    assert said.out.splitlines()[-1].endswith(' 0 failed')
    assert f'schema {migrations.HEAD}' in said.out and 'somaxconn' in said.out and 'until' in said.out


def test_the_ports_of_a_supervisor_s_processes_are_looked_at(tmp_path: Path) -> None:
    """Routers after each other, HTTP ports in tens; none of a kind that is not there."""
    text = '[http]\nenabled = true\n[router]\nlisten = "127.0.0.1:7000"\n[processes]\nrouters = 2\nsm = 1\n'
    (tmp_path / 'jabberd.toml').write_text(text)
    found = ports(Site(str(tmp_path / 'jabberd.toml'), [], SECTIONS))
    expected = {('router.listen', 7000), ('router.listen', 7001), ('http.port', 5280), ('http.router_port', 5281)}
    expected |= {('http.router_port', 5291), ('http.sm_port', 5283)}
    assert {(port.option, port.number) for port in found} == expected


def test_check_fails_with_status_1(tmp_path: Path) -> None:
    """For one thing that fails; the others are checked all the same."""
    with socket.socket() as taken:
        taken.bind(('127.0.0.1', 0))
        taken.listen()
        number = taken.getsockname()[1]
        site = CtlSite(tmp_path, PLAIN.replace("listen = '127.0.0.1:0'", f"listen = '127.0.0.1:{number}'"))
        said = site.run('check')
    assert said.status == 1
    failed = [line for line in said.out.splitlines() if line.startswith('fail')]
    assert f'port {number} (router.listen)' in failed[1] and 'none is configured' in failed[0]
    assert 'somaxconn' in said.out


def test_check_looks_no_further_than_a_configuration_that_is_wrong(tmp_path: Path) -> None:
    """One finding: file, key, what was expected."""
    site = CtlSite(tmp_path, '[c2s]\nprot = 5222')
    said = site.run('check')
    assert said.status == 1
    first, last = said.out.splitlines()
    assert first.startswith('fail  configuration: ') and 'c2s.prot' in first
    assert last == '0 ok, 0 to look at, 1 failed'
