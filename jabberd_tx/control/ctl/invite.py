"""jabberd-ctl invite: invitations to make an account (XEP-0445)."""

from __future__ import annotations

import hashlib
import secrets
import time
from typing import Any, Protocol

import click

from jabberd_tx.control.admin_client import AdminLink
from jabberd_tx.control.ctl.site import Site, plain_errors
from jabberd_tx.storage import invites
from jabberd_tx.storage.invites import Invite
from jabberd_tx.storage.migrations import make_ready
from jabberd_tx.storage.operations import Operation, StorageError
from jabberd_tx.storage.sql.choosing import database
from jabberd_tx.storage.sql.database import Call, Database
from jabberd_tx.xmpp import jid

DAY = 86400.0
# Of a token's hash: enough to name it.
SHORT = 12


class Invites(Protocol):
    """The operations of storage/invites.py, waited for.  StorageError, AdminError."""

    def add(self, domain: str, token: str, invite: Invite, now: float) -> None:
        """One more."""

    def listing(self, domain: str) -> list[tuple[str, Invite]]:
        """(hash, invite) of all."""

    def remove(self, domain: str, token: str) -> bool:
        """False: there is none."""


class InvitesOfServer:
    """Asks a process that has storage."""

    def __init__(self, link: AdminLink) -> None:
        self._ask = link.ask

    def add(self, domain: str, token: str, invite: Invite, now: float) -> None:
        """See Invites."""
        self._ask('invite.add', domain=domain, token=token, invite=list(invite), now=now)

    def listing(self, domain: str) -> list[tuple[str, Invite]]:
        """See Invites."""
        return [(token, Invite(*invite)) for token, invite in self._ask('invite.list', domain=domain)]

    def remove(self, domain: str, token: str) -> bool:
        """See Invites."""
        return bool(self._ask('invite.remove', domain=domain, token=token))


class InvitesInDatabase:
    """The database itself, for as long as no server runs."""

    def __init__(self, database: Database) -> None:
        make_ready(database)
        self._connection = database.connect()
        self.close = self._connection.close

    def _run(self, operation: Operation, domain: str, *arguments: Any) -> Any:
        (result,) = self._connection.transact([Call(operation, domain, arguments)])
        if isinstance(result, StorageError):
            raise result
        return result

    def add(self, domain: str, token: str, invite: Invite, now: float) -> None:
        """See Invites."""
        self._run(invites.add, domain, token, invite, now)

    def listing(self, domain: str) -> list[tuple[str, Invite]]:
        """See Invites."""
        return list(self._run(invites.listing, domain))

    def remove(self, domain: str, token: str) -> bool:
        """See Invites."""
        return bool(self._run(invites.remove, domain, token))


def invites_of(site: Site) -> Invites:
    """By way of a running process that has storage; where none runs, in the database file."""
    able = site.running.able('invite.add')
    if able:
        return InvitesOfServer(able[0])
    site.refuse_to_make_root_s_files()
    direct = InvitesInDatabase(database(site.section))
    click.get_current_context().call_on_close(direct.close)
    return direct


@click.group()
def invite() -> None:
    """Invitations to make an account: add, list, delete.

    They count where [c2s] registration is 'invited' or 'open'.
    """


@invite.command()
@click.argument('address')
@click.option('--days', type=click.FloatRange(0.01, 3650), default=7.0, show_default=True, help='When it ends.')
@click.option('--uses', type=click.IntRange(1, 100_000), default=1, show_default=True, help='Accounts it is good for.')
@click.pass_obj
def add(site: Site, address: str, days: float, uses: int) -> None:
    """Invite to ADDRESS: user@domain, which is kept for whoever comes with it, or a domain.  Prints the link to give
    away; it is shown once."""
    if '@' in address:
        local, _, domain = site.address(address).rpartition('@')
        if uses != 1:
            raise click.ClickException('an invitation for one user name has one use')
    else:
        local, domain = '', _domain(site, address)
    token = secrets.token_urlsafe(18)
    now = time.time()
    with plain_errors():
        if local and site.accounts.exists(f'{local}@{domain}'):
            raise click.ClickException(f'{local}@{domain} exists already')
        invites_of(site).add(domain, _hash(token), Invite(local, now + days * DAY, uses), now)
    click.echo(f'xmpp:{local and local + "@"}{domain}?register;preauth={token}')


@invite.command('list')
@click.argument('domain', required=False)
@click.pass_obj
def list_(site: Site, domain: str | None) -> None:
    """List the invitations of DOMAIN, or of all domains: id, address, uses left, end."""
    with plain_errors():
        known = invites_of(site)
        for one in [_domain(site, domain)] if domain is not None else site.domains:
            for token, found in known.listing(one):
                at = time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime(found.expires))
                address = f'{found.local}@{one}' if found.local else one
                click.echo(f'{token[:SHORT]}  {address}  {found.uses}  {at}')


@invite.command('del')
@click.argument('id')
@click.pass_obj
def delete(site: Site, id: str) -> None:
    """Delete the invitation that `list` shows as ID."""
    with plain_errors():
        known = invites_of(site)
        fitting = [(one, token) for one in site.domains for token, _ in known.listing(one) if token.startswith(id)]
        if len(id) < SHORT or len(fitting) != 1:
            raise click.ClickException(f'{id}: no such invitation')
        known.remove(*fitting[0])
    click.echo(f'{id} is deleted')


def _domain(site: Site, text: str) -> str:
    try:
        parsed = jid.parse(text)
    except jid.InvalidJid as error:
        raise click.ClickException(f'{text}: not a domain: {error}') from None
    if parsed.full not in site.domains:
        raise click.ClickException(f'{text} is not served here (server.domains: {", ".join(site.domains)})')
    return str(parsed.full)


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
