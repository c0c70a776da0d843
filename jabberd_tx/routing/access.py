"""Access rules: which nodes may attach with which secret, and what they may bind (docs/filters.md)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jabberd_tx.base.option import ValuesOf
from jabberd_tx.base.options import Option, Section
from jabberd_tx.link.security import SHORTEST_SECRET
from jabberd_tx.routing.patterns import Names


def _check(values_of: ValuesOf) -> None:
    for number, table in enumerate(values_of(ACCESS)):
        if not table.nodes:
            raise ValueError(f'access.{number}.nodes: expected names or patterns of nodes')
        if table.secret and len(table.secret) < SHORTEST_SECRET:
            raise ValueError(f'access.{number}.secret: expected {SHORTEST_SECRET} or more characters')


ACCESS = Section(
    'access',
    'Who may bind what at a router: of these rules, the first whose nodes match counts. Without any rule every node '
    'may bind all there is; as soon as there is one, nodes that no rule matches may bind nothing.',
    Option('nodes', list, [], 'Names of nodes, such as c2s-a7, or patterns with * and ?.', reload=True),
    Option('secret', str, '', 'What these nodes have to know instead of the secret of [link], 16 characters or more.',
           secret=True, reload=True),
    Option('names', list, [], 'The names that they may bind, or patterns.', reload=True),
    Option('default', bool, False, 'Whether they may take what is for names that nobody serves.', reload=True),
    Option('log', bool, False, 'Whether they may get a copy of all that is handed on.', reload=True),
    Option('exclusive', bool, False, 'Whether they may bind a name whose slots are leased.', reload=True),
    Option('redirect', bool, False, 'Whether they may redirect addresses of names that others serve.', reload=True),
    many=True,
    rule=_check,
)  # fmt: skip


class AccessRule:
    """One rule.  secret: '' for that of [link]."""

    __slots__ = ('_rights', 'names', 'nodes', 'secret')

    def __init__(self, values: Any) -> None:
        self.nodes, self.names, self.secret = Names(values.nodes), Names(values.names), values.secret
        self._rights = {right: getattr(values, right) for right in ('default', 'log', 'exclusive', 'redirect')}

    def grants(self, right: str) -> bool:
        """'default', 'log', 'exclusive' or 'redirect'."""
        return bool(self._rights[right])


class AccessRules:
    """All rules, in order."""

    __slots__ = ('_rules',)

    def __init__(self, tables: Sequence[Any] = ()) -> None:
        """tables: the values of ACCESS."""
        self._rules = [AccessRule(values) for values in tables]

    def secret_of(self, node: str, usual: str) -> str:
        """What a node has to prove that it knows; `usual`: the secret of [link]."""
        rule = self._of(node)
        return rule.secret if rule is not None and rule.secret else usual

    def may_bind(self, node: str, name: str, options: dict[str, object]) -> bool:
        """Whether the node may serve the name with these options of BIND."""
        if not self._rules:
            return True
        rule = self._of(node)
        if rule is None or not rule.names.has(name):
            return False
        return all(rule.grants(right) for right in ('default', 'log', 'exclusive') if options.get(right))

    def may_redirect(self, node: str) -> bool:
        """Whether the node may redirect what is for names that others serve."""
        rule = self._of(node)
        return not self._rules or (rule is not None and rule.grants('redirect'))

    def _of(self, node: str) -> AccessRule | None:
        for rule in self._rules:
            if rule.nodes.has(node):
                return rule
        return None
