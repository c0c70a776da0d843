"""What all subcommands share: the configuration, who is running, and where accounts can be changed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

import click

from jabberd_tx.base import site
from jabberd_tx.base.options import Config, ConfigError, Section, load
from jabberd_tx.control import options as admin
from jabberd_tx.control.admin_client import Running, find_running
from jabberd_tx.control.admin_wire import AdminError
from jabberd_tx.control.ctl.accounts import Accounts, AccountsInDatabase, AccountsOfServer
from jabberd_tx.storage.operations import StorageError
from jabberd_tx.storage.sql import sqlite
from jabberd_tx.storage.sql.choosing import database
from jabberd_tx.xmpp import jid

if TYPE_CHECKING:
    from collections.abc import Iterator


class Site:
    """One server as its configuration file tells of it.  Errors are click's: one line, exit status 1."""

    def __init__(self, path: str | None, overrides: Sequence[str], sections: Sequence[Section]) -> None:
        self.path, self._overrides, self._sections = path, overrides, sections

    @cached_property
    def config(self) -> Config:
        """The file, read when it is needed."""
        try:
            return load(self.path, self._sections, self._overrides)
        except ConfigError as error:
            raise click.ClickException(str(error)) from None

    def section(self, section: Section) -> Any:
        """The values of one section."""
        return self.config.section(section)

    @cached_property
    def domains(self) -> list[str]:
        """The XMPP domains, prepared."""
        try:
            return [jid.parse(domain).domain for domain in self.section(site.OPTIONS).domains]
        except jid.InvalidJid as error:
            raise click.ClickException(f'server.domains: {error}') from None

    @cached_property
    def running(self) -> Running:
        """The processes that can be asked."""
        try:
            running = find_running(self.section(admin.OPTIONS))
        except PermissionError as error:
            text = f'{error.filename or self.section(admin.OPTIONS).folder}: the server runs as another user'
            raise click.ClickException(f'{text}: run this as that user, or as root') from None
        click.get_current_context().call_on_close(running.close)
        return running

    @cached_property
    def accounts(self) -> Accounts:
        """By way of a running process that has storage; where none runs, in the database file itself."""
        able = self.running.able('account.add')
        if able:
            return AccountsOfServer(able[0], self.running.able('kick'))
        self.refuse_to_make_root_s_files()
        direct = AccountsInDatabase(database(self.section))
        click.get_current_context().call_on_close(direct.close)
        return direct

    def refuse_to_make_root_s_files(self) -> None:
        """Files that root makes in the server's folder could not be opened by the server."""
        options = self.section(sqlite.OPTIONS)
        if options.driver != 'sqlite':
            return
        folder = os.path.dirname(options.path)
        if os.geteuid() == 0 and os.path.exists(folder) and (owner := os.stat(folder).st_uid) != 0:
            raise click.ClickException(f'{folder} belongs to user {owner}: run this as that user, or start the server')

    def address(self, text: str) -> str:
        """The prepared bare JID of an account of this site."""
        try:
            parsed = jid.parse(text)
        except jid.InvalidJid as error:
            raise click.ClickException(f'{text}: not a JID: {error}') from None
        if not parsed.local or parsed.resource:
            raise click.ClickException(f'{text}: expected user@domain')
        if parsed.domain not in self.domains:
            served = ', '.join(self.domains)
            raise click.ClickException(f'{parsed.domain} is not served here (server.domains: {served})')
        bare: str = parsed.bare
        return bare


@contextmanager
def plain_errors() -> Iterator[None]:
    """Failures of storage and of the admin link as one line."""
    try:
        yield
    except (AdminError, StorageError, OSError) as error:
        raise click.ClickException(str(error)) from None
