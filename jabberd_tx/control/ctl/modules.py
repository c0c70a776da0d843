"""jabberd-ctl modules and reference: what is installed, and what of it is at work."""

from __future__ import annotations

import json
from typing import Any

import click

from jabberd_tx.components.plugins.finding import found as found_plugins
from jabberd_tx.components.sm.finding import found
from jabberd_tx.control.admin_wire import AdminError
from jabberd_tx.control.component_reference import one_component
from jabberd_tx.control.ctl.site import Site
from jabberd_tx.control.module_reference import module_page, one_module

_COLOURS = {'on': 'green', 'off': 'yellow', 'failed': 'red'}


@click.command()
@click.option('--json', 'as_json', is_flag=True, help='One JSON object for each process, on a line.')
@click.argument('names', nargs=-1)
@click.pass_obj
def modules(site: Site, names: tuple[str, ...], as_json: bool) -> None:
    """Show the modules of the running session managers: on or off, their hooks, what they answer.

    With NAMES only those.  The exit status is 1 when there are none, or a process does not answer.
    """
    links = site.running.able('modules')
    if not links:
        raise click.ClickException('no session manager is running here')
    wrong = False
    for link in links:
        try:
            told = [one for one in link.ask('modules') if not names or one['name'] in names]
        except AdminError as error:
            click.echo(f'{link.node}: {error}', err=True)
            wrong = True
            continue
        missing = set(names) - {one['name'] for one in told}
        if missing:
            raise click.ClickException(f'{link.node}: no module is named {", ".join(sorted(missing))}')
        if as_json:
            click.echo(json.dumps({'node': link.node, 'modules': told}))
        else:
            click.echo(f'{link.node}: {sum([one["state"] == "on" for one in told])} of {len(told)} modules on')
            click.echo('\n'.join([_text(one) for one in told]))
    if wrong:
        raise SystemExit(1)


def _text(told: dict[str, Any]) -> str:
    state = click.style(told['state'], fg=_COLOURS.get(told['state']))
    counts = f' ({told["calls"]} calls, {told["failures"]} failed)' if told['calls'] else ''
    lines = [f'  {told["name"]}: {state}{counts}: {told["help"]}']
    if told['xeps']:
        lines.append(f'    {", ".join(told["xeps"])}')
    lines += [f'    hook {point}, order {order}: {handler}' for point, order, handler in told['hooks']]
    lines += [
        f'    answers {kind} {name} of {ns} for {", ".join(places)}' for kind, ns, name, places in told['answers']
    ]
    return '\n'.join(lines)


@click.command()
@click.argument('names', nargs=-1)
def reference(names: tuple[str, ...]) -> None:
    """Print the reference page of the installed modules, also those from elsewhere, or of NAMES, which may be component
    plugins too; it is Markdown."""
    installed, plugins = found(), found_plugins()
    unknown = sorted(set(names) - set(installed) - set(plugins))
    if unknown:
        raise click.ClickException(f'no module or component is named {", ".join(unknown)}')
    if names:
        pages = [one_module(installed[name]) for name in names if name in installed]
        click.echo('\n'.join([*pages, *[one_component(plugins[name]) for name in names if name in plugins]]))
    else:
        click.echo(module_page(list(installed.values())), nl=False)
