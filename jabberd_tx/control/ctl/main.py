"""The command itself.

main = command(all_sections, find_config)          # services/ctl.py
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import click

from jabberd_tx import __version__
from jabberd_tx.base.options import ConfigError, Section
from jabberd_tx.control.ctl.check import check
from jabberd_tx.control.ctl.components import components
from jabberd_tx.control.ctl.db import db
from jabberd_tx.control.ctl.invite import invite
from jabberd_tx.control.ctl.modules import modules, reference
from jabberd_tx.control.ctl.record import record
from jabberd_tx.control.ctl.running import reload, restart
from jabberd_tx.control.ctl.site import Site
from jabberd_tx.control.ctl.status import status
from jabberd_tx.control.ctl.trace import trace
from jabberd_tx.control.ctl.user import user


def command(sections: Callable[[], Sequence[Section]], find_config: Callable[[], str | None]) -> click.Group:
    """`sections`: all that the configuration may have; `find_config`: the file when -c does not name it, or None."""

    @click.group(context_settings={'help_option_names': ['-h', '--help'], 'max_content_width': 100})
    @click.option(
        '-c', '--config', metavar='FILE', envvar='JABBERD_CONFIG', help='The configuration of the server.', default=None
    )
    @click.option('-s', '--set', 'overrides', metavar='KEY=VALUE', multiple=True, help='Set one option of it.')
    @click.version_option(__version__, message='jabberd-tx %(version)s')
    @click.pass_context
    def jabberd_ctl(context: click.Context, config: str | None, overrides: tuple[str, ...]) -> None:
        """Run a jabberd-tx server: accounts, checks, status, record, reload, restart, modules."""
        try:
            known = sections()
        except ConfigError as error:
            raise click.ClickException(str(error)) from None
        context.obj = Site(config or find_config(), overrides, known)

    for one in (user, invite, check, status, trace, record, reload, restart, modules, components, reference, db):
        jabberd_ctl.add_command(one)
    return jabberd_ctl
