"""How long to wait before the next attempt: longer each time, up to a bound, and never for all at once."""

from __future__ import annotations

from collections.abc import Callable
from random import random as any_fraction


class Backoff:
    """The delay grows by `factor` with each failed attempt; `jitter` of it is left to chance.

    initial, maximum  seconds; no delay is longer than the maximum
    jitter            0 … 1: the share of a delay that is random (0.5: from half of it to the whole)
    """

    __slots__ = ('factor', 'initial', 'jitter', 'maximum')

    def __init__(self, initial: float, maximum: float, factor: float = 2.0, jitter: float = 0.5) -> None:
        if not (0 < initial <= maximum and factor >= 1 and 0 <= jitter <= 1):
            raise ValueError('0 < initial <= maximum, factor >= 1 and 0 <= jitter <= 1 are needed')
        self.initial, self.maximum, self.factor, self.jitter = initial, maximum, factor, jitter

    def delay(self, attempt: int, random: Callable[[], float] = any_fraction) -> float:
        """Seconds to wait after `attempt` failures before this one (0: the first); random() gives 0 ≤ x < 1."""
        try:
            whole = min(self.maximum, self.initial * self.factor ** max(attempt, 0))
        except OverflowError:
            whole = self.maximum
        return whole * (1 - self.jitter * random())
