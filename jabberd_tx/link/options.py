"""The options of links: the same for both ends, and for all processes of a site."""

from __future__ import annotations

from jabberd_tx.base.option import ValuesOf
from jabberd_tx.base.options import Option, Section

MIB = 1 << 20


def _rule(values_of: ValuesOf) -> None:
    """A frame of any size can be sent, and a link is not cut before it is asked whether it lives."""
    link = values_of(OPTIONS)
    if link.credit < link.frame_limit:
        raise ValueError(f'link.credit: expected link.frame_limit ({link.frame_limit} bytes) or more')
    if link.outbound_limit < 2 * link.frame_limit:
        raise ValueError(f'link.outbound_limit: expected twice link.frame_limit ({2 * link.frame_limit} bytes) or more')
    if link.heartbeat_timeout <= link.heartbeat:
        raise ValueError(f'link.heartbeat_timeout: expected more than link.heartbeat ({link.heartbeat:g} s)')

OPTIONS = Section(
    'link',
    'Links between the processes of a site.',
    Option('secret', str, '', 'What all processes of the site know, 16 characters or more. Without it no link.',
           secret=True),
    Option('routers', list, ['127.0.0.1:5347'], 'Every router, as host:port or [address]:port. A process keeps a link '
           'to each.', reload=True),
    Option('frame_limit', int, MIB, 'The longest frame that is taken; the same on all processes.', unit='bytes',
           low=65536, high=64 * MIB),
    Option('credit', int, 8 * MIB, 'How much work a router may send a process before the process asks for more. Beyond '
           'it senders are told "busy".', unit='bytes', low=65536, high=1 << 32),
    Option('heartbeat', float, 1.0, 'A link that has been silent for so long is asked whether it lives.', unit='s',
           low=0.05, high=60),
    Option('heartbeat_timeout', float, 3.0, 'A link that has been silent for so long is cut.', unit='s', low=0.1,
           high=600),
    Option('handshake_timeout', float, 10.0, 'From the connection to the end of authentication.', unit='s', low=0.1,
           high=600),
    Option('connect_timeout', float, 5.0, 'How long an attempt to connect to a router may take.', unit='s', low=0.1,
           high=600),
    Option('confirm_delay', float, 0.02, 'How long a confirmation may wait for others, so that fewer frames wake fewer '
           'processes. 0: to the end of the reactor turn.', unit='s', low=0, high=0.5),
    Option('outbound_limit', int, 64 * MIB, 'A link is cut when so much waits to be sent over it.', unit='bytes',
           low=2 * MIB, high=1 << 34),
    Option('backoff_initial', float, 0.1, 'The wait before a lost router is tried again; it doubles with each failure.',
           unit='s', low=0.01, high=60),
    Option('backoff_maximum', float, 5.0, 'The longest wait between two attempts.', unit='s', low=0.01, high=3600),
    Option('absence_grace', float, 10.0, 'After a link came up: how long its router may not know of a process that was '
           'there, before that process is taken for gone. Longer than a process takes to find the router again.',
           unit='s', low=0, high=3600),
    Option('unauthenticated_limit', int, 64, 'A router holds no more links than these that have not proved themselves.',
           low=1, high=65536),
    Option('tls_certificate', str, '', 'PEM file with the certificate chain of a router. With it, all links to the '
           'router are TLS.', path=True, reload=True),
    Option('tls_key', str, '', 'PEM file with the private key of that certificate.', path=True, reload=True),
    Option('tls_authority', str, '', 'PEM file with the certificates that may vouch for a router. With it, a process '
           'connects with TLS, and checks that the certificate names the host that [link] routers has.', path=True,
           reload=True),
    Option('insecure', bool, False, 'Allow links without TLS beyond this machine.'),
    rule=_rule,
)  # fmt: skip
