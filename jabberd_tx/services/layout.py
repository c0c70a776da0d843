"""Which processes a configuration asks for on this machine, and the command line of each.

What must differ is worked out here: names (router-1, c2s-2), the routers' ports (one after another), the HTTP ports
(that of the kind, and ten more for each further process).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

from jabberd_tx.base import site
from jabberd_tx.base.options import Config, ConfigError
from jabberd_tx.components.c2s import options as c2s
from jabberd_tx.control import http
from jabberd_tx.control.reference import toml
from jabberd_tx.control.watchdog.options import OPTIONS
from jabberd_tx.link import options as link
from jabberd_tx.link.directory import Address, parse_address
from jabberd_tx.routing import options as routing
from jabberd_tx.services.made_secret import made_secret

TWISTD = [sys.executable, '-c', 'from twisted.scripts.twistd import run; run()', '--nodaemon', '--pidfile=']
# Kind, and the option that says how many: in the order in which they are ended, so that nothing is lost.
KINDS = (('c2s', 'c2s'), ('component', 'components'), ('sm', 'sm'), ('router', 'routers'))


class Planned(NamedTuple):
    """One process: its node name, its kind, program and arguments."""

    name: str
    kind: str
    command: list[str]


def plan(config: Config) -> list[Planned]:
    """In the order of KINDS.  ConfigError for numbers that do not fit together."""
    processes = config.section(OPTIONS)
    shared = _shared(config)
    taken: dict[int, str] = {}
    found = []
    for kind, option in KINDS:
        for number in range(1, getattr(processes, option) + 1):
            node = f'{config.section(site.OPTIONS).node}{number}'
            name = f'{kind}-{node}'
            own = [*_own(config, kind, number), *_http(config, kind, number, name, taken)]
            found.append(Planned(name, kind, _command(config, kind, node, [*shared[kind], *own])))
    return found


def secrets_of(config: Config) -> list[str]:
    """Make the secrets that all processes share and the configuration does not have; gives the options that name
    their files.  OSError."""
    data = Path(config.section(site.OPTIONS).data)
    made = []
    if not config.section(link.OPTIONS).secret:
        made.append(f'link.secret_file={toml(str(made_secret(data / "link.secret")))}')
    if not config.section(c2s.OPTIONS).decoy_secret:
        made.append(f'c2s.decoy_secret_file={toml(str(made_secret(data / "decoy.secret")))}')
    return made


def _shared(config: Config) -> dict[str, list[str]]:
    """What all processes of a kind are told."""
    processes, routers = config.section(OPTIONS), _routers(config)
    return {
        'c2s': [*routers, *(['c2s.reuse_port=true'] if processes.c2s > 1 else [])],
        'component': [*routers, *(['gateway.reuse_port=true'] if processes.components > 1 else [])],
        'sm': routers,
        'router': routers,
    }


def _routers(config: Config) -> list[str]:
    """Where the routers of this machine are, unless the configuration itself says where routers are."""
    number = config.section(OPTIONS).routers
    if not number or config.section(link.OPTIONS).routers != link.OPTIONS.defaults().routers:
        return []
    return [f'link.routers={toml([str(_listen(config, one)) for one in range(1, number + 1)])}']


def _listen(config: Config, number: int) -> Address:
    try:
        first = parse_address(config.section(routing.OPTIONS).listen)
    except ValueError as error:
        raise ConfigError(f'router.listen: {error}') from None
    if not 0 < first.port <= 65536 - number:
        raise ConfigError(f'router.listen: expected a port with room for {number} routers after each other')
    return Address(first.host, first.port + number - 1)


def _own(config: Config, kind: str, number: int) -> list[str]:
    if kind == 'component':
        return [f'gateway.process={number - 1}'] if number > 1 else []
    return [f'router.listen={_listen(config, number)}'] if kind == 'router' else []


def _http(config: Config, kind: str, number: int, name: str, taken: dict[int, str]) -> list[str]:
    """The process's HTTP port, noted in `taken`."""
    options = config.section(http.OPTIONS)
    option = http.port_option(kind)
    first = getattr(options, option)
    if not options.enabled or not first:
        return []
    taken.setdefault(options.port, 'the supervisor')
    port = first + (number - 1) * http.STEP
    if port > 65535 or port in taken:
        why = f'has {taken[port]} already' if port in taken else 'is none'
        raise ConfigError(f'http.{option}: expected another port: {name} would get {port}, which {why}')
    taken[port] = name
    return [f'http.{option}={port}']


def _command(config: Config, kind: str, node: str, overrides: list[str]) -> list[str]:
    file = [] if config.path is None else ['--config', str(Path(config.path).resolve())]
    settings = [part for text in [*config.overrides, *overrides] for part in ('--set', text)]
    return [*TWISTD, f'jabberd-{kind}', '--supervised', *file, *settings, '--node', node]
