"""The session manager's options."""

from __future__ import annotations

from jabberd_tx.base.options import Option, Section

REPLACE, REFUSE, RENAME = 'replace', 'refuse', 'rename'

OPTIONS = Section(
    'sm',
    'Session manager: presence, rosters, and where messages go.',
    Option(
        'name',
        str,
        '',
        'Another name that the session managers of the site serve beside the domains: for a component that serves the '
        'domains itself, such as a clustering one.',
        high=1023,
    ),
    Option(
        'authoritative',
        bool,
        True,
        'Whether users who have no account here do not exist. Otherwise what is for them goes to the default route, '
        'as long as there is one.',
        reload=True,
    ),
    Option(
        'cluster',
        list,
        [],
        'Nodes of a clustering component, or patterns with * and ?: they may watch sessions and presence, and speak '
        'for users of the domains who are elsewhere.',
        reload=True,
    ),
    Option(
        'conflict',
        str,
        REPLACE,
        'When a client asks for a resource that another of the same user has: end the other stream, refuse the new one '
        "(both with 'conflict'), or give the new one another resource.",
        choices=(REPLACE, REFUSE, RENAME),
        reload=True,
    ),
    Option('max_resources', int, 20, 'Sessions that a user may have at a time.', low=1, high=1000, reload=True),
    Option(
        'bare_jid',
        str,
        'all',
        'Which clients get a message to the bare JID: all with a priority that is not negative, or only those with '
        'the highest.',
        choices=('all', 'highest'),
        reload=True,
    ),
    Option('roster_items', int, 1000, 'Contacts in a roster.', low=1, high=100_000, reload=True),
    Option('roster_groups', int, 50, 'Groups that a contact may be in.', low=0, high=1000, reload=True),
    Option(
        'roster_requests', int, 500, 'Subscription requests that may wait for a user.', low=1, high=100_000, reload=True
    ),
    Option('roster_cache', int, 1000, 'Rosters kept in memory.', low=1, high=1_000_000, reload=True),
    Option(
        'directed', int, 500, 'Addresses that a client may send directed presence to.', low=1, high=100_000, reload=True
    ),
    Option(
        'busy_seconds',
        float,
        30.0,
        "How long a stanza waits for a busy process before it fails with 'resource-constraint'.",
        unit='s',
        low=3,
        high=300,
        reload=True,
    ),
    Option(
        'replay_streams',
        int,
        65536,
        'Streams whose last 64 stanzas are remembered, so that a repeated one is not taken for new.',
        low=1024,
        high=10_000_000,
    ),
    Option(
        'most_pending',
        int,
        50_000,
        'Stanzas that may wait for their confirmation before this process takes no more.',
        low=100,
        high=10_000_000,
        reload=True,
    ),
    Option(
        'stop_timeout',
        float,
        10.0,
        'How long a stop waits for what is in flight.',
        unit='s',
        low=0,
        high=600,
        reload=True,
    ),
)
