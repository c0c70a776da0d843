"""The options that every service of a site shares, and what follows from them."""

from __future__ import annotations

import os
import socket
from types import SimpleNamespace

from jabberd_tx.base.options import Option, Section

OPTIONS = Section(
    'server',
    'What every service of the site shares.',
    Option('domains', list, ['localhost'], 'The XMPP domains that this site serves.', low=1),
    Option(
        'data',
        str,
        'var',
        'The folder for databases, certificates and the admin socket. A relative path is below the folder of this '
        'file; relative paths in all other options are below this folder.',
        low=1,
        path=True,
    ),
    Option(
        'node',
        str,
        '',
        'The name of this process among the others, without the service in front: "a7" makes c2s-a7, sm-a7, … '
        'Empty: made from host name and process id.',
        high=64,
    ),
    Option(
        'log_level',
        str,
        'info',
        'The least severe events that are logged.',
        choices=('debug', 'info', 'warn', 'error', 'critical'),
        reload=True,
    ),
)


def node_name(options: SimpleNamespace, service: str) -> str:
    """The name under which `service` of this process is known to the others: 'c2s-a7'."""
    return f'{service}-{options.node or socket.gethostname().split(".")[0] + "-" + str(os.getpid())}'
