"""XEP-0115: what the server can do is told by its hash; what clients can do is asked once for each hash.

Nobody can make the server believe something of others' clients: what is remembered for all has been proved by its
hash (payloads/caps.py says which that can be); what has forms is remembered for its sender's session alone.
"""

from __future__ import annotations

from twisted.logger import Logger

from jabberd_tx.base.options import Option
from jabberd_tx.components.sm.iq import IqRequest
from jabberd_tx.components.sm.module import SERVER, Module, hook
from jabberd_tx.components.sm.modules.disco import Disco
from jabberd_tx.storage.sessions.interface import Session
from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.jid import parse
from jabberd_tx.xmpp.payloads import caps
from jabberd_tx.xmpp.payloads.caps import Caps, Named, Told
from jabberd_tx.xmpp.stanza import Child, Stanza
from jabberd_tx.xmpp.writer import start_tag

# How long the server's own hash is told after options may have been changed.
FRESH_SECONDS = 10.0

# (hash, ver), with the full JID where it is for one session only.
Key = tuple[str, str, str]


class EntityCaps(Module):
    """Knows what clients can do, and lets them know what the server can by a hash."""

    name = 'caps'
    xeps = ('XEP-0115',)
    server_features = account_features = (ns.CAPS,)
    options = (
        Option('cache', int, 2000, 'Kinds of clients that are remembered.', low=10, high=1_000_000, reload=True),
    )  # fmt: skip

    log = Logger()

    def start(self) -> None:
        """Nothing is known of anybody."""
        # None: what was said is not so; asked again when it is forgotten, or of another client.
        self._known: dict[Key, Told | None] = {}
        self._asking: set[tuple[str, str]] = set()
        # domain -> the server's own hash, and when it was made.
        self._own: dict[str, tuple[str, float]] = {}
        if 'disco' in self.sm.modules:
            self.sm.server_caps = self.own

    # ---- the server

    def own(self, domain: str) -> str:
        """The hash of what the server tells of that domain of ours."""
        ver, made = self._own.get(domain, ('', 0.0))
        now = self.sm.reactor.seconds()
        if not ver or now - made >= FRESH_SECONDS:
            ver = self._hash(domain)
            self._own[domain] = ver, now
        return ver

    def _hash(self, domain: str) -> str:
        module = self.sm.modules.by_name['disco']
        assert isinstance(module, Disco)
        asked = Stanza('iq', {'type': 'get', 'id': 'caps', 'from': domain, 'to': domain})
        jid = parse(domain)
        told = module.told(IqRequest(asked, Child(ns.DISCO_INFO, 'query', 0, 0), jid, jid, SERVER, None))
        identities = [Named(kind[0], kind[1], '', kind[2] if len(kind) > 2 else '') for kind in told.identities]
        return caps.verification(identities, set(told.features), told.forms, 'sha-1')

    @hook('disco_nodes')
    def nodes(self, request: IqRequest) -> list[str]:
        """The one that was told in stream features, while it still is right."""
        return [f'{caps.NODE}#{self._hash(request.to.domain)}'] if request.place == SERVER else []

    # ---- clients

    def told_by(self, session: Session) -> Told | None:
        """What the session's client can do, as its last presence says; None: not known (yet)."""
        said = caps.read(session.presence) if session.presence is not None else None
        if said is None:
            return None
        return self._known.get((said.hash, said.ver, '')) or self._known.get((said.hash, said.ver, session.jid))

    @hook('presence_broadcast', order=95)
    def seen(self, stanza: Stanza, session: Session) -> None:
        """A client that is available: if nobody knows what its hash stands for, it is asked."""
        if 'type' in stanza.attrs:
            return
        said = caps.read(stanza)
        if said is None or (said.hash, said.ver) in self._asking:
            return
        known = self._known
        for key in ((said.hash, said.ver, ''), (said.hash, said.ver, session.jid)):
            if key in known:
                known[key] = known.pop(key)  # forgotten last
                return
        self._asking.add((said.hash, said.ver))
        query = start_tag('query', {'xmlns': ns.DISCO_INFO, 'node': f'{said.node}#{said.ver}'}) + '/>'
        asked = self.sm.questions.ask(session, ns.DISCO_INFO, 'query', query.encode())
        # Not the sm's work, which a stop would wait for.
        asked.addCallback(self._answered, session, said)
        asked.addErrback(lambda failure: self.log.failure('an answer was not understood', failure=failure))

    def _answered(self, answer: Stanza | None, session: Session, said: Caps) -> None:
        self._asking.discard((said.hash, said.ver))
        if answer is None:
            return
        told = _proved(answer, said)
        self._remember((said.hash, said.ver, '' if told is not None and told.for_all else session.jid), told)

    def _remember(self, key: Key, told: Told | None) -> None:
        while len(self._known) >= self.values.cache:
            del self._known[next(iter(self._known))]
        self._known[key] = told

    @hook('session_ended')
    def ended(self, session: Session) -> None:
        """What was known of it alone."""
        said = caps.read(session.presence) if session.presence is not None else None
        if said is not None:
            self._known.pop((said.hash, said.ver, session.jid), None)


def _proved(answer: Stanza, said: Caps) -> Told | None:
    if answer.attrs['type'] != 'result' or answer.child(ns.DISCO_INFO, 'query') is None:
        return None
    try:
        told = caps.parse(next(answer.element.elements(ns.DISCO_INFO, 'query')))
    except ValueError:
        return None
    ver = caps.verification(told.identities, told.features, told.forms, said.hash)
    return told if ver == said.ver else None
