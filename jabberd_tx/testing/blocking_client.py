"""An XMPP client that waits: one blocking socket, TLS where the server has it, nothing of this package's parser.

    client = BlockingClient('127.0.0.1', 5222, 'juliet@example.net', 'secret', ssl_context)
    client.login('balcony')
    client.send("<presence/>")
    element = client.next(10)                # xml.etree.ElementTree.Element, or Ended

For scripts of a conversation (acceptance/) against a server that runs elsewhere.
"""

from __future__ import annotations

import base64
import socket
import ssl
import time
from collections import deque
from typing import Any
from xml.etree.ElementTree import Element, XMLPullParser

from jabberd_tx.testing.scram_client import HASHES, ScramClient

STREAM = 'http://etherx.jabber.org/streams'
TLS = 'urn:ietf:params:xml:ns:xmpp-tls'
SASL = 'urn:ietf:params:xml:ns:xmpp-sasl'
BIND = 'urn:ietf:params:xml:ns:xmpp-bind'
ACKS = 'urn:xmpp:sm:3'
# How long each step of a login may take.
SECONDS = 20.0


class Ended(Exception):
    """The stream is over; str() is the stream error's condition, or ''."""


class Silence(Exception):
    """Nothing has come in time."""


class Refused(Exception):
    """The server said no to a login; str() is the condition."""


class BlockingClient:
    """jid      the full JID once a resource is bound
    handled  XEP-0198: stanzas since <enabled/>
    answers  <r/> with <a/>
    """

    def __init__(self, host: str, port: int, jid: str, password: str, tls: ssl.SSLContext | None = None) -> None:
        """`tls`: verifies the server's certificate for the JID's domain; without it the stream is not encrypted."""
        self._user, _, self.domain = jid.rpartition('@')
        self.jid, self._password, self._tls = jid, password, tls
        self.handled, self.answers = 0, True
        self._socket = socket.create_connection((host, port), SECONDS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._begin()

    # ---- the stream

    def _begin(self) -> None:
        self._parser: XMLPullParser[Element] = XMLPullParser(['start', 'end'])
        self._held = b''
        self._depth = 0
        self._over = False
        self._error = ''
        self._root: Element
        self._come: deque[Element] = deque()

    def open(self, sender: str = '') -> Element:
        """A stream header; the features that answer it.  `sender`: the bare JID that it says it is from."""
        self._begin()
        whom = f"from='{sender}' " if sender else ''
        self.send(
            f"<?xml version='1.0'?><stream:stream {whom}to='{self.domain}' version='1.0' xmlns='jabber:client' "
            f"xmlns:stream='{STREAM}'>"
        )
        return self.expect(f'{{{STREAM}}}features')

    def send(self, xml: str) -> None:
        """Whatever it is; Ended when nobody reads any more."""
        try:
            self._socket.sendall(xml.encode())
        except OSError:
            self._over = True
            raise Ended(self._error) from None

    def next(self, seconds: float) -> Element:
        """The next first-level element; Silence, Ended."""
        deadline = time.monotonic() + seconds
        while not self._come:
            if self._over:
                raise Ended(self._error)
            self._read(deadline - time.monotonic())
        return self._come.popleft()

    def put_back(self, element: Element) -> None:
        """It is the next one again."""
        self._come.appendleft(element)

    def expect(self, *tags: str) -> Element:
        """The next element, which is one of these; AssertionError when it is another one."""
        element = self.next(SECONDS)
        assert element.tag in tags, f'{element.tag} in place of {" or ".join(tags)}'
        return element

    def _read(self, seconds: float) -> None:
        if seconds <= 0:
            raise Silence
        self._socket.settimeout(seconds)
        try:
            data = self._socket.recv(65536)
        except TimeoutError:
            raise Silence from None
        except OSError:
            data = b''
        if not data:
            self._over = True
            return
        # Some releases of expat keep the end of a token that comes in parts for later: it gets whole ones.
        whole, mark, rest = (self._held + data).rpartition(b'>')
        self._held = rest
        self._parser.feed(whole + mark)
        events: Any = self._parser.read_events()
        for what, element in events:
            self._take(what, element)

    def _take(self, what: str, element: Element) -> None:
        if what == 'start':
            self._depth += 1
            if self._depth == 1:
                self._root = element
            return
        self._depth -= 1
        if self._depth == 0:
            self._over = True
        elif self._depth == 1:
            self._root.remove(element)
            self._note(element)

    def _note(self, element: Element) -> None:
        if element.tag == f'{{{STREAM}}}error':
            self._error = element[0].tag.rpartition('}')[2] if len(element) else 'undefined-condition'
        elif element.tag == f'{{{ACKS}}}r':
            if self.answers:
                self.send(f"<a xmlns='{ACKS}' h='{self.handled}'/>")
        else:
            if element.tag == f'{{{ACKS}}}enabled':
                self.handled = 0
            elif element.tag.startswith('{jabber:client}'):
                self.handled += 1
            self._come.append(element)

    def ended(self, seconds: float) -> str:
        """Wait for the end of the stream; its error's condition, or ''.  Silence when it does not end."""
        deadline = time.monotonic() + seconds
        while not self._over:
            self._read(deadline - time.monotonic())
        return self._error

    # ---- logging in

    def start(self) -> Element:
        """A stream, encrypted where there is a context; its features."""
        features = self.open()
        if self._tls is None:
            return features
        self.send(f"<starttls xmlns='{TLS}'/>")
        self.expect(f'{{{TLS}}}proceed')
        self._socket.settimeout(SECONDS)
        self._socket = self._tls.wrap_socket(self._socket, server_hostname=self.domain)
        return self.open()

    def authenticate(self, features: Element) -> None:
        """By the strongest SCRAM that is offered without channel binding; the caller opens the next stream.
        Refused."""
        offered = [one.text or '' for one in features.iterfind(f'{{{SASL}}}mechanisms/{{{SASL}}}mechanism')]
        mechanism = max([name for name in HASHES if name in offered], key=lambda name: int(name.rpartition('-')[2]))
        exchange = ScramClient(mechanism, self._user, self._password)
        self.send(f"<auth xmlns='{SASL}' mechanism='{mechanism}'>{_base64(exchange.first())}</auth>")
        challenge = self._outcome('challenge')
        self.send(f"<response xmlns='{SASL}'>{_base64(exchange.final(challenge))}</response>")
        exchange.check(self._outcome('success'))

    def _outcome(self, wanted: str) -> bytes:
        answer = self.expect(f'{{{SASL}}}{wanted}', f'{{{SASL}}}failure')
        if answer.tag.endswith('failure'):
            raise Refused(answer[0].tag.rpartition('}')[2])
        return base64.b64decode(answer.text or '')

    def bind(self, resource: str = '') -> str:
        """The full JID; Refused."""
        wanted = f'<resource>{resource}</resource>' if resource else ''
        self.send(f"<iq type='set' id='bind'><bind xmlns='{BIND}'>{wanted}</bind></iq>")
        answer = self.expect('{jabber:client}iq')
        if answer.get('type') != 'result':
            error = answer.find('{jabber:client}error')
            raise Refused(error[0].tag.rpartition('}')[2] if error is not None else 'error')
        self.jid = answer.findtext(f'.//{{{BIND}}}jid') or ''
        return self.jid

    def login(self, resource: str = '') -> str:
        """All of it; the full JID."""
        self.authenticate(self.start())
        self.open()
        return self.bind(resource)

    # ---- leaving

    def leave(self) -> None:
        """End the stream and wait for the server's end; Silence."""
        self.send('</stream:stream>')
        self.ended(SECONDS)
        self.drop()

    def drop(self) -> None:
        """Be gone, without a word."""
        self._over = True
        self._socket.close()


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()

