"""The HTTP port, asked by a real HTTP client over a real socket."""

from __future__ import annotations

import http.client
import json

from prometheus_client.parser import text_string_to_metric_families
from twisted.internet import reactor
from twisted.internet.error import CannotListenError
from twisted.internet.threads import deferToThread
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import TestCase

from jabberd_tx.base.metrics import Metrics
from jabberd_tx.control.http import OPTIONS, HttpPort, port_option


def ask(port: int, path: str, method: str = 'GET') -> tuple[int, http.client.HTTPMessage, bytes]:
    """One request; called in a thread, since the client blocks."""
    connection = http.client.HTTPConnection('127.0.0.1', port, timeout=10)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    finally:
        connection.close()


class HttpTests(TestCase):
    def setUp(self):
        self.metrics = Metrics()
        self.http = self.make()
        self.http.start()
        self.addCleanup(self.http.stop)

    def make(self, kind: str = 'jabberd', **given) -> HttpPort:
        options = OPTIONS.defaults()
        options.port = 0
        vars(options).update(given)
        return HttpPort(options, self.metrics, reactor, kind)

    def ask(self, path, method='GET'):
        return deferToThread(ask, self.http.port, path, method)

    async def test_metrics_are_what_prometheus_reads(self):
        self.metrics.counters('site_stanzas', 'Stanzas.', 'kind', ('message',)).message += 7
        status, headers, body = await self.ask('/metrics')
        self.assertEqual((status, headers['Content-Type']), (200, 'text/plain; version=0.0.4; charset=utf-8'))
        families = {family.name: family for family in text_string_to_metric_families(body.decode())}
        self.assertEqual(families['site_stanzas'].samples[0].value, 7)

    async def test_asking_leaves_no_line_in_the_log(self):
        """Prometheus asks every few seconds, for ever."""
        events = []
        globalLogPublisher.addObserver(events.append)
        self.addCleanup(globalLogPublisher.removeObserver, events.append)
        await self.ask('/metrics')
        self.assertEqual([event for event in events if 'metrics' in str(event.get('log_text', event))], [])

    async def test_health_is_ok_while_every_check_is(self):
        self.http.check('links', lambda: None)
        status, headers, body = await self.ask('/healthz')
        self.assertEqual((status, headers['Content-Type']), (200, 'application/json'))
        self.assertEqual(json.loads(body), {'status': 'ok', 'checks': {'links': 'ok'}})

    async def test_health_names_what_is_wrong(self):
        self.http.check('links', lambda: None)
        self.http.check('storage', lambda: 'the disk is full')
        status, _, body = await self.ask('/healthz')
        self.assertEqual(status, 503)
        self.assertEqual(
            json.loads(body), {'status': 'failing', 'checks': {'links': 'ok', 'storage': 'the disk is full'}}
        )

    async def test_a_check_that_fails_is_not_well(self):
        self.http.check('storage', lambda: str(1 / 0))
        status, _, body = await self.ask('/healthz')
        self.assertEqual((status, json.loads(body)['checks']), (503, {'storage': 'the check failed'}))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    async def test_head_gives_the_headers_of_get_and_no_body(self):
        _, headers, body = await self.ask('/healthz')
        status, head, nothing = await self.ask('/healthz', 'HEAD')
        self.assertEqual((status, nothing), (200, b''))
        self.assertEqual(head['Content-Length'], headers['Content-Length'])
        self.assertEqual(len(body), int(headers['Content-Length']))

    async def test_other_methods_are_refused(self):
        for method in ('POST', 'PUT', 'DELETE'):
            status, headers, _ = await self.ask('/metrics', method)
            self.assertEqual((method, status), (method, 405))
            self.assertEqual({name.strip() for name in headers['Allow'].split(',')}, {'GET', 'HEAD'})

    async def test_other_paths_are_not_found(self):
        for path in ('/', '/metric', '/metrics/more', '/healthz/../../etc/passwd'):
            status, _, _ = await self.ask(path)
            self.assertEqual((path, status), (path, 404))

    async def test_it_listens_on_loopback_and_not_when_told_not_to(self):
        self.assertEqual(OPTIONS.defaults().interface, '127.0.0.1')
        none = self.make(enabled=False)
        none.start()
        self.assertEqual(none.port, 0)
        await none.stop()

    async def test_a_port_that_is_taken_fails_the_start(self):
        with self.assertRaises(CannotListenError):
            self.make(port=self.http.port).start()

    async def test_each_kind_of_process_has_a_port_of_its_own(self):
        """So that all of them start from one file on one machine."""
        kinds = ('jabberd', 'router', 'c2s', 'sm')
        defaults = [getattr(OPTIONS.defaults(), port_option(kind)) for kind in kinds]
        self.assertEqual(defaults, [5280, 5281, 5282, 5283])
        self.assertEqual(port_option('echo'), 'port', 'one that somebody else has made')
        other = self.make('c2s', port=self.http.port, router_port=self.http.port, c2s_port=0, sm_port=self.http.port)
        other.start()
        self.addCleanup(other.stop)
        self.assertNotIn(other.port, (0, self.http.port))
        status, _, _ = await deferToThread(ask, other.port, '/healthz')
        self.assertEqual(status, 200)

    async def test_after_stop_nobody_answers(self):
        port = self.http.port
        await self.http.stop()
        self.assertEqual(self.http.port, 0)
        with self.assertRaises(ConnectionRefusedError):
            await deferToThread(ask, port, '/metrics')
