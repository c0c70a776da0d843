"""Accounts from a CSV file: user,domain,password in each row, in UTF-8."""

from __future__ import annotations

import csv
import os
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

from jabberd_tx.control.ctl.accounts import Accounts
from jabberd_tx.xmpp.jid import InvalidJid, parse
from jabberd_tx.xmpp.sasl.verifiers import Credentials, derive

# Accounts written in one transaction.  The rest of a file goes on when the import is cut short amid it.
TOGETHER = 64

HEADER = ['user', 'domain', 'password']


class Row(NamedTuple):
    """A row that names an account of this site."""

    line: int
    owner: str
    password: str


class BadRow(NamedTuple):
    """A row that can't be imported, and why (never with the password)."""

    line: int
    text: str


class Imported(NamedTuple):
    """How many accounts were made, how many had another password before, and what was left out."""

    new: int
    changed: int
    bad: list[BadRow]


def read_rows(lines: Iterable[str], domains: Iterable[str]) -> Iterator[Row | BadRow]:
    """Each row in order; empty lines are passed over, and a first line that just names the columns.

    `lines`: from a file that was opened with errors='surrogateescape' and newline=''.
    """
    reader = csv.reader(lines)
    served = frozenset(domains)
    seen: dict[str, int] = {}
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield BadRow(reader.line_num, f'not CSV: {error}')
            continue
        line = reader.line_num
        if not row or (line == 1 and [cell.strip().lower() for cell in row] == HEADER):
            continue
        try:
            owner, password = _checked(row, served)
        except ValueError as error:
            yield BadRow(line, str(error))
            continue
        if owner in seen:
            yield BadRow(line, f'{owner} was in line {seen[owner]} already')
            continue
        seen[owner] = line
        yield Row(line, owner, password)


def _checked(row: list[str], served: frozenset[str]) -> tuple[str, str]:
    if len(row) != len(HEADER):
        raise ValueError(f'expected user,domain,password, not {len(row)} columns')
    user, domain, password = row
    try:
        ''.join(row).encode()
    except UnicodeEncodeError:
        raise ValueError('not UTF-8') from None
    if not user.strip():
        raise ValueError('no user name')
    try:
        jid = parse(f'{user.strip()}@{domain.strip()}')
    except InvalidJid as error:
        raise ValueError(f'{user}@{domain}: {error}') from None
    if jid.resource or not jid.local:
        raise ValueError(f'{user}@{domain}: expected no more than a user name and a domain')
    if jid.domain not in served:
        raise ValueError(f'{jid.domain} is not served here')
    if not password:
        raise ValueError(f'{jid.bare}: the password is empty')
    return jid.bare, password


def import_rows(
    rows: Iterable[Row | BadRow], accounts: Accounts, iterations: int, progress: Callable[[int], None]
) -> Imported:
    """Derive the verifiers on all cores (PBKDF2 leaves the interpreter's lock alone), write them in groups.

    `progress`: called with how many more rows are done.  StorageError, AdminError: the groups before are written.
    """
    cores = len(os.sched_getaffinity(0))
    new = changed = 0
    bad: list[BadRow] = []
    groups: defaultdict[str, list[tuple[str, Credentials]]] = defaultdict(list)

    def write(domain: str) -> None:
        nonlocal new, changed
        group = groups.pop(domain)
        made = accounts.put_many(domain, group)
        new, changed = new + made, changed + len(group) - made

    def finish(row: Row, derived: Future[Credentials]) -> None:
        domain = row.owner.rpartition('@')[2]
        try:
            groups[domain].append((row.owner, derived.result()))
        except ValueError as error:
            bad.append(BadRow(row.line, f'{row.owner}: {error}'))
        if len(groups[domain]) >= TOGETHER:
            write(domain)
        progress(1)

    with ThreadPoolExecutor(cores) as pool:
        deriving: deque[tuple[Row, Future[Credentials]]] = deque()
        for row in rows:
            if isinstance(row, BadRow):
                bad.append(row)
                progress(1)
                continue
            deriving.append((row, pool.submit(derive, row.password, iterations)))
            if len(deriving) >= 4 * cores:
                finish(*deriving.popleft())
        while deriving:
            finish(*deriving.popleft())
    for domain in [domain for domain, group in groups.items() if group]:
        write(domain)
    return Imported(new, changed, sorted(bad))
