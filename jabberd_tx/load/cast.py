"""Who plays whom: accounts and sessions of a test server for those of a recording, and what each of them sends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from jabberd_tx.xmpp.traffic import Sent, filled
from jabberd_tx.xmpp.writer import start_tag

# Why a stanza of the recording is not played.
ANSWER, ELSEWHERE = 'answers', 'for other domains'


class Part(NamedTuple):
    """A session: its account's number from 1, its resource, and whether it says that it is there before all begins."""

    number: int
    resource: str
    appears: bool


class Line(NamedTuple):
    """One stanza: when, from which of the parts, its id where an answer or an arrival is waited for."""

    at: float
    part: int
    kind: str
    id: str
    to: str
    type: str
    inner: str


class Cast:
    """parts, lines: all of them, lines in the order of time; left_out: counts by reason; accounts: how many."""

    def __init__(self, recorded: Iterable[Sent], domain: str, prefix: str, others: Mapping[str, str]) -> None:
        """domain: of the test server; prefix: accounts are prefix1, prefix2, …; others: the domain to be used for
        another one of the recording, such as that of a component."""
        stanzas = sorted(recorded, key=lambda one: one.at)
        self._domain, self._prefix, self._others = domain, prefix, others
        self._home = {_domain_of(one.sender) for one in stanzas}
        self._numbers: dict[str, int] = {}
        self._parts: dict[str, Part] = {}
        self._index: dict[str, int] = {}
        self.left_out: Counter[str] = Counter()
        for one in stanzas:
            self._sender(one)
        for one in stanzas:
            self._recipient(one.to)
        self.parts = list(self._parts.values())
        begin = stanzas[0].at if stanzas else 0.0
        self.lines = [line for number, one in enumerate(stanzas, 1) if (line := self._line(one, begin, number))]

    @property
    def accounts(self) -> list[str]:
        """Their names, without the domain."""
        return [f'{self._prefix}{number}' for number in range(1, len(self._numbers) + 1)]

    # ---- who

    def _sender(self, one: Sent) -> None:
        broadcast = one.kind == 'presence' and not one.to and not one.type
        self._add(one.sender, not broadcast)

    def _recipient(self, to: str) -> None:
        """Who was written to was there, as far as one can know."""
        bare = to.partition('/')[0]
        if '@' not in bare or _domain_of(to) not in self._home:
            return
        if '/' in to:
            self._add(to, True)
        elif bare not in self._numbers:
            self._add(f'{bare}/', True)

    def _add(self, jid: str, appears: bool) -> None:
        if jid not in self._parts:
            bare, _, resource = jid.partition('/')
            number = self._numbers.setdefault(bare, len(self._numbers) + 1)
            self._index[jid] = len(self._parts)
            self._parts[jid] = Part(number, resource, appears)

    # ---- what

    def _line(self, one: Sent, begin: float, number: int) -> Line | None:
        if one.kind == 'iq' and one.type not in ('get', 'set'):
            self.left_out[ANSWER] += 1
            return None
        to = self._address(one.to)
        if to is None:
            self.left_out[ELSEWHERE] += 1
            return None
        return Line(one.at - begin, self._index[one.sender], one.kind, f'p{number}', to, one.type, filled(one))

    def _address(self, jid: str) -> str | None:
        """Whom it is for now; None: nobody plays that."""
        bare, slash, resource = jid.partition('/')
        local, at, domain = bare.rpartition('@')
        if not domain:
            return ''
        if bare in self._numbers:
            return f'{self._prefix}{self._numbers[bare]}@{self._domain}{slash}{resource}'
        other = self._others.get(domain) or (self._domain if domain in self._home else None)
        return None if other is None else f'{local}{at}{other}{slash}{resource}'


def xml_of(line: Line) -> str:
    """The stanza."""
    attrs = {'to': line.to, 'type': line.type, 'id': line.id}
    tag = start_tag(line.kind, {name: value for name, value in attrs.items() if value})
    return f'{tag}>{line.inner}</{line.kind}>'


def _domain_of(jid: str) -> str:
    return jid.partition('/')[0].rpartition('@')[2]
