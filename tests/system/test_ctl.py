"""jabberd-ctl beside running servers, in both shapes: what it does is felt by clients at once."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import signal
import subprocess

from processes import CTL, DOMAIN, Site, wait_for
from slixmpp_client import Client

from jabberd_tx.storage import migrations


async def refused(site: Site, name: str, password: str) -> str:
    """The condition with which a login fails."""
    client = Client(site, name, site.ports[0], password=password)
    client.connect('127.0.0.1', site.ports[0])
    failure = await client.until('failed_auth')
    client.abort()
    return str(failure['condition'])


def test_a_deleted_user_is_thrown_out(site: Site) -> None:
    """With the stream error for it, on every worker; no login any more; a new account of that name is a new one."""

    async def talk() -> None:
        site.add_user('tybalt', 'tybalt-secret')
        tybalts = [await Client(site, 'tybalt', port).login() for port in site.ports]
        done = await asyncio.to_thread(site.ctl, 'user', 'del', f'tybalt@{DOMAIN}')
        sessions = f'{len(tybalts)} sessions ended'
        assert (done.returncode, done.stdout) == (0, f'tybalt@{DOMAIN} is deleted, {sessions}\n'), done.stderr
        for tybalt in tybalts:
            error = await tybalt.until('stream_error')
            assert (error['condition'], error['text']) == ('not-authorized', 'the account has been deleted')
            tybalt.abort()
        assert await refused(site, 'tybalt', 'tybalt-secret') == 'not-authorized'
        await asyncio.to_thread(site.add_user, 'tybalt', 'another-secret')
        await (await Client(site, 'tybalt', site.ports[0], password='another-secret').login()).leave()

    asyncio.run(talk())


def test_a_new_password_counts_at_once(site: Site) -> None:
    """And the old one no more; who is online stays."""

    async def talk() -> None:
        site.add_user('paris', 'paris-secret')
        paris = await Client(site, 'paris', site.ports[0]).login()
        change = ('user', 'passwd', f'paris@{DOMAIN}', '--password-stdin')
        done = await asyncio.to_thread(site.ctl, *change, stdin='verona\n')
        assert done.returncode == 0, done.stderr
        assert await refused(site, 'paris', 'paris-secret') == 'not-authorized'
        await (await Client(site, 'paris', site.ports[-1], password='verona', resource='b').login()).leave()
        await paris.leave()

    asyncio.run(talk())


def test_status_shows_every_process(site: Site) -> None:
    """By its node name, with the figures of what runs in it."""
    done = site.ctl('status', '--json')
    assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert {one['pid'] for one in told} == {process.popen.pid for process in site.processes.values()}
    assert all(one['uptime_seconds'] > 0 and one['memory_kib'] > 10_000 for one in told)
    text = site.ctl('status', '--figures').stdout
    assert text.count('uptime') == len(site.processes)
    shown = [re.search(rf'(?m)^{one["node"]} +running +{one["pid"]} ', text) for one in told]
    assert all(shown), text
    # Of each c2s and of the sm to each of the two routers; or of both to the one.
    links = 2 if site.shape == 'one process' else 6
    assert len(re.findall(r'(?m)^(?:c2s|sm)-\S+ +router-\S+ +(?:up|in the process) ', text)) == links, text
    assert re.search(rf'(?m)^{DOMAIN} +to +sm-a +16384 +router-a', text), text


def test_status_is_refreshed_in_place(site: Site) -> None:
    """On a terminal, until Ctrl-C."""
    terminal, inside = pty.openpty()
    command = [*CTL, '-c', 'jabberd.toml', 'status', '--watch', '0.3']
    shown = subprocess.Popen(command, cwd=site.folder, stdout=inside, stderr=subprocess.PIPE)
    os.close(inside)
    text = b''
    while text.count(b'\x1b[H') < 4:
        text += os.read(terminal, 65536)
    shown.send_signal(signal.SIGINT)
    assert shown.communicate(timeout=10)[1] == b'' and shown.returncode == 0
    os.close(terminal)
    assert text.count(b'PROCESS') >= 3 and b'NAME' in text


def test_check_finds_nothing_wrong(site: Site) -> None:
    """The ports are the server's own, the certificate and the database are good."""
    ports = ['--set', f'c2s.port={site.ports[0]}', '--set', 'http.enabled=false']
    ports += ['--set', f'router.listen=127.0.0.1:{site.router_ports[0]}']
    done = site.ctl(*ports, 'check')
    assert done.returncode == 0, done.stdout
    assert f'ok    port {site.ports[0]} (c2s.port): taken by this server' in done.stdout
    assert f'schema {migrations.HEAD}' in done.stdout and f'for {DOMAIN} until' in done.stdout


def test_reload_and_sighup_apply_what_can_be_applied(site: Site) -> None:
    """Each process says what it applied and what wants a restart; a mistake in the file changes nothing."""
    file = site.folder / 'jabberd.toml'
    before = file.read_text()
    try:
        file.write_text(
            before.replace('[server]', "[server]\nlog_level = 'debug'").replace('[c2s]', '[c2s]\nbacklog = 99')
        )
        done = site.ctl('reload')
        assert done.returncode == 0, done.stderr
        lines = done.stdout.splitlines()
        for said in ("applied: server.log_level: 'info' -> 'debug'", 'needs a restart: c2s.backlog: 4096 -> 99'):
            assert sum(line.endswith(said) for line in lines) == len(site.processes), done.stdout
        file.write_text(before)
        for process in site.processes.values():
            process.popen.send_signal(signal.SIGHUP)
        for process in site.processes.values():
            back = "applied server.log_level: 'debug' -> 'info'"
            wait_for(f'{process.name} has reloaded', lambda process=process, back=back: back in process.text())
        file.write_text(before + '\n[c2s]\n')
        assert site.ctl('reload').returncode == 1
    finally:
        file.write_text(before)
    asyncio.run(_talk_goes_on(site))


async def _talk_goes_on(site: Site) -> None:
    juliet, romeo = [await Client(site, name, site.ports[0]).login() for name in ('juliet', 'romeo')]
    juliet.send_message(romeo.boundjid.full, 'still here', mtype='chat')
    assert (await romeo.until('message'))['body'] == 'still here'
    await asyncio.gather(juliet.leave(), romeo.leave())
