"""jabberd-ctl status: who runs, who is linked to whom, who serves what, and how much there is to do."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import click

from jabberd_tx.control import options as admin
from jabberd_tx.control.ctl.sample import Sample, sample
from jabberd_tx.control.ctl.site import Site, plain_errors
from jabberd_tx.control.ctl.status_tables import tables

# Between the two looks that a rate is made from.
APART = 1.0
# Of the terminal: to the upper left corner, then what is behind and below it is deleted.
_HOME, _REST_OF_LINE, _REST = '\x1b[H', '\x1b[K', '\x1b[J'
# What the first line of a process says; what the tables have.
_HEAD = ('node', 'kind', 'version', 'pid')
_IN_TABLES = ('processes', 'nodes', 'names', 'links', 'counts', 'queues')


@click.command()
@click.option('--json', 'as_json', is_flag=True, help='One JSON object for each process, on a line.')
@click.option('--figures', is_flag=True, help='All figures of each process as well.')
@click.option(
    '--watch', is_flag=False, flag_value=2.0, type=click.FloatRange(0.2, 3600), metavar='[SECONDS]',
    help='Again and again, every 2 seconds or as many as you say, until Ctrl-C.',
)  # fmt: skip
@click.pass_obj
def status(site: Site, as_json: bool, figures: bool, watch: float | None) -> None:
    """Show the running processes: how much they do and what waits, their links, and who serves which name.

    The rates are those of one second.  The exit status is 1 when nothing runs, or a process does not answer.
    """
    if as_json:
        told = _sample(site)
        click.echo('\n'.join([json.dumps(one, default=str) for one in told.told.values()]))
        _end(told)
        return
    before = _sample(site)
    if watch is not None:
        _watch(site, before, watch, figures)
        return
    time.sleep(APART)
    now = _sample(site)
    click.echo(_page(before, now, figures))
    _end(now)


def _watch(site: Site, before: Sample, seconds: float, figures: bool) -> None:
    """In place on a terminal, else one after another."""
    in_place = sys.stdout.isatty()
    try:
        if in_place:
            click.echo(_HOME + _REST, nl=False)
        wait = min(seconds, APART)
        while True:
            time.sleep(wait)
            now = sample(site.section(admin.OPTIONS))
            page = _page(before, now, figures) or 'the server is not running'
            page = f'{time.strftime("%Y-%m-%d %H:%M:%S")}\n\n{page}\n'
            if in_place:
                page = _HOME + page.replace('\n', f'{_REST_OF_LINE}\n') + _REST
            click.echo(page, nl=not in_place)
            before, wait = now, seconds
    except KeyboardInterrupt:
        click.echo()


def _sample(site: Site) -> Sample:
    with plain_errors():
        found = sample(site.section(admin.OPTIONS))
    if not found.told and not found.failed:
        raise click.ClickException('the server is not running')
    return found


def _end(found: Sample) -> None:
    for node, why in found.failed.items():
        click.echo(f'{node}: {why}', err=True)
    if found.failed:
        raise SystemExit(1)


def _page(before: Sample, now: Sample, figures: bool) -> str:
    parts = [tables(before, now)]
    if figures:
        parts += [_text(node, told) for node, told in now.told.items()]
    return '\n\n'.join(parts)


def _text(node: str, told: dict[str, Any]) -> str:
    head = f'{node}: {told.get("kind", "?")} {told.get("version", "?")}, process {told.get("pid", "?")}'
    rest = {name: value for name, value in told.items() if name not in _HEAD and name not in _IN_TABLES}
    return '\n'.join([head, *[f'  {name.replace("_", " ")}: {_shown(value)}' for name, value in rest.items()]])


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ', '.join([f'{name} {_shown(part)}' for name, part in value.items()])
    return ', '.join([str(part) for part in value]) if isinstance(value, list) else str(value)
