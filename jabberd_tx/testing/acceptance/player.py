"""Plays an acceptance script against a server, each client a real one on a socket."""

from __future__ import annotations

import re
import ssl
import time
from collections.abc import Callable, Sequence
from xml.etree.ElementTree import Element, tostring

from jabberd_tx.testing.acceptance.matching import difference, filled_in
from jabberd_tx.testing.acceptance.script import USER, Script, Step, element
from jabberd_tx.testing.blocking_client import BlockingClient, Ended, Refused, Silence

# How long what is expected may take.
SECONDS = 10.0
PASSWORD = 'secret'
_RESUME = re.compile(r"<resume\b[^>]*\bh='(\d+)'")
_RESUMED = '{urn:xmpp:sm:3}resumed'


class Mismatch(AssertionError):
    """The server has done something else; str() names the script's line."""


def account_of(script: Script, user: str) -> str:
    """The localpart that a script's user has on the server: no script meets the users of another."""
    return f'{user}.{script.name}'


class Player:
    """Plays one script.  The server has an account for each of its users: `account_of`, with PASSWORD."""

    def __init__(
        self, script: Script, domain: str, ports: Sequence[int], tls: ssl.SSLContext | None, host: str = '127.0.0.1'
    ) -> None:
        """ports: of a server's workers; each client stays with one, taken in turn
        tls: None where the server wants no encryption"""
        self._script, self._domain, self._ports, self._tls, self._host = script, domain, ports, tls, host
        self._clients: dict[str, BlockingClient] = {}
        self._kept: dict[str, str] = {}
        self._jids: dict[str, str] = {}
        self._step: Step
        self._workers: dict[str, int] = {}
        self._syncs = 0

    def play(self) -> None:
        """All steps, and after them nobody may have got anything that the script does not tell of.  Mismatch."""
        try:
            for step in self._script.steps:
                self._step = step
                self._do(step)
            for who in list(self._clients):
                self._nothing(who)
            for who in list(self._clients):
                self._clients.pop(who).leave()
        except (Ended, Silence, Refused, OSError) as error:
            raise self._mismatch(f'{type(error).__name__}: {error}') from error
        finally:
            for client in self._clients.values():
                client.drop()

    def _do(self, step: Step) -> None:
        actions: dict[str, Callable[[], None]] = {
            'nobody': lambda: None,
            'contacts': self._befriend,
            'connect': self._connect,
            'connect elsewhere': self._connect_elsewhere,
            'login': self._log_in,
            'online': self._come_online,
            'send': self._send,
            'receive': self._receive,
            'receive in any order': self._receive_in_any_order,
            'receive nothing': lambda: self._nothing(step.who),
            'ack nothing': lambda: setattr(self._clients[step.who], 'answers', False),
            'leave': lambda: self._clients.pop(step.who).leave(),
            'drop': lambda: self._clients.pop(step.who).drop(),
            'ended': self._end,
        }
        actions[step.verb]()

    def _mismatch(self, text: str) -> Mismatch:
        return Mismatch(f'{self._script.name}.txt:{self._step.line}: {text}')

    # ---- clients

    def _jid(self, user: str) -> str:
        return f'{account_of(self._script, user)}@{self._domain}'

    def _client(self, who: str) -> BlockingClient:
        port = self._ports[self._workers.setdefault(who, len(self._workers)) % len(self._ports)]
        return BlockingClient(self._host, port, self._jid(who.partition('/')[0]), PASSWORD, self._tls)

    def _connect(self) -> None:
        """Logged in, without a resource."""
        client = self._clients[self._step.who] = self._client(self._step.who)
        client.authenticate(client.start())
        client.open()

    def _connect_elsewhere(self) -> None:
        """At the next worker, where there is one."""
        self._workers[self._step.who] += 1
        self._connect()

    def _log_in(self) -> None:
        self._connect()
        who = self._step.who
        self._jids[who] = self._clients[who].bind(who.partition('/')[2])

    def _come_online(self) -> None:
        self._log_in()
        client = self._clients[self._step.who]
        client.send('<presence/>')
        # One's own presence comes back, and may come behind others'.
        before: list[Element] = []
        while (stanza := client.next(SECONDS)).get('from') != client.jid:
            before.append(stanza)
        for one in reversed(before):
            client.put_back(one)

    def _befriend(self) -> None:
        """Both are in each other's roster and see each other's presence; nobody is left online."""
        one, other = self._client(self._step.who), self._client(self._step.detail)
        here, there = self._jid(self._step.who), self._jid(self._step.detail)
        for client in (one, other):
            client.login('beforehand')
            client.send('<presence/>')
        for client, peer in ((one, there), (other, here)):
            client.send(f"<presence type='subscribe' to='{peer}'/>")
        for client, peer in ((one, there), (other, here)):
            self._wait_for_presence(client, peer, 'subscribe')
            client.send(f"<presence type='subscribed' to='{peer}'/>")
        for client, peer in ((one, there), (other, here)):
            self._wait_for_presence(client, f'{peer}/beforehand', None)
        for client in (one, other):
            self._sync(client)
        one.leave()
        self._wait_for_presence(other, f'{here}/beforehand', 'unavailable')
        other.leave()

    @staticmethod
    def _wait_for_presence(client: BlockingClient, sender: str, kind: str | None) -> None:
        while True:
            stanza = client.next(SECONDS)
            if stanza.tag.endswith('}presence') and (stanza.get('from'), stanza.get('type')) == (sender, kind):
                return

    # ---- what is said

    def _with_users(self, text: str) -> str:
        return USER.sub(lambda match: self._domain if match[1] == 'domain' else self._jid(match[1]), text)

    def _send(self) -> None:
        for xml in self._step.xml:
            try:
                text = filled_in(self._with_users(xml), self._kept)
            except KeyError as error:
                raise self._mismatch(f'nothing was kept as {error}') from None
            client = self._clients[self._step.who]
            resuming = _RESUME.search(text)
            if resuming is not None:
                client.handled = int(resuming[1])
            client.send(text)

    def _wanted(self) -> list[Element]:
        return [element(self._with_users(xml)) for xml in self._step.xml]

    def _next(self) -> Element:
        try:
            found = self._clients[self._step.who].next(SECONDS)
        except Silence:
            raise self._mismatch(f'{self._step.who} has received nothing') from None
        if found.tag == _RESUMED:
            self._clients[self._step.who].jid = self._jids[self._step.who]
        return found

    def _receive(self) -> None:
        for wanted in self._wanted():
            found = self._next()
            said = difference(wanted, found, self._kept)
            if said:
                raise self._mismatch(f'{said}; {self._step.who} has received {_shown(found)}')

    def _receive_in_any_order(self) -> None:
        wanted = self._wanted()
        while wanted:
            found = self._next()
            reasons = []
            for one in wanted:
                said = difference(one, found, self._kept)
                if not said:
                    wanted.remove(one)
                    break
                reasons.append(said)
            else:
                raise self._mismatch(f'{"; ".join(reasons)}; {self._step.who} has received {_shown(found)}')

    def _end(self) -> None:
        condition = self._clients[self._step.who].ended(SECONDS)
        if condition != self._step.detail:
            raise self._mismatch(f'the stream has ended with {condition or "no error"}')
        self._clients.pop(self._step.who).drop()

    # ---- nothing

    def _nothing(self, who: str) -> None:
        """What the others have sent is through, and what it made come to this one would be here."""
        for other, client in self._clients.items():
            if other != who:
                self._sync(client)
        unexpected = self._sync(self._clients[who])
        if unexpected:
            raise self._mismatch(f'{who} has received {_shown(unexpected[0])}, of which the script does not tell')

    def _sync(self, client: BlockingClient) -> list[Element]:
        """A ping to the server and back; what came before the answer, which stays to be received."""
        if '/' not in client.jid:
            return []  # not bound: no stanza can have come
        self._syncs += 1
        mark = f'sync-{self._syncs}'
        client.send(f"<iq type='get' id='{mark}' to='{self._domain}'><ping xmlns='urn:xmpp:ping'/></iq>")
        before = []
        deadline = time.monotonic() + SECONDS
        while (found := client.next(deadline - time.monotonic())).get('id') != mark:
            before.append(found)
        for one in reversed(before):
            client.put_back(one)
        return before


def _shown(found: Element) -> str:
    return re.sub(r'\s+', ' ', tostring(found, 'unicode'))
