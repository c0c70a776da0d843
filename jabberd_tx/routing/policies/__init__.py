"""The ways to choose an instance of a name, by what [[route]] and BIND call them."""

from __future__ import annotations

from jabberd_tx.routing.policies.finding import POLICIES, found, known
from jabberd_tx.routing.policies.interface import IChooser, IRoutingPolicy, ISharingChooser, IWatchingChooser, Settings

__all__ = [
    'POLICIES', 'IChooser', 'IRoutingPolicy', 'ISharingChooser', 'IWatchingChooser', 'Settings', 'found', 'known',
]  # fmt: skip
