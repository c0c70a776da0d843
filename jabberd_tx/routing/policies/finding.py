"""Which policies there are: the package's own, and those that plugins declare.

A plugin is a file below `twisted/plugins/` anywhere on the Python path, with an IRoutingPolicy in it:

    @implementer(IPlugin, IRoutingPolicy)
    class Nearest: ...

    nearest = Nearest()
"""

from __future__ import annotations

from functools import cache
from typing import Any

from twisted.plugin import getPlugins
from zope.interface.exceptions import Invalid
from zope.interface.verify import verifyObject

from jabberd_tx.routing.policies.failover import FailoverPolicy
from jabberd_tx.routing.policies.interface import IRoutingPolicy
from jabberd_tx.routing.policies.least_busy import LeastBusyPolicy
from jabberd_tx.routing.policies.random import RandomPolicy
from jabberd_tx.routing.policies.round_robin import RoundRobinPolicy
from jabberd_tx.routing.policies.slotted import SlotPolicy

POLICIES: dict[str, IRoutingPolicy] = {
    policy.name: policy
    for policy in (
        SlotPolicy('to'), SlotPolicy('from'), RandomPolicy(), RoundRobinPolicy(), LeastBusyPolicy(), FailoverPolicy(),
    )
}  # fmt: skip


@cache
def found() -> dict[str, IRoutingPolicy]:
    """All policies by what [[route]] and BIND call them; looked for once in the life of the process.

    ValueError for a plugin that is no policy, or has a name that is taken.  A plugin file that can't be
    imported is logged by twisted.plugin.
    """
    policies = dict(POLICIES)
    installed: list[Any] = list(getPlugins(IRoutingPolicy))
    for policy in sorted(installed, key=lambda policy: str(getattr(policy, 'name', ''))):
        where = getattr(policy, '__module__', repr(policy))
        try:
            verifyObject(IRoutingPolicy, policy)
        except Invalid as error:
            raise ValueError(f'{where} declares what is no routing policy: {error}') from None
        if not policy.name or policies.setdefault(policy.name, policy) is not policy:
            raise ValueError(f'{where} declares a routing policy named {policy.name!r}, which is taken')
    return policies


def known(name: str) -> IRoutingPolicy:
    """The policy of that name.  ValueError names those that there are."""
    policy = found().get(name)
    if policy is None:
        names = ', '.join(repr(one) for one in found())
        raise ValueError(f'expected one of {names}, not {name!r}')
    return policy
