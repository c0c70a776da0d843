"""jabberd-ctl user: accounts."""

from __future__ import annotations

import io
import sys
from typing import IO

import click

from jabberd_tx.control.ctl.site import Site, plain_errors
from jabberd_tx.control.ctl.user_file import import_rows, read_rows
from jabberd_tx.xmpp.sasl.verifiers import DEFAULT_ITERATIONS, LEAST_ITERATIONS, Credentials, derive

_iterations = click.option(
    '--iterations',
    type=click.IntRange(LEAST_ITERATIONS, 10_000_000),
    default=DEFAULT_ITERATIONS,
    show_default=True,
    help='PBKDF2 iterations: each login of a client, and each guess, costs so many.',
)
_from_stdin = click.option('--password-stdin', is_flag=True, help='Read the password from the first line of stdin.')


@click.group()
def user() -> None:
    """Accounts: make, change, delete, list, import.

    With the server running it is asked to do it; otherwise the database is opened.
    """


@user.command()
@click.argument('jid')
@_from_stdin
@_iterations
@click.pass_obj
def add(site: Site, jid: str, password_stdin: bool, iterations: int) -> None:
    """Make the account JID (user@domain)."""
    owner = site.address(jid)
    with plain_errors():
        if site.accounts.exists(owner):
            raise click.ClickException(f'{owner} exists already: jabberd-ctl user passwd {owner}')
        if not site.accounts.add(owner, _credentials(password_stdin, iterations)):
            raise click.ClickException(f'{owner} exists already')
    click.echo(f'{owner} is made')


@user.command()
@click.argument('jid')
@_from_stdin
@_iterations
@click.pass_obj
def passwd(site: Site, jid: str, password_stdin: bool, iterations: int) -> None:
    """Give the account JID another password."""
    owner = site.address(jid)
    with plain_errors():
        if not site.accounts.exists(owner):
            raise click.ClickException(f'{owner}: no such account')
        if not site.accounts.change(owner, _credentials(password_stdin, iterations)):
            raise click.ClickException(f'{owner}: no such account')
    click.echo(f'{owner} has a new password')


@user.command('del')
@click.argument('jid')
@click.pass_obj
def delete(site: Site, jid: str) -> None:
    """Delete the account JID with its roster and its messages, and end its sessions."""
    owner = site.address(jid)
    with plain_errors():
        ended = site.accounts.remove(owner)
    if ended is None:
        raise click.ClickException(f'{owner}: no such account')
    click.echo(f'{owner} is deleted' + (f', {ended} sessions ended' if ended else ''))


@user.command('list')
@click.argument('domain', required=False)
@click.pass_obj
def list_(site: Site, domain: str | None) -> None:
    """List the accounts of DOMAIN, or of all domains: a JID on each line."""
    if domain is not None and domain not in site.domains:
        raise click.ClickException(f'{domain} is not served here (server.domains: {", ".join(site.domains)})')
    with plain_errors():
        for one in [domain] if domain is not None else site.domains:
            after = ''
            while page := site.accounts.page(one, after):
                click.echo('\n'.join(page))
                after = page[-1]


@user.command('import')
@click.argument('file', type=click.File('rb'))
@_iterations
@click.pass_obj
def import_(site: Site, file: IO[bytes], iterations: int) -> None:
    """Make the accounts of FILE, a CSV of user,domain,password; '-' for stdin.

    Accounts that exist get the password of the file.  Rows that can't be imported are named with their line, the
    others go on; the exit status is 1 when there were any.
    """
    text = io.TextIOWrapper(file, 'utf-8-sig', errors='surrogateescape', newline='')
    rows = list(read_rows(text, site.domains))
    with plain_errors(), click.progressbar(length=len(rows), label='Importing', file=sys.stderr) as bar:
        done = import_rows(rows, site.accounts, iterations, bar.update)
    for bad in done.bad:
        click.echo(f'{file.name}:{bad.line}: {bad.text}', err=True)
    click.echo(f'{done.new} accounts made, {done.changed} changed, {len(done.bad)} rows left out')
    if done.bad:
        raise SystemExit(1)


def _credentials(from_stdin: bool, iterations: int) -> Credentials:
    """Verifiers of the password that stdin has, or that the terminal is asked for, twice."""
    if from_stdin:
        password = sys.stdin.readline().rstrip('\r\n')
    else:
        password = click.prompt('Password', hide_input=True, confirmation_prompt=True, err=True)
    try:
        return derive(password, iterations)
    except ValueError as error:
        raise click.ClickException(str(error)) from None
