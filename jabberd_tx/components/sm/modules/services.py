"""Names of gateways and other components in the server's service discovery (XEP-0030 §4): how clients find them."""

from __future__ import annotations

from jabberd_tx.base.options import Option
from jabberd_tx.components.sm.iq import IqRequest
from jabberd_tx.components.sm.module import SERVER, Module, hook


class Services(Module):
    """Tells clients which components there are."""

    name = 'services'
    xeps = ('XEP-0030',)
    options = (
        Option(
            'listed',
            list,
            [],
            'Components that clients are told of, each with a name for people behind a space if you like: '
            '"irc.example.net IRC". One that nobody serves at the moment is left out.',
            high=1000,
            reload=True,
        ),
    )

    @hook('disco_items')
    def items(self, request: IqRequest) -> list[tuple[str, str]]:
        """Those that are there, in the order of the configuration."""
        if request.place != SERVER:
            return []
        told = [entry.strip().partition(' ') for entry in self.values.listed]
        return [(name, title.strip()) for name, _, title in told if self.sm.links.instances(name)]
