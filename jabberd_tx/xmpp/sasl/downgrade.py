"""What a SCRAM challenge says of the offer, so that nobody can take something from it unseen (XEP-0474)."""

from __future__ import annotations

import hashlib
from binascii import b2a_base64
from collections.abc import Sequence
from functools import lru_cache

from jabberd_tx.xmpp.sasl.verifiers import HASHES


@lru_cache(256)
def offer_hash(mechanism: str, mechanisms: Sequence[str], bindings: Sequence[str]) -> str:
    """The value of the attribute `h` (§6.1): base64.

    mechanism   the SCRAM mechanism in use, with or without -PLUS
    mechanisms  all that were advertised in the profile that is used
    bindings    the channel binding types that were advertised (XEP-0440); none: they were not
    """
    said = '\x1e'.join(sorted(mechanisms))
    if bindings:
        said += '\x1f' + '\x1e'.join(sorted(bindings))
    digest = hashlib.new(HASHES[mechanism.removesuffix('-PLUS')], said.encode()).digest()
    return b2a_base64(digest, newline=False).decode()
