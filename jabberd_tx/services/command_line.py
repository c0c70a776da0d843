"""The command line that all twistd plugins share, and the configuration that it leads to."""

from __future__ import annotations

import os
import sys
from typing import Any

from twisted.logger import (
    FilteringLogObserver,
    ILogFilterPredicate,
    LogLevel,
    LogLevelFilterPredicate,
    textFileLogObserver,
)
from twisted.python import usage
from zope.interface import provider

from jabberd_tx.base import site
from jabberd_tx.base.options import ConfigError, load
from jabberd_tx.control.watchdog import options as watchdog
from jabberd_tx.services.lifeline import end_with_supervisor
from jabberd_tx.services.sections import all_sections

# Where the configuration is looked for when the command line does not name it.
PLACES = ('etc/jabberd.toml', '/etc/jabberd-tx/jabberd.toml')


class Options(usage.Options):
    """`twistd jabberd [-c FILE] [--node NAME] [--set KEY=VALUE …] [--supervised]`."""

    optParameters = [  # noqa: RUF012
        ['config', 'c', None, f'The configuration; otherwise the first that is there of {", ".join(PLACES)}.'],
        ['node', None, None, 'The name of this process among the others: "a7" makes c2s-a7, sm-a7, …'],
    ]

    optFlags = [  # noqa: RUF012
        ['supervised', None, 'Standard input is a pipe from the supervisor: end with it.'],
    ]

    def __init__(self) -> None:
        super().__init__()
        self['overrides'] = []

    def opt_set(self, text: str) -> None:
        """Set one option, as c2s.port=5223; may come again."""
        self['overrides'].append(text)

    opt_s = opt_set

    def postOptions(self) -> None:
        """Read the configuration.  What is wrong with it ends the process with one line, and no word on usage."""
        overrides = list(self['overrides'])
        if self['node'] is not None:
            overrides.append(f'server.node="{self["node"]}"')
        try:
            config = load(self['config'] or found(), all_sections(), overrides)
        except ConfigError as error:
            raise SystemExit(str(error)) from None
        self['configuration'] = config
        if self['supervised']:
            end_with_supervisor(config.section(watchdog.OPTIONS).stop_timeout)
        parent: Any = self.parent
        if parent is not None and not parent.get('logger'):
            # twistd takes the name of a function without arguments, no function: what it needs waits here for it.
            _log_to[:] = [config, parent.get('logfile')]
            parent['logger'] = f'{__name__}.level_observer'


def found() -> str | None:
    """The configuration file that is there, or None: then every option has its default."""
    return next((path for path in PLACES if os.path.exists(path)), None)


_log_to: list[Any] = []


def level_observer() -> FilteringLogObserver:
    """Logs what is at least as severe as [server] log_level, which may change while the process runs."""
    config, file = _log_to
    options = config.section(site.OPTIONS)
    if file and file != '-':
        from twisted.python.logfile import LogFile

        out: Any = LogFile.fromFullPath(file)
    else:
        out = sys.stdout
    predicate = LogLevelFilterPredicate()

    @provider(ILogFilterPredicate)
    def severe_enough(event: Any) -> Any:
        predicate.setLogLevelForNamespace('', LogLevel.levelWithName(options.log_level))
        return predicate(event)

    return FilteringLogObserver(textFileLogObserver(out), [severe_enough])
