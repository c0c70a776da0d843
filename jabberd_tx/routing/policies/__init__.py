"""The ways to choose an instance of a name, by what [[route]] and BIND call them."""

from __future__ import annotations

from jabberd_tx.routing.policies.failover import FailoverPolicy
from jabberd_tx.routing.policies.interface import IChooser, IRoutingPolicy, Settings
from jabberd_tx.routing.policies.random import RandomPolicy
from jabberd_tx.routing.policies.slotted import SlotPolicy

__all__ = ['POLICIES', 'IChooser', 'IRoutingPolicy', 'Settings']

POLICIES: dict[str, IRoutingPolicy] = {
    policy.name: policy for policy in (SlotPolicy('to'), SlotPolicy('from'), RandomPolicy(), FailoverPolicy())
}
