"""The configuration of Redis: where the sessions of a cluster are kept."""

from __future__ import annotations

from jabberd_tx.base.options import Option, Section

OPTIONS = Section(
    'redis',
    'Redis, where session managers that serve the same users keep who is online. The database is for this alone.',
    Option(
        'masters',
        list,
        [],
        'Where it is: endpoints such as tcp:127.0.0.1:6379, or with sentinels the names of masters. Users are spread '
        'over them. None: sessions are kept in the memory of the one session manager.',
    ),
    Option('sentinels', list, [], 'Sentinels, host:port, that know where each master is.'),
    Option('password', str, '', 'Of the masters.', secret=True),
    Option('database', int, 0, 'Number of the database; what is in it is deleted after a loss.', low=0, high=1_000_000),
    Option('prefix', str, 'jabberd:', 'How every key begins.', low=1, high=100),
    Option('timeout', float, 2.0, 'How long one command may take before the connection is cut.', unit='s', low=0.1),
    Option('patience', float, 10.0, 'How long to wait for Redis to come back.', unit='s', low=0),
    Option('announcing', float, 3.0, 'After a loss: until all sessions have been announced again.', unit='s', low=0),
    Option(
        'copies',
        bool,
        True,
        'Whether workers for clients keep copies here of what their clients have not acked, so that nothing is lost '
        'with a worker, and streams are resumed at another one.',
    ),
    Option(
        'lease',
        float,
        2.0,
        'How often a worker for clients says that it lives. Its sessions are ended when no router sees it and it has '
        'not said so for twice as long.',
        unit='s',
        low=0.1,
        high=60,
    ),
    Option('cached', int, 100_000, 'Users whose sessions a session manager remembers.', low=0),
)  # fmt: skip
