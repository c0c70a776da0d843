"""Filter rules: which stanzas a router lets pass, and which go elsewhere (docs/filters.md).

The first rule that matches a stanza says what is done with it; what none matches passes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jabberd_tx.base.option import ValuesOf
from jabberd_tx.base.options import Option, Section
from jabberd_tx.link.frames import RETURNED, Fanout, Route
from jabberd_tx.routing.patterns import Addresses
from jabberd_tx.xmpp.errors import CONDITIONS
from jabberd_tx.xmpp.jid import InvalidJid, Jid, parse
from jabberd_tx.xmpp.stanza import Stanza

ALLOW, DENY, REDIRECT = 'allow', 'deny', 'redirect'
KINDS = ('message', 'presence', 'iq')
# What a stanza without the attribute is.
PLAIN = {'message': 'normal', 'presence': 'available'}
TYPES = (
    'normal', 'chat', 'groupchat', 'headline', 'error', 'available', 'unavailable', 'subscribe', 'subscribed',
    'unsubscribe', 'unsubscribed', 'probe', 'get', 'set', 'result',
)  # fmt: skip
# Those that need to say where to go, or what they mean.
_MORE = ('gone', 'redirect', 'undefined-condition')


def _check(values_of: ValuesOf) -> None:
    FilterRules(values_of(FILTERS))


FILTERS = Section(
    'filter',
    'What a router lets pass: of these rules, the first that matches a stanza counts. Without one it passes.',
    Option('from', list, [], 'The sender: addresses, domains, or patterns with * and ?. Empty: anybody.', reload=True),
    Option('to', list, [], 'Whom it is to, likewise.', reload=True),
    Option('kind', list, [], 'Empty: any.', choices=KINDS, reload=True),
    Option('type', list, [], 'As in the attribute; without one a message is normal, presence is available. Empty: any.',
           choices=TYPES, reload=True),
    Option('action', str, DENY, 'Let it pass, answer it with an error, or have another name serve it.',
           choices=(ALLOW, DENY, REDIRECT), reload=True),
    Option('condition', str, 'not-allowed', 'The error of a stanza that is denied.',
           choices=tuple(condition for condition in CONDITIONS if condition not in _MORE), reload=True),
    Option('target', str, '', 'The name that gets what is redirected.', high=1023, reload=True),
    many=True,
    rule=_check,
)  # fmt: skip


class FilterRule:
    """One rule.  action, condition, target: as configured."""

    __slots__ = ('_from', '_kinds', '_number', '_to', '_types', 'action', 'condition', 'target')

    def __init__(self, number: int, values: Any) -> None:
        """number: its place, from 0; values: of FILTERS.  ValueError."""
        self._number = number
        self._from, self._to = self._addresses(values, 'from'), self._addresses(values, 'to')
        self._kinds, self._types = frozenset(values.kind), frozenset(values.type)
        self.action, self.condition, self.target = values.action, values.condition, values.target
        if (self.action == REDIRECT) != bool(self.target):
            raise ValueError(f'filter.{number}.target: expected a name where, and only where, action is {REDIRECT!r}')

    def _addresses(self, values: Any, option: str) -> Addresses:
        try:
            return Addresses(getattr(values, option))
        except ValueError as error:
            raise ValueError(f'filter.{self._number}.{option}: {error}') from None

    def __str__(self) -> str:
        """'filter.2: deny with not-allowed what is from *.example.org, of kind message'."""
        does = {ALLOW: 'allow', DENY: f'deny with {self.condition}', REDIRECT: f'redirect to {self.target}'}
        parts = [('from', str(self._from)), ('to', str(self._to)), ('of kind', ', '.join(sorted(self._kinds)))]
        parts.append(('of type', ', '.join(sorted(self._types))))
        what = ', '.join(f'{word} {text}' for word, text in parts if text)
        return f'filter.{self._number}: {does[self.action]} ' + (f'what is {what}' if what else 'everything')

    def matches(self, kind: str, type: str, sender: Jid | None, to: Jid | None) -> bool:
        """An address that is not there, or is none, is matched by no pattern."""
        if (self._kinds and kind not in self._kinds) or (self._types and type not in self._types):
            return False
        if self._from and (sender is None or not self._from.has(sender)):
            return False
        return not self._to or (to is not None and self._to.has(to))


class FilterRules:
    """All rules, in order; false when there are none."""

    __slots__ = ('_rules',)

    def __init__(self, tables: Sequence[Any] = ()) -> None:
        """tables: the values of FILTERS.  ValueError for a rule that can't be."""
        self._rules = [FilterRule(number, values) for number, values in enumerate(tables)]

    def __bool__(self) -> bool:
        return bool(self._rules)

    def judge(self, frame: Route) -> FilterRule | None:
        """The rule that counts for this frame; None: it passes.

        What is no stanza is none of the rules' business, and what comes back from a client (RETURNED) has passed.
        """
        stanza = None if frame.flags & RETURNED else _stanza(frame.payload)
        return None if stanza is None else self._first(stanza, stanza.attrs.get('to'))

    def judge_targets(self, frame: Fanout) -> tuple[list[tuple[bytes, str]], FilterRule | None]:
        """Those targets that may have it, and the rule that counts for the first of the others.

        A session can't be redirected: such rules let pass."""
        stanza = _stanza(frame.payload)
        if stanza is None:
            return frame.targets, None
        passed, denied = [], None
        for target in frame.targets:
            rule = self._first(stanza, target[1])
            if rule is None or rule.action != DENY:
                passed.append(target)
            else:
                denied = denied or rule
        return passed, denied

    def _first(self, stanza: Stanza, to: str | None) -> FilterRule | None:
        kind = stanza.name
        type = stanza.attrs.get('type') or PLAIN.get(kind, '')
        sender = _jid(stanza.attrs.get('from'))
        if to:
            there = _jid(to)
        else:
            # For the sender's own account (RFC 6120 §10.3); but presence is then for nobody in particular.
            there = _jid(sender.bare) if sender is not None and kind != 'presence' else None
        for rule in self._rules:
            if rule.matches(kind, type, sender, there):
                return rule
        return None


def _stanza(payload: Stanza | bytes) -> Stanza | None:
    try:
        stanza = payload if isinstance(payload, Stanza) else Stanza.unpack(payload)
    except ValueError:
        return None
    return stanza if stanza.name in KINDS else None


def _jid(text: str | None) -> Jid | None:
    try:
        return parse(text) if text else None
    except InvalidJid:
        return None
