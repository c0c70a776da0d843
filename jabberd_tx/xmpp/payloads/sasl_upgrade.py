"""SASL upgrade tasks (XEP-0480), and the parts of XEP-0388 that tasks are made of."""

from __future__ import annotations

from binascii import b2a_base64

from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.events import Nonza
from jabberd_tx.xmpp.payloads.sasl2 import decode, first, tree_of
from jabberd_tx.xmpp.sasl.elements import encode
from jabberd_tx.xmpp.sasl.failure import SaslFailure

_NS = ns.SASL2.encode()
_PREFIX = 'UPGR-'


def task_of(mechanism: str) -> str:
    """The name of the task that gives an account a verifier for this mechanism, which is none with -PLUS (§2.1)."""
    return _PREFIX + mechanism


def feature(mechanisms: tuple[str, ...]) -> bytes:
    """In the stream feature of XEP-0388: what accounts may be upgraded to."""
    return ''.join([f"<upgrade xmlns='{ns.SASL_UPGRADE}'>{task_of(name)}</upgrade>" for name in mechanisms]).encode()


def continuation(mechanism: str, data: bytes | None) -> bytes:
    """<continue/> with the one task, and the additional data of the mechanism that the client has logged in by."""
    more = b'' if data is None else b'<additional-data>%b</additional-data>' % (encode(data) if data else b'')
    task = task_of(mechanism).encode()
    return b"<continue xmlns='%b'>%b<tasks><task>%b</task></tasks></continue>" % (_NS, more, task)


def check_next(event: Nonza, mechanism: str) -> None:
    """Whether a <next/> begins the task; SaslFailure('invalid-mechanism')."""
    if event.attrs.get('task') != task_of(mechanism):
        raise SaslFailure('invalid-mechanism', 'not the task that was asked for')


def salt(value: bytes, iterations: int) -> bytes:
    """The server's <task-data/> (§3)."""
    text = b2a_base64(value, newline=False)
    wrapped = b"<salt xmlns='%b' iterations='%d'>%b</salt>" % (ns.SCRAM_UPGRADE.encode(), iterations, text)
    return b"<task-data xmlns='%b'>%b</task-data>" % (_NS, wrapped)


def parse_hash(event: Nonza, size: int) -> bytes:
    """The SaltedPassword in the client's <task-data/> (§3), of so many bytes.

    SaslFailure: incorrect-encoding; malformed-request for what is no such hash.
    """
    element = first(tree_of(event), ns.SCRAM_UPGRADE, 'hash')
    if element is None:
        raise SaslFailure('malformed-request', 'expected a hash')
    salted = decode(str(element))
    if len(salted) != size:
        raise SaslFailure('malformed-request', f'expected a hash of {size} bytes')
    return salted
