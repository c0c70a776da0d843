"""The options of client connections: section [c2s]."""

from __future__ import annotations

from jabberd_tx.base.option import ValuesOf
from jabberd_tx.base.options import Option, Section
from jabberd_tx.components.c2s.addresses import parse_networks
from jabberd_tx.components.c2s.limit_options import CLIENT_STATE, CONNECTION_LIMITS, FAILED_LOGINS, RATES
from jabberd_tx.components.c2s.login_options import LOGIN
from jabberd_tx.components.c2s.resumption_options import RESUMPTION
from jabberd_tx.link import options as link

_MIB = 1 << 20
# What a frame has besides the stanza: addresses, and what is added on the way (delays, stanza ids, an error's text).
_AROUND = 65536


def _rule(values_of: ValuesOf) -> None:
    """Whatever a client may send fits into a frame; networks are networks."""
    clients = values_of(OPTIONS)
    try:
        parse_networks(clients.unlimited_addresses)
    except ValueError as error:
        raise ValueError(f'c2s.unlimited_addresses: expected addresses and networks: {error}') from None
    # Written anew with all its namespaces, a stanza's content may take twice as much as it came in, its attributes
    # stay, and each child is noted.
    least = 3 * clients.max_stanza_bytes + 32 * clients.max_children + _AROUND
    if values_of(link.OPTIONS).frame_limit < least:
        given = f'c2s.max_stanza_bytes is {clients.max_stanza_bytes} and c2s.max_children {clients.max_children}'
        raise ValueError(f'link.frame_limit: expected {least} bytes or more, since {given}')


OPTIONS = Section(
    'c2s',
    'Client connections.',
    Option('port', int, 5222, 'TCP port where clients connect and use STARTTLS; 0: none.', low=0, high=65535),
    Option('tls_port', int, 5223, 'TCP port for direct TLS (XEP-0368); 0: none.', low=0, high=65535),
    Option('interface', str, '', 'Address to listen on. Empty: all IPv4 addresses; "::": IPv6 and IPv4.', high=64),
    Option('backlog', int, 4096, 'Connections that wait to be accepted.', low=16, high=65535),
    Option('reuse_port', bool, False, 'Share the ports with other workers on this machine (SO_REUSEPORT).'),
    # ---- who may log in, and how
    Option('require_tls', bool, True, 'No login without TLS.', reload=True),
    Option(
        'plaintext_on_loopback',
        bool,
        False,
        'Allow login without TLS to clients on this machine, whatever require_tls says.',
        reload=True,
    ),
    Option(
        'plain_without_tls',
        bool,
        False,
        'Offer the mechanism PLAIN without TLS, to clients on this machine only.',
        reload=True,
    ),
    Option('login_timeout', float, 30.0, 'From the connection to the bound resource.', unit='s', low=1, high=3600),
    Option('login_attempts', int, 3, 'Failed logins until the stream is closed.', low=1, high=5),
    Option(
        'unauthenticated_bytes',
        int,
        65536,
        'What a client may send before it has logged in.',
        unit='bytes',
        low=4096,
        high=_MIB,
    ),
    Option(
        'most_logins', int, 10000, 'Connections that have not logged in, at once.', low=10, high=1000000, reload=True
    ),
    *CONNECTION_LIMITS,
    *FAILED_LOGINS,
    *LOGIN,
    Option('password_threads', int, 2, 'PLAIN passwords that are checked at once.', low=1, high=64),
    Option('password_queue', int, 1000, 'PLAIN passwords that wait to be checked.', low=1, high=100000),
    Option(
        'decoy_secret',
        str,
        '',
        'From it salts are made for names that have no account. The same on all workers. Empty: a random one.',
        low=0,
        high=1024,
        secret=True,
    ),
    Option('bind_timeout', float, 15.0, 'From the wish for a resource to its session.', unit='s', low=1, high=600),
    Option('bind_attempts', int, 6, 'Refused resources until the stream is closed.', low=6, high=11),
    Option(
        'see_other_host',
        str,
        '',
        'Send clients elsewhere with this host or host:port, before they log in. Empty: serve them.',
        high=255,
        reload=True,
    ),
    # ---- what a client may send
    Option('max_stanza_bytes', int, 262144, 'Size of one stanza.', unit='bytes', low=10000, high=16 * _MIB),
    Option('max_depth', int, 64, 'Elements in each other, in one stanza.', low=8, high=1024),
    Option('max_attributes', int, 64, 'Attributes of one tag.', low=16, high=1024),
    Option('max_children', int, 256, 'Direct children of one stanza.', low=16, high=65536),
    Option('window_stanzas', int, 64, 'Stanzas of one client that are not confirmed, 62 at most.', low=1, high=64),
    Option(
        'window_bytes',
        int,
        262144,
        'Bytes of one client that are not confirmed; beyond, nothing more is read from it.',
        unit='bytes',
        low=4096,
        high=64 * _MIB,
    ),
    *RATES,
    # ---- what waits for a client
    Option(
        'outgoing_bytes',
        int,
        4 * _MIB,
        'What waits for a client that does not read; beyond, its stream is closed.',
        unit='bytes',
        low=65536,
        high=256 * _MIB,
    ),
    Option('write_timeout', float, 60.0, 'A client that reads nothing is given up.', unit='s', low=1, high=3600),
    Option(
        'unacked_stanzas',
        int,
        1000,
        'Stanzas sent that a client has not acked (XEP-0198).',
        low=16,
        high=100000,
        reload=True,
    ),
    Option(
        'unacked_bytes',
        int,
        4 * _MIB,
        'Bytes sent that a client has not acked; beyond, its stream is closed.',
        unit='bytes',
        low=65536,
        high=256 * _MIB,
        reload=True,
    ),
    Option('ack_every_stanzas', int, 50, 'An ack is asked for after so many stanzas …', low=1, high=1000),
    Option('ack_every_bytes', int, 131072, '… or so many bytes.', unit='bytes', low=1024, high=16 * _MIB),
    Option('ack_timeout', float, 60.0, 'A client that does not answer is given up.', unit='s', low=1, high=3600),
    Option(
        'idle_timeout',
        float,
        600.0,
        'A client that said nothing for so long is probed: with a request for an ack, or else with a space; 0: never.',
        unit='s',
        low=0,
        high=86400,
    ),
    *CLIENT_STATE,
    *RESUMPTION,
    # ---- ends
    Option('close_timeout', float, 3.0, 'How long a client has to close its side.', unit='s', low=0.1, high=60),
    Option(
        'drain_timeout',
        float,
        5.0,
        'At shutdown, how long stanzas have to be confirmed; then the same again for the sessions to be ended.',
        unit='s',
        low=0,
        high=300,
    ),
    Option(
        'linger_timeout',
        float,
        300.0,
        'How long stanzas of a stream that is over are kept for a session manager to take.',
        unit='s',
        low=1,
        high=86400,
    ),
    Option(
        'returned_bytes',
        int,
        64 * _MIB,
        'Messages that clients did not ack, kept for a session manager to take; beyond, the newest are lost.',
        unit='bytes',
        low=_MIB,
        high=16384 * _MIB,
    ),
    rule=_rule,
)
