"""The reference page of modules, made from what their classes declare."""

from __future__ import annotations

from collections.abc import Sequence

from jabberd_tx.base.options import Section
from jabberd_tx.components.sm.hooks import POINTS
from jabberd_tx.components.sm.module import HookUse, IqUse, Module
from jabberd_tx.control.reference import option_table

_PAGE = """# Modules

<!-- Made by `make docs` from the modules' declarations. -->

What the session manager does beyond rosters, presence and messages is done by modules. Each is switched by `enabled` in
its section `[modules.NAME]` of the configuration; one that is off is not advertised, and costs nothing. `jabberd-ctl
modules` shows those of a running server, `jabberd-ctl reference` prints this page for those that are installed.
[modules.md](modules.md) tells how to write one.
"""

_HOOKS = """## Hooks

The points where modules have their say. Handlers of a point are called in order, lowest first; the first that answers
ends the chain.
"""


def module_page(kinds: Sequence[type[Module]]) -> str:
    """All of them, and the points that hooks may be at, in Markdown."""
    rows = [
        f'| `{point.name}` | `{_cell(point.arguments)}` | {_cell(point.help)}'
        + (' May wait. |' if point.asked else ' |')
        for point in POINTS
    ]
    hooks = '\n'.join(['| point | arguments | what it is |', '| --- | --- | --- |', *rows])
    return '\n'.join([_PAGE, *[one_module(kind) for kind in kinds], _HOOKS, hooks]) + '\n'


def one_module(kind: type[Module]) -> str:
    """One of them, in Markdown, with a heading of the second level."""
    section = kind.section()
    parts = [f'## {kind.name}', f'{kind.help} {"On" if _is_on(section) else "Off"} by default.', *_facts(kind)]
    return '\n\n'.join([*parts, option_table(section)]) + '\n'


def _is_on(section: Section) -> bool:
    return bool(section.defaults().enabled)


def _facts(kind: type[Module]) -> list[str]:
    """A list of what there is to tell."""
    facts = []
    if kind.xeps:
        links = [f'[{xep}](https://xmpp.org/extensions/{xep.lower()}.html)' for xep in kind.xeps]
        facts.append(f'- Implements {", ".join(links)}')
    for whose, features in (('the server', kind.server_features), ('accounts', kind.account_features)):
        if features:
            facts.append(f'- Features of {whose}: ' + ', '.join([f'`{feature}`' for feature in features]))
    uses = [use for use, _ in kind.declared()]
    answers = [
        f'`{use.kind}` of `{use.name}` in `{use.ns}` ({", ".join(sorted(use.places))})'
        for use in uses
        if isinstance(use, IqUse)
    ]
    if answers:
        facts.append(f'- Answers {", ".join(answers)}')
    hooks = [f'`{use.point}` (order {use.order})' for use in uses if isinstance(use, HookUse)]
    if hooks:
        facts.append(f'- Hooks: {", ".join(hooks)}')
    if kind.tables is not None:
        names = ', '.join([f'`{table.name}`' for table in kind.tables.metadata.sorted_tables])
        facts.append(f'- Tables: {names}')
    return ['\n'.join(facts)] if facts else []


def _cell(text: str) -> str:
    return text.replace('|', '\\|')
