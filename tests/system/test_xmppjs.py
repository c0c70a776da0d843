"""@xmpp/client (npm), unmodified, through both shapes."""

from __future__ import annotations

import json
import os
import queue
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from processes import DOMAIN, Site

FOLDER = Path(__file__).parent / 'xmppjs'
WAIT_S = 20.0


class NodeClient:
    """One node process; `tell` sends a command, `until` waits for an event."""

    def __init__(self, site: Site, name: str, port: int, password: str | None = None) -> None:
        node = shutil.which('node')
        assert node is not None, 'node is missing: apt-get install nodejs'
        assert (FOLDER / 'node_modules' / '@xmpp').is_dir(), 'run: npm ci, in tests/system/xmppjs'
        self.popen = subprocess.Popen(
            [node, 'client.mjs', str(port), name, password or f'{name}-secret'],
            cwd=FOLDER, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env={**os.environ, 'NODE_EXTRA_CA_CERTS': str(site.folder / 'data' / 'cert.pem')},
        )  # fmt: skip
        self.events: queue.Queue[dict[str, Any]] = queue.Queue()
        self.missed: list[dict[str, Any]] = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.popen.stdout is not None
        for line in self.popen.stdout:
            self.events.put(json.loads(line))

    def tell(self, command: str, **fields: Any) -> None:
        assert self.popen.stdin is not None
        self.popen.stdin.write(json.dumps({'command': command, **fields}) + '\n')
        self.popen.stdin.flush()

    def until(self, event: str, **fields: Any) -> dict[str, Any]:
        """The next event with these fields; AssertionError when none comes."""
        deadline = time.monotonic() + WAIT_S
        for index, found in enumerate(self.missed):
            if self._fits(found, event, fields):
                return self.missed.pop(index)
        while True:
            try:
                found = self.events.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f'no {event} {fields} among {self.missed}') from None
            if self._fits(found, event, fields):
                return found
            self.missed.append(found)

    @staticmethod
    def _fits(found: dict[str, Any], event: str, fields: dict[str, Any]) -> bool:
        return found['event'] == event and all(found.get(key) == value for key, value in fields.items())

    def stop(self) -> None:
        """Close the stream, end the process."""
        self.tell('stop')
        try:
            self.popen.wait(WAIT_S)
        finally:
            self.popen.kill()


@pytest.fixture
def clients(site: Site) -> Iterator[tuple[NodeClient, NodeClient]]:
    """juliet and romeo, online."""
    pair = NodeClient(site, 'juliet', site.ports[0]), NodeClient(site, 'romeo', site.ports[-1])
    try:
        for client in pair:
            client.jid = client.until('online')['jid']  # type: ignore[attr-defined]
            client.tell('iq', id='r1', type='get', name='query', xmlns='jabber:iq:roster')
            client.until('stanza', name='iq', id='r1', type='result')
            client.tell('presence')
            client.until('stanza', name='presence', **{'from': client.jid})  # type: ignore[attr-defined]
        yield pair
    finally:
        for client in pair:
            if client.popen.poll() is None:
                client.stop()


def test_login_chat_and_presence(clients: tuple[NodeClient, NodeClient]) -> None:
    """Encrypted login, chat to the bare and the full JID, subscription and presence, roster."""
    juliet, romeo = clients
    juliet.tell('message', to=f'romeo@{DOMAIN}', body='wherefore art thou <&>?')
    message = romeo.until('stanza', name='message')
    assert message['body'] == 'wherefore art thou <&>?'
    romeo.tell('message', to=message['from'], body='call me but love')
    assert juliet.until('stanza', name='message')['body'] == 'call me but love'

    juliet.tell('presence', to=f'romeo@{DOMAIN}', type='subscribe')
    romeo.until('stanza', name='presence', type='subscribe', **{'from': f'juliet@{DOMAIN}'})
    romeo.tell('presence', to=f'juliet@{DOMAIN}', type='subscribed')
    juliet.until('stanza', name='presence', type='subscribed')
    romeo.tell('presence', show='dnd')
    juliet.until('stanza', name='presence', show='dnd')
    juliet.tell('iq', id='r2', type='get', name='query', xmlns='jabber:iq:roster')
    items = juliet.until('stanza', name='iq', id='r2')['items']
    assert [item['subscription'] for item in items if item['jid'] == f'romeo@{DOMAIN}'] == ['to']
    juliet.tell('presence', to=f'romeo@{DOMAIN}', type='unsubscribe')
    romeo.until('stanza', name='presence', type='unsubscribe')


def test_offline_and_back(site: Site, clients: tuple[NodeClient, NodeClient]) -> None:
    """A message to somebody who is not there is there at the next login, with its delay."""
    juliet, _ = clients
    juliet.tell('message', to=f'nurse@{DOMAIN}', body='anon, good nurse')
    juliet.tell('iq', id='p1', type='get', to=DOMAIN, name='ping', xmlns='urn:xmpp:ping')
    juliet.until('stanza', name='iq', id='p1', type='result')
    nurse = NodeClient(site, 'nurse', site.ports[-1])
    nurse.until('online')
    nurse.tell('presence')
    message = nurse.until('stanza', name='message')
    assert (message['body'], message['delayed']) == ('anon, good nurse', True)
    nurse.stop()


def test_the_second_login_is_by_a_token(site: Site) -> None:
    """XEP-0388 with XEP-0484: a password for the first login, its token for the second."""
    client = NodeClient(site, 'romeo', site.ports[0])
    assert client.until('authenticate')['mechanism'].startswith('SCRAM-')
    first = client.until('online')['jid']
    client.tell('again')
    client.until('authenticate', mechanism='HT-SHA-256-NONE')
    assert client.until('online')['jid'] == first, 'a client that says who it is gets its resource back'
    client.stop()


def test_wrong_password(site: Site) -> None:
    """not-authorized."""
    client = NodeClient(site, 'juliet', site.ports[0], password='not hers')
    assert client.until('refused')['condition'] == 'not-authorized'
    client.popen.kill()
    client.popen.wait()
