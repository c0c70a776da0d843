"""The tables of `jabberd-ctl status`: processes, links, names."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from jabberd_tx.control.ctl.sample import Sample, rates
from jabberd_tx.control.ctl.table import of_bytes, of_rate, of_time, table

_PROCESSES = ('PROCESS', 'STATE', 'PID', 'UP', 'MEMORY', 'CPU', 'HTTP', 'A SECOND', 'WAITING')
_LINKS = ('LINK OF', 'TO', 'STATE', 'UP', 'WAITING THERE', 'WAITING BACK', 'CREDIT')
_NAMES = ('NAME', 'POLICY', 'INSTANCE', 'SLOTS', 'AS TOLD BY')


def tables(before: Sample, now: Sample) -> str:
    """All of them; a table without rows is left out."""
    parts = [
        (_PROCESSES, process_rows(before, now)),
        (_LINKS, link_rows(now)),
        (_NAMES, name_rows(now)),
    ]
    return '\n\n'.join([table(headings, rows) for headings, rows in parts if rows])


def process_rows(before: Sample, now: Sample) -> list[Sequence[str]]:
    """A row for each process, those included that a supervisor has and that are not there, or do not answer."""
    kept_up = {one['name']: one for told in now.told.values() for one in told.get('processes', ())}
    rows: list[Sequence[str]] = []
    for node in sorted({*now.told, *now.failed, *kept_up}):
        told, watched = now.told.get(node), kept_up.get(node, {})
        if told is None:
            state = 'no answer' if node in now.failed else watched['state']
            why = now.failed.get(node) or f'last end: {watched.get("last_end") or "none"}'
            rows.append((node, state, str(watched.get('pid') or ''), '', '', '', '', '', why))
            continue
        state = watched.get('state', 'running')
        if watched.get('restarts'):
            state += f', restarted {watched["restarts"]} times' if watched['restarts'] > 1 else ', restarted once'
        work = _at_work(told, rates(before, now, node))
        rows.append((node, state, str(told.get('pid', '')), *_of_kernel(told), *work))
    return rows


def _of_kernel(told: dict[str, Any]) -> tuple[str, str]:
    if 'uptime_seconds' not in told:
        return '', ''
    return of_time(told['uptime_seconds']), of_bytes(told['memory_kib'] * 1024)


def _at_work(told: dict[str, Any], grown: dict[str, float]) -> tuple[str, str, str, str]:
    """CPU, port, rates and queues."""
    cpu = f'{grown["cpu"] * 100:.0f} %' if 'cpu' in grown else ''
    pace = ', '.join([f'{of_rate(number)} {words}' for words, number in grown.items() if words != 'cpu'])
    queues = [f'{number} {words}' for words, number in told.get('queues', {}).items() if number]
    return cpu, str(told.get('http_port') or ''), pace, ', '.join(queues) or '0'


def link_rows(now: Sample) -> list[Sequence[str]]:
    """Each link as its node sees it, with what its router says of it.  One in the same process is only the
    router's."""
    backs = {(row['node'], row['router']): row for told in now.told.values() for row in told.get('nodes', ())}
    rows: list[Sequence[str]] = []
    for row in sorted([row for told in now.told.values() for row in told.get('links', ())], key=_by_names):
        back = backs.pop((row['node'], row['router']), None)
        there = (row['node'], row['router'], row['state'], of_time(row['seconds']), of_bytes(row['waiting']))
        rows.append((*there, *_way_back(back)))
    for row in sorted(backs.values(), key=_by_names):
        state = 'in the process' if row['local'] else 'draining' if row['draining'] else 'up'
        rows.append((row['node'], row['router'], state, '', '', *_way_back(row)))
    return rows


def _way_back(row: dict[str, Any] | None) -> tuple[str, str]:
    if row is None:
        return '', ''
    waiting = f'{row["waiting"]} frames' if row['local'] else of_bytes(row['waiting'])
    return waiting, of_bytes(row['credit'])


def _by_names(row: dict[str, Any]) -> tuple[str, str]:
    return row['node'], row['router']


def name_rows(now: Sample) -> list[Sequence[str]]:
    """Each instance of each name; what several routers say alike is told once."""
    told_by: defaultdict[tuple[str, str, str, str], list[str]] = defaultdict(list)
    for told in now.told.values():
        for row in told.get('names', ()):
            policy = row['policy'] if row['key'] == 'bare' else f'{row["policy"]}, {row["key"]} JID'
            if row.get('held'):
                policy += f', {row["held"]} frames wait'
            for node, slots in _seats(row):
                told_by[row['name'], policy, node, slots].append(row['router'])
    return [(*key, ', '.join(sorted(routers))) for key, routers in sorted(told_by.items())]


def _seats(row: dict[str, Any]) -> list[tuple[str, str]]:
    """Instances and slots of one name: the number of those, or which one of a fixed number."""
    number = row.get('slots', 0)
    if not number:
        return [(node, '' if slots is None else str(slots)) for node, slots in row['instances'].items()]
    seats = row['seats']
    spare = [(node, 'none') for node in row['instances'] if node not in seats.values()]
    return [(seats.get(str(slot), '(absent)'), f'{slot} of {number}') for slot in range(number)] + spare
