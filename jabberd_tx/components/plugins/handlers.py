"""The parent of wokkel's XMPPHandlers: a StreamManager of wokkel's over a stream of ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.words.protocols.jabber.xmlstream import STREAM_AUTHD_EVENT, STREAM_CONNECTED_EVENT, STREAM_END_EVENT
from twisted.words.xish.xmlstream import BootstrapMixin

import jabberd_tx.compat.wokkel  # noqa: F401  # isort: skip
from wokkel.subprotocols import StreamManager

from jabberd_tx.components.plugins.stream import REQUEST_S, HandlerStream


class Handlers(StreamManager):
    """See the module's text.  Differs from its base: one handler that fails at news of the stream is logged, and the
    others hear of them; what is sent while there is no stream is for `send` to keep."""

    timeout = REQUEST_S
    xmlstream: HandlerStream | None
    _iqDeferreds: dict[str, Deferred[Any]]
    log = Logger()

    def __init__(self, send: Callable[[Any], None], reactor: Any) -> None:
        """`send`: what becomes of elements and XML that handlers send."""
        self._stanza_out = send
        super().__init__(BootstrapMixin(), reactor)

    def open(self, stream: HandlerStream) -> None:
        """The handlers have a stream, and may send."""
        self.factory.installBootstraps(stream)
        stream.dispatch(stream, STREAM_CONNECTED_EVENT)
        stream.dispatch(stream, STREAM_AUTHD_EVENT)

    def close(self) -> None:
        """They have none any more; what they have asked fails."""
        if self.xmlstream is not None:
            self.xmlstream.dispatch(Failure(ConnectionLost()), STREAM_END_EVENT)

    def send(self, obj: Any) -> None:
        """See StreamManager."""
        self._stanza_out(obj)

    def _connected(self, stream: HandlerStream) -> None:
        self.xmlstream = stream
        self._tell('makeConnection', stream)

    def _authd(self, stream: HandlerStream) -> None:
        for kind in ('result', 'error'):
            stream.addObserver(f'/iq[@type="{kind}"]', self._onIQResponse)
        self._initialized = True
        self._tell('connectionInitialized')

    def _disconnected(self, reason: Failure) -> None:
        self.xmlstream, self._initialized = None, False
        self._tell('connectionLost', reason)
        asked, self._iqDeferreds = self._iqDeferreds, {}
        for deferred in asked.values():
            deferred.errback(reason)

    def _tell(self, method: str, *arguments: Any) -> None:
        for handler in list(self):
            try:
                getattr(handler, method)(*arguments)
            except Exception:
                self.log.failure('{handler} failed at {method}', handler=type(handler).__name__, method=method)
