"""A conversation of real clients is recorded, and played against a fresh server: as much arrives there."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from processes import CTL, DOMAIN, SHAPES, Site, wait_for
from slixmpp_client import Client

from jabberd_tx.control.admin_client import AdminLink

PAGE = (Path(__file__).parents[2] / 'docs' / 'operating.md').read_text()
LOAD = [sys.executable, '-c', 'from jabberd_tx.load.main import main; main()']
WORDS = 'wherefore art thou'


def line(command: str, file: str) -> list[str]:
    """The arguments of a command of the page, with another file and domain."""
    [found] = re.findall(rf'(?m)^    {command} ([^>\n]*)', PAGE)
    words = found.replace('evening.jsonl', file).replace('test.example.net', DOMAIN).split()
    return [*command.split()[1:], *words]


def load(site: Site, *arguments: str) -> subprocess.CompletedProcess[str]:
    """jabberd-load in the site's folder."""
    return subprocess.run([*LOAD, *arguments], cwd=site.folder, capture_output=True, text=True, timeout=60)


async def converse(site: Site) -> int:
    """Two clients talk and ask; gives how many messages came."""
    juliet, romeo = [await Client(site, name, site.ports[-1]).login() for name in ('juliet', 'romeo')]
    for number in range(6):
        juliet.send_message(romeo.boundjid.full, f'{WORDS} {number}', mtype='chat')
        assert (await romeo.until('message'))['body'] == f'{WORDS} {number}'
        romeo.send_message(juliet.boundjid.bare, 'it is the east', mtype='chat')
        assert (await juliet.until('message'))['body'] == 'it is the east'
    await juliet.plugin['xep_0030'].get_info(DOMAIN)
    await asyncio.gather(juliet.leave(), romeo.leave())
    return 12


def recorded(site: Site, name: str, *options: str) -> tuple[list[dict[str, object]], int]:
    """A conversation, as `jabberd-ctl record` writes it; and how many messages there were."""
    file = site.folder / name
    command = [*CTL, '-c', 'jabberd.toml', *line('jabberd-ctl record', name), *options]
    recorder = subprocess.Popen(command, cwd=site.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for('it records', lambda: file.exists() and file.stat().st_mode & 0o777 == 0o600 and _records(site))
    count = asyncio.run(converse(site))
    if '--most' not in options:
        recorder.send_signal(signal.SIGINT)
    out, err = recorder.communicate(timeout=20)
    assert recorder.returncode == 0 and not err, err
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert f'{len(lines) - 2} stanzas in ' in out
    return lines, count


def _records(site: Site) -> bool:
    """Whether every router has the log sink."""
    told = []
    for path in (site.folder / 'data' / 'run').glob('*.sock'):
        with AdminLink(str(path)) as link:
            told.append(link.ask('status').get('names'))
    routers = [str(names) for names in told if names is not None]
    return bool(routers) and all('log.record-' in names for names in routers)


@pytest.fixture(scope='module')
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Another server, without any account."""
    with Site.start(tmp_path_factory.mktemp('fresh'), SHAPES[0]) as running:
        yield running


def test_what_was_recorded_is_played(site: Site, fresh: Site) -> None:
    """Ten times as fast, against a server with nothing but the accounts; nobody's words or names are in the file."""
    lines, count = recorded(site, 'shapes.jsonl')
    head, stanzas, last = lines[0], lines[1:-1], lines[-1]
    assert (head['pseudonyms'], head['bodies'], last['stanzas'], last['dropped']) == (True, False, len(stanzas), 0)
    messages = [one for one in stanzas if one['kind'] == 'message']
    assert len(messages) == count and messages[0]['children'][0][:2] == ['jabber:client', 'body']  # type: ignore[index]
    text = (site.folder / 'shapes.jsonl').read_text()
    assert not any(word in text for word in ('juliet', 'romeo', DOMAIN, WORDS, 'east'))
    file = str(site.folder / 'shapes.jsonl')
    replay = [*line('jabberd-load replay', file), '--port', str(fresh.ports[0])]
    refused = load(fresh, *replay)
    # The certificate is its own making.
    assert refused.returncode == 1 and re.search('logins failed +2 ', refused.stdout), refused.stdout
    made = load(fresh, *line('jabberd-load accounts', file))
    assert made.stdout == f'replay1,{DOMAIN},secret\nreplay2,{DOMAIN},secret\n', made.stderr
    assert fresh.ctl('user', 'import', '-', stdin=made.stdout).returncode == 0
    done = load(fresh, *replay, '--ca', 'data/cert.pem', '--quiet', '0.5', '--json')
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert told['sessions'] == 2 and told['failed'] == told['ended'] == {}
    assert told['sent']['message'] == told['arrived']['message'] == count, told
    assert told['answered'] == told['sent']['iq'] >= 1
    assert len([one for one in stanzas if one['kind'] == 'presence']) == told['sent']['presence']
    assert 0 < told['latency']['message']['50'] <= told['latency']['message']['most']
    assert told['seconds'] < float(last['end']) / 5  # type: ignore[arg-type]


def test_bodies_and_names_are_recorded_when_asked(site: Site) -> None:
    """And it ends when there is enough."""
    lines, _ = recorded(site, 'all.jsonl', '--bodies', '--real-jids', '--most', '14')
    stanzas = lines[1:-1]
    assert len(stanzas) == 14 and {str(one['from']).partition('@')[0] for one in stanzas} == {'juliet', 'romeo'}
    assert any(WORDS in str(one['inner']) for one in stanzas)
    again = site.ctl('record', 'all.jsonl')
    assert again.returncode == 1 and 'exists' in again.stderr
