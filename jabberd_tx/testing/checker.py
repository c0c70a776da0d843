"""Counts what must never happen to a message: lost, doubled, reordered (docs/delivery.md).

One checker for every test, simulation and benchmark: tell it what each party saw, let the system become quiet, and
ask for the report.

    checker = Checker()
    checker.accepted('romeo-1', 1)
    checker.received('juliet-1', 'romeo-1', 1)
    report = checker.report()
    assert report.ok, report

The words:

accepted   the sender's server has counted the message in an `h` that the sender saw (XEP-0198 §4)
settled    received by a stream of the recipient, or stored offline, or answered with an error
lost       accepted, and not settled now that the system is quiet
doubled    one message twice on one recipient's stream, its resumptions included
reordered  on one recipient's stream, a message that comes after a later one of the same sender's stream

A message that was not accepted is the sender's to repeat, as another message: received or not, it is no loss.
A message is named by its sender's stream and its number there; numbers grow in the order of sending.  Streams may
be named by whatever can be a key; a resumed stream keeps its name.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Any, NamedTuple

# How many faults of a kind a report spells out in its text.
SHOWN = 10


class Report(NamedTuple):
    """accepted, received, stored, answered: how many messages (received: also those that weren't accepted).

    lost       (sender stream, number) of each
    doubled    (recipient stream, sender stream, number), once for each time too many
    reordered  (recipient stream, sender stream, number that came late, highest that had come before)
    """

    accepted: int
    received: int
    stored: int
    answered: int
    lost: list[tuple[Hashable, int]]
    doubled: list[tuple[Hashable, Hashable, int]]
    reordered: list[tuple[Hashable, Hashable, int, int]]

    @property
    def ok(self) -> bool:
        """No fault was found."""
        return not (self.lost or self.doubled or self.reordered)

    def __str__(self) -> str:
        """The counts, and the first few faults of each kind."""
        lines = [
            f'{self.accepted} accepted, {self.received} received, {self.stored} stored, {self.answered} answered; '
            f'{len(self.lost)} lost, {len(self.doubled)} doubled, {len(self.reordered)} reordered'
        ]
        for word, faults in (('lost', self.lost), ('doubled', self.doubled), ('reordered', self.reordered)):
            lines += [f'{word}: {fault}' for fault in faults[:SHOWN]]
            if len(faults) > SHOWN:
                lines.append(f'{word}: {len(faults) - SHOWN} more')
        return '\n'.join(lines)


class _Seen:
    """What one recipient's stream got from one sender's: the highest number, and all of them."""

    __slots__ = ('highest', 'numbers')

    def __init__(self) -> None:
        self.highest: int | None = None
        self.numbers: set[int] = set()


class Checker:
    """Takes events in the order in which each recipient's stream saw them; events of different streams mix freely."""

    def __init__(self) -> None:
        self._accepted: dict[Hashable, set[int]] = {}
        self._received: dict[Hashable, set[int]] = {}
        self._stored: dict[Hashable, set[int]] = {}
        self._answered: dict[Hashable, set[int]] = {}
        self._seen: dict[tuple[Hashable, Hashable], _Seen] = {}
        self._doubled: list[tuple[Hashable, Hashable, int]] = []
        self._reordered: list[tuple[Hashable, Hashable, int, int]] = []

    def accepted(self, sender: Hashable, number: int) -> None:
        """The message is in an `h` that the sender saw."""
        self._accepted.setdefault(sender, set()).add(number)

    def received(self, recipient: Hashable, sender: Hashable, number: int) -> None:
        """The message came in on that stream of its recipient, just now."""
        self._received.setdefault(sender, set()).add(number)
        seen = self._seen.get((recipient, sender))
        if seen is None:
            seen = self._seen[recipient, sender] = _Seen()
        if number in seen.numbers:
            self._doubled.append((recipient, sender, number))
            return
        seen.numbers.add(number)
        if seen.highest is None or number > seen.highest:
            seen.highest = number
        else:
            self._reordered.append((recipient, sender, number, seen.highest))

    def stored(self, sender: Hashable, number: int) -> None:
        """The message lies in offline storage."""
        self._stored.setdefault(sender, set()).add(number)

    def answered(self, sender: Hashable, number: int) -> None:
        """The sender got an error for the message."""
        self._answered.setdefault(sender, set()).add(number)

    def feed(self, events: Iterable[tuple[Any, ...]]) -> None:
        """Events from a log: ('accepted', sender, number), ('received', recipient, sender, number), …"""
        calls: dict[str, Callable[..., None]] = {
            'accepted': self.accepted, 'received': self.received, 'stored': self.stored, 'answered': self.answered,
        }  # fmt: skip
        for name, *arguments in events:
            calls[name](*arguments)

    def unsettled(self) -> list[tuple[Hashable, int]]:
        """Accepted and not settled as yet: what would be lost if the system were quiet now."""
        found: list[tuple[Hashable, int]] = []
        for sender, numbers in self._accepted.items():
            settled = set().union(*[of.get(sender, ()) for of in (self._received, self._stored, self._answered)])
            found += [(sender, number) for number in sorted(numbers - settled)]
        return found

    def report(self) -> Report:
        """All faults up to now."""
        return Report(
            _count(self._accepted),
            _count(self._received),
            _count(self._stored),
            _count(self._answered),
            self.unsettled(),
            list(self._doubled),
            list(self._reordered),
        )


def _count(numbers: dict[Hashable, set[int]]) -> int:
    return sum([len(some) for some in numbers.values()])
