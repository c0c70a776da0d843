#!/usr/bin/env python3
"""What a module costs that is on and has nothing to do with a message: µs of CPU in the session manager, a message.

    python benchmarks/modules.py                     every module that looks at messages, and all of them together
    python benchmarks/modules.py --rounds 400        closer, for longer

A real session manager with all modules takes messages over a link that confirms what it is handed and does nothing
else.  In turns, a batch of messages goes through with all modules in their places and another with one module's
handlers taken out of the hooks; each figure is the median of what that makes for a message, and in brackets the middle
half of all.  What is measured is the same in each run: so many messages with the same bytes between the same users.
"""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Callable, Sequence
from statistics import median, quantiles
from time import thread_time_ns
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from jabberd_tx.base.metrics import Metrics
from jabberd_tx.base.turn import Turn
from jabberd_tx.components.sm.hooks import ON_THE_WAY
from jabberd_tx.components.sm.module import HookUse, Module
from jabberd_tx.components.sm.service import OPTIONS, SessionManager
from jabberd_tx.link.frames import CLIENT, Confirm, Route, make_uid
from jabberd_tx.storage.sessions.interface import Session
from jabberd_tx.storage.sessions.memory import MemorySessions
from jabberd_tx.testing.storage import ImmediateStorage
from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.stanza import Child, Stanza

DOMAIN, ELSEWHERE = 'bench.test', 'elsewhere.test'
NODE, INCARNATION = 'c2s', b'c' * 16
USERS, BATCH = 200, 1000
BODY = b'<body>' + b'The quick brown fox jumps over the lazy dog, then writes to its friend about it. ' * 2 + b'</body>'
ALLOWED = 0.2


class Nowhere:
    """A link, and all links there are: keeps the uids of what it is given, for somebody to confirm."""

    node, incarnation, name, up, generation = 'sm', b's' * 16, 'nowhere', True, 1

    def __init__(self) -> None:
        self.uids: list[bytes] = []

    def route(self, frame: Route) -> None:
        self.uids.append(frame.uid)

    def fanout(self, frame: Any) -> None:
        raise AssertionError('a message went to more than one client')

    def attach(self, component: Any) -> None:
        pass

    def bind(self, name: str, policy: str | None = None, **options: object) -> None:
        pass

    def pick(self, key: str, avoid: Any = None) -> Nowhere:
        return self

    def instances(self, name: str) -> dict[str, bytes]:
        return {'s2s': b'2' * 16} if name == ELSEWHERE else {self.node: self.incarnation}

    def reachable(self, name: str) -> bool:
        return bool(self.instances(name))

    def confirm(self, node: str, uid: bytes, via: Any = None) -> None:
        pass


class Bench:
    """A session manager with all modules, and users who are online."""

    def __init__(self) -> None:
        clock: Any = Clock()
        self.link = Nowhere()
        links: Any = self.link
        self.sessions = MemorySessions(clock)
        self.sm = SessionManager(
            links, ImmediateStorage(), self.sessions, [DOMAIN], OPTIONS.defaults(), clock, Turn(clock), Metrics(),
            _AllOn(),
        )  # fmt: skip
        self.sm.start()
        self.streams = [bytes([1, *number.to_bytes(15, 'big')]) for number in range(USERS)]
        self.sent = 0
        for number, stream in enumerate(self.streams):
            self._log_in(number, stream)

    def _log_in(self, number: int, stream: bytes) -> None:
        session = Session(f'user{number}@{DOMAIN}/r', NODE, INCARNATION, stream)
        session.presence, session.priority = Stanza.build('presence', {'from': session.jid}), 0
        Deferred.fromCoroutine(self.sm.hooks.ask('session_opening', session))
        self.sessions.open(session, replace=False)

    def lookers(self) -> list[Module]:
        """The modules with a handler where messages pass."""
        points = {*ON_THE_WAY, 'message_concerns'}
        return [
            module
            for module in self.sm.modules.by_name.values()
            if any(isinstance(use, HookUse) and use.point in points for use, _ in module.uses())
        ]

    def switch(self, modules: Sequence[Module], on: bool) -> None:
        """Their handlers into the hooks, or out of them."""
        hooks = self.sm.hooks
        for module in modules:
            hooks.remove(module.name)
            for use, method in module.uses() if on else ():
                if isinstance(use, HookUse):
                    hooks.add(use.point, method, use.order, module.name)

    def batch(self, to: Callable[[int], str]) -> float:
        """Seconds of CPU that BATCH messages take from their arrival until they are settled."""
        frames = []
        for number in range(self.sent, self.sent + BATCH):
            sender = number % USERS
            attrs = {'to': to(sender), 'type': 'chat', 'id': f'm{number}', 'from': f'user{sender}@{DOMAIN}/r'}
            stanza = Stanza('message', attrs, BODY, (Child(ns.CLIENT, 'body', 0, len(BODY)),))
            uid = make_uid(self.streams[sender], number)
            frames.append(Route(DOMAIN, f'user{sender}@{DOMAIN}', NODE, 0, uid, 8, CLIENT, stanza))
        self.sent += BATCH
        take, confirmed = self.sm.on_route, self.sm.on_confirm
        link: Any = self.link
        began = thread_time_ns()
        for start in range(0, BATCH, 100):
            for frame in frames[start : start + 100]:
                take(frame, link)
            confirmed(Confirm('sm', NODE, link.uids, []))
            link.uids = []
        seconds = (thread_time_ns() - began) / 1e9
        if self.sm.delivery.kept:
            raise AssertionError(f'{len(self.sm.delivery.kept)} messages were not settled')
        return seconds


class _AllOn(dict[str, Any]):
    """The options of every module: their defaults, but on."""

    def get(self, name: str, default: Any = None) -> Any:
        from jabberd_tx.components.sm.finding import sections

        values = next(section for section in sections() if section.name == name).defaults()
        values.enabled = True
        return values


def beside(number: int) -> str:
    """The user's partner, by full JID."""
    return f'user{number ^ 1}@{DOMAIN}/r'


def outside(number: int) -> str:
    """Somebody at another domain."""
    return f'user{number}@{ELSEWHERE}'


RECIPIENTS = {'a user who is online': beside, 'another domain': outside}


def differences(bench: Bench, modules: Sequence[Module], to: Callable[[int], str], rounds: int) -> list[float]:
    """Of so many pairs of batches, µs a message that these modules add."""
    found = []
    for number in range(rounds):
        taken = {}
        for on in (True, False) if number & 1 else (False, True):
            bench.switch(modules, on)
            bench.batch(to)  # what follows finds its way into the caches
            taken[on] = bench.batch(to)
        found.append((taken[True] - taken[False]) / BATCH * 1e6)
    bench.switch(modules, True)
    return found


def main() -> int:
    """Exit status 1 when a module costs more than it may."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument('--rounds', type=int, default=100, help='pairs of batches for each figure (%(default)s)')
    rounds = options.parse_args().rounds
    bench = Bench()
    lookers = bench.lookers()
    plain = {name: median([bench.batch(to) for _ in range(rounds)]) / BATCH * 1e6 for name, to in RECIPIENTS.items()}
    gc.collect()
    gc.freeze()
    gc.disable()
    print('| µs a message | ' + ' | '.join(RECIPIENTS) + ' |')
    print('| --- |' + ' --- |' * len(RECIPIENTS))
    print('| a message in all | ' + ' | '.join([f'{plain[name]:.2f}' for name in RECIPIENTS]) + ' |')
    over = []
    for label, modules in [(module.name, [module]) for module in lookers] + [('all of these', lookers)]:
        cells = []
        for to in RECIPIENTS.values():
            found = differences(bench, modules, to, rounds)
            low, _, high = quantiles(found, n=4)
            cells.append(f'{median(found):.2f} ({low:.2f}–{high:.2f})')
            if len(modules) == 1 and median(found) > ALLOWED:
                over.append(label)
        print(f'| {label} | ' + ' | '.join(cells) + ' |', flush=True)
    others = sorted(set(bench.sm.modules.by_name) - {module.name for module in lookers})
    print(f'\nNo handler where messages pass: {", ".join(others)}.')
    if over:
        print(f'More than {ALLOWED} µs: {", ".join(sorted(set(over)))}.')
    return 1 if over else 0


if __name__ == '__main__':
    sys.exit(main())
