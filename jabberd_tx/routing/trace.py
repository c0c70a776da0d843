"""Which way a stanza would take through a router, and why, in words: for `jabberd-ctl trace`.

Asked for now and then.  Nothing is sent, and no policy is asked that would remember having been.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from jabberd_tx.base.hashing import slot_among
from jabberd_tx.base.slots import slot_of
from jabberd_tx.link.frames import DEFAULT_ROUTE, EVERY_INSTANCE, Route
from jabberd_tx.routing.filters import ALLOW, DENY
from jabberd_tx.routing.other_names import is_addressed
from jabberd_tx.routing.policies.keys import key_of

if TYPE_CHECKING:
    from jabberd_tx.routing.router import Router
    from jabberd_tx.routing.served_name import ServedName

# Policies that always give the same answer to the same question.
BY_KEY = ('to', 'from')
STEADY = (*BY_KEY, 'failover')


class Traced(NamedTuple):
    """steps: sentences, in order; node: who would get it, '' for nobody or for anybody of several."""

    steps: list[str]
    node: str


def trace(router: Router, frame: Route) -> Traced:
    """What would become of the frame."""
    steps: list[str] = []
    node = _Tracer(router, frame, steps).find()
    if node:
        place = router.places[node]
        steps.append(f'{node} gets it' + (', and is in this process' if place.local else ''))
        if place.credit <= 0:
            steps.append(f'but {node} has no credit now: it would be bounced as busy')
        if place.draining:
            steps.append(f'{node} is about to leave')
    return Traced(steps, node)


class _Tracer:
    def __init__(self, router: Router, frame: Route, steps: list[str]) -> None:
        self._filters, self._nodes, self._frame, self._steps = router.filters, router.places, frame, steps
        self._names, self._others, self._redirects = router.parts

    def find(self) -> str:
        """The node; '' when nobody, or anybody of several, gets it."""
        frame, say = self._frame, self._steps.append
        rule = self._filters.judge(frame)
        if rule is not None:
            say(str(rule))
            if rule.action == DENY:
                say('it is bounced, and answered with that error')
                return ''
            if rule.action != ALLOW and (found := self._at(rule.target)) is not None:
                return found
            if rule.action != ALLOW:
                say(f'nobody serves {rule.target}')
        elif self._filters:
            say('no filter rule matches')
        names = [name for name in (frame.key, frame.dest) if isinstance(name, str)]
        for name in names:
            node = self._redirects.find(name)
            if node is not None:
                say(f'{name} is redirected: senders that honour that address {node} itself')
                if node in self._nodes:
                    return node
        return self._by_name()

    def _by_name(self) -> str:
        frame, others, say = self._frame, self._others, self._steps.append
        found = self._at(frame.dest)
        if found is not None:
            return found
        served = self._names.get(frame.dest.removesuffix(EVERY_INSTANCE))
        if frame.dest.endswith(EVERY_INSTANCE) and served is not None and served.nodes:
            say(f'all of them that have credit get it: {", ".join(sorted(served.nodes))}')
            return ''
        if frame.dest != DEFAULT_ROUTE:
            say(f'nobody serves {frame.dest}')
        target = others.alias_of(frame.dest)
        if target is not None:
            say(f'it is an alias of {target}')
            found = self._at(target)
            if found is not None:
                return found
            say(f'nobody serves {target}')
        if not others.default:
            say('there is no default route: it is bounced as no-link')
        elif not is_addressed(frame):
            say(f'{frame.dest} is not the domain that it is to: the default route is not for that')
        else:
            say(f'the default route is {others.default}')
            found = self._at(others.default)
            if found is not None:
                return found
            say(f'nobody serves {others.default}: it is bounced as no-link')
        return ''

    def _at(self, name: str) -> str | None:
        """The node, or '', for what goes to that name or node; None when there is nobody."""
        if name in self._nodes:
            self._steps.append(f'{name} is a node')
            return name
        served = self._names.get(name)
        return None if served is None else self._instance(name, served)

    def _instance(self, name: str, served: ServedName) -> str | None:
        say, frame = self._steps.append, self._frame._replace(dest=name)
        nodes = sorted(served.nodes)
        if not nodes and not served.has_slots:
            return None
        say(f'{name} is served by {", ".join(nodes) or "nobody now"}')
        if served.has_slots:
            return self._seat(frame, served)
        if len(nodes) == 1:
            return nodes[0]
        policy, whole = served.rule[0], served.rule[1]
        key = key_of(frame, policy, whole == 'full') if policy in BY_KEY else None
        if policy in BY_KEY and key is None:
            say(f'policy {policy} finds no key: any of them')
            return ''
        if policy not in STEADY:
            say(f'policy {policy}: any of them')
            return ''
        say(f'policy {policy}' + (f': {key} has slot {slot_of(key)}' if key is not None else ''))
        return served.pick(frame) or ''

    def _seat(self, frame: Route, served: ServedName) -> str:
        """Where the number of slots is fixed."""
        say, (policy, whole, slots) = self._steps.append, served.rule
        key = key_of(frame, policy, whole == 'full')
        if key is None:
            say(f'policy {policy} finds no key: any of them')
            return ''
        slot = slot_among(key, slots)
        say(f'policy {policy}: {key} has slot {slot} of {slots}')
        node = served.slots.get(slot)
        if node is None:
            what = {'wait': 'it is held for a while', 'bounce': 'it is bounced', 'spill': 'one of the others stands in'}
            say(f'that slot is absent: {what[served.absent]}')
        return node or ''
