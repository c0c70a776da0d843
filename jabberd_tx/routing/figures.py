"""What a router tells an operator: the nodes that are attached, and who serves which name by which policy."""

from __future__ import annotations

from typing import Any

from jabberd_tx.routing.register import Attached, Register
from jabberd_tx.routing.served_name import ServedName

# Names that are listed, and those of them whose slots are counted: that takes half a millisecond each.
MOST_NAMES, MOST_COUNTED = 500, 50


def nodes_of(router: Register) -> list[dict[str, Any]]:
    """`waiting`: what is not sent yet, bytes over TCP, frames in the same process; credit: bytes that it takes."""
    return [_node(router.node, place) for place in router.places.values()]


def names_of(router: Register) -> list[dict[str, Any]]:
    """`instances`: by node, the slots of 16,384 that each has; None where the policy has no such slots.  `slots`: their
    number where it is fixed, or 0; `seats`: who has which of these; `held`: frames that wait for one that is absent."""
    served = router.served()[:MOST_NAMES]
    counted = [name for name, one in served if len(list(one.nodes)) > 1][:MOST_COUNTED]
    return [_name(router.node, name, one, len(served) <= MOST_COUNTED or name in counted) for name, one in served]


def _node(router: str, place: Attached) -> dict[str, Any]:
    port: Any = place.port
    return {
        'router': router, 'node': port.node, 'local': place.local, 'draining': place.draining, 'credit': place.credit,
        'waiting': port.waiting if place.local else port.connection.waiting, 'names': len(place.names),
    }  # fmt: skip


def _name(router: str, name: str, served: ServedName, counted: bool) -> dict[str, Any]:
    policy, key, slots = served.rule
    shares = served.shares() if counted else None
    instances = {node: None if shares is None else shares.get(node, 0) for node in served.nodes}
    fixed = {'slots': slots, 'seats': {str(slot): node for slot, node in served.slots.items()}, 'held': served.held}
    return {'router': router, 'name': name, 'policy': policy, 'key': key, 'instances': instances, **fixed}
