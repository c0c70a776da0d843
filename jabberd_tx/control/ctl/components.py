"""jabberd-ctl components: which component plugins are installed, and what those that run do."""

from __future__ import annotations

import json
from typing import Any

import click

from jabberd_tx.control.admin_wire import AdminError
from jabberd_tx.control.ctl.site import Site

_COLOURS = {'on': 'green', 'off': 'yellow', 'failed': 'red'}


@click.command()
@click.option('--json', 'as_json', is_flag=True, help='One JSON object for each process, on a line.')
@click.argument('names', nargs=-1)
@click.pass_obj
def components(site: Site, names: tuple[str, ...], as_json: bool) -> None:
    """Show the component plugins of the running processes: on or off, what they serve, what they have done.

    With NAMES only those.  The exit status is 1 when no process has any, or one does not answer.
    """
    links = site.running.able('components')
    if not links:
        raise click.ClickException('no process that runs components is running here')
    wrong = False
    for link in links:
        try:
            told = [one for one in link.ask('components') if not names or one['name'] in names]
        except AdminError as error:
            click.echo(f'{link.node}: {error}', err=True)
            wrong = True
            continue
        missing = set(names) - {one['name'] for one in told}
        if missing:
            raise click.ClickException(f'{link.node}: no component is named {", ".join(sorted(missing))}')
        if as_json:
            click.echo(json.dumps({'node': link.node, 'components': told}))
        else:
            click.echo(f'{link.node}: {sum([one["state"] == "on" for one in told])} of {len(told)} components on')
            for one in told:
                click.echo(_text(one))
    if wrong:
        raise SystemExit(1)


def _text(told: dict[str, Any]) -> str:
    state = click.style(told['state'], fg=_COLOURS.get(told['state']))
    lines = [f'  {told["name"]}: {state}: {told["help"]}']
    if told['xeps']:
        lines.append(f'    {", ".join(told["xeps"])}')
    if told['state'] == 'on':
        where = f'at {told["server"]} by XEP-0114' if told['server'] else 'on the routers'
        lines.append(f'    serves {told["domain"]} {where}{"" if told["linked"] else ", which can not be reached"}')
        if told['handlers']:
            lines.append(f'    made of {", ".join(told["handlers"])}')
        lines.append(
            f'    {told["stanzas"]} stanzas taken, {told["taken"]} not done with, {told["faults"]} failed; '
            f'{told["sent"]} sent and not confirmed'
        )
    return '\n'.join(lines)
