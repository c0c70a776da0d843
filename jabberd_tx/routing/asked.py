"""What an instance asks for when it binds a name: the options of BIND."""

from __future__ import annotations

from math import isfinite
from typing import NamedTuple

from jabberd_tx.routing.policies import found

# Outcomes of BOUND (docs/routing.md).
OK, CONFLICT, NOT_SUPPORTED = 'ok', 'conflict', 'not-supported'
BAD_NAME, BAD_OPTION, TOO_MANY = 'bad-name', 'bad-option', 'too-many-names'
NOT_ALLOWED = 'not-allowed'

KEYS = ('bare', 'full')
MOST_WEIGHT = 1000.0


class Asked(NamedTuple):
    """policy, key: '' where the instance leaves it to the router."""

    policy: str
    key: str
    weight: float


class Refused(Exception):
    """str(error) is the outcome for BOUND."""


def read_options(options: dict[str, object]) -> Asked:
    """What these options ask for.  Refused for what this router does not know, or could not do."""
    policy, key, weight = options.get('policy') or '', options.get('key') or '', options.get('weight')
    for option, value in options.items():
        if option not in ('policy', 'key', 'weight') and value is not None and value is not False:
            raise Refused(NOT_SUPPORTED)
    if type(policy) is not str or type(key) is not str:
        raise Refused(BAD_OPTION)
    if policy and policy not in found() or key and key not in KEYS:
        raise Refused(NOT_SUPPORTED)
    if weight is None:
        return Asked(policy, key, 1.0)
    if type(weight) not in (int, float) or not isfinite(weight) or not 0 < weight <= MOST_WEIGHT:  # type: ignore[arg-type, operator]
        raise Refused(BAD_OPTION)
    return Asked(policy, key, float(weight))  # type: ignore[arg-type]
