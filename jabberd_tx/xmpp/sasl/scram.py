"""The server's side of SCRAM (RFC 5802, RFC 7677), with and without channel binding, without I/O.

    exchange = ScramServer('SCRAM-SHA-256-PLUS', {'tls-exporter': data})
    name = exchange.first(message)                       # then look the account up
    answer = exchange.challenge(credentials, fake_key)
    answer = exchange.final(message)                     # SaslFailure('not-authorized'): wrong password

A name that has no account gets a challenge as well, the same one each time, and fails at the end like a wrong password.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import unicodedata
from binascii import b2a_base64
from collections.abc import Mapping

from jabberd_tx.xmpp.sasl.base64 import decode_base64
from jabberd_tx.xmpp.sasl.failure import SaslFailure
from jabberd_tx.xmpp.sasl.saslprep import saslprep
from jabberd_tx.xmpp.sasl.verifiers import DEFAULT_ITERATIONS, HASHES, SALT_BYTES, Credentials, Verifier

# RFC 5802 §7.  What an extension (`ext`) says is not looked at; a mandatory one (m=) matches nothing here.
_FIRST = re.compile(
    r'(?P<header>(?:(?P<flag>[ny])|p=(?P<binding>[A-Za-z0-9.-]+)),(?:a=(?P<authzid>[^,\0]+))?,)'
    r'(?P<bare>n=(?P<name>[^,\0]+),r=(?P<nonce>[!-+\--~]+)(?:,[A-Za-z]=[^,\0]+)*)'
)
_FINAL = re.compile(
    r'(?P<before>c=(?P<binding>[A-Za-z0-9+/=]+),r=(?P<nonce>[!-+\--~]+)(?:,[A-Za-z]=[^,\0]+)*),p=(?P<proof>[A-Za-z0-9+/=]+)'
)
_ESCAPE = re.compile('=(2C|3D)?', re.IGNORECASE)
_PLAINTEXT = {'2C': ',', '3D': '='}


class ScramServer:
    """One exchange.  `authzid` is what the client asks to act as, '' for nothing; valid after `first`."""

    __slots__ = ('_bare', '_binding', '_bindings', '_challenge', '_hash', '_known', '_nonce', '_plus', '_username',
                 '_verifier', 'authzid', 'mechanism')  # fmt: skip

    def __init__(self, mechanism: str, bindings: Mapping[str, bytes]) -> None:
        """`mechanism` is one of those offered; `bindings` has the binding data by type, empty without TLS.

        Where there are bindings, the stream was offered the -PLUS mechanisms.  SaslFailure('invalid-mechanism').
        """
        self._plus = mechanism.endswith('-PLUS')
        self.mechanism = mechanism.removesuffix('-PLUS')
        if self.mechanism not in HASHES or (self._plus and not bindings):
            raise SaslFailure('invalid-mechanism')
        self._hash = HASHES[self.mechanism]
        self._bindings = bindings
        self.authzid = ''

    def first(self, message: bytes) -> str:
        """Read client-first-message; the prepared user name.

        SaslFailure: malformed-request; not-authorized for a channel binding that cannot be right (§6).
        """
        try:
            match = _FIRST.fullmatch(message.decode())
        except UnicodeDecodeError:
            match = None
        if match is None or ',m=' in match['bare']:
            raise SaslFailure('malformed-request', 'not a client-first-message, or with an extension unknown here')
        self._binding = match['header'].encode() + self._binding_data(match['flag'], match['binding'])
        self.authzid = _unescape(match['authzid'] or '')
        try:
            self._username = saslprep(_unescape(match['name']), stored=False)
        except ValueError:
            self._username = ''
        if not self._username:
            raise SaslFailure('malformed-request', 'not a user name')
        self._bare = match['bare']
        self._nonce = match['nonce'] + secrets.token_urlsafe(18)
        return self._username

    def _binding_data(self, flag: str | None, kind: str | None) -> bytes:
        if self._plus:
            if kind is None:
                raise SaslFailure('malformed-request', 'a -PLUS mechanism without channel binding')
            data = self._bindings.get(kind)
            if data is None:
                raise SaslFailure('not-authorized', 'unsupported channel binding type')
            return data
        if kind is not None:
            raise SaslFailure('malformed-request', 'channel binding without a -PLUS mechanism')
        if flag == 'y' and self._bindings:
            # The client can do it and believes that the server cannot: somebody took the offer away.
            raise SaslFailure('not-authorized', 'channel binding was offered')
        return b''

    def challenge(
        self,
        credentials: Credentials | None,
        fake_key: bytes,
        iterations: int = DEFAULT_ITERATIONS,
        domain: str = '',
        offer: str = '',
    ) -> bytes:
        """server-first-message.

        credentials  the account's; None where there is no account
        fake_key     a secret of the site from which unknown accounts' salts are made (at least 16 bytes)
        iterations   those of this site's new accounts, and so of unknown ones
        domain       the account's, since one name has another salt in each
        offer        what the challenge says of the offer: an `offer_hash`, or '' for nothing
        """
        verifier = credentials.get(self.mechanism) if credentials else None
        self._known = verifier is not None
        self._verifier = verifier or self._fake(fake_key, iterations, domain)
        salt = b2a_base64(self._verifier.salt, newline=False).decode()
        self._challenge = f'r={self._nonce},s={salt},i={self._verifier.iterations}'
        if offer:
            self._challenge += f',h={offer}'
        return self._challenge.encode()

    def _fake(self, key: bytes, iterations: int, domain: str) -> Verifier:
        # Spellings of one account's name get one salt, as they would if it were there.
        name = unicodedata.normalize('NFKC', self._username).casefold()
        salt = hmac.digest(key, f'{self.mechanism}\0{domain}\0{name}'.encode(), 'sha256')[:SALT_BYTES]
        size = hashlib.new(self._hash).digest_size
        return Verifier(salt, iterations, bytes(size), bytes(size))

    def final(self, message: bytes) -> bytes:
        """Check client-final-message; server-final-message.  SaslFailure: malformed-request, not-authorized."""
        try:
            match = _FINAL.fullmatch(message.decode())
        except UnicodeDecodeError:
            match = None
        if match is None or ',m=' in match['before']:
            raise SaslFailure('malformed-request', 'not a client-final-message')
        try:
            binding = decode_base64(match['binding'])
            proof = decode_base64(match['proof'])
        except ValueError:
            raise SaslFailure('malformed-request', 'base64 was expected in c= and p=') from None
        said = f'{self._bare},{self._challenge},{match["before"]}'.encode()
        right = hmac.compare_digest(binding, self._binding)
        right &= hmac.compare_digest(match['nonce'].encode(), self._nonce.encode())
        right &= self._proves(proof, said) and self._known
        if not right:
            raise SaslFailure('not-authorized')
        return b'v=' + b2a_base64(hmac.digest(self._verifier.server_key, said, self._hash), newline=False)

    def _proves(self, proof: bytes, said: bytes) -> bool:
        signature = hmac.digest(self._verifier.stored_key, said, self._hash)
        if len(proof) != len(signature):
            return False
        client_key = int.from_bytes(proof, 'big') ^ int.from_bytes(signature, 'big')
        stored_key = hashlib.new(self._hash, client_key.to_bytes(len(proof), 'big')).digest()
        return hmac.compare_digest(stored_key, self._verifier.stored_key)


def _unescape(saslname: str) -> str:
    """RFC 5802 §5.1: '=2C' is a comma, '=3D' an equals sign, and there is no other '='."""
    if '=' not in saslname:
        return saslname
    return _ESCAPE.sub(_plain_character, saslname)


def _plain_character(match: re.Match[str]) -> str:
    if match[1] is None:
        raise SaslFailure('malformed-request', 'a user name with an equals sign that is not escaped')
    return _PLAINTEXT[match[1].upper()]
