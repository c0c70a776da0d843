"""Names that are served without being bound: aliases, and the default route (docs/filters.md)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jabberd_tx.base.option import ValuesOf
from jabberd_tx.base.options import Option, Section
from jabberd_tx.link.frames import DEFAULT_ROUTE, Route
from jabberd_tx.xmpp.jid import InvalidJid, parse
from jabberd_tx.xmpp.stanza import Stanza


def _check(values_of: ValuesOf) -> None:
    names = [table.name for table in values_of(ALIASES)]
    for number, table in enumerate(values_of(ALIASES)):
        if not table.name or not table.target:
            raise ValueError(f'alias.{number}: expected a name and a target')
        if names.count(table.name) > 1:
            raise ValueError(f'alias.{number}.name: expected each name once, not {table.name!r} twice')
        if table.target in names:
            raise ValueError(f'alias.{number}.target: expected a name that is served, not the alias {table.target!r}')


ALIASES = Section(
    'alias',
    'Another name for one that is served: while nobody serves it itself, what is for it goes to those of the target.',
    Option('name', str, '', 'The other name.', low=1, high=1023, reload=True),
    Option('target', str, '', 'The name that somebody serves.', low=1, high=1023, reload=True),
    many=True,
    rule=_check,
)


class OtherNames:
    """Where else a frame may go.

    default   the name whose instances get what is for names that nobody serves; '' for none
    """

    __slots__ = ('_aliases', '_configured', 'default')

    def __init__(self, default: str = '', aliases: Sequence[Any] = ()) -> None:
        """default: as configured; aliases: the values of ALIASES."""
        self.default = self._configured = default
        self._aliases = {table.name: table.target for table in aliases}

    def alias_of(self, name: str) -> str | None:
        """What the name is an alias of."""
        return self._aliases.get(name)

    def known_as(self, name: str) -> list[str]:
        """The name, and what else its instances serve by it."""
        known = [name, *[alias for alias, target in self._aliases.items() if target == name]]
        return [*known, DEFAULT_ROUTE] if name == self.default else known

    def may_be_default(self, name: str) -> bool:
        """Whether the name is the default route, or can become it."""
        return self.default in ('', name)

    def forget(self, name: str) -> None:
        """Nobody serves the name any more."""
        if self.default == name != self._configured:
            self.default = ''

    def replace(self, default: str, aliases: Sequence[Any]) -> None:
        """Another configuration.  A default route that was bound stays, unless one is configured."""
        bound = '' if self.default == self._configured else self.default
        self._configured = default
        self.default = default or bound
        self._aliases = {table.name: table.target for table in aliases}


def is_addressed(frame: Route) -> bool:
    """Whether the frame's destination is a name that its stanza is to, or the default route itself: not a node, then,
    which may be gone."""
    if frame.dest == DEFAULT_ROUTE:
        return True
    payload = frame.payload
    try:
        stanza = payload if isinstance(payload, Stanza) else Stanza.unpack(payload)
        return parse(stanza.attrs.get('to', '')).domain == frame.dest
    except (InvalidJid, ValueError):
        return False
