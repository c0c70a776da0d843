"""An instance that one router has lost and another one sees: who sent by the first is told."""

from __future__ import annotations

from twisted.internet.defer import inlineCallbacks

from tests.link import test_pool


class TestPaths(test_pool.Site):
    @inlineCallbacks
    def test_the_loss_of_one_of_two_paths_is_told_and_is_nobodys_death(self):
        self.router('r1')
        self.router('r2')
        c2s, sm = yield self.pair()
        yield self.spin(lambda: len(c2s.links.links) == len(sm.links.links) == 2)
        link = next(link for link in sm.links.links if link.name == 'r1')
        link.connection.transport.abortConnection()
        yield c2s.heard('path lost', 'sm-1', 'sm-1', 'r1')
        yield c2s.heard('path lost', test_pool.DOMAIN, 'sm-1', 'r1')
        self.assertNotIn(('down', 'sm-1', 'sm-1'), c2s.news)
        self.assertEqual(c2s.links.instances('sm-1'), {'sm-1': sm.links.incarnation})
        yield self.spin(lambda: len(sm.links.links) == 2)

    @inlineCallbacks
    def test_with_the_last_path_the_instance_is_gone(self):
        self.router('r1')
        c2s, sm = yield self.pair()
        link = next(iter(sm.links.links))
        link.connection.transport.abortConnection()
        yield c2s.heard('down', 'sm-1', 'sm-1')
        self.assertNotIn('path lost', [news[0] for news in c2s.news])
