"""The configuration of the gateway (docs/gateways.md)."""

from __future__ import annotations

from jabberd_tx.base.addresses import is_loopback
from jabberd_tx.base.option import ValuesOf
from jabberd_tx.base.options import Option, Section
from jabberd_tx.link import options as link
from jabberd_tx.xmpp.events import Limits

_MIB = 1 << 20
# What is in a frame beside its stanza: addresses, and what is added on the way.
_AROUND = 65536


def _rule(values_of: ValuesOf) -> None:
    """Nothing leaves the machine in the clear unless somebody says so; what a component may send fits into a frame."""
    gateway = values_of(OPTIONS)
    if gateway.port and not gateway.insecure and not is_loopback(gateway.interface):
        raise ValueError(
            'gateway.interface: expected a loopback address, since connections to gateway.port have no TLS; '
            'use gateway.tls_port beyond this machine (or gateway.insecure = true)'
        )
    # Written anew with all its namespaces, a stanza's content may take twice as much as it came in, its attributes
    # stay, and each child is noted.
    least = 3 * gateway.max_stanza_bytes + 32 * Limits().children + _AROUND
    if values_of(link.OPTIONS).frame_limit < least:
        given = f'since gateway.max_stanza_bytes is {gateway.max_stanza_bytes}'
        raise ValueError(f'link.frame_limit: expected {least} bytes or more, {given}')


OPTIONS = Section(
    'gateway',
    'External components, which speak XML over a connection of their own (XEP-0114). It listens if there is at '
    'least one [[external_component]] that connects to it.',
    Option('interface', str, '127.0.0.1', 'The address that `port` listens on.', low=1),
    Option('port', int, 5275, 'TCP port for components, without TLS; 0: none.', low=0, high=65535),
    Option('tls_interface', str, '', 'The address that `tls_port` listens on. Empty: all addresses.'),
    Option('tls_port', int, 0, 'TCP port for components that begin with TLS; 0: none.', low=0, high=65535),
    Option('reuse_port', bool, False, 'Share the ports with other processes of this machine (SO_REUSEPORT).'),
    Option('process', int, 0, 'The number of this process among those with a gateway, counted from 0: each has the '
           'slots that follow those of the one before. Only the first connects to components.', low=0, high=1023),
    Option('insecure', bool, False, 'Allow connections without TLS beyond this machine.'),
    Option(
        'tls_authority',
        str,
        '',
        'PEM file with the certificates that may vouch for components that are connected to. With it, these '
        'connections are TLS, and the certificate must name the host in `connect`.',
        path=True,
    ),
    Option('handshake_timeout', float, 10.0, 'From the connection to the name.', unit='s', low=0.1, high=600),
    Option('most_handshakes', int, 100, 'Connections without a name, at once.', low=1, high=100_000),
    Option('connect_timeout', float, 5.0, 'How long an attempt to connect may take.', unit='s', low=0.1, high=600),
    Option('backoff_initial', float, 0.5, 'The wait before a lost component is connected to again; it doubles with '
           'each failure.', unit='s', low=0.01, high=60),
    Option('backoff_maximum', float, 30.0, 'The longest wait between two attempts.', unit='s', low=0.01, high=3600),
    # ---- what a component may send
    Option('max_stanza_bytes', int, 262144, 'Size of one stanza.', unit='bytes', low=10000, high=16 * _MIB),
    Option('stall_timeout', float, 30.0, 'A component that stops in the middle of a stanza for so long is closed.',
           unit='s', low=1, high=3600),
    Option('rate_stanzas', int, 2000, 'Stanzas that one connection may send in a second, on and on; 0: no limit.',
           low=0, high=1 << 40, reload=True),
    Option('burst_stanzas', int, 20000, 'Stanzas that it may send at once, after a rest.', low=1, high=1 << 40,
           reload=True),
    Option('rate_bytes', int, 4 * _MIB, 'Bytes that one connection may send in a second, on and on; 0: no limit.',
           unit='bytes', low=0, high=1 << 40, reload=True),
    Option('burst_bytes', int, 32 * _MIB, 'Bytes that it may send at once, after a rest.', unit='bytes', low=1,
           high=1 << 40, reload=True),
    Option('window_stanzas', int, 1000, 'Stanzas of one connection that are not confirmed; beyond, nothing more is '
           'read from it.', low=16, high=1_000_000),
    Option('window_bytes', int, 8 * _MIB, 'The same in bytes.', unit='bytes', low=65536, high=1 << 30),
    # ---- what waits for a component
    Option('outgoing_bytes', int, 4 * _MIB, 'What waits for a component that reads slowly; beyond, it is said to be '
           'busy, and what is for it waits at its senders.', unit='bytes', low=65536, high=1 << 30),
    Option('write_timeout', float, 60.0, 'A component that reads nothing for so long is closed.', unit='s', low=1,
           high=3600),
    Option('keepalive', float, 60.0, 'After so long without anything to send a space is sent, so that TCP finds out '
           'whether the component is there.', unit='s', low=1, high=3600),
    Option('close_timeout', float, 3.0, 'How long a component has to close its side.', unit='s', low=0.1, high=60),
    Option('drain_timeout', float, 5.0, 'At shutdown, how long stanzas have to be confirmed.', unit='s', low=0,
           high=300),
    rule=_rule,
)  # fmt: skip

EXTERNAL = Section(
    'external_component',
    'An external component, and the name that it serves. One name may have several tables, with different slots.',
    Option('name', str, '', 'The name, such as irc.example.net.', low=1, high=1023, reload=True),
    Option('secret', str, '', 'What both sides know.', secret=True, low=1, high=1024, reload=True),
    Option('connections', int, 1, 'How many may serve the name at once, each as an instance of its own.', low=1,
           high=1024, reload=True),
    Option('policy', str, 'from', 'Which instance gets a stanza (docs/routing.md).', reload=True),
    Option('weight', float, 1.0, 'The share of each instance.', low=0.001, high=1000, reload=True),
    Option('slots', int, 0, 'Share the name out over so many slots, whether or not somebody is there for each; 0: as '
           'its [[route]] says, or over those that are there.', low=0, high=1024, reload=True),
    Option('first_slot', int, 0, 'The slot of the first connection; the next ones have those that follow.', low=0,
           high=1023, reload=True),
    Option('senders', list, [], 'Domains beside the name that it may send from; "*.example.org" stands for all below, '
           '"*" for any.', reload=True),
    Option('connect', list, [], 'Connect to the component, at host:port, rather than wait for it; one connection to '
           'each address.', high=1024, reload=True),
    many=True,
)  # fmt: skip
