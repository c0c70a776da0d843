"""The reference of component plugins, made from what their classes declare."""

from __future__ import annotations

from jabberd_tx.components.plugins.plugin import ComponentPlugin
from jabberd_tx.control.reference import option_table


def one_component(kind: type[ComponentPlugin]) -> str:
    """One of them, in Markdown, with a heading of the second level."""
    section = kind.section()
    served = f'A component. It serves `{kind.subdomain or kind.name}.` below the first domain of the site by default.'
    facts = [f'- Options: `[{section.name}]`']
    if kind.xeps:
        links = [f'[{xep}](https://xmpp.org/extensions/{xep.lower()}.html)' for xep in kind.xeps]
        facts.append(f'- Implements {", ".join(links)}')
    if kind.policy is not None:
        facts.append(f'- Several instances: by the policy `{kind.policy}`')
    if kind.tables is not None:
        names = ', '.join([f'`{table.name}`' for table in kind.tables.metadata.sorted_tables])
        facts.append(f'- Tables: {names}')
    text = f'{kind.help} {served} {"On" if section.defaults().enabled else "Off"} by default.'
    return '\n\n'.join([f'## {kind.name}', text, '\n'.join(facts), option_table(section)]) + '\n'
