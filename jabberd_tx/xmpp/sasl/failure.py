"""Why an authentication is refused (RFC 6120 §6.5)."""

from __future__ import annotations

CONDITIONS = frozenset((
    'aborted',
    'account-disabled',
    'credentials-expired',
    'encryption-required',
    'incorrect-encoding',
    'invalid-authzid',
    'invalid-mechanism',
    'malformed-request',
    'mechanism-too-weak',
    'not-authorized',
    'temporary-auth-failure',
))


class SaslFailure(Exception):
    """The exchange is over.  `condition` is one of CONDITIONS; `text` may be shown and holds no secret."""

    def __init__(self, condition: str, text: str = '') -> None:
        assert condition in CONDITIONS, condition
        super().__init__(condition, text)
        self.condition = condition
        self.text = text
