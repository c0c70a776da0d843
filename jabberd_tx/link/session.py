"""What c2s and sm say to each other about a session: ROUTE payloads named 'session'.

    c2s -> sm   start    resource wanted ('' for any), carbons='1' to begin with copies (XEP-0280); the stream is
                         the uid's, the owner the ROUTE's key
    sm  -> c2s  started  jid: the full JID that is bound; caps: the hash of the domain's disco#info (XEP-0115)
    sm  -> c2s  refused  condition, text: a stanza error for the bind (RFC 6120 §7.6.2.2)
    c2s -> sm   attach   jid, epoch, and as `inner` the last broadcast presence and what the c2s was asked to keep:
                         the session lives on here; make a record of it, or take over the one there is
    sm  -> c2s  attached to an attach, as started to a start
    c2s -> sm   end      the stream is over, or the client closed it; returns='1': messages that it did not ack are on
                         their way back
    c2s -> sm   returned after such an end: all of them have been taken back
    sm  -> c2s  close    condition, text: end the stream with this stream error
    sm  -> c2s  lost     the c2s seemed to be gone, and its sessions were ended: attach this one again
    sm  -> c2s  keep     `inner`: what to tell whoever the session is attached to, in place of what was kept before
    sm  -> c2s  announce  to no stream (16 zero bytes): the session store has lost what it held: attach all sessions
                         that are pinned to me again
    sm  -> c2s  elsewhere  node: another c2s has attached the session since: it is yours no more

and to resume a stream at another c2s (components/c2s/moving.py), the answers to the stream id in the question's uid:

    c2s -> sm   find     id: which c2s has the owner's stream of that key
    sm  -> c2s  found    node, or ''
    c2s -> c2s  give     id, secret (hex), owner, h, part: hand over the session, this part of it
    c2s -> c2s  state    parts, and the part as `inner`
    c2s -> c2s  kept     condition, h ('' if not known): it is not given, and why

All are confirmed like any ROUTE.  All other frames of a session come after its start or attach.
"""

from __future__ import annotations

from hashlib import blake2b

from cbor2 import CBORDecodeError, dumps, loads

from jabberd_tx.xmpp.stanza import Stanza

NAME = 'session'
START, STARTED, REFUSED = 'start', 'started', 'refused'
ATTACH, ATTACHED, END, RETURNED, CLOSE, LOST = 'attach', 'attached', 'end', 'returned', 'close', 'lost'
KEEP, ANNOUNCE, NO_STREAM = 'keep', 'announce', bytes(16)
ELSEWHERE, FIND, FOUND, GIVE, STATE, KEPT = 'elsewhere', 'find', 'found', 'give', 'state', 'kept'


def start(resource: str, carbons: bool = False) -> Stanza:
    """c2s asks for a session of the ROUTE's owner; '' lets the sm choose the resource."""
    attrs = {'type': START, 'resource': resource}
    if carbons:
        attrs['carbons'] = '1'
    return Stanza(NAME, attrs)


def started(jid: str, caps: str = '') -> Stanza:
    """`caps`: the hash of what the domain's disco#info says, for the features of streams to come (XEP-0115 §6.3)."""
    attrs = {'type': STARTED, 'jid': jid}
    if caps:
        attrs['caps'] = caps
    return Stanza(NAME, attrs)


def refused(condition: str, text: str = '') -> Stanza:
    return Stanza(NAME, {'type': REFUSED, 'condition': condition, 'text': text})


def attach(jid: str, presence: bytes, kept: bytes = b'') -> Stanza:
    """`presence`: the last presence without `to` that the client sent, packed, if it is available; `kept`: as `keep`
    said."""
    return Stanza(NAME, {'type': ATTACH, 'jid': jid}, dumps([presence, kept]))


def attach_of(said: Stanza) -> tuple[Stanza | None, bytes]:
    """The presence, and what was kept.  ValueError."""
    try:
        presence, kept = loads(said.inner)
        if not (type(presence) is type(kept) is bytes):
            raise ValueError('expected bytes')
    except (CBORDecodeError, TypeError) as error:
        raise ValueError(str(error)) from None
    return Stanza.unpack(presence) if presence else None, kept


def keep(record: bytes) -> Stanza:
    return Stanza(NAME, {'type': KEEP}, record)


def attached(jid: str) -> Stanza:
    return Stanza(NAME, {'type': ATTACHED, 'jid': jid})


def end(returns: bool = False) -> Stanza:
    """`returns`: messages are given back, and `returned` follows."""
    return Stanza(NAME, {'type': END, 'returns': '1'} if returns else {'type': END})


def returned() -> Stanza:
    return Stanza(NAME, {'type': RETURNED})


def close(condition: str, text: str = '') -> Stanza:
    """`condition`: a stream error condition (RFC 6120 §4.9.3), such as conflict."""
    return Stanza(NAME, {'type': CLOSE, 'condition': condition, 'text': text})


def lost() -> Stanza:
    return Stanza(NAME, {'type': LOST})


def announce() -> Stanza:
    return Stanza(NAME, {'type': ANNOUNCE})


def elsewhere(node: str) -> Stanza:
    return Stanza(NAME, {'type': ELSEWHERE, 'node': node})


# ---- resumption


def key_of(stream: bytes) -> bytes:
    """8 bytes by which a stream is found that clients have the id of, and which tell nobody its own id."""
    return blake2b(stream, digest_size=8, person=b'resume').digest()


def find(key: bytes) -> Stanza:
    return Stanza(NAME, {'type': FIND, 'id': key.hex()})


def found(node: str) -> Stanza:
    return Stanza(NAME, {'type': FOUND, 'node': node})


def give(key: bytes, secret: bytes, owner: str, h: int, part: int) -> Stanza:
    """h: what the client says that it has handled."""
    attrs = {'id': key.hex(), 'secret': secret.hex(), 'owner': owner, 'h': str(h), 'part': str(part)}
    return Stanza(NAME, {'type': GIVE, **attrs})


def state(parts: int, part: bytes) -> Stanza:
    return Stanza(NAME, {'type': STATE, 'parts': str(parts)}, part)


def kept(condition: str, h: int | None) -> Stanza:
    return Stanza(NAME, {'type': KEPT, 'condition': condition, 'h': '' if h is None else str(h)})
