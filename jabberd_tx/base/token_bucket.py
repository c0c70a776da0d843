"""How much of something may be had: so much a second, and so much at once after a rest.

Whoever uses up more than there is owes the rest, and waits until that has come in.
"""

from __future__ import annotations


class TokenBucket:
    """What one user may still have.  Rate and size come with each call, so that new ones hold at once.

    left  what there is; below zero: what is owed
    at    when that was so
    """

    __slots__ = ('at', 'left')

    def __init__(self, burst: float, now: float) -> None:
        """Full."""
        self.left = burst
        self.at = now

    def take(self, amount: float, now: float, rate: float, burst: float) -> float:
        """Use so much, whether it is there or not; the seconds to wait until nothing is owed, 0.0 for none.

        now    seconds of any clock; one that goes back brings nothing in
        rate   what comes in, a second; 0: no limit, and what was owed is forgiven
        burst  the most that is kept
        """
        elapsed, self.at = max(now - self.at, 0.0), now
        if not rate:
            self.left = burst
            return 0.0
        left = self.left = min(burst, self.left + elapsed * rate) - amount
        return -left / rate if left < 0 else 0.0
