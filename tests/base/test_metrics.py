"""Metrics: what is counted is what a scrape says."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families
from twisted.trial.unittest import SynchronousTestCase

from jabberd_tx.base.metrics import Counters, Histogram, Metrics


def scrape(metrics: Metrics) -> dict[tuple[str, ...], float]:
    """Each sample by name and label values, as a Prometheus would read it."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(metrics.text().decode())
        for sample in family.samples
    }


def test_counters_have_a_number_for_each_value_of_their_label():
    metrics = Metrics()
    counts = metrics.counters('site_bounces', 'Bounces.', 'reason', ('no-link', 'busy', '7bit'))
    counts.no_link += 2
    counts._7bit += 1
    found = scrape(metrics)
    assert found['site_bounces_total', 'no-link'] == 2
    assert found['site_bounces_total', 'busy'] == 0
    assert found['site_bounces_total', '7bit'] == 1
    assert counts.read() == {'no-link': 2, 'busy': 0, '7bit': 1}


def test_one_more_of_a_value_that_is_at_hand_as_text():
    counts = Counters('site_bounces', 'Bounces.', 'reason', ('no-link', '7bit'))
    counts.one_more('no-link')
    counts.one_more('7bit')
    counts.one_more('7bit')
    assert counts.read() == {'no-link': 1, '7bit': 2}
    with pytest.raises(AttributeError):
        counts.one_more('busy')


def test_counters_without_a_label_have_a_total():
    metrics = Metrics()
    counts = metrics.counters('site_connections', 'Connections.')
    counts.total += 3
    assert scrape(metrics)['site_connections_total',] == 3


def test_a_misspelt_counter_fails():
    counts = Counters('site_stanzas', 'Stanzas.', 'kind', ('message',))
    with pytest.raises(AttributeError):
        counts.mesage += 1
    with pytest.raises(AttributeError):
        counts.mesage = 1


@pytest.mark.parametrize('values', [('a-b', 'a_b'), ('name',), ('a', 'a')])
def test_values_that_would_share_an_attribute_are_refused(values):
    with pytest.raises(ValueError, match='no different names'):
        Counters('site_x', 'X.', 'kind', values)


@pytest.mark.parametrize(('label', 'values'), [('kind', ()), ('', ('a',))])
def test_a_label_without_values_is_refused(label, values):
    with pytest.raises(ValueError, match='a label needs values'):
        Counters('site_x', 'X.', label, values)


def test_counters_of_one_name_are_added_up():
    metrics = Metrics()
    one, other = (metrics.counters('site_stanzas', 'Stanzas.', 'kind', ('message', 'iq')) for _ in range(2))
    one.message += 1
    other.message += 2
    assert scrape(metrics)['site_stanzas_total', 'message'] == 3
    assert metrics.value('site_stanzas') == 3 == metrics.value('site_stanzas', 'message')


def test_counters_made_without_a_registry_are_added_later():
    counts = Counters('site_stanzas', 'Stanzas.')
    counts.total += 1
    metrics = Metrics()
    metrics.add(counts)
    assert scrape(metrics)['site_stanzas_total',] == 1


def test_two_metrics_of_one_name_that_do_not_fit_are_refused():
    metrics = Metrics()
    metrics.counters('site_x', 'X.', 'kind', ('a',))
    with pytest.raises(ValueError, match='another metric'):
        metrics.counters('site_x', 'X.', 'kind', ('b',))
    with pytest.raises(ValueError, match='another metric'):
        metrics.gauge('site_x', 'X.', lambda: 1)


def test_gauges_are_read_at_each_scrape_until_they_are_taken_away():
    metrics, streams, queues = Metrics(), [1, 2], {'router-a': 10, 'router-b': 0}
    metrics.gauge('site_streams', 'Streams.', lambda: len(streams))
    take_away = metrics.gauge('site_queue_bytes', 'Queued.', lambda: queues, label='router')
    found = scrape(metrics)
    assert (found['site_streams',], found['site_queue_bytes', 'router-a']) == (2, 10)
    streams.append(3)
    take_away()
    found = scrape(metrics)
    assert found['site_streams',] == 3
    assert not any(name.startswith('site_queue') for name, *_ in found)


def test_gauges_of_one_name_are_added_up_and_leave_one_by_one():
    metrics = Metrics()
    metrics.gauge('site_queue', 'Queued.', lambda: {'a': 1, 'b': 1}, label='router')
    take_away = metrics.gauge('site_queue', 'Queued.', lambda: {'a': 5}, label='router')
    assert scrape(metrics)['site_queue', 'a'] == 6
    take_away()
    assert scrape(metrics)['site_queue', 'a'] == 1


class FailingGauge(SynchronousTestCase):
    def test_one_gauge_that_fails_hides_no_other(self):
        metrics = Metrics()
        metrics.gauge('site_a', 'A.', lambda: 1 / 0)
        metrics.gauge('site_b', 'B.', lambda: 7)
        found = scrape(metrics)
        self.assertEqual(found['site_b',], 7)
        self.assertNotIn(('site_a',), found)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


def test_a_histogram_counts_up_to_each_bound_and_sums():
    metrics = Metrics()
    histogram = metrics.histogram('site_login_seconds', 'Logins.', (0.1, 1.0))
    for seconds in (0.05, 0.1, 0.5, 3.0):
        histogram.observe(seconds)
    found = scrape(metrics)
    assert [found['site_login_seconds_bucket', bound] for bound in ('0.1', '1.0', '+Inf')] == [2, 3, 4]
    assert found['site_login_seconds_count',] == 4 == metrics.value('site_login_seconds')
    assert found['site_login_seconds_sum',] == pytest.approx(3.65)
    assert metrics.histogram('site_login_seconds', 'Logins.', (0.1, 1.0)) is histogram


def test_a_histogram_whose_bounds_do_not_rise_is_refused():
    with pytest.raises(ValueError, match='do not rise'):
        Histogram('site_x', 'X.', (1.0, 0.5))


def test_label_values_are_escaped_in_the_text():
    metrics = Metrics()
    metrics.gauge('site_links', 'Links.', lambda: {'a"b\n\\': 1}, label='router')
    assert scrape(metrics)['site_links', 'a"b\n\\'] == 1


def test_the_process_itself_is_measured():
    found = scrape(Metrics())
    assert found['process_resident_memory_bytes',] > 1_000_000
    assert found['process_open_fds',] > 2


def test_what_is_counted_elsewhere_is_read_as_a_counter():
    metrics = Metrics()
    metrics.counted('jabberd_test_calls', 'Calls.', lambda: {'ping': 3, 'disco': 1}, label='module')
    assert metrics.value('jabberd_test_calls', 'ping') == 3
    assert b'jabberd_test_calls_total{module="disco"} 1.0' in metrics.text()
