"""jabberd-ctl status, reload and restart: what is asked of every running process."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import click

from jabberd_tx.control.admin_client import AdminLink, Running
from jabberd_tx.control.admin_wire import AdminError
from jabberd_tx.control.ctl.site import Site, plain_errors

# What the first line of a process says.
_HEAD = ('node', 'kind', 'version', 'pid')


@click.command()
@click.option('--json', 'as_json', is_flag=True, help='One JSON object for each process, on a line.')
@click.pass_obj
def status(site: Site, as_json: bool) -> None:
    """Show the running processes; the exit status is 1 when there are none, or one does not answer."""
    wrong = False
    for link in _running(site).links:
        try:
            told = {**link.ask('status'), **of_process(link.peer.pid)}
        except AdminError as error:
            click.echo(f'{link.node}: {error}', err=True)
            wrong = True
            continue
        click.echo(json.dumps(told, default=str) if as_json else _text(link, told))
    if wrong:
        raise SystemExit(1)


@click.command()
@click.pass_obj
def reload(site: Site) -> None:
    """Have the running processes read the configuration again.

    Says what was applied, and what wants a restart.  The exit status is 1 when anything could not be applied.
    """
    wrong = False
    # A file with a mistake in it is refused here, before anybody is asked.
    _ = site.config
    for link in _running(site).able('reload'):
        try:
            report = link.ask('reload')
        except AdminError as error:
            click.echo(f'{link.node}: {error}', err=True)
            wrong = True
            continue
        lines = [f'{what}: {line}' for what in ('applied', 'failed') for line in report[what]]
        lines += [f'needs a restart: {line}' for line in report['restart']]
        click.echo('\n'.join([f'{link.node}: {line}' for line in lines or ['nothing has changed']]))
        wrong = wrong or bool(report['failed'])
    if wrong:
        raise SystemExit(1)


@click.command()
@click.argument('names', metavar='[NAME]...', nargs=-1)
@click.pass_obj
def restart(site: Site, names: tuple[str, ...]) -> None:
    """Restart processes that a supervisor keeps up, one after another: those named, or all, routers first.

    The next one is not touched before the last is ready again.  It ends at the first that does not come back, with
    exit status 1.
    """
    supervisors = _running(site).able('process.restart')
    if not supervisors:
        raise click.ClickException('no supervisor runs here ([processes] in the configuration)')
    with plain_errors():
        kept_up = {one['name']: link for link in supervisors for one in reversed(link.ask('status')['processes'])}
        unknown = [name for name in names if name not in kept_up]
        if unknown:
            raise click.ClickException(f'{", ".join(unknown)}: no such process; there are: {", ".join(kept_up)}')
        for name in names or kept_up:
            told = kept_up[name].ask('process.restart', name=name)
            click.echo(f'{name} runs again, process {told["pid"]}')


def _running(site: Site) -> Running:
    if not site.running.links:
        raise click.ClickException('the server is not running')
    return site.running


def of_process(pid: int) -> dict[str, Any]:
    """Seconds since its start, and its memory in KiB, as the kernel says (proc(5)); {} if it is gone."""
    try:
        # The command's name, in brackets, may hold anything: fields are counted from behind it.
        started = int(Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[19])
        pages = int(Path(f'/proc/{pid}/statm').read_text().split()[1])
    except OSError:
        return {}
    uptime = time.clock_gettime(time.CLOCK_BOOTTIME) - started / os.sysconf('SC_CLK_TCK')
    return {'uptime_seconds': round(uptime, 1), 'memory_kib': pages * os.sysconf('SC_PAGE_SIZE') // 1024}


def _text(link: AdminLink, told: dict[str, Any]) -> str:
    head = f'{link.node}: {told.get("kind", "?")} {told.get("version", "?")}, process {told.get("pid", link.peer.pid)}'
    lines = [f'  {name.replace("_", " ")}: {_shown(value)}' for name, value in told.items() if name not in _HEAD]
    return '\n'.join([head, *lines])


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ', '.join([f'{name} {_shown(part)}' for name, part in value.items()])
    return ', '.join([str(part) for part in value]) if isinstance(value, list) else str(value)
