"""Which instance a key belongs to, at the price of one hash and one index.

A key's hash picks one of 16,384 slots; a slot belongs to the instance with the highest score for it
(rendezvous hashing with weights; docs/routing.md has the formula).  Scores depend on nothing but the
slot and the instance's name and weight, so that all who know the same instances have the same table
without a word between them, and an instance that comes or goes moves its own share of the slots only.

Scores are cached for each instance, once for all tables that know it.  Those of a new one are computed in slices;
until they are there the table answers as before, then it switches at once.  The slots of one that is gone are looked
at when they are asked for, and in slices.  All tables of a process together take one slice a turn: however many names
an instance serves, nobody waits when it comes or goes.
"""

from __future__ import annotations

from array import array
from collections import Counter, deque
from collections.abc import Callable
from hashlib import blake2b
from math import log
from struct import Struct
from weakref import WeakKeyDictionary, WeakValueDictionary

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from jabberd_tx.base.hashing import hash64

SLOTS = 16384
_MASK = SLOTS - 1
_EACH = 8  # scores that one BLAKE2b-512 gives
_SLICE = 1024  # slots scored, or looked at, in one turn: about half a millisecond
_words = Struct('>8Q').unpack
_UNIT = 2.0**-53


def slot_of(key: str) -> int:
    """The slot of a prepared key: its hash modulo 16,384."""
    return hash64(key) & _MASK


def scores(name: str, weight: float, first: int, count: int) -> array[float]:
    """The instance's scores for `count` slots from `first`, both multiples of 8; the highest takes a slot.

    Slot s has word s mod 8 of BLAKE2b-512(UTF-8 of name, NUL, s div 8 as uint16), all big-endian.  Its
    upper 53 bits w make the score  weight / -ln((w + ½) / 2⁵³).
    """
    start = blake2b(name.encode() + b'\0')
    found: array[float] = array('d')
    for block in range(first // _EACH, (first + count) // _EACH):
        blake = start.copy()
        blake.update(block.to_bytes(2, 'big'))
        found.extend([-weight / log(((word >> 11) + 0.5) * _UNIT) for word in _words(blake.digest())])
    return found


class _Scored:
    """An instance and its scores, as far as they are computed."""

    __slots__ = ('__weakref__', 'name', 'scores', 'weight')

    def __init__(self, name: str, weight: float) -> None:
        self.name, self.weight = name, weight
        self.scores: array[float] = array('d')

    def whole(self) -> bool:
        return len(self.scores) == SLOTS

    def go_on(self) -> None:
        self.scores.extend(scores(self.name, self.weight, len(self.scores), _SLICE))


_known: WeakValueDictionary[tuple[str, float], _Scored] = WeakValueDictionary()


def _scored(name: str, weight: float) -> _Scored:
    """The same for all tables."""
    one = _known.get((name, weight))
    if one is None:
        one = _known[name, weight] = _Scored(name, weight)
    return one


class _Slices:
    """The tables of one clock that have something left to compute: each in turn, one slice in a turn."""

    __slots__ = ('_call', '_tables')

    def __init__(self) -> None:
        self._tables: deque[SlotTable] = deque()
        self._call: IDelayedCall | None = None

    def add(self, table: SlotTable, clock: IReactorTime) -> None:
        if table not in self._tables:
            self._tables.append(table)
        if self._call is None:
            self._call = clock.callLater(0, self._run, clock)

    def remove(self, table: SlotTable) -> None:
        if table in self._tables:
            self._tables.remove(table)
        if not self._tables and self._call is not None:
            self._call.cancel()
            self._call = None

    def _run(self, clock: IReactorTime) -> None:
        self._call = None
        table = self._tables.popleft()
        if table.go_on():
            self._tables.append(table)
        if self._tables and self._call is None:
            self._call = clock.callLater(0, self._run, clock)


_slices: WeakKeyDictionary[IReactorTime, _Slices] = WeakKeyDictionary()


class SlotTable:
    """The owner of each slot, among the instances that joined.

    A table with one instance needs no scores and takes no memory for them.
    """

    __slots__ = ('_best', '_changed', '_clock', '_coming', '_looked', '_owners', '_settled', '_slices', '_sole')

    def __init__(self, clock: IReactorTime, changed: Callable[[], None] | None = None) -> None:
        """`changed`: called after each switch, in the turn in which `pick` first answers anew."""
        self._clock = clock
        self._changed = changed
        self._slices: _Slices | None = None  # once there is something to compute
        self._settled: dict[str, _Scored] = {}  # those that `pick` chooses from
        self._coming: dict[str, _Scored] = {}  # those whose scores are not complete, in order of arrival
        self._sole: str | None = None  # the only settled one, while there are no owners
        self._owners: list[str] = []  # by slot; one that is not settled is gone
        self._best: array[float] = array('d')  # the owner's score, by slot
        self._looked = SLOTS  # slots from here on may have an owner that is gone

    def pick(self, key: str) -> str | None:
        """The instance for a prepared key; None when there is none."""
        return self.owner(hash64(key) & _MASK) if self._owners else self._sole

    def owner(self, slot: int) -> str | None:
        """The instance that has the slot."""
        if not self._owners:
            return self._sole
        owner = self._owners[slot]
        return owner if owner in self._settled else self._retake(slot)

    def slots_of(self, name: str) -> frozenset[int]:
        """Those of one instance.  It looks at them all: half a millisecond."""
        if not self._owners:
            return frozenset(range(SLOTS)) if name == self._sole else frozenset()
        return frozenset([slot for slot, owner in enumerate(self._owners) if owner == name])

    def shares(self) -> dict[str, int]:
        """How many slots each instance has; those of one that is gone, until they are taken, are nobody's.  It counts
        them all: half a millisecond."""
        if not self._owners:
            return {} if self._sole is None else {self._sole: SLOTS}
        return {name: count for name, count in Counter(self._owners).items() if name in self._settled}

    @property
    def names(self) -> frozenset[str]:
        """All that joined and have not left, those that are not chosen from yet included."""
        return frozenset((*self._settled, *self._coming))

    @property
    def busy(self) -> bool:
        """True while scores are being computed, and `pick` may still answer without the newest instances."""
        return bool(self._coming)

    def join(self, name: str, weight: float = 1.0) -> None:
        """An instance is there, or has another weight than before: it then keeps the old one until the switch.

        With a weight of 2 it gets twice the slots of one with 1.  ValueError unless weight > 0.
        """
        if not weight > 0:
            raise ValueError(f'not a weight: {weight}')
        coming, settled = self._coming.get(name), self._settled.get(name)
        if coming is not None and coming.weight == weight:
            return
        self._coming.pop(name, None)
        if settled is not None and settled.weight == weight:
            return
        if self._settled and self._settled.keys() != {name}:
            self._coming[name] = _scored(name, weight)
            self._go_on_later()
            return
        self._settled[name] = _Scored(name, weight)
        self._alone()
        if self._changed is not None:
            self._changed()

    def leave(self, name: str) -> None:
        """The instance is gone; its slots have their new owners when this returns."""
        self._coming.pop(name, None)
        if self._settled.pop(name, None) is None:
            return
        if not self._settled and self._coming:
            # Whoever came first takes all until scores say who takes what.
            first = next(iter(self._coming))
            self._settled[first] = self._coming.pop(first)
        if len(self._settled) < 2:
            self._alone()
        else:
            self._looked = 0
            self._go_on_later()
        if self._changed is not None:
            self._changed()

    def close(self) -> None:
        """Compute no more."""
        self._coming.clear()
        if self._slices is not None:
            self._slices.remove(self)

    # ---- a slice a turn

    def _go_on_later(self) -> None:
        if self._slices is None:
            self._slices = _slices.setdefault(self._clock, _Slices())
        self._slices.add(self, self._clock)

    def go_on(self) -> bool:
        """Compute a little more; whether there is more to do then.  Called by those who share out the turns."""
        if self._looked < SLOTS:
            self._look()
        elif self._coming:
            self._score()
        return self._looked < SLOTS or bool(self._coming)

    def _score(self) -> None:
        # The one that has all slots comes first: a newcomer's scores are compared with its own.
        one = next(iter(self._coming.values()))
        if not self._owners:
            (sole,) = self._settled.values()
            one = self._settled[sole.name] = _scored(sole.name, sole.weight)
        if not one.whole():
            one.go_on()
        if not one.whole():
            return
        if self._owners:
            self._switch(one)
        else:
            self._owners, self._best = [one.name] * SLOTS, array('d', one.scores)

    def _switch(self, one: _Scored) -> None:
        name = one.name
        del self._coming[name]
        if self._settled.pop(name, None) is not None:  # it has another weight now
            self._looked = 0
            while self._looked < SLOTS:
                self._look()
        self._settled[name] = one
        owners, best = self._owners, self._best
        for slot, (new, old) in enumerate(zip(one.scores, best, strict=True)):
            if new > old or (new == old and name > owners[slot]):
                best[slot], owners[slot] = new, name
        if self._changed is not None:
            self._changed()

    def _alone(self) -> None:
        """One has all slots, or there is none: no need of scores."""
        self._owners, self._best, self._sole, self._looked = [], array('d'), None, SLOTS
        for name, one in list(self._settled.items()):
            self._sole = name
            self._settled[name] = _Scored(name, self._coming.pop(name, one).weight)

    def _look(self) -> None:
        """Give the next slots of those that are gone to others."""
        owners, settled, first = self._owners, self._settled, self._looked
        self._looked = first + _SLICE
        for slot in range(first, self._looked):
            if owners[slot] not in settled:
                self._retake(slot)

    def _retake(self, slot: int) -> str:
        """Give the slot of one that is gone to the highest of the others."""
        best, name = max([(one.scores[slot], name) for name, one in self._settled.items()])
        self._best[slot], self._owners[slot] = best, name
        return name
