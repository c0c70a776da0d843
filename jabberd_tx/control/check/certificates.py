"""Certificates: readable, in date, the key is theirs, and each domain is named by one."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from datetime import datetime
from types import SimpleNamespace

from jabberd_tx.base.certificates import SOON, CertificateError, CertificateFacts, covers, inspect, to_ascii
from jabberd_tx.control.check.finding import FAIL, OK, WARN, Finding

_RENEW = 'renew it, then jabberd-ctl reload'


def check_certificates(
    tables: Sequence[SimpleNamespace], domains: Sequence[str], required: bool, now: datetime
) -> Iterator[Finding]:
    """`tables`: the values of base.tls.OPTIONS; `required`: nobody may log in without TLS; `now`: with a timezone."""
    if not tables:
        level = FAIL if required else WARN
        yield Finding(level, 'certificate', 'none is configured', 'add a [[certificate]] with chain and key')
        return
    names: list[str] = []
    for table in tables:
        subject = f'certificate {table.chain}'
        try:
            facts = inspect(table.chain, table.key)
        except OSError as error:
            yield Finding(FAIL, subject, f'{error.filename}: {error.strerror}', 'see [[certificate]] chain and key')
            continue
        except CertificateError as error:
            yield Finding(FAIL, subject, str(error))
            continue
        problems = [*_problems(subject, facts, now), *_key_file(table.key)]
        yield from problems
        if not problems:
            yield Finding(OK, subject, f'for {", ".join(facts.names)} until {facts.not_after:%Y-%m-%d}')
        shown_for = [to_ascii(domain) for domain in table.domains]
        names += [name for name in facts.names if not shown_for or covers(shown_for, name) or name in shown_for]
    for domain in domains:
        if not covers(names, domain):
            yield Finding(
                FAIL, f'domain {domain}', 'no certificate names it', 'get one that does, and list it as [[certificate]]'
            )


def _problems(subject: str, facts: CertificateFacts, now: datetime) -> Iterator[Finding]:
    if not facts.key_matches:
        yield Finding(FAIL, subject, 'the private key is not that of the certificate', 'see [[certificate]] key')
    if now < facts.not_before:
        yield Finding(FAIL, subject, f'not valid before {facts.not_before:%Y-%m-%d %H:%M} UTC', 'is the clock right?')
    if now > facts.not_after:
        yield Finding(FAIL, subject, f'expired on {facts.not_after:%Y-%m-%d}', _RENEW)
    elif facts.not_after - now < SOON:
        yield Finding(WARN, subject, f'expires on {facts.not_after:%Y-%m-%d}', _RENEW)
    if not facts.in_order:
        yield Finding(WARN, subject, 'the chain is out of order', "each certificate is followed by its issuer's")


def _key_file(path: str) -> Iterator[Finding]:
    mode = stat.S_IMODE(os.stat(path).st_mode)
    if mode & 0o007:
        yield Finding(WARN, f'key {path}', f'everybody may read it (mode {mode:04o})', f'chmod 600 {path}')
