"""One name: the instances that serve it, the policy that holds, and what is held for slots that are away."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from jabberd_tx.link.frames import ABSENT, Route
from jabberd_tx.routing.asked import CONFLICT, Asked, Refused
from jabberd_tx.routing.held import FULL, HELD, Held, HeldFrames
from jabberd_tx.routing.options import BOUNCE, KEYED, ROUTES, SPILL, WAIT
from jabberd_tx.routing.policies import IChooser, ISharingChooser, Settings, found
from jabberd_tx.routing.policies.fixed import FixedSlotChooser
from jabberd_tx.routing.seats import Seats
from jabberd_tx.routing.settling import MOMENT, Settling
from jabberd_tx.routing.watched import WatchedFrames

# What frames without a key wait for: anybody.
ANYBODY = -1


class Rule(NamedTuple):
    """How a name is shared out; slots: 0 for as many as there are instances."""

    policy: str
    key: str
    slots: int


class Surroundings(NamedTuple):
    """What all names have in common.

    default   the policy that nobody asked for
    deliver   called with a node and what was held for it
    bounce    called with what was held for too long
    """

    clock: IReactorTime
    default: str
    watched: WatchedFrames
    deliver: Callable[[str, Held], None]
    bounce: Callable[[Held], None]


class ServedName:
    """Instances that drain are picked only while there are no others."""

    __slots__ = (
        '_asked', '_chooser', '_configured', '_draining', '_fixed', '_held', '_joined', '_keyless', '_name', '_only',
        '_later', '_left', '_lost', '_options', '_out', '_seats', '_settling', 'rule',
    )  # fmt: skip

    def __init__(self, name: str, configured: Any | None, surroundings: Surroundings) -> None:
        """configured: the name's [[route]], or None."""
        self._name, self._out = name, surroundings
        self._options = configured or ROUTES.defaults()
        self._configured = Rule(self._options.policy, self._options.key, self._options.slots)
        self._asked: dict[str, Asked] = {}  # by node, in order of arrival
        self._draining: set[str] = set()
        self._joined: dict[str, float] = {}  # what the choosers know
        self._only: str | None = None
        self._settling = Settling(surroundings.clock.seconds)
        self._lost = self._settling.lost
        self._left: dict[int, float] = {}  # slots for which frames wait: until when their next instance gets none
        self._later: IDelayedCall | None = None
        self._fixed: FixedSlotChooser | None = None
        self._seats: Seats | None = None
        self._held: HeldFrames | None = None
        self._begin(self._rule(self._asked))

    @property
    def nodes(self) -> Iterable[str]:
        """Where its instances are, those that drain included."""
        return self._asked

    @property
    def slots(self) -> dict[int, str]:
        """slot -> node of those that are there; {} where nobody has fixed their number."""
        return self._seats.by_slot() if self._seats is not None else {}

    @property
    def has_slots(self) -> bool:
        """Whether their number is fixed, so that one may be absent."""
        return self._fixed is not None

    @property
    def absent(self) -> str:
        """What becomes of frames whose slot is absent: 'wait', 'bounce' or 'spill'."""
        return str(self._options.absent)

    @property
    def holds_back(self) -> bool:
        """Whether a frame that nobody was picked for may have to wait."""
        return self._fixed is not None or bool(self._lost and self._joined)

    @property
    def waits(self) -> bool:
        """Whether the configuration lets frames wait for it though nobody serves it."""
        return bool(self._configured.slots) and self._options.absent == WAIT

    @property
    def held(self) -> int:
        """How many frames wait."""
        return len(self._held) if self._held is not None else 0

    def bind(self, node: str, asked: Asked) -> None:
        """The node serves it now, or asks for something else than before.  Refused says why it may not."""
        for there, others in self._asked.items():
            if there != node and self._differ(asked, others):
                raise Refused(CONFLICT)
        everybody = {**self._asked, node: asked}
        rule = self._rule(everybody)
        if rule.slots and rule.policy not in KEYED or asked.slot is not None and not rule.slots:
            raise Refused(CONFLICT)
        if rule.slots and asked.exclusive and self._options.absent == SPILL:
            raise Refused(CONFLICT)
        if rule != self.rule:
            if rule.slots:
                # Refused before anything has changed.
                _take_all(Seats(rule.slots, self._options.order), everybody)
            self._change(rule, everybody)
        if self._seats is not None:
            before = self._seats.of(node)
            if before != self._seats.take(node, asked.slot):
                self._part(node, before)
        self._asked[node] = asked
        self._settle()

    def unbind(self, node: str) -> None:
        """The node serves it no more."""
        if len(self._joined) > 1 and node in self._joined and self._moves_keys():
            self._settling.gone(self._chooser.share(node))  # type: ignore[attr-defined]
        slot = self._seats.of(node) if self._seats is not None else None
        if self._held is not None and slot is not None and node in self._joined:
            self._left[slot] = self._out.clock.seconds() + MOMENT
        self._asked.pop(node, None)
        self._draining.discard(node)
        rule = self._rule(self._asked)
        if rule != self.rule and self._asked:
            self._change(rule, self._asked)
        self._settle()
        if self._seats is not None:
            self._seats.leave(node)

    def drain(self, node: str) -> None:
        """The node is about to leave."""
        self._draining.add(node)
        self._settle()

    def pick(self, frame: Route) -> str | None:
        """The node for this frame; None or '' when nobody is there for it."""
        if self._lost and self._joined and self._settling.holds_up(frame):
            return ''
        if self._only is not None or not self._joined:
            return self._only
        node = self._chooser.pick(frame)
        return self._keyless.pick(frame) if node is None else node

    def wait(self, held: Held) -> str | None:
        """HELD, FULL or ABSENT (routing/held.py) for a frame that nobody was picked for; None: all slots are absent, or
        there are none, and nothing waits for that."""
        if self._joined and (self._fixed is None or self._options.absent == SPILL):
            return FULL  # it is held up for a moment only
        if self._fixed is None or not self._asked and not self.waits:
            return None
        if self._held is None:
            return ABSENT
        return self._held.hold(self._slot_of(held.frame), held)

    def take_after(self, refused: Route) -> list[Held]:
        """What waits and must go back too, after a frame that found no room."""
        return self._held.take_after(self._slot_of(refused), refused) if self._held is not None else []

    def _slot_of(self, frame: Route) -> int:
        slot = self._fixed.slot(frame) if self._fixed is not None else None
        return ANYBODY if slot is None else slot

    def forget(self, node: str) -> None:
        """That node is gone, and repeats what it has sent."""
        if self._held is not None:
            self._held.forget(node)

    def shares(self) -> dict[str, int] | None:
        """How many of the 16,384 slots each node has; None where the policy has none."""
        shares: Callable[[], dict[str, int]] | None = getattr(self._chooser, 'shares', None)
        return None if shares is None else shares()

    def close(self) -> None:
        """Nobody serves it any more."""
        self._chooser.close()
        self._keyless.close()
        if self._later is not None:
            self._later.cancel()
            self._later = None
        if self._held is not None:
            self._held.close()

    # ---- the rule

    def _differ(self, one: Asked, other: Asked) -> bool:
        """Whether they ask for different things, where the configuration has nothing to say."""
        wishes = zip(self._configured, _wishes(one), _wishes(other), strict=True)
        return one.exclusive != other.exclusive or any(
            not configured and mine and theirs and mine != theirs for configured, mine, theirs in wishes
        )

    def _rule(self, everybody: dict[str, Asked]) -> Rule:
        """As configured, else as any instance asks, else the default: in whatever order they came."""
        policy, key, slots = self._configured
        for asked in everybody.values():
            policy, key, slots = policy or asked.policy, key or asked.key, slots or asked.slots
        return Rule(policy or self._out.default, key or 'bare', slots)

    def _begin(self, rule: Rule) -> None:
        """Choosers for this rule, with nobody in them."""
        self.rule, self._joined, out = rule, {}, self._out
        options = self._options
        settings = Settings(self._name, rule.key == 'full', tuple(options.order), out.clock, out.watched.watch)
        self._keyless = found()['random'].chooser(settings)
        self._fixed = self._seats = self._held = None
        if not rule.slots or rule.policy not in KEYED:
            self._chooser: IChooser = found()[rule.policy].chooser(settings)
            return
        self._chooser = self._fixed = FixedSlotChooser(rule.policy, settings, rule.slots, options.absent == SPILL)
        self._seats = Seats(rule.slots, options.order)
        if options.absent == WAIT:
            self._held = HeldFrames(out.clock, options.grace, options.hold, out.bounce)
            for slot in (ANYBODY, *range(rule.slots)):
                self._held.absent(slot)

    def _change(self, rule: Rule, everybody: dict[str, Asked]) -> None:
        """Another rule for them; what waits, waits by that."""
        waiting = self._held.take_all() if self._held is not None else []
        self.close()
        self._begin(rule)
        if self._seats is not None:
            _take_all(self._seats, everybody)
        for held in waiting:
            if self.wait(held) != HELD:
                self._out.bounce(held)

    # ---- who is there

    def _moves_keys(self) -> bool:
        """Whether the keys of one that goes are certain others' at once."""
        return ISharingChooser.providedBy(self._chooser) and (self._fixed is None or self._options.absent == SPILL)

    def _settle(self) -> None:
        """Let the choosers know who is there to be picked, by the rule that holds now."""
        wanted = self._wanted()
        for node in self._joined.keys() - wanted.keys():
            self._part(node, self._seats.of(node) if self._seats is not None else None)
        come = [node for node, weight in wanted.items() if self._joined.get(node) != weight]
        for node in come:
            self._chooser.join(node, wanted[node])
            self._keyless.join(node, wanted[node])
            if self._fixed is not None and self._seats is not None:
                self._fixed.sit(node, self._seats.seat(node))
        self._joined = wanted
        self._only = next(iter(wanted)) if len(wanted) == 1 and self._fixed is None else None
        if self._held is not None:
            self._give_out(self._held, come)

    def _wanted(self) -> dict[str, float]:
        """Who may be picked, with weights.

        A slot has nobody else: what drains goes on getting its frames with `bounce`, and gets none with `wait`.
        """
        there = {node: asked.weight for node, asked in self._asked.items()}
        if self._fixed is not None and self._options.absent == BOUNCE:
            return there
        steady = {node: weight for node, weight in there.items() if node not in self._draining}
        if self._held is None:
            return steady or there
        return {node: weight for node, weight in steady.items() if self._may_begin(node)}

    def _may_begin(self, node: str) -> bool:
        """Whether senders know for sure that whoever had its slot before is gone (routing/settling.py)."""
        assert self._seats is not None
        slot, now = self._seats.seat(node), self._out.clock.seconds()
        until = self._left.get(slot, 0.0)
        if until <= now:
            self._left.pop(slot, None)
            return True
        if self._later is None:
            self._later = self._out.clock.callLater(until - now, self._settle_later)
        return False

    def _settle_later(self) -> None:
        self._later = None
        self._settle()

    def _part(self, node: str, slot: int | None) -> None:
        """Not picked any more; `slot`: that it had."""
        if self._joined.pop(node, None) is None:
            return
        self._chooser.leave(node)
        self._keyless.leave(node)
        if self._held is not None and slot is not None:
            self._held.absent(slot)
            if not self._joined:
                self._held.absent(ANYBODY)

    def _give_out(self, held: HeldFrames, come: list[str]) -> None:
        """What waited for them, before anything newer."""
        assert self._seats is not None
        for node in come:
            for slot in (self._seats.seat(node), ANYBODY):
                for one in held.back(slot):
                    self._out.deliver(node, one)


def _wishes(asked: Asked) -> Rule:
    return Rule(asked.policy, asked.key, asked.slots)


def _take_all(seats: Seats, everybody: dict[str, Asked]) -> None:
    """Refused when there are not seats for all of them."""
    for node, asked in everybody.items():
        seats.take(node, asked.slot)
