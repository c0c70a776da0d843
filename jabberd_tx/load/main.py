"""The command."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any

import click
from twisted.internet.defer import Deferred

from jabberd_tx import __version__
from jabberd_tx.load.cast import Cast
from jabberd_tx.load.client import DIRECT, PLAIN, STARTTLS, trusting
from jabberd_tx.load.play import Play
from jabberd_tx.xmpp.traffic import NotARecording, Sent, read

_DOMAIN = click.option('--domain', required=True, help='The domain of the test server.')
_PREFIX = click.option('--prefix', default='replay', show_default=True, help='Accounts are PREFIX1, PREFIX2, …')
_PASSWORD = click.option(
    '--password', envvar='JABBERD_LOAD_PASSWORD', default='secret', show_default=True, help='Of all these accounts.'
)
_MAP = click.option(
    '--map', 'others', metavar='OLD=NEW', multiple=True, help="Another domain's name here, such as a component's."
)


@click.group(context_settings={'help_option_names': ['-h', '--help'], 'max_content_width': 100})
@click.version_option(__version__, message='jabberd-tx %(version)s')
def main() -> None:
    """Play recorded traffic against a test server: what `jabberd-ctl record` has written."""


@main.command()
@click.argument('file', type=click.Path(dir_okay=False, exists=True))
@_DOMAIN
@_PREFIX
@_PASSWORD
def accounts(file: str, domain: str, prefix: str, password: str) -> None:
    """Print the accounts that FILE needs, as `jabberd-ctl user import` takes them."""
    rows = csv.writer(sys.stdout, lineterminator='\n')
    for user in Cast(_recorded(file), domain, prefix, {}).accounts:
        rows.writerow([user, domain, password])


@main.command()
@click.argument('file', type=click.Path(dir_okay=False, exists=True))
@_DOMAIN
@_PREFIX
@_PASSWORD
@_MAP
@click.option('--scale', type=click.FloatRange(0.001, 1e5), default=1.0, show_default=True, help='So much faster.')
@click.option('--host', default='127.0.0.1', show_default=True, help='Where to connect.')
@click.option('--port', type=click.IntRange(1, 65535), default=5222, show_default=True, help='Its port for clients.')
@click.option('--tls', type=click.Choice([STARTTLS, DIRECT, PLAIN]), default=STARTTLS, show_default=True, help='How.')
@click.option('--ca', type=click.Path(dir_okay=False, exists=True), help='PEM file with who vouches for the server.')
@click.option('--no-verify', is_flag=True, help='Take any certificate: this is a test server of your own.')
@click.option('--logins', type=click.IntRange(1, 1000), default=20, show_default=True, help='So many at a time.')
@click.option('--quiet', type=click.FloatRange(0.1, 600), default=2.0, show_default=True, help='Seconds without news.')
@click.option('--json', 'as_json', is_flag=True, help='The outcome as one JSON object.')
def replay(
    file: str, domain: str, prefix: str, password: str, others: tuple[str, ...], scale: float, host: str, port: int,
    tls: str, ca: str | None, no_verify: bool, logins: int, quiet: float, as_json: bool,
) -> None:  # fmt: skip
    """Play FILE: each session of the recording logs in, and sends what was sent then, in its time.

    The accounts must be there (see `jabberd-load accounts`).  The exit status is 1 when somebody could not log in, or
    a stream ended early.
    """
    cast = Cast(_recorded(file), domain, prefix, dict([_pair(text) for text in others]))
    trust = trusting(domain, Path(ca).read_bytes() if ca else None, no_verify)
    reactor = _reactor()
    play = Play(
        cast, endpoint_to(reactor, host, port, trust() if tls == DIRECT else None), reactor, domain=domain,
        password=password, scale=scale, security=tls, tls=trust, logins=logins, quiet=quiet,
    )  # fmt: skip
    outcome: list[Any] = []
    done = Deferred.fromCoroutine(play.run()).addBoth(outcome.append)
    done.addCallback(lambda ignored: reactor.callLater(0.1, reactor.stop))
    reactor.run()
    if not outcome:
        raise click.ClickException('interrupted')
    if outcome[0] is not play.report:
        outcome[0].raiseException()
    click.echo(json.dumps(play.report.as_dict()) if as_json else play.report.text())
    if not play.report.good:
        raise SystemExit(1)


def _recorded(file: str) -> list[Sent]:
    try:
        with open(file, encoding='utf-8') as lines:
            return list(read(lines))
    except (NotARecording, UnicodeDecodeError) as error:
        raise click.ClickException(f'{file}: {error}') from None


def _pair(text: str) -> tuple[str, str]:
    old, equals, new = text.partition('=')
    if not (old and equals and new):
        raise click.ClickException(f'--map {text}: expected OLD=NEW')
    return old, new


def _reactor() -> Any:
    from twisted.internet import reactor

    return reactor


def endpoint_to(reactor: Any, host: str, port: int, tls: Any) -> Any:
    """Where to connect; tls: from the first byte, what wrapClientTLS takes, or None."""
    from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS

    endpoint = HostnameEndpoint(reactor, host, port)
    return endpoint if tls is None else wrapClientTLS(tls, endpoint)
