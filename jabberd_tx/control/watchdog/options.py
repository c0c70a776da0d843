"""The processes of a machine, and how they are kept up: section [processes]."""

from __future__ import annotations

from types import SimpleNamespace

from jabberd_tx.base.option import ValuesOf
from jabberd_tx.base.options import Option, Section
from jabberd_tx.storage.redis import options as redis


def _rule(values_of: ValuesOf) -> None:
    """Nobody is given up before being asked; session managers share what they know."""
    processes = values_of(OPTIONS)
    if processes.sm > 1 and not values_of(redis.OPTIONS).masters:
        raise ValueError('processes.sm: expected 1, or redis.masters, where several share the sessions')
    if processes.heartbeat_timeout <= processes.heartbeat:
        least = f'expected more than processes.heartbeat ({processes.heartbeat:g} s)'
        raise ValueError(f'processes.heartbeat_timeout: {least}')
    if processes.restart_maximum < processes.restart_initial:
        least = f'expected processes.restart_initial ({processes.restart_initial:g} s) or more'
        raise ValueError(f'processes.restart_maximum: {least}')


OPTIONS = Section(
    'processes',
    'With one of the first four numbers above 0, `twistd jabberd` starts so many processes of each kind and keeps them '
    'up, instead of being all of the server itself (docs/operating.md).',
    Option('routers', int, 0, 'Routers: the first listens where router.listen says, the next ones on the ports after '
           'it.', low=0, high=16),
    Option('sm', int, 0, 'Session managers. Several share the sessions by way of [redis].', low=0, high=64),
    Option('c2s', int, 0, 'Workers for clients. Several share the ports.', low=0, high=64),
    Option('components', int, 0, 'Processes for components; each has all that are configured.', low=0, high=16),
    Option('restart_initial', float, 0.2, 'How long a process that has ended waits to be started again; the wait '
           'doubles with each time.', unit='s', low=0.01, high=60),
    Option('restart_maximum', float, 30.0, 'The longest such wait.', unit='s', low=0.01, high=3600),
    Option('steady', float, 60.0, 'A process that has been up for so long begins with the shortest wait again.',
           unit='s', low=1, high=86400),
    Option('heartbeat', float, 2.0, 'How often each process is asked whether it lives.', unit='s', low=0.1, high=60),
    Option('heartbeat_timeout', float, 10.0, 'A process that has not answered for so long is killed, and started '
           'again.', unit='s', low=0.2, high=600),
    Option('start_timeout', float, 120.0, 'The same from its start to its first answer.', unit='s', low=1, high=3600),
    Option('stop_timeout', float, 30.0, 'A process that is asked to end and has not after so long is killed.',
           unit='s', low=1, high=3600),
    Option('log_folder', str, 'log', 'Where each process has its log, NAME.log (0600). Empty: all that they say goes '
           'to standard output, with their names before each line.', path=True),
    Option('log_bytes', int, 10 << 20, 'A log that has grown so far becomes NAME.log.1, that one NAME.log.2, …',
           unit='bytes', low=65536, high=1 << 34),
    Option('log_files', int, 10, 'How many of these are kept.', low=1, high=1000),
    rule=_rule,
)  # fmt: skip


def is_supervised(options: SimpleNamespace) -> bool:
    """Whether the configuration asks for processes apart."""
    return bool(options.routers or options.sm or options.c2s or options.components)
