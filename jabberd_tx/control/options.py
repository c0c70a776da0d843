"""The admin link's options, and where its sockets are."""

from __future__ import annotations

import os
from types import SimpleNamespace

from jabberd_tx.base.options import Option, Section

OPTIONS = Section(
    'admin',
    'The link between jabberd-ctl and the running processes: a unix socket for each.',
    Option(
        'folder',
        str,
        'run',
        'The folder of the sockets; it is kept for its owner alone (0700).',
        low=1,
        path=True,
    ),
    Option('timeout', float, 60.0, 'How long one request may take.', unit='s', low=1, high=3600),
    Option('idle_timeout', float, 300.0, 'A connection that asks nothing for so long is closed.', unit='s', low=1),
    Option('connections', int, 16, 'Connections at once.', low=1, high=1000),
)


def socket_path(options: SimpleNamespace, node: str) -> str:
    """The socket of a node, such as 'c2s-a7' (base/site.node_name)."""
    return os.path.join(options.folder, f'{node}.sock')
