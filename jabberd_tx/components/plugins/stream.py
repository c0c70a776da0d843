"""What wokkel's handlers have for an XML stream: they observe it by XPath, and send elements into it.

Twisted's own dispatcher does the matching.  It would log what observers raise and go on, and nobody would learn
whether a stanza has come to harm: here each call is looked at.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any

from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.words.protocols.jabber.jid import internJID
from twisted.words.xish.domish import Element
from twisted.words.xish.utility import EventDispatcher

from jabberd_tx.xmpp import ns

# How long an IQ that a handler has sent is waited for, unless the handler says.
REQUEST_S = 90.0

# The stanzas that a query is about, where that is plain to see.
_KIND = re.compile(r'/(message|presence|iq)\b')


class Shown:
    """What came of showing a stanza.

    element   the tree that was shown, or None: nobody observes such stanzas
    anybody   whether somebody observes this one
    failures  what observers raised
    pending   what observers gave that is to be awaited
    """

    __slots__ = ('anybody', 'element', 'failures', 'pending')

    def __init__(self) -> None:
        self.anybody = False
        self.element: Element | None = None
        self.failures: list[Exception] = []
        self.pending: list[Awaitable[Any]] = []


class HandlerStream(EventDispatcher):
    """As much of twisted.words.protocols.jabber.xmlstream.XmlStream as handlers use.

    thisEntity        the JID of the component
    iqDefaultTimeout  for twisted's IQ, in seconds
    """

    namespace = ns.CLIENT
    log = Logger()
    initiating = True
    otherEntity = None
    rawDataInFn = rawDataOutFn = None
    iqDefaultTimeout = REQUEST_S

    def __init__(self, domain: str, send: Callable[[Any], None], call_later: Callable[..., IDelayedCall]) -> None:
        super().__init__()
        self.thisEntity = internJID(domain)
        self.send = send
        self._callLater = call_later  # twisted's IQ asks for it by this name
        self._kinds: set[str] = set()
        self._shown: Shown | None = None  # while a stanza is shown

    def show(self, kind: str, element: Callable[[], Element]) -> Shown:
        """Show a stanza of that kind to whoever observes such.  `element` makes the tree: called if anybody may want
        it."""
        outer, shown = self._shown, Shown()
        if kind in self._kinds or '*' in self._kinds:
            shown.element, self._shown = element(), shown
            try:
                shown.anybody = bool(self.dispatch(shown.element))
            finally:
                self._shown = outer
        return shown

    def called(self, observer: Callable[..., Any], *arguments: Any, **keywords: Any) -> None:
        """Call an observer, and note what comes of it."""
        shown = self._shown
        try:
            result = observer(*arguments, **keywords)
        except Exception as error:
            if shown is None:
                self.log.failure('a handler of {name} failed', name=self.thisEntity.full())
            else:
                shown.failures.append(error)
            return
        if shown is not None and isawaitable(result):
            shown.pending.append(result)

    def addObserver(self, event: Any, observerfn: Any, *arguments: Any, **keywords: Any) -> None:
        """See EventDispatcher."""
        self._note(event)
        super().addObserver(event, _Observer(self, observerfn), *arguments, **keywords)

    def addOnetimeObserver(self, event: Any, observerfn: Any, *arguments: Any, **keywords: Any) -> None:
        """See EventDispatcher."""
        self._note(event)
        super().addOnetimeObserver(event, _Observer(self, observerfn), *arguments, **keywords)

    def removeObserver(self, event: Any, observerfn: Any) -> None:
        """See EventDispatcher."""
        # One that is removed while a stanza is shown comes here again afterwards.
        observer = observerfn if isinstance(observerfn, _Observer) else _Observer(self, observerfn)
        super().removeObserver(event, observer)

    def _note(self, event: Any) -> None:
        if isinstance(event, str) and event.startswith(self.prefix):
            return
        match = _KIND.match(event if isinstance(event, str) else event.queryStr)
        self._kinds.add(match[1] if match else '*')


class _Observer:
    """An observer that is called by way of the stream; equal to any other one of the same function."""

    __slots__ = ('_function', '_stream')

    def __init__(self, stream: HandlerStream, function: Callable[..., Any]) -> None:
        self._stream, self._function = stream, function

    def __call__(self, *arguments: Any, **keywords: Any) -> None:
        self._stream.called(self._function, *arguments, **keywords)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Observer) and self._function == other._function

    def __hash__(self) -> int:
        return hash(self._function)
