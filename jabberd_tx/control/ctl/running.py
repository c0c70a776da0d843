"""jabberd-ctl reload and restart."""

from __future__ import annotations

import click

from jabberd_tx.control.admin_client import Running
from jabberd_tx.control.admin_wire import AdminError
from jabberd_tx.control.ctl.site import Site, plain_errors


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
