"""SRV records, asked for with Twisted's resolver in a reactor of its own: jabberd-ctl has none that runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from twisted.internet.defer import DeferredList
from twisted.internet.selectreactor import SelectReactor
from twisted.names import dns
from twisted.names.client import Resolver
from twisted.names.error import DNSNameError, DomainError
from twisted.python.failure import Failure

# Seconds that each attempt waits for a name server; and all of it together, however many there are.
ATTEMPTS = (1, 2)
MOST_SECONDS = 5.0


class Srv(NamedTuple):
    """Where a record sends clients; the host '' says that there is no such service (RFC 2782)."""

    host: str
    port: int


# The records, best first, none of them where there are none; or in words why they could not be had.
Answer = list[Srv] | str


def look_up(
    names: Sequence[str], server: tuple[str, int] | None = None, attempts: Sequence[float] = ATTEMPTS
) -> Mapping[str, Answer]:
    """The SRV records of each name, all asked for at once.

    server  IP address and port of a name server, in place of those of /etc/resolv.conf
    attempts  seconds that each of them waits for an answer
    """
    reactor: Any = SelectReactor()
    resolver = Resolver(None if server else '/etc/resolv.conf', [server] if server else None, reactor=reactor)
    found: dict[str, Answer] = {}

    def ask() -> None:
        queries = [resolver.lookupService(name, attempts).addBoth(keep, name) for name in names]
        DeferredList(queries).addCallback(lambda ignored: reactor.stop())

    def keep(outcome: Any, name: str) -> None:
        found[name] = read(outcome)

    reactor.callWhenRunning(ask)
    reactor.callLater(MOST_SECONDS, reactor.crash)
    reactor.run(installSignalHandlers=False)
    return {name: found.get(name, _LATE) for name in names}


_LATE = 'no name server has answered'


def read(outcome: Any) -> Answer:
    """From what a lookup gave: the sections of an answer, or a Failure."""
    if isinstance(outcome, Failure):
        if outcome.check(DNSNameError):
            return []
        return 'a name server could not tell' if outcome.check(DomainError) else _LATE
    records = [record.payload for record in outcome[0] if record.type == dns.SRV]
    records.sort(key=lambda record: (record.priority, -record.weight))
    return [Srv(str(record.target), record.port) for record in records]
