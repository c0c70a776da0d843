"""DNS: whether clients that know a domain alone find the ports (RFC 6120 §3.2, XEP-0368).

What it finds is a warning at worst: a port may be another one outside, behind what forwards to here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from ipaddress import ip_address

from jabberd_tx.base.certificates import to_ascii
from jabberd_tx.control.check.finding import OK, WARN, Finding
from jabberd_tx.control.check.srv_lookup import Answer, Srv

# Where clients go that find no record.
STANDARD = 5222
# Names that no name server is asked for (RFC 6761 §6, RFC 6762 §3).
LOCAL = frozenset(('localhost', 'local', 'test', 'invalid'))

LookUp = Callable[[Sequence[str]], Mapping[str, Answer]]


def check_dns(domains: Sequence[str], port: int, tls_port: int, look_up: LookUp) -> Iterator[Finding]:
    """`port`, `tls_port`: where clients are listened for, 0 for not at all; `look_up`: as srv_lookup's."""
    public = [to_ascii(domain) for domain in domains if _is_public(domain)]
    if not public or not (port or tls_port):
        return
    names = [f'_{service}._tcp.{domain}' for domain in public for service in ('xmpp-client', 'xmpps-client')]
    found = look_up(names)
    for domain in public:
        plain, direct = f'_xmpp-client._tcp.{domain}', f'_xmpps-client._tcp.{domain}'
        if port:
            yield _of_port(plain, found[plain], port, _without(domain, port, plain))
        if tls_port:
            nobody = Finding(OK, f'DNS {direct}', 'no record: clients use STARTTLS', _record(direct, tls_port))
            yield _of_port(direct, found[direct], tls_port, nobody)


def _is_public(domain: str) -> bool:
    try:
        ip_address(domain.strip('[]'))
    except ValueError:
        return domain.rpartition('.')[2] not in LOCAL
    return False


def _without(domain: str, port: int, name: str) -> Finding:
    """Without a record: clients go to the domain's own address."""
    if port == STANDARD:
        return Finding(OK, f'DNS {name}', f'no record: clients connect to {domain}, port {STANDARD}')
    return Finding(WARN, f'DNS {name}', f'no record: clients try port {STANDARD}, not {port}', _record(name, port))


def _record(name: str, port: int) -> str:
    return f'add: {name}. 3600 IN SRV 5 0 {port} HOST.'


def _of_port(name: str, answer: Answer, port: int, none: Finding) -> Finding:
    subject = f'DNS {name}'
    if isinstance(answer, str):
        return Finding(WARN, subject, answer, 'ask again later, or another one: --nameserver ADDRESS')
    if not answer:
        return none
    if all(record.host in ('', '.') for record in answer):
        return Finding(WARN, subject, f'says that port {port} is not there', _record(name, port))
    told = ', '.join([_shown(record) for record in answer])
    if any(record.port == port for record in answer):
        return Finding(OK, subject, told)
    return Finding(WARN, subject, f'{told}: not port {port}', 'right only if something forwards that port to this one')


def _shown(record: Srv) -> str:
    return f'{record.host} port {record.port}'
