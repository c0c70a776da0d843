"""What an instance asks for when it binds a name: the options of BIND."""

from __future__ import annotations

from collections.abc import Collection
from math import isfinite
from types import NoneType
from typing import NamedTuple

from jabberd_tx.routing.policies import found

# Outcomes of BOUND (docs/routing.md).
OK, CONFLICT, NOT_SUPPORTED, NO_SLOT = 'ok', 'conflict', 'not-supported', 'no-slot'
BAD_NAME, BAD_OPTION, TOO_MANY = 'bad-name', 'bad-option', 'too-many-names'
NOT_ALLOWED = 'not-allowed'

KEYS = ('bare', 'full')
MOST_WEIGHT = 1000.0
MOST_SLOTS = 1024
_KNOWN = ('policy', 'key', 'weight', 'slots', 'slot', 'exclusive')


class Asked(NamedTuple):
    """policy, key: '' where the instance leaves it to the router; slots: 0 likewise; slot: None likewise."""

    policy: str
    key: str
    weight: float
    slots: int = 0
    slot: int | None = None
    exclusive: bool = False


class Refused(Exception):
    """str(error) is the outcome for BOUND."""


def read_options(options: dict[str, object]) -> Asked:
    """What these options ask for.  Refused for what this router does not know, or could not do."""
    for option, value in options.items():
        if option not in _KNOWN and value is not None and value is not False:
            raise Refused(NOT_SUPPORTED)
    exclusive = options.get('exclusive') or False
    if type(exclusive) is not bool:
        raise Refused(BAD_OPTION)
    return Asked(
        _name(options.get('policy'), found()),
        _name(options.get('key'), KEYS),
        _weight(options.get('weight')),
        _number(options.get('slots'), 1, MOST_SLOTS) or 0,
        _number(options.get('slot'), 0, MOST_SLOTS - 1),
        exclusive,
    )


def _name(value: object, known: Collection[str]) -> str:
    """'' for what is left to the router."""
    if not value and type(value) in (str, bool, NoneType):
        return ''
    if type(value) is not str:
        raise Refused(BAD_OPTION)
    if value not in known:
        raise Refused(NOT_SUPPORTED)
    return value


def _weight(value: object) -> float:
    if value is None:
        return 1.0
    if type(value) not in (int, float) or not isfinite(value) or not 0 < value <= MOST_WEIGHT:  # type: ignore[arg-type, operator]
        raise Refused(BAD_OPTION)
    return float(value)  # type: ignore[arg-type]


def _number(value: object, low: int, high: int) -> int | None:
    """None where it is left to the router."""
    if value is None or value is False:
        return None
    if type(value) is not int or not low <= value <= high:
        raise Refused(BAD_OPTION)
    return value
