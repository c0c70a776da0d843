"""What a play has shown: rates, errors, latencies."""

from __future__ import annotations

from collections import Counter
from typing import Any


class Report:
    """Filled in while it plays.

    sent, arrived   stanzas by kind; of messages `arrived` counts the copies that recipients got
    answered        IQs with a result or an error
    waits           seconds, of messages from sending to each arrival, of IQs to the answer
    errors          stanza errors by condition; ended: streams by stream error; failed: logins by reason
    behind          how many seconds the last one to be sent was late at most
    """

    def __init__(self) -> None:
        self.sent: Counter[str] = Counter()
        self.arrived: Counter[str] = Counter()
        self.answered = 0
        self.waits: dict[str, list[float]] = {'message': [], 'iq': []}
        self.errors: Counter[str] = Counter()
        self.ended: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.left_out: Counter[str] = Counter()
        self.seconds = self.behind = 0.0
        self.sessions = 0

    @property
    def good(self) -> bool:
        """Whether everybody could play to the end."""
        return not self.failed and not self.ended

    def as_dict(self) -> dict[str, Any]:
        """For programs; times in seconds."""
        return {
            'sessions': self.sessions, 'seconds': round(self.seconds, 3), 'behind': round(self.behind, 3),
            'sent': dict(self.sent), 'arrived': dict(self.arrived), 'answered': self.answered,
            'latency': {kind: percentiles(waits) for kind, waits in self.waits.items()}, 'errors': dict(self.errors),
            'ended': dict(self.ended), 'failed': dict(self.failed), 'left_out': dict(self.left_out),
        }  # fmt: skip

    def text(self) -> str:
        """For people."""
        total, sent, arrived = sum(self.sent.values()), self.sent, self.arrived
        pace = total / self.seconds if self.seconds else 0.0
        rows = [
            ('played', f'{total} stanzas in {self.seconds:.1f} s, {pace:.1f} a second, by {self.sessions} sessions'),
            ('messages', f'{sent["message"]} sent, {arrived["message"]} arrived{_waits(self.waits["message"])}'),
            ('IQs', f'{sent["iq"]} sent, {self.answered} answered{_waits(self.waits["iq"])}'),
            ('presence', f'{sent["presence"]} sent, {arrived["presence"]} arrived'),
            ('behind', f'at most {self.behind * 1000:.0f} ms'),
            ('errors', _counts(self.errors)),
            ('logins failed', _counts(self.failed)),
            ('streams ended', _counts(self.ended)),
            ('left out', _counts(self.left_out)),
        ]
        return '\n'.join([f'{name:<14} {text}' for name, text in rows])


def percentiles(waits: list[float]) -> dict[str, float]:
    """The least wait that so many of a hundred are within; {} for none."""
    if not waits:
        return {}
    ordered = sorted(waits)
    found = {str(share): ordered[max(0, -(-len(ordered) * share // 100) - 1)] for share in (50, 95, 99)}
    return {**found, 'most': ordered[-1]}


def _waits(waits: list[float]) -> str:
    found = percentiles(waits)
    if not found:
        return ''
    shares = ', '.join([f'{share} % within {wait * 1000:.1f}' for share, wait in found.items() if share != 'most'])
    return f'; {shares}, the slowest {found["most"] * 1000:.1f} ms'


def _counts(counts: Counter[str]) -> str:
    return ', '.join([f'{number} {name}' for name, number in counts.most_common()]) or 'none'
