"""jabberd-ctl check."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from ipaddress import ip_address

import click

from jabberd_tx.base import site, tls
from jabberd_tx.components.c2s import options as c2s
from jabberd_tx.components.gateway import options as gateway
from jabberd_tx.components.tables import all_tables
from jabberd_tx.control import http
from jabberd_tx.control.check.certificates import check_certificates
from jabberd_tx.control.check.database import check_data_folder, check_database
from jabberd_tx.control.check.dns import check_dns
from jabberd_tx.control.check.finding import FAIL, OK, WARN, Finding
from jabberd_tx.control.check.limits import check_descriptors, check_sysctls, descriptor_limit
from jabberd_tx.control.check.ports import Port, check_port
from jabberd_tx.control.check.srv_lookup import look_up
from jabberd_tx.control.ctl.site import Site
from jabberd_tx.control.watchdog import options as watchdog
from jabberd_tx.link.directory import parse_address
from jabberd_tx.routing import options as routing
from jabberd_tx.storage.sql.choosing import database

_COLOURS = {OK: 'green', WARN: 'yellow', FAIL: 'red'}


def _address(context: click.Context, option: click.Parameter, text: str | None) -> tuple[str, int] | None:
    if text is None:
        return None
    try:
        return str(ip_address(text.strip('[]'))), 53
    except ValueError:
        pass
    try:
        address = parse_address(text)
        return str(ip_address(address.host)), address.port
    except ValueError:
        raise click.BadParameter('expected an IP address, or address:port') from None


@click.command()
@click.option('--nameserver', metavar='ADDRESS[:PORT]', callback=_address, help='Ask this one about the domains.')
@click.pass_obj
def check(site: Site, nameserver: tuple[str, int] | None) -> None:
    """Look for what is wrong: configuration, certificates, ports, DNS, storage, limits of the system.

    A line for each thing: ok, warn or fail, and what to do.  The exit status is 1 when anything fails.
    """
    counts = {OK: 0, WARN: 0, FAIL: 0}
    for found in findings(site, nameserver):
        counts[found.level] += 1
        level, rest = str(found)[:4], str(found)[4:]
        click.echo(click.style(level, fg=_COLOURS[found.level]) + rest)
    click.echo(f'{counts[OK]} ok, {counts[WARN]} to look at, {counts[FAIL]} failed')
    if counts[FAIL]:
        raise SystemExit(1)


def findings(ctl: Site, nameserver: tuple[str, int] | None = None) -> Iterator[Finding]:
    """All checks, one after another; after a configuration that can't be used there are no others."""
    try:
        server = ctl.section(site.OPTIONS)
        domains = ctl.domains
    except click.ClickException as error:
        yield Finding(FAIL, 'configuration', error.message)
        return
    yield Finding(OK, f'configuration {ctl.path or "(defaults)"}', f'for {", ".join(domains)}')
    clients = ctl.section(c2s.OPTIONS)
    yield from check_data_folder(server.data)
    yield from check_certificates(ctl.section(tls.OPTIONS), domains, clients.require_tls, datetime.now(UTC))
    try:
        running = ctl.running.links
    except click.ClickException as error:
        yield Finding(FAIL, 'admin sockets', error.message)
        running = []
    for port in ports(ctl):
        yield check_port(port, [link.peer.pid for link in running])
    yield from check_dns(domains, clients.port, clients.tls_port, lambda names: look_up(names, nameserver))
    yield from check_database(database(ctl.section), all_tables(ctl.section))
    limits = {link.node: descriptor_limit(link.peer.pid) for link in running}
    yield from check_descriptors(limits or {'this shell': descriptor_limit(os.getpid())})
    yield from check_sysctls(clients.backlog)


def ports(ctl: Site) -> list[Port]:
    """What the configuration wants to listen on; 0 (any port) is left out."""
    clients, web, router = ctl.section(c2s.OPTIONS), ctl.section(http.OPTIONS), ctl.section(routing.OPTIONS)
    host, _, number = router.listen.rpartition(':')
    kept_up = ctl.section(watchdog.OPTIONS)
    numbers = {'router': kept_up.routers, 'sm': kept_up.sm, 'c2s': kept_up.c2s, 'component': kept_up.components}
    if not watchdog.is_supervised(kept_up):
        numbers = dict.fromkeys(numbers, 1)
    first = int(number) if number.isdigit() else 0
    wanted = [
        Port('c2s.port', clients.interface, clients.port if numbers['c2s'] else 0),
        Port('c2s.tls_port', clients.interface, clients.tls_port if numbers['c2s'] else 0),
    ]
    # A supervisor's routers have ports after each other.
    wanted += [Port('router.listen', host.strip('[]'), first and first + more) for more in range(numbers['router'])]
    if any(not external.connect for external in ctl.section(gateway.EXTERNAL)):
        components = ctl.section(gateway.OPTIONS)
        wanted += [
            Port('gateway.port', components.interface, components.port),
            Port('gateway.tls_port', components.tls_interface, components.tls_port),
        ]
    if web.enabled:
        for kind, count in {'jabberd': 1, **numbers}.items():
            option = http.port_option(kind)
            port = getattr(web, option)
            wanted += [Port(f'http.{option}', web.interface, port and port + http.STEP * more) for more in range(count)]
    return [port for port in wanted if port.number]
