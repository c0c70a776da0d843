"""A publish-subscribe service: wokkel's PubSubService as it is, over nodes in memory."""

from __future__ import annotations

from typing import Any

import jabberd_tx.compat.wokkel  # noqa: F401  # isort: skip
from twisted.internet.defer import Deferred, succeed
from twisted.words.protocols.jabber.error import StanzaError
from twisted.words.protocols.jabber.jid import JID
from wokkel.disco import DiscoHandler, DiscoIdentity
from wokkel.generic import Stanza
from wokkel.pubsub import PubSubResource, PubSubService, Subscription

from jabberd_tx.components.plugins.plugin import ComponentPlugin


class Nodes(PubSubResource):
    """What was published, and who wants to hear of it."""

    features = ['create-nodes', 'publish', 'retrieve-items', 'subscribe']  # noqa: RUF012
    discoIdentity = DiscoIdentity('pubsub', 'service', 'Feed')

    def __init__(self) -> None:
        self.items_of: dict[str, list[Any]] = {}
        self.subscribers: dict[str, list[JID]] = {}
        self.service = PubSubService(self)

    def getNodes(self, requestor: JID, service: JID, nodeIdentifier: str) -> Deferred[list[str]]:
        return succeed(sorted(self.items_of))

    def create(self, request: Stanza) -> Deferred[str]:
        self.items_of[request.nodeIdentifier] = []
        self.subscribers[request.nodeIdentifier] = []
        return succeed(request.nodeIdentifier)

    def publish(self, request: Stanza) -> Deferred[None]:
        node = request.nodeIdentifier
        self._known(node).extend(request.items)
        self.service.notifyPublish(
            request.recipient, node, [(jid, [], request.items) for jid in self.subscribers[node]]
        )  # fmt: skip
        return succeed(None)

    def subscribe(self, request: Stanza) -> Deferred[Subscription]:
        self._known(request.nodeIdentifier)
        self.subscribers[request.nodeIdentifier].append(request.subscriber)
        return succeed(Subscription(request.nodeIdentifier, request.subscriber, 'subscribed'))

    def items(self, request: Stanza) -> Deferred[list[Any]]:
        return succeed(self._known(request.nodeIdentifier))

    def _known(self, node: str) -> list[Any]:
        if node not in self.items_of:
            raise StanzaError('item-not-found')
        return self.items_of[node]


class Feed(ComponentPlugin):
    """Keeps and passes on what is published."""

    name = 'feed'

    def handlers(self) -> list[Any]:
        return [Nodes().service, DiscoHandler()]
