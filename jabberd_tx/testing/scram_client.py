"""The client's side of SCRAM (RFC 5802), for test clients."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets

HASHES = {'SCRAM-SHA-1': 'sha1', 'SCRAM-SHA-256': 'sha256', 'SCRAM-SHA-512': 'sha512'}


class ScramClient:
    """One exchange: send `first`, answer the challenge with `final`, then `check` what the server says.

    binding  (type, data) for a -PLUS mechanism
    flag     the GSS-API flag without binding: 'n', or 'y' to say that the client could do it
    """

    def __init__(
        self, mechanism: str, user: str, password: str, binding: tuple[str, bytes] | None = None, flag: str = 'n',
        authzid: str = '',
    ) -> None:  # fmt: skip
        self._hash = HASHES[mechanism.removesuffix('-PLUS')]
        self._password = password
        kind = f'p={binding[0]}' if binding else flag
        self._header = f'{kind},{"a=" + authzid if authzid else ""},'
        self._binding = self._header.encode() + (binding[1] if binding else b'')
        name = user.replace('=', '=3D').replace(',', '=2C')
        self._bare = f'n={name},r={secrets.token_urlsafe(16)}'
        self._signature = b''

    def first(self) -> bytes:
        """client-first-message."""
        return (self._header + self._bare).encode()

    def final(self, challenge: bytes) -> bytes:
        """client-final-message for the server's challenge."""
        fields = dict(field.split('=', 1) for field in challenge.decode().split(','))
        salt, iterations = base64.b64decode(fields['s']), int(fields['i'])
        salted = hashlib.pbkdf2_hmac(self._hash, self._password.encode(), salt, iterations)
        without_proof = f'c={base64.b64encode(self._binding).decode()},r={fields["r"]}'
        said = f'{self._bare},{challenge.decode()},{without_proof}'.encode()
        client_key = hmac.digest(salted, b'Client Key', self._hash)
        signature = hmac.digest(hashlib.new(self._hash, client_key).digest(), said, self._hash)
        proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
        self._signature = hmac.digest(hmac.digest(salted, b'Server Key', self._hash), said, self._hash)
        return f'{without_proof},p={base64.b64encode(proof).decode()}'.encode()

    def check(self, message: bytes) -> None:
        """server-final-message; AssertionError where the server does not know the password."""
        assert message == b'v=' + base64.b64encode(self._signature), 'the server has not proved itself'
