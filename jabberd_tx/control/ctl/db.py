"""jabberd-ctl db: the schema of the database."""

from __future__ import annotations

import click

from jabberd_tx.base.options import ConfigError
from jabberd_tx.components.tables import all_tables
from jabberd_tx.control.ctl.site import Site, plain_errors
from jabberd_tx.storage import migrations
from jabberd_tx.storage.sql.choosing import database


@click.group()
def db() -> None:
    """The database."""


@db.command()
@click.option('--dry-run', is_flag=True, help='Say what would be done, and do nothing.')
@click.pass_obj
def upgrade(site: Site, dry_run: bool) -> None:
    """Bring the database to the schema of this version.

    Stop the server first, and keep a copy of the database.  In an SQLite file all of it is done, or nothing.
    """
    there = database(site.section)
    try:
        tables = all_tables(site.section)
    except ConfigError as error:
        raise click.ClickException(str(error)) from None
    with plain_errors():
        steps = migrations.pending(there, tables)
        if steps and not dry_run:
            if site.running.links:
                names = ', '.join([link.node for link in site.running.links])
                raise click.ClickException(f'stop the server first: {names}')
            site.refuse_to_make_root_s_files()
            migrations.upgrade(there, tables)
    for version, text in steps:
        click.echo(f'{"would be done" if dry_run else "done"}: {version}, {text}')
    if not steps:
        click.echo(f'{there.name}: schema {migrations.HEAD}, nothing to do')
