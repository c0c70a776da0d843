"""What /metrics of real processes says moves with what happens to them, in both shapes."""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter

import pytest
from processes import Process, Site
from prometheus_client.parser import text_string_to_metric_families
from raw_client import RawClient

# More than the stretch of a stream's messages in which one is timed.
MESSAGES = 130


def scraped(processes: list[Process]) -> Counter[str]:
    """All samples of all processes, added up: 'name{label="value"}'."""
    found: Counter[str] = Counter()
    for process in processes:
        for family in text_string_to_metric_families(process.scrape()):
            for sample in family.samples:
                labels = ','.join(f'{key}={value}' for key, value in sample.labels.items())
                found[f'{sample.name}{{{labels}}}' if labels else sample.name] += sample.value
    return found


@pytest.fixture
def processes(site: Site) -> list[Process]:
    return list(site.processes.values())


def test_counts_links_queues_and_times_move_with_traffic(site: Site, processes: list[Process]) -> None:
    """Two clients log in and one writes to the other; then they go."""
    before = scraped(processes)

    certificate = site.folder / 'data' / 'cert.pem'

    async def talk() -> Counter[str]:
        juliet = await RawClient(site.ports[0], certificate).login('juliet')
        romeo = await RawClient(site.ports[-1], certificate).login('romeo')
        body = '<body>hi</body>'
        for _ in range(MESSAGES):
            romeo.send(f"<message to='{juliet.jid}' type='chat'>{body}</message>")
            if not _ % 10:
                romeo.send("<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>")
        for _ in range(MESSAGES):
            await juliet.until('</message>')
        there = await asyncio.to_thread(scraped, processes)
        for client in (juliet, romeo):
            client.send('</stream:stream>')
            await client.ended()
        return there

    there = asyncio.run(talk())
    moved = there - before
    # stanzas by kind, at each place
    for name, least in (
        ('jabberd_c2s_stanzas_received_total{kind=message}', MESSAGES),
        ('jabberd_c2s_stanzas_sent_total{kind=message}', MESSAGES),
        ('jabberd_c2s_stanzas_received_total{kind=iq}', MESSAGES // 10),
        ('jabberd_c2s_stanzas_received_total{kind=presence}', 2),
        ('jabberd_sm_stanzas_total{kind=message}', MESSAGES),
        ('jabberd_sm_stanzas_total{kind=presence}', 2),
        ('jabberd_sm_messages_total{outcome=delivered}', MESSAGES - 64),  # the last are on their way to be confirmed
        ('jabberd_router_frames_total{kind=route}', 2 * MESSAGES),
        # logins, and how long they took
        ('jabberd_c2s_logins_total{outcome=ok}', 2),
        ('jabberd_c2s_login_seconds_count', 2),
        ('jabberd_c2s_login_seconds_bucket{le=30.0}', 2),
        # messages from end to end: one in 64 of a stream
        ('jabberd_sm_handling_seconds_count', 1),
        ('jabberd_sm_handling_seconds_bucket{le=+Inf}', 1),
        # turns, storage, the process
        ('jabberd_turn_cpu_seconds_count', 10),
        ('process_cpu_seconds_total', 0.001),
    ):
        assert moved[name] >= least, (name, moved[name])
    assert there['jabberd_c2s_streams'] == 2
    assert there['jabberd_turn_cpu_longest_seconds'] > 0
    assert any(name.startswith('jabberd_storage_operations') for name in moved)
    if site.shape == 'apart':
        assert there['jabberd_link_up'] == 6, 'two c2s and an sm to two routers'
        assert there['jabberd_router_nodes'] == 6
    else:
        assert there['jabberd_router_nodes'] == 2

    # queues are there, and empty when all is quiet
    queues = ['jabberd_c2s_unconfirmed', 'jabberd_c2s_unacked', 'jabberd_c2s_waiting_bytes', 'jabberd_c2s_returned']
    queues += ['jabberd_sm_pending', 'jabberd_sm_waiting', 'jabberd_storage_waiting']
    queues.append('jabberd_link_waiting_bytes' if site.shape == 'apart' else 'jabberd_link_waiting_frames')

    def busy() -> dict[str, float]:
        now = scraped(processes)
        assert set(queues) <= set(now), set(queues) - set(now)
        return {name: now[name] for name in [*queues, 'jabberd_c2s_streams'] if now[name]}

    for _ in range(50):
        if not (left := busy()):
            break
        time.sleep(0.1)
    assert not left


def test_no_label_takes_its_values_from_what_users_send(processes: list[Process]) -> None:
    """However many users there are, there are as many series."""
    for name in scraped(processes):
        assert not re.search('juliet|romeo|localhost|@', name), name
