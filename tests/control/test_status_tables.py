"""The tables of jabberd-ctl status, from what processes say."""

from __future__ import annotations

import os

import pytest

from jabberd_tx.control.ctl.sample import Sample, of_process, rates
from jabberd_tx.control.ctl.status_tables import link_rows, name_rows, process_rows, tables
from jabberd_tx.control.ctl.table import of_bytes, of_rate, of_time, table

EMPTY = Sample(0.0, {}, {})


def told(pid=7, cpu=1.0, **more):
    """What a process says."""
    return {'pid': pid, 'uptime_seconds': 90.0, 'cpu_seconds': cpu, 'memory_kib': 2048, 'http_port': 5282, **more}


def test_numbers_stand_to_the_right():
    """And text to the left, without spaces at the ends of lines."""
    text = table(('A', 'BB', 'C'), [('x', '1 KiB', ''), ('yyy', '10 B', 'z')])
    assert text == 'A       BB  C\nx    1 KiB\nyyy   10 B  z'


@pytest.mark.parametrize(
    ('shown', 'expected'),
    [
        (of_time(0), '0 s'), (of_time(119), '119 s'), (of_time(120), '2.0 min'), (of_time(7200), '2.0 h'),
        (of_time(36000), '10 h'), (of_time(30 * 86400), '30 d'), (of_bytes(0), '0 B'), (of_bytes(1023), '1023 B'),
        (of_bytes(1536), '1.5 KiB'), (of_bytes(8 << 20), '8.0 MiB'), (of_bytes(78 << 20), '78 MiB'),
        (of_bytes(5 << 30), '5.0 GiB'), (of_rate(0), '0'), (of_rate(0.25), '0.2'), (of_rate(1400.4), '1400'),
    ],
)  # fmt: skip
def test_sizes_and_times_are_short(shown, expected):
    """With units."""
    assert shown == expected


def test_rates_are_growth_a_second():
    """Of counts and CPU time; none for another process of that name."""
    before = Sample(10.0, {'c2s-1': told(counts={'stanzas': 100}), 'sm-1': told(8)}, {})
    now = Sample(12.0, {'c2s-1': told(cpu=1.5, counts={'stanzas': 130, 'new': 1}), 'sm-1': told(9)}, {})
    assert rates(before, now, 'c2s-1') == {'stanzas': 15.0, 'cpu': 0.25}
    assert rates(before, now, 'sm-1') == {} and rates(now, now, 'c2s-1') == {}
    queues = {'pending': 0, 'bytes on links': 12}
    now.told['c2s-1']['queues'] = queues
    [row, _] = process_rows(before, now)
    assert row == ('c2s-1', 'running', '7', '90 s', '2.0 MiB', '25 %', '5282', '15 stanzas', '12 bytes on links')


def test_what_a_supervisor_misses_is_shown():
    """With the state, and how it ended or why there is no answer."""
    kept = [
        {'name': 'c2s-1', 'state': 'waiting', 'pid': 0, 'restarts': 3, 'last_end': 'status 1'},
        {'name': 'sm-1', 'state': 'running', 'pid': 9, 'restarts': 1, 'last_end': 'signal SIGKILL'},
        {'name': 'sm-2', 'state': 'running', 'pid': 8, 'restarts': 2, 'last_end': ''},
    ]
    now = Sample(1.0, {'supervisor-1': told(processes=kept), 'sm-1': told(9)}, {'sm-2': 'sm-2: timed out'})
    rows = {row[0]: row for row in process_rows(EMPTY, now)}
    assert list(rows) == ['c2s-1', 'sm-1', 'sm-2', 'supervisor-1']
    assert rows['c2s-1'][1:3] == ('waiting', '') and rows['c2s-1'][-1] == 'last end: status 1'
    assert rows['sm-1'][1] == 'running, restarted once'
    assert rows['sm-2'][1:3] == ('no answer', '8') and rows['sm-2'][-1] == 'sm-2: timed out'


def test_links_are_shown_from_both_ends():
    """What waits at either; those in one process, and those of nodes elsewhere, are known to the router alone."""
    node = {'router': 'router-1', 'local': False, 'draining': False, 'credit': 1 << 20, 'waiting': 5, 'names': 1}
    near = {**node, 'router': 'router-2', 'node': 'sm-a', 'local': True}
    links = [
        {'node': 'c2s-1', 'router': 'router-1', 'state': 'up', 'seconds': 9.0, 'waiting': 4},
        {'node': 'c2s-1', 'router': '127.0.0.1:5348', 'state': 'connecting', 'seconds': 0.0, 'waiting': 0},
    ]
    nodes = [{**node, 'node': 'c2s-1'}, {**node, 'node': 'far-1', 'draining': True}]
    now = Sample(1.0, {'c2s-1': told(links=links), 'router-1': told(nodes=nodes), 'x': told(nodes=[near])}, {})
    assert link_rows(now) == [
        ('c2s-1', '127.0.0.1:5348', 'connecting', '0 s', '0 B', '', ''),
        ('c2s-1', 'router-1', 'up', '9 s', '4 B', '5 B', '1.0 MiB'),
        ('far-1', 'router-1', 'draining', '', '', '5 B', '1.0 MiB'),
        ('sm-a', 'router-2', 'in the process', '', '', '5 frames', '1.0 MiB'),
    ]


def test_names_are_told_once():
    """Where routers agree; where they do not, both are shown."""
    row = {'name': 'example.net', 'policy': 'to', 'key': 'bare', 'instances': {'sm-1': 16000, 'sm-2': 384}}
    other = {**row, 'router': 'router-2', 'instances': {'sm-1': 16000}}
    full = {'router': 'router-1', 'name': 'x.net', 'policy': 'random', 'key': 'full', 'instances': {'x-1': None}}
    routers = {'router-1': told(names=[{**row, 'router': 'router-1'}, full]), 'router-2': told(names=[other])}
    now = Sample(1.0, routers, {})
    assert name_rows(now) == [
        ('example.net', 'to', 'sm-1', '16000', 'router-1, router-2'),
        ('example.net', 'to', 'sm-2', '384', 'router-1'),
        ('x.net', 'random, full JID', 'x-1', '', 'router-1'),
    ]
    fixed = {**full, 'policy': 'to', 'key': 'bare', 'slots': 2, 'seats': {'1': 'x-1'}, 'held': 3}
    fixed['instances'] = {'x-1': None, 'x-2': None}
    assert name_rows(Sample(1.0, {'router-1': told(names=[fixed])}, {})) == [
        ('x.net', 'to, 3 frames wait', '(absent)', '0 of 2', 'router-1'),
        ('x.net', 'to, 3 frames wait', 'x-1', '1 of 2', 'router-1'),
        ('x.net', 'to, 3 frames wait', 'x-2', 'none', 'router-1'),
    ]
    text = tables(EMPTY, now)
    assert text.count('\n\n') == 1 and 'LINK OF' not in text


def test_a_process_that_is_gone_has_no_figures():
    """And this one has."""
    assert of_process(2**22 + 1) == {}
    assert {'uptime_seconds', 'cpu_seconds', 'memory_kib'} == set(of_process(os.getpid()))
